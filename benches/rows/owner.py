"""A user with very many tokens, and what changing that user costs the others."""

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
# Those of the user with many tokens, who is the file's first, and of the next.
OWNER_ID, OTHER_ID = 1, 2
JSON = {"Content-Type": "application/json"}
LOGIN = {"email": OTHER, "password": "long enough", "device_name": "bench"}


@row
def one_owner(bench):
    """One user with 1,000,000 live tokens: the time to change the user's abilities, to revoke all tokens
    but the one that is sent, to disable the user, and to delete the user. Three clients watch on the
    load's core: one polls `GET /readyz`, one logs another user in, with bcrypt of cost 4, and one checks
    tokens of that user that are in no cache. They do so before the changes, during them, and during the
    sweep that follows, for four times as long as a side of a round at most."""
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
            # Not the slowest of a hundred: a client that has to wait sends few requests meanwhile.
            Figure(f"slowest {what} during these and the sweep", list(map(max, during)), 1, " ms",
                   most=most),
            Figure("… before", list(map(max, before)), 1, " ms"),
            Figure("ratio of the medians",
                   ratios(*(map(statistics.median, side) for side in (during, before))), 2),
        ]
    return figures


class _Round:
    """Two servers, each with a copy of the file, because a user's tokens can be killed once only."""

    def __init__(self, bench, tokens):
        self.took = {}
        # Milliseconds by watcher.
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
        """Makes changes, by their names, with the token of each or an administrator's."""
        database = tokens.copy(bench.folder)
        create_user(bench, database, OTHER, BEARERD_BCRYPT_COST="4")
        create_user(bench, database, ADMIN, "--admin")
        admin = issue_token(bench, database, ADMIN, "admin")
        # More than a client can check in the time.
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
    """A client that sends one request after the other, until it is told to end, with a rest after each.
    An answer that is an error counts with the time that it took."""

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
        """When each request was answered, and the milliseconds that it took."""
        if not self.is_alive():
            fail("a client has run out of requests, or failed")
        self.ending.set()
        self.join()
        self.connection.close()
        return self.samples


def _change(address, admin, method, path, body, token):
    """The milliseconds that a change takes."""
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
