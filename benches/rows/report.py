"""The results as a Markdown table, as a plot, and as numbers."""

import html
import json
import os
import platform
import re
import statistics
import subprocess

from .bench import CONNECTIONS, CORES, ROOT
from .load import spread

WIDTH, LABEL, PLOT, LINE = 1240, 610, 300, 24
STYLE = """
  text { font: 13px sans-serif; fill: #222 } .title { font-size: 17px; font-weight: bold }
  .row { font-weight: bold } .small { font-size: 11px; fill: #666 } .value { text-anchor: start }
  .axis { stroke: #ddd } .range { stroke: #7aa6d8; stroke-width: 6 } .met { fill: #1a7f37 }
  .missed { fill: #c0392b } .plain { fill: #33506e } .goal { stroke: #222; stroke-dasharray: 3 2 }
"""


def circumstances(quick, rounds, seconds):
    """Lines that describe the machine and the programs of the measurement."""
    say = lambda *command: subprocess.run(  # noqa: E731
        command, cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True).stdout
    commit = say("git", "describe", "--always", "--dirty").strip()
    wrk = re.search(r"wrk \S+", say("wrk", "-v"))[0]
    cpu = re.search(r"model name\s*: (.*)", open("/proc/cpuinfo").read())
    pinned = "the server on one, the load on another" if len(CORES) > 1 else "shared"
    return [
        f"bearerd {commit}, {say('rustc', '--version').strip()}, {wrk}",
        f"{len(CORES)} cores of {cpu[1] if cpu else platform.machine()}, {pinned}; "
        f"{platform.system()} {platform.release()}",
        f"{rounds} rounds of {seconds} s a side, {CONNECTIONS} connections"
        + ("; a quick run, with less data: it shows that it works, and no more" if quick else ""),
    ]


def table_head():
    return "| what | measured | goal |\n| --- | --- | --- |"


def table_line(figure):
    return f"| {figure.what} | {spread(figure.values, figure.digits)}{figure.unit} " \
           f"| {figure.goal_text} |"


def left_out(name, why):
    return f"| {name} | left out: {why} | |"


def write(folder, lines, rows):
    """Writes speed.md, speed.svg and speed.json. `rows` maps each row to its figures."""
    table = [table_head()]
    for name, row in rows.items():
        table += [table_line(figure) for figure in row] if isinstance(row, list) \
            else [left_out(name, row.why)]
    measured = {name: row for name, row in rows.items() if isinstance(row, list)}
    numbers = {name: [vars(figure) for figure in row] for name, row in measured.items()}
    for name, text in {
        "speed.md": "\n".join(["Median (least to most).", *lines, "", *table, ""]),
        "speed.svg": plot(lines, measured),
        "speed.json": json.dumps({"circumstances": lines, "rows": numbers}, indent=1),
    }.items():
        with open(os.path.join(folder, name), "w") as file:
            file.write(text)


def plot(lines, rows):
    """Plots each figure on a line with its own scale from zero: the range of the rounds, the median, and
    the goal."""
    parts, y = [_text(16, 28, "What bearerd takes", "title")], 28
    for line in lines:
        y += 17
        parts.append(_text(16, y, line, "small"))
    for name, figures in rows.items():
        y += LINE + 10
        parts.append(_text(16, y, name, "row"))
        for figure in figures:
            y += LINE
            parts += _strip(figure, y)
    y += LINE + 10
    parts.append(_text(16, y, "dot: median; bar: least to most; dashed: goal; green meets it, red "
                              "misses it; each line's scale begins at nought", "small"))
    return (f'<svg xmlns="http://www.w3.org/2000/svg" width="{WIDTH}" height="{y + 16}" '
            f'viewBox="0 0 {WIDTH} {y + 16}"><style>{STYLE}</style>'
            f'<rect width="100%" height="100%" fill="#fff"/>\n' + "\n".join(parts) + "\n</svg>\n")


def _strip(figure, y):
    most = max(*figure.values, figure.goal or 0, 1e-9) * 1.05
    at = lambda value: LABEL + PLOT * value / most  # noqa: E731
    middle, line = statistics.median(figure.values), y - 4
    parts = [
        _text(32, y, figure.what.replace("`", "")),
        f'<line class="axis" x1="{LABEL}" x2="{LABEL + PLOT}" y1="{line}" y2="{line}"/>',
        f'<line class="range" x1="{at(min(figure.values)):.1f}" '
        f'x2="{at(max(figure.values)):.1f}" y1="{line}" y2="{line}"/>',
    ]
    kind = "plain"
    if figure.goal is not None:
        met = middle >= figure.least if figure.most is None else middle <= figure.most
        kind = "met" if met else "missed"
        goal = at(figure.goal)
        parts.append(f'<line class="goal" x1="{goal:.1f}" x2="{goal:.1f}" '
                     f'y1="{line - 9}" y2="{line + 9}"/>')
    parts.append(f'<circle class="{kind}" cx="{at(middle):.1f}" cy="{line}" r="5"/>')
    value = spread(figure.values, figure.digits) + figure.unit
    return [*parts, _text(LABEL + PLOT + 16, y, value, f"value {kind}"),
            _text(LABEL + PLOT + 220, y, figure.goal_text, "small")]


def _text(x, y, text, kind="label"):
    return f'<text class="{kind}" x="{x}" y="{y}">{html.escape(text)}</text>'
