"""Sends 2,000 targets through each recipe, and judges what the application saw: its path, decoded as
applications decode it, must be one that the token may reach. How the client spelled it does not matter."""

import json
import os
from concurrent.futures import ThreadPoolExecutor
from urllib.parse import quote

import pytest

from gateways import SOCKETS, started_gateway
from judge import complaint
from raw import Client, request
from servers import HOST
from targets import targets
from upstream import Asked

COUNT, THREADS = 2000, 8
SEED = int(os.environ.get("SEED", 20261130))
HOLDERS = (None, ("posts:read",), ("app:admin",), ("git:read", "posts:write"))
# One try is a holder of a token, by its number, and a target.
TRIES = [(holder, target) for target in targets(COUNT, SEED) for holder in range(len(HOLDERS))]


def issued(bearerd):
    return [abilities and bearerd.token(*abilities) for abilities in HOLDERS]


def bearer(token):
    return [f"Authorization: Bearer {token}"] if token else []


def answers(address, tokens):
    """Makes each try. The header `X-Try` has its number. Returns the statuses and bodies."""
    def sent(part):
        client, found = Client(address), []
        for number in part:
            holder, target = TRIES[number]
            lines = [f"X-Try: {number}", *bearer(tokens[holder])]
            found.append((number, client.ask(request("GET", target, lines)), client.body))
        return found

    parts = [range(first, len(TRIES), THREADS) for first in range(THREADS)]
    with ThreadPoolExecutor(THREADS) as pool:
        return {number: answer for part in pool.map(sent, parts) for number, *answer in part}


def assert_allowed(seen):
    """Judges the requests that the application saw."""
    failures = []
    for arrived in seen:
        holder, target = TRIES[int(arrived.header("x-try"))]
        if said := complaint(arrived, HOLDERS[holder]):
            failures.append((said, target, arrived))
    assert not failures
    # Most tricks must be refused. But some targets only look like one, and some are plain.
    assert len(TRIES) / 20 < len(seen) < len(TRIES) / 2


def test_what_reaches_the_application_was_allowed(site):
    tokens = issued(site.bearerd)
    site.upstream.taken()
    found = answers(site.address, tokens)
    seen = site.upstream.taken_at_rest()
    assert_allowed(seen)
    assert [asked for asked in seen if found[int(asked.header("x-try"))][0] >= 400] == []
    # Apache does not ask bearerd about paths.
    if site.proxy != "apache":
        pairs = {(TRIES[int(asked.header("x-try"))][0], asked.target) for asked in seen}
        assert refused(site.bearerd, tokens, pairs) == []


# How each kind of proxy asks about a target.
NAMINGS = {
    "x-forwarded": ("/api/verify", ["X-Forwarded-Method: GET", f"X-Forwarded-Host: {HOST}",
                                    "X-Forwarded-Uri: {}"]),
    "x-original-uri": ("/api/verify", ["X-Original-Method: GET", "X-Original-URI: {}"]),
    "x-original-url": ("/api/verify", ["X-Original-Method: GET", f"X-Original-URL: http://{HOST}{{}}"]),
    "envoy": ("/api/verify{}", []),
}


def refused(bearerd, tokens, pairs):
    """Those holders and targets, as the application saw them, that bearerd itself does not let pass."""
    path, naming = NAMINGS[bearerd.naming]
    client = Client(bearerd.address)

    def is_refused(holder, target):
        lines = [line.format(target) for line in naming] + bearer(tokens[holder])
        return client.ask(request("GET", path.format(target), lines)) != 200

    return [pair for pair in pairs if is_refused(*pair)]


@pytest.mark.parametrize("kind", SOCKETS)
def test_what_reaches_an_application_behind_another_pass_directive_was_allowed(bearerd, kind):
    with started_gateway(kind, bearerd) as gateway:
        found = answers(gateway.address, issued(bearerd))
    environments = [dict(json.loads(body)) for status, body in found.values() if status == 200]
    assert_allowed([asked(environment, environment["REQUEST_URI"]) for environment in environments])
    # Other applications read the path from this variable. It is decoded.
    assert_allowed([asked(environment, quote(environment["PATH_INFO"].encode("latin-1")))
                    for environment in environments])


def asked(environment, target):
    """The request in the variables of an application's environment."""
    headers = [(name.removeprefix("HTTP_").replace("_", "-"), value)
               for name, value in environment.items() if name.startswith("HTTP_")]
    return Asked(environment["REQUEST_METHOD"], target, headers)
