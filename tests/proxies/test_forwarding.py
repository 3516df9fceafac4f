"""The promises of every recipe, tested with each proxy."""

import itertools
import re
import sys
import unicodedata
from urllib.parse import quote

import grpc
import pytest

from attacks import NAMINGS, forgeries, spellings
from servers import HOST, PATIENCE
from sites import SECTIONS, started_site

IDENTITY = ["Remote-User", "X-Auth-User-Id", "X-Auth-User-Name", "X-Auth-Token-Id",
            "X-Auth-Abilities"]


def identity_of(site, token_abilities):
    """The identity headers that the application should see for Ada, without the token's id."""
    identity = {"remote-user": "ada@example.org", "x-auth-user-id": "1",
                "x-auth-abilities": token_abilities}
    if site.proxy != "apache":
        identity["x-auth-user-name"] = "Ada Lovelace"
    return identity


def seen_identity(asked):
    """The identity headers that the application saw, each once, without the token's id."""
    assert len(asked.identity) == len(dict(asked.identity)), asked.identity
    identity = dict(asked.identity)
    token_id = identity.pop("x-auth-token-id", "1")
    assert token_id.isdigit()
    return identity


def test_without_a_token_the_answer_is_a_401_with_a_challenge(site):
    answer, asked = site.ask("/posts/1")
    assert (answer.status, asked) == (401, None)
    assert answer.challenge.startswith("Bearer")


@pytest.mark.parametrize("sent", ["Bearer bd_nonsense", "bearer  x", "Bearer 1|x"])
def test_a_dead_token_gets_invalid_token(site, sent):
    answer, asked = site.ask("/posts/1", headers=[("Authorization", sent)])
    assert (answer.status, asked) == (401, None)
    assert 'error="invalid_token"' in answer.challenge


@pytest.mark.parametrize("method", ["GET", "HEAD", "POST", "PUT", "DELETE", "OPTIONS"])
def test_a_live_token_passes_and_the_application_sees_its_user(site, tokens, method):
    body = b"a body" if method in ("POST", "PUT") else None
    answer, asked = site.ask("/posts/1?q=%2f&r", tokens.writer, method=method, body=body)
    assert answer.status == 200
    assert (asked.method, asked.target) == (method, "/posts/1?q=%2f&r")
    assert seen_identity(asked) == identity_of(site, "posts:*")
    # Apache forwards the host only with ProxyPreserveHost, and then any host.
    if site.proxy != "apache":
        assert asked.host == HOST


def test_the_application_does_not_see_the_token(site, tokens):
    _, asked = site.ask("/posts/1", tokens.reader)
    assert tokens.reader not in str(asked.headers)


def test_a_token_without_the_ability_gets_insufficient_scope(site, tokens):
    for token, method in [(tokens.reader, "POST"), (tokens.admin, "GET")]:
        answer, asked = site.ask("/posts/1", token, method=method)
        assert (answer.status, asked) == (403, None)
        # ingress-nginx forwards the challenge only with a 401.
        if site.proxy != "ingress":
            assert 'error="insufficient_scope"' in answer.challenge


def test_a_request_without_a_matching_rule_is_refused(site, tokens):
    answer, asked = site.ask("/elsewhere", tokens.root)
    assert (answer.status, asked) == (403, None)


def test_a_revoked_token_is_refused_at_the_next_request(site):
    token = site.bearerd.token("posts:read")
    for _ in range(3):
        assert site.ask("/posts/1", token)[0].status == 200
    site.bearerd.revoke(token)
    answer, asked = site.ask("/posts/1", token)
    assert (answer.status, asked) == (401, None)
    assert 'error="invalid_token"' in answer.challenge


@pytest.mark.parametrize("name", IDENTITY)
def test_forged_identity_headers_never_arrive(site, tokens, name):
    for spelling in spellings(name):
        for forged in ([(spelling, "forged")], [(spelling, "forged"), (spelling, "again")]):
            _, asked = site.ask("/posts/1", tokens.reader, forged)
            # Apache refuses headers that it can't strip.
            if asked:
                assert seen_identity(asked) == identity_of(site, "posts:read"), spelling
            else:
                assert site.proxy == "apache" and spelling.lower() != name.lower()
            _, asked = site.ask("/public/page", headers=forged)
            assert not asked or asked.identity == [], spelling


def test_a_client_cannot_have_the_identity_headers_dropped(site, tokens):
    forged = [("Connection", "close, " + ", ".join(IDENTITY).lower())]
    _, asked = site.ask("/posts/1", tokens.reader, forged)
    assert seen_identity(asked) == identity_of(site, "posts:read")


