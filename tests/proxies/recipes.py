"""The configurations that docs/proxies.md shows, cut out of it."""

import re
from pathlib import Path

PAGE = Path(__file__).parents[2] / "docs/proxies.md"

# A line with nothing but a file's name, and the block below it.
FILE = re.compile(r"^`([^`\n]+)`:\n\n```\w+\n(.*?)^```$", re.MULTILINE | re.DOTALL)

RECIPES = dict(FILE.findall(PAGE.read_text()))


def recipe(name, changes):
    """A file as the page shows it, but for `changes`: text to text, each of which must occur."""
    text = RECIPES[name]
    for shown, ours in changes.items():
        assert shown in text, f"{PAGE.name}: {name} no longer has {shown}"
        text = text.replace(shown, str(ours))
    return text
