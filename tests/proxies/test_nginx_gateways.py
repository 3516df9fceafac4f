"""nginx in front of applications that speak gRPC, uwsgi, SCGI and FastCGI."""

import contextlib
import json
import os
from concurrent import futures
from pathlib import Path

import grpc
import pytest

import servers
from recipes import RECIPES
from sites import started_bearerd

IDENTITY = {"remote-user": "ada@example.org", "x-auth-user-id": "1",
            "x-auth-user-name": "Ada Lovelace", "x-auth-abilities": "posts:*"}
PROXIED = """\
        proxy_set_header Host $server_name;
        proxy_pass http://127.0.0.1:3000;
"""


class Gateway:
    """nginx, and behind it an application of some kind that tells what it sees of a request."""

    def __init__(self, kind, address, bearerd):
        self.kind, self.address, self.bearerd = kind, address, bearerd

    def ask(self, target, headers, host=servers.HOST):
        """Sends a POST request. Gives the status, and what the application saw, if it did."""
        if self.kind == "grpc_pass":
            return self.call(target, headers, host)
        answer = servers.send(self.address, target, headers, "POST", host, b"x")
        return answer.status, json.loads(answer.body) if answer.status == 200 else None

    def call(self, target, headers, host):
        metadata = [(name.lower(), value) for name, value in headers]
        with grpc.insecure_channel(self.address, [("grpc.default_authority", host)]) as channel:
            try:
                seen = channel.unary_unary(target)(b"", timeout=servers.PATIENCE, metadata=metadata)
                return 200, json.loads(seen)
            except grpc.RpcError as error:
                # What gRPC makes of statuses of HTTP, and of those that it doesn't know.
                statuses = {grpc.StatusCode.UNAUTHENTICATED: 401,
                            grpc.StatusCode.PERMISSION_DENIED: 403, grpc.StatusCode.UNKNOWN: 421}
                return statuses[error.code()], None


def identity(seen):
    """The identity headers that an application sees, by their names in HTTP, but for the token's
    id."""
    names = {name.lower().removeprefix("http_").replace("_", "-"): value for name, value in seen
             if name != "REMOTE_USER"}
    return {name: value for name, value in names.items()
            if name.startswith(("x-auth-", "remote-user")) and name != "x-auth-token-id"}


class Service(grpc.GenericRpcHandler):
    """Has every method, each of which answers with the request's metadata."""

    def service(self, details):
        seen = [[":path", details.method],
                *([item.key, item.value] for item in details.invocation_metadata)]
        return grpc.unary_unary_rpc_method_handler(lambda *_: json.dumps(seen).encode())


@contextlib.contextmanager
def grpc_server():
    server = grpc.server(futures.ThreadPoolExecutor(2), [Service()])
    port = server.add_insecure_port("127.0.0.1:0")
    server.start()
    try:
        yield f"127.0.0.1:{port}"
    finally:
        server.stop(None).wait()


# uWSGI's options for the protocols that it speaks.
SOCKETS = {"uwsgi_pass": "--socket", "scgi_pass": "--scgi-socket", "fastcgi_pass": "--fastcgi-socket"}


@contextlib.contextmanager
def uwsgi_server(kind):
    with servers.temporary_folder() as folder:
        program = Path(__file__).with_name("wsgi.py")
        command = ["uwsgi", "--plugin", "python3", "--need-app", "--wsgi-file", str(program),
                   SOCKETS[kind], str(folder / "socket"), "--chmod-socket=666", "--die-on-term"]
        with servers.running(command, folder) as process:
            servers.await_answer(process, folder, lambda: os.stat(folder / "socket"))
            yield f"unix:{folder}/socket"


@contextlib.contextmanager
def started_gateway(kind, bearerd, changes=()):
    with contextlib.ExitStack() as stack:
        serve = grpc_server() if kind == "grpc_pass" else uwsgi_server(kind)
        application = stack.enter_context(serve)
        lines = RECIPES[kind].replace("127.0.0.1:3000", application)
        site = {PROXIED: lines}
        if kind == "grpc_pass":
            http2 = f"127.0.0.1:{servers.free_port()}"
            named = f"server_name {servers.HOST};"
            site[named] = f"listen {http2} http2;\n    {named}"
        folder = stack.enter_context(servers.temporary_folder())
        sites = {"app": site}
        address = stack.enter_context(servers.nginx(folder, bearerd.address, sites, changes))
        yield Gateway(kind, http2 if kind == "grpc_pass" else address, bearerd)


KINDS = ["grpc_pass", *SOCKETS]


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


def test_the_application_sees_whose_request_it_is_and_not_the_token(gateway, token):
    status, seen = gateway.ask("/posts/Read", servers.bearer(token))
    assert status == 200 and identity(seen) == IDENTITY
    assert dict(seen).get("REMOTE_USER", "1") == "1"
    assert token not in str(seen)


def test_identity_headers_of_the_clients_never_arrive(gateway, token):
    for forged in ([], *([header] for header in FORGED), FORGED):
        status, seen = gateway.ask("/posts/Read", [*servers.bearer(token), *forged])
        assert status == 200 and identity(seen) == IDENTITY, forged
        for headers in (forged, [*servers.bearer(token), *forged]):
            status, seen = gateway.ask("/public/Read", headers)
            assert status == 200 and identity(seen) == {}, forged
            assert "REMOTE_USER" not in dict(seen) and token not in str(seen)


def test_what_a_token_may_not_is_refused(gateway, bearerd):
    for headers, status in [([], 401), (servers.bearer("bd_nonsense"), 401),
                            (servers.bearer(bearerd.token("posts:read")), 403)]:
        assert gateway.ask("/posts/Write", headers) == (status, None)


def test_a_request_for_another_host_is_refused(gateway, token):
    for headers in ([], servers.bearer(token)):
        for host in ("git.example.org", "nobody"):
            assert gateway.ask("/public/Read", headers, host) == (421, None)
    if gateway.kind != "grpc_pass":
        assert dict(gateway.ask("/public/Read", [])[1])["HTTP_HOST"] == servers.HOST
