"""A server whose database fails on command.

`Shim` makes system calls of the server fail. `Case` is a server under traffic, with a ledger of all writes
that it acknowledged: `Case.verify` checks that none is lost."""

import contextlib
import ctypes
import http.client
import json
import mmap
import os
import re
import resource
import shutil
import sqlite3
import struct
import subprocess
import threading
import time
from pathlib import Path

from service import EMAIL, PASSWORD, Service, wait_for

# As in shim.c.
OPERATIONS = ["open", "read", "write", "sync", "truncate", "lock", "unlink", "stat", "map"]
FILES = ["database", "wal", "shm", "folder"]
FAULT = struct.Struct("=iiiii")
PAGE = 4096
MIB = 1 << 20
# What another process does to the token "elsewhere".
REVOKE = "UPDATE tokens SET revoked_at = unixepoch() WHERE id = 3"


def compile_shim(folder):
    """Compiles shim.c and returns the library's path."""
    library = folder / "shim.so"
    source = Path(__file__).parent / "shim.c"
    subprocess.run(["cc", "-shared", "-fPIC", "-o", library, source, "-ldl"], check=True)
    return library


def make_template(folder):
    """Makes a folder with a database that has the user Ada, a few tokens and one table of the tests' own.
    Returns the tokens by their use."""
    service = Service(folder)
    service.create_user()
    tokens = {use: service.issue() for use in ("cached", "uncached", "elsewhere", "revoked")}
    with contextlib.closing(sqlite3.connect(service.database)) as connection:
        # Deleted tables leave free pages.
        connection.executescript(
            "CREATE TABLE filler (id INTEGER PRIMARY KEY, bytes BLOB);"
            f"INSERT INTO filler VALUES (1, zeroblob({MIB})), (2, 0);"
            f"CREATE TABLE gone (bytes BLOB); INSERT INTO gone VALUES (zeroblob({MIB})); DROP TABLE gone;"
            "PRAGMA wal_checkpoint(TRUNCATE);")
    return tokens


class Shim:
    """The table of faults that shim.c reads."""

    def __init__(self, library, database):
        # Beside the folder, whose mode may forbid to read it.
        path = database.parent.with_name("faults")
        size = FAULT.size * len(OPERATIONS) * len(FILES)
        path.write_bytes(bytes(size))
        with open(path, "r+b") as file:
            self.table = mmap.mmap(file.fileno(), size)
        self.environment = {"LD_PRELOAD": str(library), "FAULTS_DATABASE": str(database),
                            "FAULTS_TABLE": str(path)}

    def _offset(self, operation, file):
        return FAULT.size * (OPERATIONS.index(operation) * len(FILES) + FILES.index(file))

    def set(self, operation, file, error=0, hang=0, skip=0, parts=0):
        FAULT.pack_into(self.table, self._offset(operation, file), error, hang, skip, parts, 0)

    def hits(self, operation, file):
        """How many calls met the fault since it was set."""
        return FAULT.unpack_from(self.table, self._offset(operation, file))[-1]

    def clear(self):
        self.table[:] = bytes(len(self.table))


class Client:
    """One connection that is kept, so that it also works while no new one can be accepted."""

    def __init__(self, address, timeout=12):
        self.connection = http.client.HTTPConnection(*address, timeout=timeout)
        self.lock = threading.Lock()

    def send(self, method, path, token=None, body=None):
        """Returns the status and the body; no status if there is no answer in time."""
        headers = {"Authorization": f"Bearer {token}"} if token else {}
        if body is not None:
            body, headers["Content-Type"] = json.dumps(body), "application/json"
        with self.lock:
            for attempt in (1, 2):
                try:
                    self.connection.request(method, path, body, headers)
                    response = self.connection.getresponse()
                    return response.status, response.read()
                except TimeoutError:
                    self.connection.close()
                    return None, b""
                except (http.client.RemoteDisconnected, BrokenPipeError, ConnectionResetError):
                    # The server may have closed a connection that was idle.
                    self.connection.close()
                    if attempt == 2:
                        raise
                except BaseException:
                    self.connection.close()
                    raise

    def status(self, *arguments, **options):
        return self.send(*arguments, **options)[0]

    def check(self, token):
        return self.status("GET", "/api/user", token)


