"""The application behind the proxies, which answers and records every request."""

import json
import re
import threading
import unicodedata
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from urllib.parse import unquote


class Asked:
    """A request as it arrived at the application."""

    def __init__(self, method, target, headers):
        self.method, self.target, self.headers = method, target, headers

    @property
    def host(self):
        """The host in the request."""
        return dict((name.lower(), value) for name, value in self.headers)["host"]

    @property
    def identity(self):
        """The identity headers, with names matched as loosely as an application may match them."""
        loose = [(re.sub("[^a-z0-9]", "-", name.lower()), value) for name, value in self.headers]
        return sorted((name, value) for name, value in loose
                      if name.startswith("x-auth-") or name == "remote-user")

    @property
    def is_admin(self):
        """Whether some application may read the path as one below /admin: decoded twice, without
        parameters, normalized to NFKC, without blanks and invisible characters, with slashes merged and
        dots resolved, in any case."""
        path = re.sub(r";[^/]*", "", unquote(unquote(self.target.split("?")[0])))
        path = re.sub(r"^\w+://[^/]*", "", unicodedata.normalize("NFKC", path).replace("\u3164", ""))
        segments = []
        for segment in re.split(r"[/\\]+", path):
            segment = "".join(c for c in segment if unicodedata.category(c)[0] not in "CMZ")
            segment = re.sub(r":.*", "", segment).casefold()
            if re.fullmatch(r"\.\.+", segment):
                segments = segments[:-1]
            elif segment not in ("", "."):
                segments.append(segment)
        return bool(segments and re.match(r"admin\b", segments[0]))


class Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    # The head and the body are two writes. The second must not wait for the acknowledgement of the first.
    disable_nagle_algorithm = True

    def handle_one_request(self):
        self.close_connection = True
        self.raw_requestline = self.rfile.readline(65537)
        if not self.raw_requestline or not self.parse_request():
            return
        # http.server merges slashes at the start of a path, but not in the request line.
        target = self.requestline.split(" ")[1]
        asked = Asked(self.command, target, self.headers.items())
        self.server.asked.append(asked)
        self.rfile.read(int(self.headers.get("Content-Length") or 0))
        body = self.server.pages.get(target) or json.dumps(target).encode()
        self.send_response(200)
        self.send_header("Content-Type", "text/html")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(body)

    def log_message(self, *_):
        pass


class Upstream:
    """Listens until the block ends. `pages` may map targets to bodies."""

    def __enter__(self):
        self.server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.server.asked, self.server.pages = [], {}
        threading.Thread(target=self.server.serve_forever, daemon=True).start()
        return self

    def __exit__(self, *_):
        self.server.shutdown()
        self.server.server_close()

    @property
    def address(self):
        return f"127.0.0.1:{self.server.server_port}"

    @property
    def pages(self):
        return self.server.pages

    def taken(self):
        """The requests since the last call."""
        asked, self.server.asked = self.server.asked, []
        return asked
