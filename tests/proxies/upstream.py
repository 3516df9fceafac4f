"""The application behind the proxies: it answers everything, and remembers what it was asked."""

import json
import re
import threading
import unicodedata
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from urllib.parse import unquote


class Asked:
    """A request as it arrived."""

    def __init__(self, method, target, headers):
        self.method, self.target, self.headers = method, target, headers

    @property
    def host(self):
        """The host that the application was asked for."""
        return dict((name.lower(), value) for name, value in self.headers)["host"]

    @property
    def identity(self):
        """The identity headers by their names, as loosely as an application may read those."""
        loose = [(re.sub("[^a-z0-9]", "-", name.lower()), value) for name, value in self.headers]
        return sorted((name, value) for name, value in loose
                      if name.startswith("x-auth-") or name == "remote-user")

    @property
    def is_admin(self):
        """Whether an application may take this for something under /admin, however it reads paths:
        decoded twice, without parameters, folded by compatibility (NFKC), without blanks and what
        can't be seen, slashes merged, dots resolved, in any case."""
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
    # Head and body are two writes; the second must not wait for the first to be acknowledged.
    disable_nagle_algorithm = True

    def handle_one_request(self):
        self.close_connection = True
        self.raw_requestline = self.rfile.readline(65537)
        if not self.raw_requestline or not self.parse_request():
            return
        # http.server merges the slashes that a path begins with; the request line has it whole.
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
    """Listens until the block ends. `asked` has every request; `pages` may hold bodies by target."""

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
        """What has been asked since the last time."""
        asked, self.server.asked = self.server.asked, []
        return asked
