"""Writes: tokens that are issued, revoked, and deleted by the sweeper."""

import time

from .bench import Figure, row
from .data import token_file
from .kernel import interrupt
from .load import alternate, finish, ratios, start, with_token
from .servers import VERIFY, bearerd, metric, rounds_of


@row
def issue(bench):
    """Tokens issued by 64 concurrent clients, each stored on disk before the answer, against one commit for
    each token."""
    return _commits(bench, "commits", "tokens issued")


@row
def revoke(bench):
    """The same for revocations over HTTP. Each token must be refused at the next check, which comes on
    another connection."""
    return _commits(bench, "revocations", "tokens revoked and refused")


def _commits(bench, program, what):
    rounds = rounds_of(bench, program)
    return [
        Figure(f"{what} a second, one commit each", [r[0] for r in rounds]),
        Figure("… by 64 clients at once", [r[1] for r in rounds]),
        Figure("ratio of the two", [b / a for a, b in rounds], 1, least=12),
    ]


@row
def sweep(bench):
    """The deletion of 1,000,000 dead tokens out of 2,000,000, while the same core checks tokens as fast as
    it can, for at most ten seconds. Also the latency of these checks, against a server that keeps the dead
    tokens."""
    dead = bench.sized(1_000_000, least=100_000)
    tokens = token_file(bench, dead, dead)
    sweeping, keeping = alternate(
        bench, lambda: _sweep(bench, tokens, dead),
        lambda: _sweep(bench, tokens, 0, BEARERD_RETENTION="36500d"))
    during, without = ([load.p99 for load, _ in side] for side in (sweeping, keeping))
    return [
        Figure("dead tokens swept away a second, under load", [rate for _, rate in sweeping],
               least=100_000),
        Figure("99 of 100 checks meanwhile take at most", during, 2, " ms"),
        Figure("… without a sweep", without, 2, " ms"),
        Figure("ratio of the two", ratios(during, without), 2, most=2),
    ]


def _sweep(bench, tokens, dead, **settings):
    """Loads a server that starts with a sweep, until the sweep ends. Returns the result, and the number of
    dead tokens deleted per second."""
    seconds = 3 * bench.seconds + 1
    with bearerd(bench, tokens.copy(bench.folder), **settings) as (address, _):
        how = with_token(tokens.some(1)[0])
        wrk = start(address + VERIFY, seconds if dead else bench.seconds, **how)
        at_first = removed = purged(address)
        began = ended = time.monotonic()
        while wrk.poll() is None and (not dead or removed < dead):
            time.sleep(0.05)
            # Rows are counted once the digest prefixes of their batch are deleted, so the time since the
            # last count is left out.
            if (now := purged(address)) > removed:
                removed, ended = now, time.monotonic()
        rate = (removed - at_first) / (ended - began) if ended > began else 0
        interrupt(wrk)
        return finish(wrk), rate


def purged(address):
    """The number of tokens that a server has deleted as dead."""
    return metric(address, r"bearerd_token_events_total\{.*purged")
