"""A user with very many tokens, and the effect of changes of that user on other requests."""

import http.client
import itertools
import json
import os
import statistics
import threading
import time

from .bench import LOAD_CORES, Figure, fail, row
from .data import add_tokens, token_file
from .load import ratios
from .servers import VERIFY, bearer, bearerd, create_user, issue_token
from .writes import purged

OTHER, ADMIN = "grace@example.org", "root@example.org"
# The ids of the user with many tokens, the first in the file, and of the next user.
OWNER_ID, OTHER_ID = 1, 2
JSON = {"Content-Type": "application/json"}
LOGIN = {"email": OTHER, "password": "long enough", "device_name": "bench"}


@row
def one_owner(bench):
    """A user with 1,000,000 live tokens: the time to change the user's abilities, to revoke all tokens
    except the one in the request, to disable the user, and to delete the user. Three clients run on the
    load's core: the first polls `GET /readyz`, the second logs another user in, with bcrypt's cost 4, and
    the third checks uncached tokens of the other user. They run before the changes, during them, and during
    the sweep that follows, at most four times as long as a side of a round."""
    tokens = token_file(bench, bench.sized(1_000_000))
    rounds = [_Round(bench, tokens) for _ in range(bench.rounds)]
    each = lambda value: [value(of) for of in rounds]  # noqa: E731
    change = lambda what, key: Figure(  # noqa: E731
        what, each(lambda of: of.took[key]), 1, " ms", most=20)
    count = bench.sized(1_000_000)
    figures = [
        change(f"abilities changed, of a user with {count:,} tokens", "abilities"),
        change("… all tokens but one revoked", "revoke"),
        change("… disabled", "disable"),
        change("… deleted, being disabled", "delete"),
    ]
    for key, what, most in (("ready", "`GET /readyz`", 50), ("login", "login of another user", None),
                            ("check", "check of their uncached tokens", None)):
        during, before = (each(lambda of: getattr(of, when)[key]) for when in ("during", "before"))
        figures += [
            # The slowest, not the 99th percentile: a client that waits sends few requests meanwhile.
            Figure(f"slowest {what} during these and the sweep", list(map(max, during)), 1, " ms",
                   most=most),
            Figure("… before", list(map(max, before)), 1, " ms"),
            Figure("ratio of the medians",
                   ratios(*(map(statistics.median, side) for side in (during, before))), 2),
        ]
    return figures


class _Round:
    """Runs two servers, each with a copy of the file, because a user's tokens can be revoked only once."""

    def __init__(self, bench, tokens):
        self.took = {}
        # Milliseconds of each request, by watcher.
        self.before, self.during = ({name: [] for name in ("ready", "login", "check")}
                                    for _ in range(2))
        owner, account = tokens.some(1)[0], f"/api/users/{OWNER_ID}"
        self._watch(bench, tokens, {
            "abilities": ("PATCH", account, {"abilities": ["tokens:write", "posts:*"]}, None),
            "revoke": ("DELETE", "/api/tokens?except=current", None, owner),
        })
        self._watch(bench, tokens, {
            "disable": ("PATCH", account, {"disabled": True}, None),
            "delete": ("DELETE", account, None, None),
        })

    def _watch(self, bench, tokens, changes):
        """Makes the changes, each with its token, or an administrator's token if it has none."""
        database = tokens.copy(bench.folder)
        create_user(bench, database, OTHER, BEARERD_BCRYPT_COST="4")
        create_user(bench, database, ADMIN, "--admin")
        admin = issue_token(bench, database, ADMIN, "admin")
        # More tokens than a client can check in the time.
        others = add_tokens(database, OTHER_ID, bench.sized(50_000))
        settings = {"LOG": "error", "BCRYPT_COST": "4", "LOGIN_ATTEMPTS_PER_MINUTE": "1000000", "RETENTION": "0s",
                    "MAX_TOKENS_PER_USER": "never", "SWEEP_INTERVAL": f"{bench.seconds + 1}s"}
        settings = {f"BEARERD_{name}": value for name, value in settings.items()}
        with bearerd(bench, database, **settings) as (address, _):
            watchers = {
                "ready": _Watcher(address, itertools.repeat(("GET", "/readyz"))),
                "login": _Watcher(address, itertools.repeat(
                    ("POST", "/api/tokens", json.dumps(LOGIN), JSON))),
                "check": _Watcher(address, (("GET", VERIFY, None, bearer(token))
                                            for token in others)),
            }
            time.sleep(bench.seconds)
            began = time.monotonic()
            for name, change in changes.items():
                self.took[name] = _change(address, admin, *change)
            ends, doomed = time.monotonic() + 4 * bench.seconds, bench.sized(1_000_000) - 1
            while time.monotonic() < ends and purged(address) < doomed:
                time.sleep(0.1)
            for name, watcher in watchers.items():
                for answered, took in watcher.end():
                    (self.during if answered > began else self.before)[name].append(took)
        os.remove(database)


class _Watcher(threading.Thread):
    """A client that sends one request after the other, with a pause after each, until `end` is called. The
    time of an answer that is an error counts, too."""

    REST = 0.002

    def __init__(self, address, requests):
        super().__init__(daemon=True)
        self.connection, self.requests = _connect(address), requests
        self.ending, self.samples = threading.Event(), []
        self.start()

    def run(self):
        os.sched_setaffinity(0, LOAD_CORES)
        for request in self.requests:
            began = time.monotonic()
            self.connection.request(*request)
            self.connection.getresponse().read()
            answered = time.monotonic()
            self.samples.append((answered, (answered - began) * 1000))
            if self.ending.wait(self.REST):
                return

    def end(self):
        """Stops the client. Returns the time of each answer, and the milliseconds that it took."""
        if not self.is_alive():
            fail("a client has run out of requests, or failed")
        self.ending.set()
        self.join()
        self.connection.close()
        return self.samples


def _change(address, admin, method, path, body, token):
    """Makes a change. Returns the milliseconds that it took."""
    connection = _connect(address)
    connection.connect()
    headers = {**bearer(token or admin), **JSON}
    began = time.monotonic()
    connection.request(method, path, body and json.dumps(body), headers)
    answer = connection.getresponse()
    text, took = answer.read(), (time.monotonic() - began) * 1000
    connection.close()
    if answer.status not in (200, 204):
        fail(f"{method} {path} was answered with {answer.status}: {text.decode()}")
    return took


def _connect(address):
    return http.client.HTTPConnection(address.split("/")[2], timeout=120)