class Ledger:
    """What the server has acknowledged. A token whose revocation was not answered is in no list."""

    def __init__(self):
        self.live, self.dead, self.acknowledged = [], [], 0

    def log_in(self, client):
        status, body = client.send("POST", "/api/tokens",
                                   body={"email": EMAIL, "password": PASSWORD, "device_name": "t"})
        if status == 201:
            self.live.append(json.loads(body)["token"])
            self.acknowledged += 1
        return status

    def revoke(self, client, token):
        if token in self.live:
            self.live.remove(token)
        status = client.status("DELETE", "/api/tokens/current", token)
        if status == 204:
            self.dead.append(token)
            self.acknowledged += 1
        return status


class Traffic(threading.Thread):
    """One client that logs in and out all the time. `wrong` lists the answers that no fault excuses."""

    def __init__(self, client, ledger):
        super().__init__(daemon=True)
        self.client, self.ledger, self.wrong = client, ledger, []
        self.pause, self.ending, self.rounds = threading.Lock(), False, 0

    def run(self):
        while not self.ending:
            with self.pause:
                try:
                    self.round()
                except OSError as error:
                    self.wrong.append(repr(error))
            self.rounds += 1
            time.sleep(0.004)

    def round(self):
        status = self.ledger.log_in(self.client)
        self.expect("a login", status, 201)
        if status != 201:
            return
        token = self.ledger.live[-1]
        self.expect("a check of a live token", self.client.check(token), 200)
        if self.rounds % 2:
            status = self.ledger.revoke(self.client, token)
            self.expect("a revocation", status, 204)
            if status == 204:
                self.expect("a check of a revoked token", self.client.check(token), 401)

    def expect(self, what, status, right):
        if status not in (right, 503):
            self.wrong.append(f"{what}: {status}")

    def stop(self):
        self.ending = True
        self.join(timeout=40)
        assert not self.is_alive(), "a request of the traffic was never answered"


