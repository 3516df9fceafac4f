"""The configurations in docs/proxies.md."""

import re
from pathlib import Path

PAGE = Path(__file__).parents[2] / "docs/proxies.md"

# A line with only the name of a file, and the block below it. A block for "the end of" a file is appended
# to the file.
FILE = re.compile(r"^(?:At the end of )?`([^`\n]+)`:\n\n```\w+\n(.*?)^```$", re.MULTILINE | re.DOTALL)

RECIPES = {}
for name, block in FILE.findall(PAGE.read_text()):
    RECIPES[name] = f"{RECIPES[name]}\n{block}" if name in RECIPES else block


def recipe(name, changes):
    """A file from the page. `changes` maps texts, which must occur, to their replacements."""
    text = RECIPES[name]
    for shown, ours in changes.items():
        assert shown in text, f"{PAGE.name}: {name} no longer has {shown}"
        text = text.replace(shown, str(ours))
    return text


def naming(section):
    """The value of `forward_auth_headers` in a proxy's section of the page."""
    text = PAGE.read_text().split(f"\n## {section}\n")[1].split("\n## ")[0]
    return re.search(r'^In `bearerd.toml`: `forward_auth_headers = "([^"]+)"`', text, re.MULTILINE)[1]
