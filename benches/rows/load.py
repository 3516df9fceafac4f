"""Load with wrk, and comparisons of its results."""

import dataclasses
import os
import re
import statistics
import subprocess

from .bench import CONNECTIONS, LOAD_CORES, fail
from .kernel import pinned, processor_seconds
from .servers import bearer

SCRIPTS = os.path.dirname(os.path.abspath(__file__))


@dataclasses.dataclass
class Load:
    """The result of a server under load."""

    rate: float      # requests a second
    own: float       # requests a second of the server's processor time
    p99: float       # the 99th percentile of the latency, in milliseconds
    requests: int


def start(url, seconds, headers=(), script=None, arguments=(), connections=CONNECTIONS):
    """Starts wrk on the load's core."""
    command = ["wrk", "-t1", f"-c{connections}", f"-d{seconds}s", "--latency", "--timeout", "60s"]
    for name, value in dict(headers).items():
        command += ["-H", f"{name}: {value}"]
    if script:
        command += ["-s", os.path.join(SCRIPTS, script)]
    return subprocess.Popen([*command, url, "--", *arguments], stdout=subprocess.PIPE, text=True,
                            preexec_fn=pinned(LOAD_CORES))


def finish(wrk, spent=0.0, refusals=False):
    """Waits for wrk. Returns its results. No request may have failed, unless `refusals` are expected."""
    output = wrk.communicate()[0]
    broken = "Socket errors" in output or ("Non-2xx" in output and not refusals)
    if wrk.returncode or broken:
        fail(f"requests failed\n{output}")
    requests = int(re.search(r"(\d+) requests in", output)[1])
    rate = float(re.search(r"Requests/sec:\s+([\d.]+)", output)[1])
    number, unit = re.search(r"99%\s+([\d.]+)(us|ms|s|m)", output).groups()
    p99 = float(number) * {"us": 0.001, "ms": 1, "s": 1000, "m": 60_000}[unit]
    return Load(rate, requests / spent if spent else 0.0, p99, requests)


def load(process, url, seconds, **how):
    """Loads a server for this many seconds."""
    before = processor_seconds(process)
    wrk = start(url, seconds, **how)
    wrk.wait()
    return finish(wrk, processor_seconds(process) - before)


def with_token(token):
    return {"headers": bearer(token)}


def walk(path, once=False):
    """Options to send the tokens of a file, one per request, again from the start unless `once`."""
    return {"script": "tokens.lua", "arguments": [path, "once" if once else "over"]}


def alternate(bench, *sides):
    """Runs the sides in turns, in every other round in reverse order. Returns the results of each side, one
    for each round."""
    results = [[] for _ in sides]
    for number in range(bench.rounds):
        order = list(zip(sides, results))
        for side, gave in order if number % 2 == 0 else reversed(order):
            gave.append(side())
    return results


def compare(bench, *sides):
    """Loads servers in turns, each for a second before it is measured. A side has the arguments of `load`
    without the seconds."""
    for process, url, how in sides:
        load(process, url, 1, **how)
    return alternate(bench, *[
        lambda process=process, url=url, how=how: load(process, url, bench.seconds, **how)
        for process, url, how in sides
    ])


def ratios(above, below):
    return [a / b for a, b in zip(above, below)]


def spread(values, digits):
    """The median, with the minimum and the maximum."""
    low, middle, high = min(values), statistics.median(values), max(values)
    text = f"{middle:,.{digits}f}"
    return text if len(values) == 1 else f"{text} ({low:,.{digits}f} to {high:,.{digits}f})"
