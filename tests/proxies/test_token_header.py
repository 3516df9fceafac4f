"""The recipes changed for `token_header` as the page says: `Authorization` belongs to the application,
and bearerd takes no token from it."""

import pytest

import servers
from gateways import KINDS, started_gateway
from recipes import PAGE
from sites import started_bearerd, started_site

SETTING = 'token_header = "X-Api-Token"\n'
SHOWN = PAGE.read_text()


def shown(line):
    """A line that the page says to add."""
    assert line in SHOWN
    return line


NGINX = {"$http_authorization": "$http_x_api_token", "HTTP_AUTHORIZATION": "HTTP_X_API_TOKEN",
         "Authorization": "X-Api-Token"}
NAME = {"Authorization": "X-Api-Token"}
KEPT = shown("vars authorization {header.Authorization}")
GIVEN = shown("header_up Authorization {vars.authorization}")
ANNOTATION = shown("nginx.ingress.kubernetes.io/auth-proxy-set-headers: default/bearerd-headers")
DISALLOWED = shown("disallowed_headers: {patterns: [{exact: authorization}]}")
PROXIES = {
    "nginx": ("nginx", NGINX),
    "caddy": ("caddy", NAME),
    "caddy-passing-authorization": ("caddy", {
        **NAME, "\troute {\n": f"\troute {{\n\t\t{KEPT}\n",
        "reverse_proxy 127.0.0.1:3000": f"reverse_proxy 127.0.0.1:3000 {{\n\t\t\t{GIVEN}\n\t\t}}"}),
    "traefik": ("traefik", NAME),
    "envoy": ("envoy", {"authorization\n": "x-api-token\n",
                        "allowed_headers:\n": f"{DISALLOWED}\n{' ' * 22}allowed_headers:\n"}),
    "ingress": ("ingress", {**NAME, "  annotations:\n": f"  annotations:\n    {ANNOTATION}\n"}),
}


@pytest.fixture(scope="module", params=PROXIES)
def site(request):
    proxy, changes = PROXIES[request.param]
    with started_site(proxy, SETTING, changes) as site:
        site.name = request.param
        site.token = site.bearerd.token("posts:*")
        yield site


def own(scheme="Bearer"):
    return [("Authorization", f"{scheme} the-applications-own")]


def test_the_token_header_lets_a_request_pass_and_the_application_does_not_see_it(site):
    for headers in ([], own(), own("Basic")):
        answer, asked = site.ask("/posts/1", headers=[("X-Api-Token", site.token), *headers])
        assert answer.status == 200 and dict(asked.identity)["x-auth-user-id"] == "1"
        seen = {name.lower(): value for name, value in asked.headers}
        assert "x-api-token" not in seen and site.token not in str(seen)
        if site.name != "caddy":
            assert seen.get("authorization", "") == dict(headers).get("Authorization", "")


def test_no_token_is_taken_from_authorization(site):
    for headers in ([], [("X-Api-Token", "")], [("X-Api-Token", "bd_nonsense")]):
        answer, asked = site.ask("/posts/1", site.token, headers)
        assert (answer.status, asked) == (401, None), headers


def test_public_paths_pass_without_the_token(site):
    for headers in ([], [("X-Api-Token", site.token)], own()):
        answer, asked = site.ask("/public/page", headers=headers)
        assert answer.status == 200 and asked.identity == []
        assert site.token not in str(asked.headers)


@pytest.mark.parametrize("kind", KINDS)
def test_the_same_holds_for_the_other_pass_directives_of_nginx(kind):
    with started_bearerd(extra=SETTING) as bearerd, started_gateway(kind, bearerd, NGINX) as gateway:
        token = bearerd.token("posts:*")
        status, seen = gateway.ask("/posts/Read", [("X-Api-Token", token), *own()])
        assert status == 200 and token not in str(seen) and "the-applications-own" in str(seen)
        assert gateway.ask("/posts/Read", servers.bearer(token)) == (401, None)
