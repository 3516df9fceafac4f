"""Fixtures that several tests share."""

import pytest

from service import serving

TABLES = {}


@pytest.fixture
def service(tmp_path):
    with serving(tmp_path) as service:
        yield service


@pytest.fixture
def figures(request):
    """A list for rows of figures, as dictionaries. The run prints the rows of each file at its end."""
    return TABLES.setdefault(request.path.name, [])


def pytest_terminal_summary(terminalreporter):
    for name, rows in filter(all, TABLES.items()):
        terminalreporter.section(name)
        lines = [list(rows[0])] + [[str(value) for value in row.values()] for row in rows]
        widths = [max(map(len, column)) for column in zip(*lines)]
        for line in lines:
            cells = (cell.ljust(width) for cell, width in zip(line, widths))
            terminalreporter.write_line("  ".join(cells).rstrip())