@pytest.mark.parametrize("protocol", ["h2c", "websocket"])
def test_a_client_cannot_upgrade_the_connection_to_the_application(site, tokens, protocol):
    upgrade = [("Connection", "Upgrade, HTTP2-Settings"), ("Upgrade", protocol),
               ("HTTP2-Settings", "AAMAAABkAAQCAAAAAAIAAAAA")]
    for target, token in [("/public/page", None), ("/posts/1", tokens.reader)]:
        answer, asked = site.ask(target, token, upgrade)
        if asked is None:
            assert answer.status in (400, 403)
            continue
        seen = {word.lower() for _, value in asked.headers for word in value.split(", ")}
        # ingress-nginx forwards WebSocket upgrades to the application.
        left = {"upgrade", "websocket"} if site.proxy == "ingress" else set()
        assert {"upgrade", "h2c", "websocket"} & seen <= left


def test_public_paths_pass_without_a_token_and_without_an_identity(site, tokens):
    for token in (None, tokens.reader, "bd_nonsense"):
        answer, asked = site.ask("/public/page", token)
        assert answer.status == 200
        assert asked.identity == []


def test_no_header_names_another_request(site, tokens):
    # Destination names a second path. The needs of the first path stay the same.
    for headers in forgeries([*NAMINGS, {"Destination": "{url}"}]):
        for target, method, token, status in [
                ("/admin", "GET", None, 401), ("/admin", "GET", tokens.elsewhere, 403),
                ("/posts/1", "POST", None, 401), ("/posts/1", "POST", tokens.reader, 403)]:
            answer, asked = site.ask(target, token, headers, method=method)
            # The header itself may be refused. ingress-nginx turns bearerd's 400 into a 500.
            also = {"ingress": 500, "apache": 403}.get(site.proxy, 400)
            assert answer.status in (status, also, 400) and asked is None, (target, headers, answer)


def test_no_forged_header_makes_an_allowed_request_unauthorized(site, tokens):
    for headers in forgeries():
        for target, token in [("/admin", tokens.admin), ("/public/page", None)]:
            answer, asked = site.ask(target, token, headers)
            assert answer.status == 200 or answer.status == 400 and asked is None, (headers, answer)


# Headers from which some applications read the path, its prefix, or the method.
OVERRIDES = ["X-Original-URL", "X-Rewrite-URL", "X-HTTP-Method-Override", "X-HTTP-Method",
             "X-Method-Override", "X-Script-Name", "X-Forwarded-Prefix"]


def test_headers_that_override_the_path_or_the_method_never_arrive(site, tokens):
    # nginx and Apache can't tell an empty header from none.
    values = ["/admin"] if site.proxy in ("nginx", "apache") else ["/admin", ""]
    for target, token in [("/public/page", None), ("/posts/1", tokens.reader)]:
        for name, value in itertools.product(OVERRIDES, values):
            for spelling in spellings(name):
                _, asked = site.ask(target, token, [(spelling, value)])
                seen = [re.sub("[^a-z]", "-", name.lower()) for name, _ in asked.headers] if asked else []
                assert name.lower() not in seen, spelling


def test_another_host_in_the_request_does_not_select_other_rules(site, tokens):
    port = site.address.split(":")[1]
    for host in ("git.example.org", "packages.example.org", f"git.example.org:{port}"):
        _, asked = site.ask("/admin", tokens.elsewhere, host=host)
        assert asked is None
        _, asked = site.ask(f"http://{host}/admin", tokens.elsewhere)
        assert asked is None
        _, asked = site.ask(f"http://{HOST}/admin", tokens.elsewhere, host=host)
        assert asked is None
        # The application does not see that host either.
        _, asked = site.ask("/public/page", host=host)
        assert not asked or asked.host != host


def test_the_query_of_the_client_does_not_name_abilities(site, tokens):
    for query in ("?any=posts:read", "?ability=posts:read", "?x"):
        answer, asked = site.ask(f"/admin{query}", tokens.reader)
        assert (answer.status, asked) == (403, None)
        answer, _ = site.ask(f"/posts/1{query}", tokens.reader)
        assert answer.status == 200


ADMIN = [
    "/admin", "/admin/", "/admin/users", "//admin", "///admin", "/%61dmin", "/%61%64%6d%69%6e",
    "/./admin", "/public/../admin", "/public/./../admin", "/public//../admin", "/public/..//admin",
    "/ADMIN", "/Admin", "/admin%2f", "/%2fadmin", "/public%2f..%2fadmin", "/admin;x", "/admin;/x",
    "/;/admin", "/public;/../admin", "/public/..;/admin", "/public/..;x=y/admin",
    "/public/%2e%2e/admin", "/public/.%2e/admin", "/public/%2e%2e%2fadmin",
    "/public/%252e%252e/admin", "/%2561dmin", "/public\\..\\admin", "/public/..\\admin",
    "/public/%5c../admin", "/public/..%5cadmin", "/public/..%5c/admin", "/admin%00", "/admin%3f",
    "/admin%23", "/admin?x", "/admin#x", "/public/../admin?/public", "/public?/../admin",
    "/admin.", "/admin%20", "/admin%09", "/public/../../admin", "/../admin",
    "http://app.example.org/admin", "http://app.example.org/public/../admin", "admin", "*",
    "/public/%c0%ae%c0%ae/admin", "/public/%u002e%u002e/admin",
]


