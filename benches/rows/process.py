"""The memory of a server, and its time to start."""

import time

from .bench import Figure, row
from .data import token_file
from .kernel import resident
from .load import load, walk
from .servers import VERIFY, bearerd, create_user, get


@row
def memory(bench):
    """The resident memory, on all cores: soon after a start, and with 100,000 cached tokens."""
    tokens = token_file(bench, bench.sized(100_000))
    create_user(bench)
    idle, full = [], []
    for _ in range(bench.rounds):
        with bearerd(bench, cores=None) as (address, process):
            get(f"{address}/readyz")
            # Time for the first sweep and other work at the start.
            time.sleep(1)
            idle.append(resident(process))
        with bearerd(bench, tokens.database, cores=None) as (address, process):
            url = address + VERIFY
            load(process, url, 1 + bench.seconds, **walk(tokens.strings))
            full.append(resident(process))
    return [
        Figure("resident memory, idle after a start", idle, 1, " MiB", most=10),
        Figure(f"… with {bench.sized(100_000):,} tokens cached, after load", full, 1, " MiB",
               most=50),
    ]


@row
def start(bench):
    """The time from the start of the process to the first checked token, with 10,000,000 in the file."""
    tokens = token_file(bench, bench.sized(10_000_000), keep=bench.sized(10_000))
    times = []
    for token in tokens.some(4 * bench.rounds):
        with bearerd(bench, tokens.database, cores=None) as (address, process):
            get(f"{address}/api/user", token)
            times.append((time.monotonic() - process.began) * 1000)
    count = bench.sized(10_000_000)
    return [Figure(f"start to first 200, {count:,} tokens in the file", times, 1, " ms", most=20)]
