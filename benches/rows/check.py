"""The check of a token, by far the most frequent request."""

import contextlib
import os

from .bench import CONNECTIONS, Figure, fail, row
from .data import token_file, zipf
from .load import alternate, compare, load, ratios, walk, with_token
from .servers import VERIFY, bare, bearerd, commands, create_user, issue_token, metric


@row
def check(bench):
    """The check of one cached token, against a bare handler, which sends the same answer and does nothing
    else."""
    return _guarded(bench, VERIFY, "`GET /api/verify`, a cached token", 0.92)


@row
def user(bench):
    """The request for the user of a token, which answers with JSON, against a bare handler."""
    return _guarded(bench, "/api/user", "`GET /api/user`", 0.90)


def _guarded(bench, path, what, goal):
    create_user(bench)
    token = issue_token(bench)
    with bearerd(bench) as (address, process):
        with bare(bench, address + path, token) as (bare_address, bare_process):
            how = with_token(token)
            ours, bares = compare(bench, (process, address + path, how),
                                  (bare_process, bare_address + path, how))
    return _against(what, ours, "the bare handler", bares, goal)


def _against(what, sides, other, others, goal):
    """The figures of two sides, and the ratio of their requests per second of processor time."""
    own, others_own = [load.own for load in sides], [load.own for load in others]
    return [
        Figure(f"{what}, requests a second", [load.rate for load in sides]),
        Figure("… of the server's processor time", own),
        Figure(f"{other}, of its processor time", others_own),
        Figure("ratio of the two", ratios(own, others_own), 2, least=goal),
    ]


@row
def many(bench):
    """The check of 100,000 live tokens, all of them cached and drawn by Zipf's law, against the check of
    one token."""
    tokens = token_file(bench, bench.sized(100_000))
    drawn, one = _draws(bench, tokens), os.path.join(bench.folder, "one")
    with open(one, "w") as lines:
        lines.write(tokens.some(1)[0])
    with bearerd(bench, tokens.database) as (address, process):
        url = address + VERIFY
        load(process, url, 1 + bench.seconds, **walk(tokens.strings))
        many, same = compare(bench, (process, url, walk(drawn)), (process, url, walk(one)))
    return _against(f"{bench.sized(100_000):,} tokens", many, "one token", same, 0.85)


@row
def command(bench):
    """The check of 100,000 live tokens, as in the row many, while `bearerd user list` and `bearerd token
    issue` take turns on the load's core. They use the server's database, or a copy of it. The ratio of the
    two shows what the commands cost the server's cache, without the processor time that they take. A third
    side runs no command. All tokens are cached before each side is measured."""
    tokens = token_file(bench, bench.sized(100_000))
    drawn = _draws(bench, tokens)
    served, copy = (tokens.copy(bench.folder, name) for name in ("served", "copy"))
    with bearerd(bench, served) as (address, process):
        url = address + VERIFY

        def side(database):
            load(process, url, bench.seconds, **walk(tokens.strings))
            with commands(bench, database) if database else contextlib.nullcontext():
                return load(process, url, bench.seconds, **walk(drawn))

        same, other, none = alternate(
            bench, lambda: side(served), lambda: side(copy), lambda: side(None))
    return [
        *_against("checks beside commands on the same database", same, "… on a copy", other, 0.98),
        Figure("ratio of the requests a second", _rate_ratios(same, other), 2),
        Figure("… against no command", _rate_ratios(same, none), 2),
    ]


def _draws(bench, tokens):
    """Writes random draws from the tokens to a file. Returns its path."""
    drawn = os.path.join(bench.folder, "drawn")
    with open(drawn, "w") as lines:
        lines.writelines(zipf(tokens.strings, bench.sized(1_000_000)))
    return drawn


@row
def cold(bench):
    """The check of uncached tokens, against the bare handler. Each request has another one of 1,000,000
    tokens, and each round starts another server, because the previous one has them in its cache. The file
    is read first, so that its pages are in memory."""
    tokens = token_file(bench, bench.sized(1_000_000))
    token = tokens.some(1)[0]
    with bearerd(bench, tokens.database) as (address, _):
        handler = bare(bench, address + VERIFY, token)
    with handler as (bare_address, bare_process):
        ours, bares = alternate(
            bench,
            lambda: _walk_cold(bench, tokens, bench.seconds),
            lambda: load(bare_process, bare_address + VERIFY, bench.seconds, **walk(tokens.strings)),
        )
    return _against("uncached tokens", ours, "the bare handler", bares, 0.35)


def _walk_cold(bench, tokens, seconds):
    """Loads a new server with tokens that it has never seen, until the last one. The file is read first,
    so that the result does not depend on which of its pages are in memory."""
    with open(tokens.database, "rb") as file:
        while file.read(1 << 24):
            pass
    with bearerd(bench, tokens.database) as (address, process):
        result = load(process, address + VERIFY, seconds,
                      **walk(tokens.strings, once=True))
        # Before wrk stops, some connections start again with the first tokens.
        if (hits := metric(address, r"bearerd_token_checks_total.*hit")) > CONNECTIONS:
            fail(f"{hits:.0f} tokens were in the cache")
    return result


@row
def grow(bench):
    """The check with 10,000,000 tokens in the file, against 10,000: of a cached token, and of uncached
    ones. For these, each side checks 10,000 tokens and then starts a new server, because the small file has
    no more. The files are read first."""
    few, plenty = bench.sized(10_000), bench.sized(10_000_000)
    small, large = (token_file(bench, count, keep=few) for count in (few, plenty))
    with (bearerd(bench, large.database) as (address, process),
          bearerd(bench, small.database) as (small_address, small_process)):
        warm, small_warm = compare(
            bench, (process, address + VERIFY, with_token(large.some(1)[0])),
            (small_process, small_address + VERIFY, with_token(small.some(1)[0])))
    cold, small_cold = alternate(bench, *[
        lambda tokens=tokens: [_walk_cold(bench, tokens, 1) for _ in range(2)]
        for tokens in (large, small)])
    return [
        Figure(f"a cached token of {plenty:,}, of the server's processor time",
               [load.own for load in warm]),
        Figure(f"… of {few:,}", [load.own for load in small_warm]),
        Figure("ratio of the two", _own_ratios(warm, small_warm), 2, least=0.95),
        Figure(f"uncached tokens of {plenty:,}", [_mean(loads) for loads in cold]),
        Figure(f"… of {few:,}", [_mean(loads) for loads in small_cold]),
        Figure("ratio of the two", ratios(map(_mean, cold), map(_mean, small_cold)), 2, least=0.7),
    ]


def _own_ratios(above, below):
    return ratios([load.own for load in above], [load.own for load in below])


def _rate_ratios(above, below):
    return ratios([load.rate for load in above], [load.rate for load in below])


def _mean(loads):
    return sum(load.own for load in loads) / len(loads)
