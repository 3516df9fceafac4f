"""What every row is given, and what it gives back."""

import dataclasses
import os
import sys

ROOT = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
CORES = sorted(os.sched_getaffinity(0))
# On a machine of one core the two share it.
SERVER_CORES, LOAD_CORES = {CORES[0]}, {CORES[-1]}
CONNECTIONS = 64


@dataclasses.dataclass
class Bench:
    """One run of one row."""

    programs: dict  # paths by name: bearerd, and the bench programs
    folder: str     # the row's own, gone afterwards; on a disk, where a commit costs what it costs
    kept: str       # for what takes long to make, and is used again: target/bench
    quick: bool     # whether it is to show that it works, and no more

    @property
    def rounds(self):
        return 1 if self.quick else 5

    @property
    def seconds(self):
        """How long one side of one round takes."""
        return 1 if self.quick else 3

    def sized(self, count, least=10_000):
        """As many tokens as a figure is about; a hundredth, but so many at least, for a quick run."""
        return min(count, max(count // 100, least)) if self.quick else count


@dataclasses.dataclass
class Figure:
    """Something measured: a value a round, and the goal, if there is one."""

    what: str
    values: list
    digits: int = 0
    unit: str = ""
    least: float | None = None
    most: float | None = None

    @property
    def goal(self):
        return self.most if self.least is None else self.least

    @property
    def goal_text(self):
        if self.goal is None:
            return ""
        return f"at {'most' if self.least is None else 'least'} {self.goal:,g}{self.unit}"


@dataclasses.dataclass
class LeftOut:
    """A row that can't be measured here, and why."""

    why: str


ROWS = {}


def row(measure):
    """Makes a function a row, under its name. It takes a `Bench` and gives a list of `Figure`, or
    `LeftOut`; its docstring says what is measured."""
    ROWS[measure.__name__] = measure
    return measure


def fail(why):
    sys.exit(f"benches/run: {why}")
