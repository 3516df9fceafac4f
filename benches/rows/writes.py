"""What is written: tokens issued, revoked, and swept away."""

import subprocess
import time

from .bench import Figure, fail, row
from .data import token_file
from .kernel import interrupt
from .load import finish, load, ratios, start, with_token
from .servers import VERIFY, bearerd, metric


@row
def issue(bench):
    """Tokens issued by 64 clients at once, on disk before they are answered; against one commit
    each."""
    return _commits(bench, "commits", "tokens issued")


@row
def revoke(bench):
    """The same for revocations over HTTP, each refused at the very next check, which comes by another
    connection."""
    return _commits(bench, "revocations", "tokens revoked and refused")


def _commits(bench, program, what):
    output = subprocess.run([bench.programs[program], "--bench", str(bench.rounds)],
                            cwd=bench.folder, check=True, stdout=subprocess.PIPE, text=True).stdout
    rounds = [tuple(map(float, line.split())) for line in output.splitlines()]
    return [
        Figure(f"{what} a second, one commit each", [r[0] for r in rounds]),
        Figure("… by 64 clients at once", [r[1] for r in rounds]),
        Figure("ratio of the two", [b / a for a, b in rounds], 1, least=12),
    ]


@row
def sweep(bench):
    """1,000,000 dead tokens swept away from among 2,000,000, while the same core checks tokens as fast
    as it can; and how long checks take meanwhile, against the same server when it is done."""
    dead = bench.sized(1_000_000, least=100_000)
    tokens = token_file(bench, dead, dead)
    token = tokens.some(1)[0]
    rates, during, after = [], [], []
    for _ in range(2 if bench.quick else 3):
        # It begins with a sweep.
        with bearerd(bench, tokens.copy(bench.folder)) as (address, process):
            url = address + VERIFY
            # Ended when the sweep is done.
            wrk = start(url, 600, **with_token(token))
            rates.append(_sweeping(address, dead))
            interrupt(wrk)
            during.append(finish(wrk).p99)
            after.append(load(process, url, bench.seconds, **with_token(token)).p99)
    return [
        Figure("dead tokens swept away a second, under load", rates, least=100_000),
        Figure("99 of 100 checks meanwhile take at most", during, 2, " ms"),
        Figure("… afterwards", after, 2, " ms"),
        Figure("ratio of the two", ratios(during, after), 2, most=2),
    ]


def _sweeping(address, dead):
    """Dead tokens removed a second, from now until none is left."""
    removed, start = _purged(address), time.monotonic()
    if removed == dead:
        fail("the sweep was over before it could be looked at")
    while (now := _purged(address)) < dead:
        time.sleep(0.02)
    return (now - removed) / (time.monotonic() - start)


def _purged(address):
    return metric(address, r'bearerd_tokens_total\{.*purged')
