"""nginx in front of applications that speak gRPC, uwsgi, SCGI and FastCGI."""

import contextlib
import json
import os
from concurrent import futures
from pathlib import Path

import grpc

import servers
from recipes import RECIPES

PROXIED = """\
        proxy_set_header Host $server_name;
        proxy_pass http://127.0.0.1:3000;
"""


class Gateway:
    """nginx, and behind it an application of some kind that answers with the request that it sees."""

    def __init__(self, kind, address, bearerd):
        self.kind, self.address, self.bearerd = kind, address, bearerd

    def ask(self, target, headers, host=servers.HOST):
        """Sends a POST request. Returns the status, and the request that the application saw or None."""
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
                # gRPC's codes for these HTTP statuses; UNKNOWN is its code for those that it doesn't know.
                statuses = {grpc.StatusCode.INTERNAL: 400, grpc.StatusCode.UNAUTHENTICATED: 401,
                            grpc.StatusCode.PERMISSION_DENIED: 403, grpc.StatusCode.UNKNOWN: 421}
                return statuses[error.code()], None


class Service(grpc.GenericRpcHandler):
    """Has every method. Each answers with the request's metadata."""

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
