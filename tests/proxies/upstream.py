"""The application behind the proxies, which answers and records every request as it arrived."""

import contextlib
import json
import re
import socket
import threading
import time
import unicodedata
from urllib.parse import unquote

HEAD_END = b"\r\n\r\n"
TOKEN = re.compile(rb"[!#$%&'*+.^_`|~0-9A-Za-z-]+")
CHUNK = re.compile(rb"([0-9a-fA-F]{1,8})\r\n")


class Asked:
    """A request as it arrived at the application. `faults` says how its framing differs from what every
    server reads in the same way: a part of it could be another request for some server."""

    def __init__(self, method, target, headers, faults=()):
        self.method, self.target, self.headers, self.faults = method, target, headers, list(faults)

    def __repr__(self):
        return f"{self.method} {self.target} {self.headers} {self.faults}"

    def header(self, name):
        """The values of a header, joined, or None."""
        values = [value for other, value in self.headers if other.lower() == name]
        return ", ".join(values) if values else None

    @property
    def host(self):
        """The host in the request."""
        return self.header("host")

    @property
    def identity(self):
        """The identity headers, with names matched as loosely as an application may match them."""
        loose = [(re.sub("[^a-z0-9]", "-", name.lower()), value) for name, value in self.headers]
        return sorted((name, value) for name, value in loose
                      if name.startswith("x-auth-") or name == "remote-user")

    @property
    def readings(self):
        """The paths, as tuples of segments, that applications may read in the target. All decode it, some
        twice. Some drop parameters, normalize to NFKC, end a path at NUL, `?` or `#`, take a backslash
        for a slash, merge slashes before they resolve dots, or ignore case, blanks, dots and colons."""
        texts = {re.sub(r"^\w+://[^/?]*", "", self.target.split("?")[0])}
        texts = {unquote(text) for text in texts}
        for read in (unquote, without_parameters, compatible, cut, with_slashes):
            texts |= {read(text) for text in texts}
        texts |= {re.sub("/+", "/", text) for text in texts}
        split = {tuple(text.split("/")) for text in texts}
        split |= {tuple(map(loose, segments)) for segments in split}
        return {resolved(segments) for segments in split}

    @property
    def is_admin(self):
        """Whether some application may read the path as one below /admin."""
        return any(path and re.match(r"admin\b", path[0]) for path in self.readings)


def without_parameters(path):
    return re.sub(r";[^/]*", "", path)


def compatible(path):
    return unicodedata.normalize("NFKC", path).replace("\u3164", "")


def cut(path):
    return re.split(r"[\0?#]", path)[0]


def with_slashes(path):
    return path.replace("\\", "/")


def loose(segment):
    visible = "".join(c for c in segment if unicodedata.category(c)[0] not in "CMZ")
    name = visible.split(":")[0].casefold()
    return ".." if re.fullmatch(r"\.\.+", name) else name


def resolved(segments):
    path = []
    for segment in segments:
        if segment == "..":
            path = path[:-1]
        elif segment not in ("", "."):
            path.append(segment)
    return tuple(path)


class Closed(Exception):
    pass


class Peer:
    """A connection of a proxy."""

    def __init__(self, connection, upstream):
        self.connection, self.upstream, self.rest = connection, upstream, b""

    def until(self, end):
        while end not in self.rest:
            self.more()
        part, self.rest = self.rest.split(end, 1)
        return part

    def exactly(self, count):
        while len(self.rest) < count:
            self.more()
        part, self.rest = self.rest[:count], self.rest[count:]
        return part

    def more(self):
        part = self.connection.recv(65536)
        if not part:
            raise Closed
        self.rest += part

    def serve(self):
        # ValueError for a length that is no number, which `faults` has.
        with contextlib.suppress(Closed, OSError, ValueError), self.connection:
            self.connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            while True:
                line, *lines = self.until(HEAD_END).decode("latin-1").split("\r\n")
                method, _, rest = line.partition(" ")
                target, _, version = rest.rpartition(" ")
                headers = [(name, value.strip(" \t")) for name, _, value in
                           (line.partition(":") for line in lines)]
                asked = Asked(method, target, headers, faults_of_head(line, lines))
                # Recorded before the body, which may never come.
                self.upstream.asked.append(asked)
                self.read_body(asked)
                self.answer(asked)
                if version == "HTTP/1.0" or "close" in (asked.header("connection") or ""):
                    return

    def read_body(self, asked):
        if asked.header("expect"):
            self.connection.sendall(b"HTTP/1.1 100 Continue\r\n\r\n")
        if asked.header("transfer-encoding") is None:
            self.exactly(int(asked.header("content-length") or 0))
            return
        while True:
            line = self.until(b"\r\n") + b"\r\n"
            size = CHUNK.fullmatch(line)
            if not size:
                asked.faults.append(f"chunk {line}")
                raise Closed
            part = self.exactly(int(size[1], 16))
            # After the last chunk, this is the end of the trailer, or its first line.
            if end := self.until(b"\r\n"):
                asked.faults.append(f"trailer or no end of a chunk: {end}")
                raise Closed
            if not part:
                return

    def answer(self, asked):
        page = self.upstream.pages.get(asked.target)
        body = json.dumps(asked.target).encode() if page is None else page
        head = f"HTTP/1.1 200 OK\r\nContent-Type: text/html\r\nContent-Length: {len(body)}\r\n\r\n"
        self.connection.sendall(head.encode() + (b"" if asked.method == "HEAD" else body))


def faults_of_head(line, lines):
    """What is not plain about a head: servers may differ about where the request ends."""
    faults = []
    if not re.fullmatch(r"[^\s]+ [^\s]+ HTTP/1\.[01]", line):
        faults.append(f"request line {line!r}")
    lengths, encodings = [], []
    for header in lines:
        name, colon, value = header.partition(":")
        if not colon or not TOKEN.fullmatch(name.encode("latin-1")):
            faults.append(f"header {header!r}")
        if re.search(r"[\0\r\n]", header):
            faults.append(f"control character in {header!r}")
        lengths += [header] if name.lower() == "content-length" else []
        encodings += [header] if name.lower() == "transfer-encoding" else []
    if len(lengths + encodings) > 1:
        faults.append(f"several lengths {lengths + encodings}")
    if lengths and not re.fullmatch(r"(?i)content-length:\s*\d+", lengths[0]):
        faults.append(lengths[0])
    if encodings and not re.fullmatch(r"(?i)transfer-encoding:\s*chunked", encodings[0]):
        faults.append(encodings[0])
    return faults


class Upstream:
    """Listens until the block ends. `pages` may map targets to bodies."""

    def __enter__(self):
        self.asked, self.pages = [], {}
        self.listener = socket.create_server(("127.0.0.1", 0), backlog=128)
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
                peer = Peer(self.listener.accept()[0], self)
                threading.Thread(target=peer.serve, daemon=True).start()

    def taken(self):
        """The requests since the last call."""
        asked, self.asked = self.asked, []
        return asked

    def taken_at_rest(self):
        """The requests since the last call, once none has arrived for a moment."""
        every = self.taken()
        while more := time.sleep(0.2) or self.taken():
            every += more
        return every
