"""Makes every attempt of attempts.py and streams.py: directly, and through each proxy."""

from concurrent.futures import ThreadPoolExecutor

import pytest

import attempts
from judge import complaint
from raw import Client, request
from servers import send
from streams import BOTH, ONE, STREAMS, wire

TABLES = {"paths": attempts.PATHS, "headers": attempts.HEADERS, "methods": attempts.METHODS}
# The abilities of the three tokens.
LACKING, RIGHT = ("git:read", "packages:read"), ("app:admin", "posts:read", "posts:write")
HOLDERS = (None, LACKING, RIGHT)
# For streams: with these abilities, the hidden request must not pass.
WRITER = ("posts:read", "posts:write")


def issued(bearerd, *holders):
    return [abilities and bearerd.token(*abilities) for abilities in holders]


def lines(attempt, token):
    """An attempt's headers with this token."""
    return [*(line.replace("{token}", token) for line in attempt.token if token), *attempt.headers]


@pytest.mark.parametrize("table", TABLES)
def test_bearerd_gives_the_answers_of_the_table(bearerd, table):
    client, failures = Client(bearerd.address), []
    tokens = issued(bearerd, *HOLDERS)
    for attempt in TABLES[table]:
        naming = [f"X-Original-Method: {attempt.method}", f"X-Original-URI: {attempt.target}"]
        got = tuple(client.ask(request("HEAD", "/api/verify", [*naming, *lines(attempt, token)]))
                    for token in tokens)
        if got != attempt.answers:
            failures.append((attempt, got))
    assert not failures, "\n".join(map(str, failures))


def is_as_expected(attempt, proxy, got):
    """Whether a proxy may give these three answers."""
    def refused(status):
        return status == 0 or status >= 400

    same = all(answer == expected or refused(answer) and refused(expected)
               for answer, expected in zip(got, attempt.answers))
    may_refuse = proxy in attempt.refused_by and all(
        answer == expected or refused(answer) for answer, expected in zip(got, attempt.answers))
    return same or may_refuse or got == attempt.resolved


@pytest.mark.parametrize("table", TABLES)
def test_a_proxy_lets_no_attempt_pass_that_bearerd_refuses(site, table):
    client, failures = Client(site.address), []
    tokens = issued(site.bearerd, *HOLDERS)
    for attempt in TABLES[table]:
        got = []
        for token, abilities in zip(tokens, HOLDERS):
            site.upstream.taken()
            target = attempt.target.replace("{token}", token or "")
            status = client.ask(request(attempt.method, target, lines(attempt, token)))
            seen = site.upstream.taken()
            failures += [(attempt, said, asked) for asked in seen if (said := complaint(asked, abilities))]
            if len(seen) > 1 or seen and status >= 400:
                failures.append((attempt, status, seen))
            # Caddy answers requests for unknown hosts with an empty 200, Apache some with a 206.
            got.append(status if status >= 400 else 200 if seen else 0)
        if not is_as_expected(attempt, site.proxy, tuple(got)):
            failures.append((attempt, got))
    assert not failures, "\n".join(map(str, failures))


def poured(address, place, tokens):
    """Pours each stream with each token. The header `X-Try` of its first request says which token it has.
    Yields the streams with the answers with each token."""
    is_direct = place == "bearerd"
    # A proxy that waits for the rest of a body need not be awaited: it has asked by then.
    silence = 10 if is_direct else 0.5

    def pour(stream):
        answers = []
        for number, token in enumerate(tokens):
            own = [f"X-Try: {number}", *([f"Authorization: Bearer {token}"] if token else [])]
            answers.append(Client(address, silence).pour(wire(stream, place, *own), is_direct))
        return stream, answers

    with ThreadPoolExecutor(16) as pool:
        yield from pool.map(pour, STREAMS)


def test_bearerd_never_takes_a_part_of_a_request_for_another_one(bearerd):
    tokens, failures = issued(bearerd, None, LACKING, WRITER), []
    for stream, answers in poured(bearerd.address, "bearerd", tokens):
        for first, answered in zip((401, 403, 200), answers):
            expected = [[400]] if stream.after is None else [[first, *stream.after]]
            if stream.after in (ONE, BOTH):
                # It may close the connection instead, as it does after a body that it did not read.
                expected += [[first]]
            if stream.after == ():
                # The rest of the body can't be read. That may be found before the answer has been sent.
                expected += [[400], []]
            if answered not in expected:
                failures.append((stream, first, answered))
    assert not failures, "\n".join(map(str, failures))


def checks(bearerd):
    """How many requests bearerd has let pass."""
    metrics = send(bearerd.address, "/metrics").body.splitlines()
    passed = [line for line in metrics if line.startswith("bearerd_http_request_duration_seconds_count{")
              and 'route="/api/verify"' in line and 'status="200"' in line]
    return sum(int(line.rsplit(" ", 1)[1]) for line in passed)


def test_no_request_that_is_hidden_in_another_one_reaches_the_application(site):
    holders = (None, LACKING, WRITER)
    tokens, before = issued(site.bearerd, *holders), checks(site.bearerd)
    site.upstream.taken()
    for _ in poured(site.address, site.proxy, tokens):
        pass
    # The other tests must not see a request that a proxy forwards late.
    seen, failures = site.upstream.taken_at_rest(), []
    for asked in seen:
        number = asked.header("x-try")
        said = complaint(asked, holders[int(number)] if number else None)
        if said or asked.target not in ("/posts/1", "/public/last"):
            failures.append((said, asked))
    assert not failures, "\n".join(map(str, failures))
    assert len(seen) > 2 * len(STREAMS) // 3
    # Apache does not ask bearerd about public paths.
    if site.proxy != "apache":
        assert len(seen) <= checks(site.bearerd) - before
