"""Load: wrk, and comparisons of what it measures."""

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
    """What became of a server under load."""

    rate: float      # requests a second
    own: float       # requests a second of the server's processor time
    p99: float       # milliseconds, that 99 of 100 requests took at most
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
    """What wrk says at its end; nothing may have failed, unless refusals are looked for."""
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
    """Loads a server for so long."""
    before = processor_seconds(process)
    wrk = start(url, seconds, **how)
    wrk.wait()
    return finish(wrk, processor_seconds(process) - before)


def with_token(token):
    return {"headers": bearer(token)}


def walk(path, once=False):
    """The tokens of a file, a line each, one a request; from the start again, unless `once`."""
    return {"script": "tokens.lua", "arguments": [path, "once" if once else "over"]}


def alternate(bench, *sides):
    """Has the sides take turns, and every other round the other way round; gives what each gave,
    round by round."""
    results = [[] for _ in sides]
    for number in range(bench.rounds):
        order = list(zip(sides, results))
        for side, gave in order if number % 2 == 0 else reversed(order):
            gave.append(side())
    return results


def compare(bench, *sides):
    """Loads servers in turns, each for a second before it counts. A side is what `load` takes, but
    for the seconds."""
    for process, url, how in sides:
        load(process, url, 1, **how)
    return alternate(bench, *[
        lambda process=process, url=url, how=how: load(process, url, bench.seconds, **how)
        for process, url, how in sides
    ])


def ratios(above, below):
    return [a / b for a, b in zip(above, below)]


def spread(values, digits):
    """The median, and how far it goes."""
    low, middle, high = min(values), statistics.median(values), max(values)
    text = f"{middle:,.{digits}f}"
    return text if len(values) == 1 else f"{text} ({low:,.{digits}f} to {high:,.{digits}f})"
