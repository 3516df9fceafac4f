"""Makes every attempt of own_attempts.py at bearerd's own API and pages."""

import contextlib
import json

import pytest

from own_attempts import ADDRESSES, APP, CONTROLS, FORGED, HTML, ORIGINS, PAGES, ROWS
from raw import Client, request
from servers import bearer, send
from sites import started_bearerd

LACKING = ["git:read"]
RIGHT = ["tokens:read", "tokens:write", "account:write", "introspect", "admin"]


@pytest.fixture(scope="module")
def own():
    """bearerd for one site of scripts, with an administrator."""
    with started_bearerd(extra=f'cors_origins = ["{APP}"]\n') as bearerd:
        create = ["user", "create", "--email", "root@example.org", "--name", "Root", "--admin"]
        bearerd.run(*create, input="long enough\n")
        yield bearerd


def post(bearerd, target, fields, token=None, method="POST", headers=()):
    """Sends JSON."""
    every = [("Content-Type", "application/json"), *bearer(token), *headers]
    return send(bearerd.address, target, every, method, body=json.dumps(fields).encode())


@pytest.mark.parametrize("kind", sorted({row.kind for row in ROWS}))
def test_bearerd_gives_the_answers_of_the_table(own, kind):
    client, failures = Client(own.address), []
    tokens = [None, own.token(*LACKING), own.token(*RIGHT)]
    for row in ROWS:
        if row.kind != kind:
            continue
        got = []
        for token in tokens:
            lines = [*(line.replace("{token}", token) for line in row.token if token), *row.headers]
            if row.body or row.method not in ("GET", "HEAD"):
                lines.append(f"Content-Length: {len(row.body)}")
            target = row.target.replace("{token}", token or "")
            got.append(client.ask(request(row.method, target, lines, body=row.body.encode())))
        if tuple(got) != row.answers:
            failures.append((row, got))
    assert not failures
    # No attempt ended a token.
    for token in tokens[1:]:
        assert send(own.address, "/api/user", bearer(token)).status == 200


def cors(answer):
    return [name for name in answer.headers if name.lower().startswith("access-control-")]


@pytest.mark.parametrize("target", ["/api/user", "/api/tokens", "/api/verify", "/api/openapi.json",
                                    "/api/x", "/", "/metrics"])
def test_another_origin_never_gets_cors_headers(own, target):
    token = own.token(*RIGHT)
    preflight = [("Access-Control-Request-Method", "POST"),
                 ("Access-Control-Request-Headers", "authorization"),
                 ("Access-Control-Request-Private-Network", "true")]
    for origin in ORIGINS:
        for origins in ([origin], [APP, origin], [origin, APP]):
            sent = [("Origin", origin) for origin in origins]
            for method, more in (("GET", []), ("GET", bearer(token)), ("OPTIONS", preflight)):
                answer = send(own.address, target, [*sent, *more], method)
                # Of several origins bearerd reads the first. No browser sends several.
                if origins[0] != APP:
                    assert cors(answer) == [], (origins, method, answer)
                assert "Access-Control-Allow-Credentials" not in answer.headers
                assert answer.headers.get("Access-Control-Allow-Origin") in (None, APP)


def test_each_page_can_neither_be_framed_nor_run_other_scripts(own):
    for target in PAGES:
        for method, host in (("GET", "x"), ("HEAD", "x"), ("GET", "evil.example")):
            answer = send(own.address, target, method=method, host=host)
            assert answer.status == 200, target
            policy = answer.headers["Content-Security-Policy"]
            directives = dict(part.strip().split(" ", 1) for part in policy.split(";"))
            assert directives["default-src"] == directives["frame-ancestors"] == "'none'", target
            assert directives["base-uri"] == directives["form-action"] == "'none'", target
            assert {directives[f"{kind}-src"] for kind in ("script", "style", "connect")} == {"'self'"}
            assert answer.headers["X-Content-Type-Options"] == "nosniff"
            assert answer.headers["Referrer-Policy"] == "no-referrer"
            assert "Set-Cookie" not in answer.headers
            assert "evil.example" not in answer.body
    for target in ("/", "/docs"):
        body = send(own.address, target).body
        # The policy stops scripts and styles that are not files, so a page needs none.
        assert "<script>" not in body and "<style" not in body and "onclick" not in body


def test_the_host_header_appears_in_no_answer(own):
    forwarded = [("X-Forwarded-Host", "evil.example"), ("Forwarded", "host=evil.example")]
    for target in [*PAGES[:2], "/.well-known/oauth-authorization-server", "/api/openapi.json",
                   "/api/user", "/x", "/metrics"]:
        for host in ("evil.example", "evil.example:80", "x\"><script>", "app.example.org"):
            answer = send(own.address, target, forwarded, host=host)
            assert "evil.example" not in repr(answer), (target, host)
            assert "Location" not in answer.headers and "Refresh" not in answer.headers


