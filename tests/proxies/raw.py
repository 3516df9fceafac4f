"""Sends requests byte by byte, over connections that stay open, and reads the answers."""

import contextlib
import re
import socket

from servers import HOST

# How long a server may stay silent before a request counts as unanswered.
SILENCE = 10


def request(method="GET", target="/", headers=(), host=HOST, body=b""):
    """The bytes of a request. Texts are sent as Latin-1, so that they can have any bytes."""
    lines = [f"{method} {target} HTTP/1.1", f"Host: {host}", *headers]
    return "\r\n".join([*lines, "", ""]).encode("latin-1") + body


class Client:
    """One connection at a time, which is opened again if the server closed it. `body` is that of the last
    answer."""

    def __init__(self, address, silence=SILENCE):
        host, port = address.split(":")
        self.address, self.silence = (host, int(port)), silence
        self.connection, self.rest, self.is_last = None, b"", False

    def open(self):
        self.close()
        self.connection = socket.create_connection(self.address, self.silence)
        self.connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)

    def close(self):
        if self.connection:
            self.connection.close()
        self.connection, self.rest = None, b""

    def ask(self, sent):
        """Sends one request, and returns the status of its answer; 0 if the server closes the connection
        without one."""
        for _ in range(2):
            is_fresh = self.connection is None
            with contextlib.suppress(ConnectionError):
                if is_fresh:
                    self.open()
                self.connection.sendall(sent)
                status = self.answer(sent.startswith(b"HEAD "))
                if self.is_last:
                    self.close()
                if status:
                    return status
            self.close()
            # The server may have closed an idle connection just before.
            if is_fresh:
                return 0
        return 0

    def pour(self, sent, to_the_end=True):
        """Sends bytes that may be several requests on a connection of its own. Returns the statuses of
        all answers until the server closes the connection, announces that, or is silent. With
        `to_the_end`, an announcement is not enough."""
        self.open()
        statuses = []
        with contextlib.suppress(ConnectionError, TimeoutError):
            self.connection.sendall(sent)
            while status := self.answer(False):
                statuses.append(status)
                if self.is_last and not to_the_end:
                    break
        self.close()
        return statuses

    def more(self):
        part = self.connection.recv(65536)
        self.rest += part
        return part

    def answer(self, is_head):
        """The status of the next answer; 0 at the end of the connection."""
        while b"\r\n\r\n" not in self.rest:
            if not self.more():
                return 0
        head, self.rest = self.rest.split(b"\r\n\r\n", 1)
        status = int(head[9:12])
        if 100 <= status < 200:
            return self.answer(is_head)
        length = re.search(rb"(?i)\r\ncontent-length: *(\d+)", head)
        is_chunked = re.search(rb"(?i)\r\ntransfer-encoding: *chunked", head)
        self.body = b""
        if is_head or status in (204, 304):
            pass
        elif length:
            self.body = self.exactly(int(length[1]))
        elif is_chunked:
            while size := self.chunk():
                self.body += self.exactly(size + 2)[:-2]
            self.exactly(2)
        else:
            while self.more():
                pass
            self.body, self.rest = self.rest, b""
        self.is_last = bool(re.search(rb"(?i)\r\nconnection: *close", head))
        return status

    def chunk(self):
        while b"\r\n" not in self.rest:
            if not self.more():
                raise ConnectionError
        size, self.rest = self.rest.split(b"\r\n", 1)
        return int(size, 16)

    def exactly(self, count):
        while len(self.rest) < count:
            if not self.more():
                raise ConnectionError
        part, self.rest = self.rest[:count], self.rest[count:]
        return part