@pytest.mark.parametrize("target", ADMIN)
def test_no_spelling_of_a_path_bypasses_its_rule(site, tokens, target):
    for token in (None, tokens.writer, tokens.elsewhere):
        answer, asked = site.ask(target, token)
        assert not (asked and asked.is_admin), (asked.target, answer)
    answer, asked = site.ask(target, tokens.admin)
    # ingress-nginx answers 500 where bearerd answers 400.
    assert answer.status < 500 or (site.proxy, asked) == ("ingress", None), answer


def parents():
    """Segments that some application may read as "..": with a character that is dropped or trimmed, or
    with characters that fold to dots."""
    blanks = [chr(code) for code in range(sys.maxunicode + 1)
              if unicodedata.category(chr(code)) in ("Cc", "Zl", "Zp", "Zs")]
    # The soft hyphen, joiners, directional marks, variation selectors, fillers, the byte order mark.
    invisible = "\u00ad\u034f\u061c\u180e\u200b\u200d\u202e\u2060\ufe0f\u3164\ufeff"
    dropped = [*blanks, *invisible]
    for character in dropped:
        escaped = quote(character)
        yield from (f"..{escaped}", f"{escaped}..", f".{escaped}.")
    yield from ("...", "....", "..%20.", "%2e%2e%20", "..%20%09", "..%00x", "..:", "..%3a",
                "..::$DATA")
    dots = [chr(code) for code in range(sys.maxunicode + 1)
            if set(unicodedata.normalize("NFKC", chr(code))) == {"."} and code > 0x7F]
    for dot in map(quote, dots):
        yield from (dot, dot + dot, f".{dot}", f"{dot}.")


def separators():
    """Characters, escaped for a URL, that fold to one at which a path ends or is split."""
    for code in range(0x80, sys.maxunicode + 1):
        if set(unicodedata.normalize("NFKC", chr(code))) & set("/\\;?#%"):
            yield quote(chr(code))


def test_no_segment_that_looks_like_the_parent_bypasses_a_rule(site, tokens):
    escapes = [*(f"/public/{parent}/admin" for parent in parents()),
               *(f"/public/..{separator}admin/x" for separator in separators()),
               *(f"/public/..{separator}/admin/x" for separator in separators())]
    for target in escapes:
        for token in (None, tokens.writer):
            answer, asked = site.ask(target, token)
            assert not (asked and asked.is_admin), (asked.target, answer)


def test_envoy_forwards_no_path_that_is_not_utf8(site):
    if site.proxy != "envoy":
        return
    site.upstream.taken()
    # HTTP/2 can carry these bytes. With HTTP/1, Envoy itself refuses them.
    with grpc.insecure_channel(site.address, [("grpc.default_authority", HOST)]) as channel:
        for path in (b"/public/\xff", b"/public/\xff../admin"):
            with pytest.raises(grpc.RpcError):
                channel.unary_unary(path)(b"", timeout=PATIENCE)
    assert site.upstream.taken() == []


@pytest.mark.parametrize("target", ["/public/.well-known/x", "/public/a%20b", "/public/caf%C3%A9",
                                    "/public/%E6%97%A5%E6%9C%AC/x.html", "/public/a..b/c@d(e)"])
def test_ordinary_paths_pass(site, target):
    answer, asked = site.ask(target)
    assert answer.status == 200 and asked.target == target


@pytest.mark.parametrize("proxy", SECTIONS)
def test_protected_paths_are_refused_while_bearerd_is_down(proxy):
    with started_site(proxy) as site:
        token = site.bearerd.token("*")
        assert site.ask("/admin", token)[0].status == 200
        site.bearerd.stop()
        for sent in (token, None):
            answer, asked = site.ask("/admin", sent)
            assert asked is None
            # Apache's module treats a token that it can't check as a dead one.
            expected = {"nginx": 503, "caddy": 502, "caddy_of_pip": 502, "traefik": 500,
                        "ingress": 500, "envoy": 503, "apache": 401}[proxy]
            assert answer.status == expected, answer
        site.bearerd.start()
        assert site.ask("/admin", token)[0].status == 200
