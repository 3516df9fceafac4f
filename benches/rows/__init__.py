"""The rows of benches/run, a function each, in the order of measurement."""

from . import check, peers, login, writes, owner, process, proxy  # noqa: F401
from .bench import ROWS, Bench, Figure, LeftOut, fail

__all__ = ["ROWS", "Bench", "Figure", "LeftOut", "fail"]
