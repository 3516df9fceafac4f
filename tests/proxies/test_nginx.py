"""The requests that nginx sends to bearerd, recorded between them."""

import contextlib
import socket
import threading

import pytest

import servers
from sites import Site, started_bearerd
from upstream import Upstream


class Wire:
    """Relays between nginx and bearerd until the block ends. Counts connections, and records the bytes
    that nginx sends."""

    def __init__(self, address):
        host, port = address.split(":")
        self.behind = (host, int(port))
        self.connections, self.said = 0, b""

    def __enter__(self):
        self.listener = socket.create_server(("127.0.0.1", 0))
        self.address = "127.0.0.1:%d" % self.listener.getsockname()[1]
        threading.Thread(target=self.accept, daemon=True).start()
        return self

    def __exit__(self, *_):
        # Wakes the thread that accepts connections.
        self.listener.shutdown(socket.SHUT_RDWR)
        self.listener.close()

    def accept(self):
        with contextlib.suppress(OSError):
            while True:
                near, _ = self.listener.accept()
                self.connections += 1
                far = socket.create_connection(self.behind)
                threading.Thread(target=self.relay, args=(near, far, True), daemon=True).start()
                threading.Thread(target=self.relay, args=(far, near, False), daemon=True).start()

    def relay(self, source, target, is_kept):
        with contextlib.suppress(OSError):
            while part := source.recv(65536):
                self.said += part if is_kept else b""
                target.sendall(part)
            target.shutdown(socket.SHUT_WR)


@pytest.fixture(scope="module")
def wired():
    """A site behind nginx, and the wire between nginx and bearerd."""
    with contextlib.ExitStack() as stack:
        bearerd = stack.enter_context(started_bearerd())
        upstream = stack.enter_context(Upstream())
        folder = stack.enter_context(servers.temporary_folder())
        wire = stack.enter_context(Wire(bearerd.address))
        sites = {"app": {"127.0.0.1:3000": upstream.address}}
        address = stack.enter_context(servers.nginx(folder, wire.address, sites))
        yield Site("nginx", address, bearerd, upstream), wire


def test_nginx_checks_each_request_once_over_one_connection(wired):
    site, wire = wired
    token = site.bearerd.token("posts:*")
    before = wire.said.count(b"/api/verify")
    for target, status in [("/posts/1", 200), ("/admin", 403), ("/admin%2f", 400),
                           ("/public/page", 200), ("/posts/2", 200)]:
        body = b"for the application only"
        assert site.ask(target, token, method="POST", body=body)[0].status == status
    assert wire.said.count(b"/api/verify") == before + 5
    assert wire.connections == 1


def test_bearerd_sees_only_the_token_the_method_the_host_and_the_uri(wired):
    site, wire = wired
    token = site.bearerd.token("posts:*")
    before = len(wire.said)
    headers = [("Cookie", "a=b"), ("Expect", ""), ("Content-Type", "text/plain"),
               ("X-Forwarded-For", "192.0.2.7")]
    answer, _ = site.ask("/posts/1?q", token, headers, method="PUT", body=b"a body")
    assert answer.status == 200
    head, body = wire.said[before:].decode().split("\r\n\r\n")
    assert body == ""
    line, *headers = head.split("\r\n")
    assert line == "HEAD /api/verify HTTP/1.1"
    assert sorted(headers) == [f"Authorization: Bearer {token}", "Host: app.example.org",
                               "X-Original-Method: PUT", "X-Original-URI: /posts/1?q"]


def test_a_client_cannot_request_the_internal_location(wired):
    site, _ = wired
    answer, asked = site.ask("/_bearerd", site.bearerd.token("*"))
    assert (answer.status, asked) == (404, None)
    assert "Remote-User" not in answer.headers
