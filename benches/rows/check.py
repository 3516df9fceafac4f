"""The check of a token, which is what nearly every request is."""

import contextlib
import os

from .bench import CONNECTIONS, Figure, fail, row
from .data import token_file, zipf
from .load import alternate, compare, load, ratios, walk, with_token
from .servers import VERIFY, bare, bearerd, commands, create_user, issue_token, metric


@row
def check(bench):
    """A request whether one token, checked before, is live; against a handler that answers the same
    and does nothing else."""
    return _guarded(bench, VERIFY, "`GET /api/verify`, a cached token", 0.92)


@row
def user(bench):
    """The same of the request who one is, and its JSON."""
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
    """Two sides, and their ratio by processor time."""
    own, others_own = [load.own for load in sides], [load.own for load in others]
    return [
        Figure(f"{what}, requests a second", [load.rate for load in sides]),
        Figure("… of the server's processor time", own),
        Figure(f"{other}, of its processor time", others_own),
        Figure("ratio of the two", ratios(own, others_own), 2, least=goal),
    ]


@row
def many(bench):
    """The check with 100,000 live tokens, drawn by Zipf's law, all of them in the cache; against one
    of them over and over."""
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
    """The check with 100,000 live tokens, as in the row many, while `bearerd user list` and `bearerd
    token issue` take turns, one after the other, on the load's core. They use the server's database, or a
    copy of it: the ratio of the two is what they cost the server's cache, without what they take of the
    machine. Also against no command. All tokens are cached before each side counts."""
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
    """The path of a file of draws from a file's tokens."""
    drawn = os.path.join(bench.folder, "drawn")
    with open(drawn, "w") as lines:
        lines.writelines(zipf(tokens.strings, bench.sized(1_000_000)))
    return drawn


@row
def cold(bench):
    """The check of tokens that are in no cache: each request has another one of 1,000,000, and each
    round another server, because the one before would know them. The file is read through first, so
    that its pages are in memory. Against the bare handler."""
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
    """A new server's load with tokens that it has never seen; it ends with the last one. How long the
    system keeps a large file's pages in memory is not what is measured."""
    with open(tokens.database, "rb") as file:
        while file.read(1 << 24):
            pass
    with bearerd(bench, tokens.database) as (address, process):
        result = load(process, address + VERIFY, seconds,
                      **walk(tokens.strings, once=True))
        # Until wrk has stopped, some connections have begun again with the first tokens.
        if (hits := metric(address, r"bearerd_token_checks_total.*hit")) > CONNECTIONS:
            fail(f"{hits:.0f} tokens were in the cache")
    return result


@row
def grow(bench):
    """The check with 10,000,000 tokens in the file, against 10,000: of one that is cached, and of
    those that are not. Of those, each side asks for 10,000 and then starts anew, because the small
    file has no more; the files are read through first."""
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
