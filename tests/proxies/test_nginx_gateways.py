"""The promises of the recipe for nginx, tested with applications that speak gRPC, uwsgi, SCGI and
FastCGI."""

import pytest

import servers
from gateways import KINDS, started_gateway

IDENTITY = {"remote-user": "ada@example.org", "x-auth-user-id": "1",
            "x-auth-user-name": "Ada Lovelace", "x-auth-abilities": "posts:*"}


def identity(seen):
    """The identity headers that an application sees, by their names in HTTP, without the token's id."""
    names = {name.lower().removeprefix("http_").replace("_", "-"): value for name, value in seen
             if name != "REMOTE_USER"}
    return {name: value for name, value in names.items()
            if name.startswith(("x-auth-", "remote-user")) and name != "x-auth-token-id"}


@pytest.fixture(scope="module", params=KINDS)
def gateway(request, bearerd):
    with started_gateway(request.param, bearerd) as gateway:
        yield gateway


@pytest.fixture(scope="module")
def token(bearerd):
    return bearerd.token("posts:*")


FORGED = [("Remote-User", "forged"), ("X-Auth-User-Id", "7"), ("X-Auth-User-Name", "forged"),
          ("X-Auth-Token-Id", "7"), ("X-Auth-Abilities", "*"),
          ("X_Auth_User_Id", "7"), ("X.Auth.User.Id", "7"), ("Remote_User", "forged")]


def test_the_application_sees_the_user_and_not_the_token(gateway, token):
    status, seen = gateway.ask("/posts/Read", servers.bearer(token))
    assert status == 200 and identity(seen) == IDENTITY
    # gRPC has only metadata and no variables.
    assert dict(seen).get("REMOTE_USER") == (None if gateway.kind == "grpc_pass" else "1")
    assert token not in str(seen)


def test_forged_identity_headers_never_arrive(gateway, token):
    for forged in ([], *([header] for header in FORGED), FORGED):
        status, seen = gateway.ask("/posts/Read", [*servers.bearer(token), *forged])
        assert status == 200 and identity(seen) == IDENTITY, forged
        for headers in (forged, [*servers.bearer(token), *forged]):
            status, seen = gateway.ask("/public/Read", headers)
            assert status == 200 and identity(seen) == {}, forged
            assert "REMOTE_USER" not in dict(seen) and token not in str(seen)


def test_a_request_without_the_ability_is_refused(gateway, bearerd):
    for headers, status in [([], 401), (servers.bearer("bd_nonsense"), 401),
                            (servers.bearer(bearerd.token("posts:read")), 403)]:
        assert gateway.ask("/posts/Write", headers) == (status, None)


def test_a_request_for_another_host_is_refused(gateway, token):
    for headers in ([], servers.bearer(token)):
        for host in ("git.example.org", "nobody"):
            assert gateway.ask("/public/Read", headers, host) == (421, None)
    if gateway.kind != "grpc_pass":
        assert dict(gateway.ask("/public/Read", [])[1])["HTTP_HOST"] == servers.HOST


def test_the_application_sees_only_the_checked_destination(gateway, token):
    for destinations in (["/posts/2"], ["/posts/2", "/admin"]):
        named = [("Destination", destination) for destination in destinations]
        _, seen = gateway.ask("/posts/Write", [*servers.bearer(token), *named])
        # Since version 1.23, nginx joins the two headers, and bearerd refuses the result.
        if seen:
            arrived = [value for name, value in seen
                       if name.lower().removeprefix("http_") == "destination"]
            assert arrived == ["/posts/2"], destinations
