"""The parameters and the results of a row."""

import dataclasses
import os
import sys

ROOT = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
CORES = sorted(os.sched_getaffinity(0))
# On a machine with one core, the server and the load share it.
SERVER_CORES, LOAD_CORES = {CORES[0]}, {CORES[-1]}
CONNECTIONS = 64


@dataclasses.dataclass
class Bench:
    """One run of one row."""

    programs: dict  # paths by name: bearerd, and the bench programs
    folder: str     # a temporary folder for the row, on a disk, so that commits have their real cost
    kept: str       # target/bench, for files that take long to create and are used again
    quick: bool     # whether the run only has to show that it works

    @property
    def rounds(self):
        return 1 if self.quick else 5

    @property
    def seconds(self):
        """The duration of one side of one round."""
        return 1 if self.quick else 3

    def sized(self, count, least=10_000):
        """The number of tokens: `count`, or in a quick run a hundredth of it, but at least `least`."""
        return min(count, max(count // 100, least)) if self.quick else count


@dataclasses.dataclass
class Figure:
    """A measured figure: one value for each round, and the goal, if there is one."""

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
    """A row that can't be measured on this machine, and the reason."""

    why: str


ROWS = {}


def row(measure):
    """Registers a function as a row, under its name. The function takes a `Bench` and returns a list of
    `Figure`, or `LeftOut`. Its docstring describes the measurement."""
    ROWS[measure.__name__] = measure
    return measure


def fail(why):
    sys.exit(f"benches/run: {why}")