class Case:
    """A server on a copy of the template, under traffic, until `close`."""

    def __init__(self, folder, template, tokens, library):
        self.folder, self.tokens, self.ledger = folder, tokens, Ledger()
        shutil.copy(template / "bearerd.sqlite", folder)
        self.database = folder / "bearerd.sqlite"
        self.shim = Shim(library, self.database)
        settings = {"login_attempts_per_minute": 1_000_000, "max_tokens_per_user": "never"}
        self.service = Service(folder, environment=self.shim.environment, **settings)
        # The same files without the shim.
        self.healthy = Service(folder, **settings)
        # Outside of the folder, which a row renames.
        self.service.log = self.healthy.log = folder.with_name("log")
        # When another process had revoked the token "elsewhere".
        self.revoked_at = None
        self.wal, self.shm = (self.database.with_name(f"bearerd.sqlite-{name}") for name in ("wal", "shm"))

    def start(self):
        self.service.start(preexec_fn=obey_modes)
        self.traffic = Traffic(Client(self.service.address, timeout=30), self.ledger)
        self.started = time.monotonic()
        # One for each probe, connected before the fault.
        names = ("cached", "uncached", "elsewhere", "login", "revoke", "ready", "health", "metrics")
        self.clients = {name: Client(self.service.address) for name in names}
        # A write waits for the writes before it.
        self.clients |= {name: Client(self.service.address, timeout=30) for name in ("login", "revoke")}
        for client in self.clients.values():
            assert client.status("GET", "/healthz") == 200
        for use in ("cached", "elsewhere"):
            assert self.check(use) == 200
        self.ledger.live.append(self.tokens["cached"])
        self.traffic.start()
        wait_for(lambda: self.ledger.live[3:] and self.ledger.dead[1:], "traffic before the fault")

    def close(self):
        self.shim.clear()
        for service in (self.service, self.healthy):
            if service.is_running():
                service.kill()

    # Probes.

    def check(self, use):
        return self.clients[use].check(self.tokens[use])

    def log_in(self):
        return self.ledger.log_in(self.clients["login"])

    def revoke(self):
        return self.ledger.revoke(self.clients["revoke"], self.tokens["revoked"])

    def ready(self):
        return self.clients["ready"].status("GET", "/readyz")

    def health(self):
        return self.clients["health"].status("GET", "/healthz")

    def metric(self, name):
        text = self.clients["metrics"].send("GET", "/metrics")[1].decode()
        values = [line.rsplit(" ", 1)[1] for line in text.splitlines() if line.startswith(f"{name} ")]
        return float(values[0]) if values else None

    # What another process does with the files.

    @contextlib.contextmanager
    def other_process(self):
        with contextlib.closing(sqlite3.connect(self.database, isolation_level=None, timeout=5)) as connection:
            connection.execute("PRAGMA wal_autocheckpoint = 0")
            yield connection

    def revoke_elsewhere(self):
        """Another process revokes a token. Returns when that was done."""
        with self.other_process() as connection:
            connection.execute(REVOKE)
        self.revoked_at = time.monotonic()
        return self.revoked_at

    def grow_log(self, size):
        """Another process makes the write-ahead log larger than `size`."""
        with self.other_process() as connection:
            while self.wal.stat().st_size < size:
                connection.execute(f"UPDATE filler SET bytes = randomblob({MIB}) WHERE id = 1")

    def empty_log(self):
        """Another process copies the whole write-ahead log into the database."""
        def checkpoint():
            with self.other_process() as connection:
                return connection.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchone()[0] == 0
        wait_for(checkpoint, "a checkpoint")

    def begin_on_empty_log(self, connection):
        """Begins a write while all pages are in the database, none in the write-ahead log."""
        def begin():
            self.empty_log()
            connection.execute("BEGIN IMMEDIATE")
            # The server may have written in between.
            if self.wal.stat().st_size == 0:
                return True
            connection.execute("ROLLBACK")
        wait_for(begin, "an empty log")

    # After the fault.

    def verify(self, service):
        """Checks that a server has all that was acknowledged."""
        client = Client(service.address)
        lost = [token for token in self.ledger.live if client.check(token) != 200]
        passing = [token for token in self.ledger.dead if client.check(token) != 401]
        assert not lost, f"{len(lost)} of {len(self.ledger.live)} acknowledged tokens are lost"
        assert not passing, f"{len(passing)} of {len(self.ledger.dead)} revoked tokens pass again"

    def starts_or_refuses(self, refusal):
        """Another server starts on damaged files. It refuses, with a line like `refusal`, or passes no dead token and
        refuses no live one."""
        try:
            self.healthy.start()
        except RuntimeError as error:
            assert re.search(refusal, str(error)), error
            return
        client = Client(self.healthy.address)
        with self.traffic.pause:
            wrong = [token for token in self.ledger.dead[-9:] if client.check(token) == 200]
            wrong += [token for token in self.ledger.live[-9:] if client.check(token) not in (200, 503)]
        assert not wrong, f"{len(wrong)} tokens on damaged files"
        self.healthy.kill()


def obey_modes():
    """Makes the modes of files apply to root too: drops CAP_DAC_OVERRIDE and CAP_DAC_READ_SEARCH."""
    if os.geteuid() == 0:
        for capability in (1, 2):
            ctypes.CDLL(None).prctl(24, capability, 0, 0, 0)


def limit(case, what, value):
    """Sets a limit of the running server. Returns the one before."""
    before = resource.prlimit(case.service.process.pid, what)
    resource.prlimit(case.service.process.pid, what, (value, before[1]))
    return before[0]


def kinds(log):
    """How many lines of each kind a log has. Lines that differ in numbers are of one kind."""
    counts = {}
    for line in log.splitlines():
        line = re.sub(r"^\[\S+ | \(from [^)]*\)| \(and \d+ [^)]*\)", "", line)
        kind = re.sub(r"\d+", "#", line)
        counts[kind] = counts.get(kind, 0) + 1
    return counts