def answers_with(own, text):
    """The answers to requests with this text: it names a user and tokens, and is in an unknown path and in
    wrong fields."""
    fields = {"email": "ada@example.org", "password": "long enough", "device_name": text}
    issued = post(own, "/api/tokens", fields)
    token = issued.body and json.loads(issued.body).get("token")
    yield issued
    root = json.loads(post(own, "/api/tokens", fields | {"email": "root@example.org"}).body)["token"]
    yield post(own, "/api/users/1", {"name": text}, root, "PATCH")
    for target in ("/api/user", "/api/tokens", "/api/tokens/current"):
        yield send(own.address, target, bearer(token))
    for target in ("/api/users", "/api/users/1", "/api/users/1/tokens"):
        yield send(own.address, target, bearer(root))
    yield post(own, "/api/tokens", fields | {text: text})
    yield post(own, "/api/tokens", fields | {"abilities": [text]})
    yield post(own, "/api/tokens", fields | {"email": text})
    yield post(own, "/api/explain", {"token": token, "uri": "/" + text, "method": "GET"}, root)
    yield send(own.address, "/" + "".join(f"%{byte:02x}" for byte in text.encode()))
    own.revoke(token)
    own.revoke(root)


@pytest.mark.parametrize("text", HTML)
def test_html_in_names_is_only_ever_a_string_in_json(own, text):
    for answer in answers_with(own, text):
        assert answer.headers.get_content_type() == "application/json", answer
        assert answer.headers["Cache-Control"] == "no-store"
        json.loads(answer.body)
        assert text not in str(answer.headers)


@pytest.mark.parametrize("text", CONTROLS)
def test_names_have_no_control_characters(own, text):
    fields = {"email": "ada@example.org", "password": "long enough", "device_name": text}
    assert post(own, "/api/tokens", fields).status == 422
    issue = ["token", "issue", "--email", "root@example.org", "--name", "x", "--ability", "admin"]
    root = own.run(*issue).strip()
    for field in ({"name": text}, {"email": f"{text}@example.org"}, {"abilities": [text]}):
        assert post(own, "/api/users/1", field, root, "PATCH").status == 422, field
    account = {"name": text, "email": "x@example.org", "password": "long enough"}
    assert post(own, "/api/users", account, root).status == 422


def refused_at_last(bearerd, spelled):
    """Makes seven logins with wrong passwords, each with these headers for another address. Returns the
    statuses. The email is unknown and different for each spelling, so that only its own attempts count."""
    email = f"nobody{abs(hash(spelled))}@example.org"
    statuses, client = [], Client(bearerd.address)
    for number in range(7):
        body = json.dumps({"email": email, "password": "wrong wrong", "device_name": "x"}).encode()
        lines = spelled.replace("{n}", str(number + 1)).split("\r\n")
        lines += ["Content-Type: application/json", f"Content-Length: {len(body)}"]
        statuses.append(client.ask(request("POST", "/api/tokens", lines, body=body)))
    return statuses


LIMITED = [401] * 5 + [429] * 2


@contextlib.contextmanager
def trusting(proxy):
    """A bearerd without earlier attempts. Its limit for all emails of one network is not reached here."""
    with started_bearerd() as bearerd:
        bearerd.stop()
        file = bearerd.folder / "bearerd.toml"
        shown, ours = (f'trusted_proxies = ["{address}"]' for address in ("127.0.0.1", proxy))
        assert shown in file.read_text()
        file.write_text(file.read_text().replace(shown, ours))
        bearerd.start()
        yield bearerd


@pytest.mark.parametrize("part", [slice(0, 8), slice(8, None)])
def test_a_client_gets_no_more_logins_by_naming_other_addresses(part):
    with trusting("192.0.2.1") as bearerd:
        for spelled in ADDRESSES[part]:
            assert refused_at_last(bearerd, spelled) == LIMITED, spelled


@pytest.mark.parametrize("name", ["X-Forwarded-For: ", "Forwarded: for="])
def test_a_client_gets_no_more_logins_by_naming_addresses_before_its_proxys(name):
    with trusting("127.0.0.1") as bearerd:
        for number, forged in enumerate(FORGED):
            client = f"203.0.113.{number}"
            spelled = name + forged.replace("{client}", client)
            if name.startswith("Forwarded"):
                spelled = spelled.replace(", ", ", for=").replace("X-Forwarded-For: ", "Forwarded: for=")
            assert refused_at_last(bearerd, spelled) == LIMITED, spelled


# docs/upstream has a patch for it.
def test_each_answer_belongs_to_its_own_request_if_requests_are_sent_at_once(own):
    token = own.token(*RIGHT)
    body = json.dumps({"email": "ada@example.org", "password": "long enough", "device_name": "x"}).encode()
    lines = ["Content-Type: application/json", f"Content-Length: {len(body)}"]
    # The password is checked for a while. Meanwhile bearerd reads the next request.
    login = request("POST", "/api/tokens", lines, body=body)
    head, get = (request(method, "/api/user", [f"Authorization: Bearer {token}"]) for method in ("HEAD", "GET"))
    for sent in ([login, head], [login, head, get], [head, login, get]):
        client = Client(own.address, 2)
        client.open()
        client.connection.sendall(b"".join(sent))
        for each in sent:
            is_head = each is head
            assert client.answer(is_head) in (200, 201)
            assert is_head or json.loads(client.body)
        assert client.rest == b""
