"""Traefik's recipe: it names what Traefik's documentation names, and bearerd answers what Traefik,
configured so, asks according to it. Traefik itself does not run here: Debian has no package of it.
"""

import pytest
import yaml

from recipes import RECIPES
from servers import HOST, bearer, send

STATIC = yaml.safe_load(RECIPES["traefik.yml"])
DYNAMIC = yaml.safe_load(RECIPES["/etc/traefik/app.yml"])
FORWARD_AUTH = DYNAMIC["http"]["middlewares"]["bearerd"]["forwardAuth"]


def ask(bearerd, uri, token=None, headers=(), method="GET", host=HOST):
    """The question about a client's request: of its headers those that are configured, and then what
    Traefik itself says about the request."""
    passed_on = {name.lower() for name in FORWARD_AUTH["authRequestHeaders"]}
    sent = [(name, value) for name, value in [*bearer(token), *headers] if name.lower() in passed_on]
    about = [("X-Forwarded-Method", method), ("X-Forwarded-Proto", "http"),
             ("X-Forwarded-Host", host), ("X-Forwarded-Uri", uri),
             ("X-Forwarded-For", "192.0.2.7"), ("X-Forwarded-Port", "80")]
    return send(bearerd.address, "/api/verify", [*sent, *about], host=bearerd.address)


def test_the_files_hold_what_traefik_knows():
    entry_point = STATIC["entryPoints"]["web"]
    assert set(STATIC) == {"entryPoints", "providers"}
    assert entry_point == {"address": ":80", "http": {"aliasHeadersStrategy": "delete"}}
    assert set(STATIC["providers"]["file"]) == {"filename"}
    assert STATIC["providers"]["file"]["filename"] in RECIPES

    http = DYNAMIC["http"]
    assert set(DYNAMIC) == {"http"} and set(http) == {"routers", "middlewares", "services"}
    router = http["routers"]["app"]
    assert set(router) == {"entryPoints", "rule", "middlewares", "service"}
    assert router["entryPoints"] == list(STATIC["entryPoints"])
    assert router["rule"] == f"Host(`{HOST}`)"
    # The token must still be there when bearerd is asked.
    assert router["middlewares"] == ["bearerd", "without-token"] == list(http["middlewares"])
    assert router["service"] in http["services"]
    assert http["middlewares"]["without-token"] == {
        "headers": {"customRequestHeaders": {"Authorization": ""}}}
    servers = [{"url": "http://127.0.0.1:3000"}]
    assert http["services"]["app"] == {"loadBalancer": {"servers": servers}}
    assert set(FORWARD_AUTH) == {"address", "trustForwardHeader", "authRequestHeaders",
                                 "authResponseHeaders"}
    assert FORWARD_AUTH["address"] == "http://127.0.0.1:8080/api/verify"
    assert FORWARD_AUTH["trustForwardHeader"] is False


def test_all_that_bearerd_says_of_who_it_is_is_copied(bearerd):
    answer = ask(bearerd, "/posts/1", bearerd.token("posts:read"))
    identity = {name.lower() for name in answer.headers
                if name.lower().startswith(("x-auth-", "remote-"))}
    assert identity == {name.lower() for name in FORWARD_AUTH["authResponseHeaders"]}
    assert (answer.status, answer.body) == (200, "")
    assert answer.headers["Remote-User"] == "ada@example.org"


@pytest.mark.parametrize("method, uri, ability, status, challenge", [
    ("GET", "/posts/1?q", None, 401, "Bearer"),
    ("GET", "/posts/1?q", "posts:read", 200, ""),
    ("POST", "/posts", "posts:read", 403, 'error="insufficient_scope"'),
    ("POST", "/posts", "posts:write", 200, ""),
    ("GET", "/public/page", None, 200, ""),
    ("GET", "/elsewhere", "*", 403, ""),
    ("GET", "/public/../admin", "posts:*", 403, 'error="insufficient_scope"'),
    ("GET", "/admin%2f", "admin", 400, ""),
    ("GET", "/public/..;/admin", "posts:*", 400, ""),
])
def test_the_rules_decide(bearerd, method, uri, ability, status, challenge):
    token = ability and bearerd.token(ability)
    answer = ask(bearerd, uri, token, method=method)
    assert answer.status == status, answer
    assert challenge in answer.challenge


def test_a_dead_token_is_called_invalid(bearerd):
    token = bearerd.token("posts:read")
    assert ask(bearerd, "/posts/1", token).status == 200
    bearerd.revoke(token)
    answer = ask(bearerd, "/posts/1", token)
    assert answer.status == 401 and 'error="invalid_token"' in answer.challenge


def test_a_clients_own_headers_about_the_request_are_not_passed_on(bearerd):
    token = bearerd.token("git:read")
    forged = [("X-Original-URI", "/public/page"), ("X-Original-Method", "GET"),
              ("X-Forwarded-Uri", "/public/page"), ("X-Forwarded-Host", "git.example.org")]
    assert ask(bearerd, "/admin", token, forged).status == 403


def test_what_is_public_is_nobodys(bearerd):
    answer = ask(bearerd, "/public/page", bearerd.token("*"))
    assert answer.status == 200
    assert not any(name in answer.headers for name in FORWARD_AUTH["authResponseHeaders"])
