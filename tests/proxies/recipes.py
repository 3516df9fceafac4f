"""The configurations that docs/proxies.md shows, cut out of it."""

import re
from pathlib import Path

PAGE = Path(__file__).parents[2] / "docs/proxies.md"

# A line with nothing but a file's name, and the block below it.
# A block “at the end of” a file is appended to it.
FILE = re.compile(r"^(?:At the end of )?`([^`\n]+)`:\n\n```\w+\n(.*?)^```$", re.MULTILINE | re.DOTALL)

RECIPES = {}
for name, block in FILE.findall(PAGE.read_text()):
    RECIPES[name] = f"{RECIPES[name]}\n{block}" if name in RECIPES else block


def recipe(name, changes):
    """A file as the page shows it, but for `changes`: text to text, each of which must occur."""
    text = RECIPES[name]
    for shown, ours in changes.items():
        assert shown in text, f"{PAGE.name}: {name} no longer has {shown}"
        text = text.replace(shown, str(ours))
    return text


def naming(section):
    """The value of `forward_auth_headers` that a proxy's section of the page asks for."""
    text = PAGE.read_text().split(f"\n## {section}\n")[1].split("\n## ")[0]
    return re.search(r'^In `bearerd.toml`: `forward_auth_headers = "([^"]+)"`', text, re.MULTILINE)[1]
