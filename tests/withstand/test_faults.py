"""Each row of `ROWS` is a fault of the disk or of the database's files, with the answers during the fault, the
line in the log, and the recovery. The server is under traffic all the time."""

import contextlib
import errno
import os
import re
import resource
import signal
import sqlite3
import subprocess
import time
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

import pytest

from faults import MIB, PAGE, REVOKE, Case, Client, compile_shim, kinds, limit, make_template, obey_modes
from service import sized, wait_for

# Recoveries.
ITSELF, RESTART = "by itself", "by a restart"
# An answer that arrives only after the fault.
LATE = "late"
FULL = "disk is full"
IO = "disk I/O error"
LOCKED = "database is locked|locking protocol"
DAMAGED = "malformed|not a database"


@dataclass
class Row:
    """A fault, the statuses that are right while it lasts, and its end."""
    name: str
    # Called with the case; a context manager whose end ends the fault.
    fault: object
    # The check of a token that was used a moment ago, and of one that was not used since the start.
    cached: object = 200
    uncached: object = 200
    login: object = 201
    revoke: object = 204
    ready: object = 200
    # A pattern of the line in the log.
    says: str = ""
    # A pattern of the line with which another start on these files is refused. "": it isn't.
    start: str = ""
    # Whether another process can write meanwhile: what it revokes then is refused within a second.
    elsewhere: bool = True
    recovers: str = ITSELF

    def allows(self, what, status):
        right = getattr(self, what)
        return status in (right if isinstance(right, set) else {right})


# Faults that the shim makes.

def calls(*places, prepare=None, **fault):
    """Each (operation, file) of `places` fails, from now on. `prepare` brings such calls about."""
    @contextlib.contextmanager
    def context(case):
        if prepare:
            prepare(case)
        for place in places:
            case.shim.set(*place, **fault)
        try:
            yield
            hits = {place: case.shim.hits(*place) for place in places}
        finally:
            case.shim.clear()
        assert any(hits.values()), "no call met the fault"
    return context


def nearly_full_log(case):
    """The next checkpoint is due soon."""
    case.grow_log(8000 * (PAGE + 24))


def nearly_full_index(case):
    """The index of the log, `-shm`, must grow soon: each 32 KiB of it are for about 4,000 pages."""
    case.grow_log(3700 * (PAGE + 24))


@contextlib.contextmanager
def index_full(case):
    with calls(("write", "shm"), error=errno.ENOSPC, prepare=nearly_full_index)(case):
        wait_for(lambda: case.shim.hits("write", "shm"), "an index that must grow")
        yield


def revoke_before_the_next_commit(case):
    """Another process revokes a token and then lets the server commit, which meets the fault."""
    with case.other_process() as connection:
        connection.execute("BEGIN IMMEDIATE")
        connection.execute(REVOKE)
        case.shim.set("sync", "wal", hang=1)
        connection.execute("COMMIT")
        case.revoked_at = time.monotonic()


ROWS = []


def row(name, fault, **expected):
    ROWS.append(Row(name, fault, **expected))


READ_ONLY = dict(login=503, revoke=503, ready=503)
NOTHING = dict(cached=503, uncached=503, login=503, revoke=503, ready=503)

EITHER = {200, 503}
STUCK = dict(login=LATE, revoke=LATE, ready=503)

row("a full disk: the log", calls(("write", "wal"), error=errno.ENOSPC), **READ_ONLY, says=FULL, start=FULL)
row("a full disk: writes in part", calls(("write", "wal"), error=errno.ENOSPC, parts=1), **READ_ONLY,
    says=FULL, start=FULL)
row("a full disk: a checkpoint",
    calls(("write", "database"), error=errno.ENOSPC, prepare=nearly_full_log), ready=503, says=f"log can.t be copied.*{FULL}")
# A write of few pages may still fit.
row("a full disk: the index of the log", index_full, login={201, 503}, revoke={204, 503}, ready=EITHER,
    says=f"{IO}|{FULL}", elsewhere=False)
row("a write of the log fails", calls(("write", "wal"), error=errno.EIO), **READ_ONLY, says=IO, start=IO)
row("a checkpoint's write fails",
    calls(("write", "database"), error=errno.EIO, prepare=nearly_full_log), ready=503, says=f"log can.t be copied.*{IO}")
row("a commit's fsync fails", calls(("sync", "wal"), error=errno.EIO), **READ_ONLY, says=IO, start=IO)
row("a checkpoint's fsync fails",
    calls(("sync", "database"), error=errno.EIO, prepare=nearly_full_log), ready=503, says=f"log can.t be copied.*{IO}")
row("a checkpoint's truncation fails",
    calls(("truncate", "database"), error=errno.EIO, prepare=nearly_full_log), ready=503, says=f"log can.t be copied.*{IO}")
row("reads fail", calls(("read", "database"), ("read", "wal"), error=errno.EIO), **NOTHING,
    says=f"{IO}|{DAMAGED}", start=IO)
row("reads of the log fail", calls(("read", "wal"), error=errno.EIO), **NOTHING, says=f"{IO}|{DAMAGED}")
row("a commit's fsync hangs", calls(("sync", "wal"), hang=1, prepare=revoke_before_the_next_commit), **STUCK)
row("a checkpoint's fsync hangs", calls(("sync", "database"), hang=1, prepare=nearly_full_log), **STUCK)
row("reads hang", calls(("read", "database"), ("read", "wal"), hang=1), **NOTHING)
row("no locks are left (ENOLCK)", calls(("lock", "shm"), ("lock", "database"), error=errno.ENOLCK), **NOTHING,
    says=LOCKED)
row("locks are taken (EAGAIN)", calls(("lock", "shm"), ("lock", "database"), error=errno.EAGAIN), **NOTHING,
    says=LOCKED)
row("a file system that became read-only",
    calls(*((operation, file) for operation in ("open", "write", "sync", "truncate", "unlink")
            for file in ("database", "wal", "shm")), error=errno.EROFS),
    **READ_ONLY, says=f"readonly|{IO}", start="read-only")
row("the file's metadata can't be read", calls(("stat", "database"), ("stat", "wal"), error=errno.EIO), **NOTHING,
    says="stat|metadata|moved|replaced|error")
row("the question for the file's metadata hangs", calls(("stat", "database"), ("stat", "wal"), hang=1), cached=EITHER,
    uncached=EITHER, login={LATE, 503}, revoke={LATE, 503}, ready=503)


# Faults of the files.

def of_files(function):
    """A fault that begins and ends without a call of the server."""
    return contextlib.contextmanager(function)


@of_files
def another_writer(case):
    with case.other_process() as connection:
        connection.execute("BEGIN IMMEDIATE")
        yield
        connection.execute("ROLLBACK")


row("another process holds the write lock", another_writer, **READ_ONLY, says=LOCKED, elsewhere=False,
    start=LOCKED)


def mode(name, bits):
    @of_files
    def context(case):
        path = case.folder / name
        before = path.stat().st_mode
        path.chmod(bits)
        yield
        path.chmod(before)
    return context


# Open files keep their rights. What is opened anew is refused.
UNWRITABLE, UNREADABLE = "read-only", "ermission denied|unable to open|read-only"
row("the file's mode is 000", mode("bearerd.sqlite", 0o000), start=UNREADABLE)
row("the file's mode is 444", mode("bearerd.sqlite", 0o444), start=UNWRITABLE)
row("the log's mode is 000", mode("bearerd.sqlite-wal", 0o000), start=UNREADABLE)
row("the folder's mode is 555", mode(".", 0o555))
row("the folder's mode is 000", mode(".", 0o000), **NOTHING, says="ermission denied", start=UNREADABLE)


def moved(*suffixes, put=None, back=True):
    """These files are moved away and later back, unless they are gone for good. Meanwhile, a file that `put` makes
    takes their place. Nothing that the server does with the files that are gone may be acknowledged."""
    @of_files
    def context(case):
        aside, names = case.folder / "aside", [f"bearerd.sqlite{suffix}" for suffix in suffixes]
        aside.mkdir()
        with case.traffic.pause:
            if put:
                put(case, aside / "put")
            for name in names:
                (case.folder / name).rename(aside / name)
            if put:
                (aside / "put").rename(case.database)
            acknowledged = len(case.ledger.live) + len(case.ledger.dead)
        yield
        assert acknowledged == len(case.ledger.live) + len(case.ledger.dead), "a write to a file that is gone"
        for name in names if back else ():
            (aside / name).rename(case.folder / name)
    return context


def left_there(*suffixes):
    """The file is replaced by a copy, and stays so. What another process writes to the new file is kept."""
    @of_files
    def context(case):
        with moved("", *suffixes, put=copied, back=False)(case):
            if suffixes:
                case.revoke_elsewhere()
            yield
        if suffixes:
            case.ledger.dead.append(case.tokens["elsewhere"])
    return context


@of_files
def deleted(case):
    with moved("", "-wal", "-shm", back=False)(case):
        yield
    # The restart makes a new database, so nothing passes.
    case.ledger.dead += case.ledger.live
    case.ledger.live.clear()


def copied(case, path):
    """A copy of the database, as a backup has it."""
    with case.other_process() as source, contextlib.closing(sqlite3.connect(path)) as target:
        source.backup(target)


GONE = "replaced|deleted|moved|gone|missing"
MOVED = dict(**NOTHING, says=GONE, elsewhere=False)
row("the file is replaced", moved("", put=copied), **MOVED)
row("the file and its log are replaced", moved("", "-wal", "-shm", put=copied), **MOVED)
row("the file is moved away", moved(""), **MOVED)
row("the file is replaced for good", left_there(), **MOVED, recovers=RESTART)
row("the file and its log are replaced for good", left_there("-wal", "-shm"), **MOVED, recovers=RESTART)
row("the file and its log are deleted", deleted, **MOVED, recovers=RESTART)
row("the log is moved away", moved("-wal"), **MOVED)
row("the index of the log is moved away", moved("-shm"), **MOVED)


@of_files
def folder_renamed(case):
    elsewhere = case.folder.with_name("elsewhere")
    case.folder.rename(elsewhere)
    yield
    elsewhere.rename(case.folder)


@of_files
def log_deleted(case):
    case.wal.unlink()
    yield


@of_files
def index_deleted(case):
    case.shm.unlink()
    yield


row("the folder is renamed", folder_renamed, **NOTHING, elsewhere=False)
row("the log is deleted", log_deleted, **MOVED, recovers=RESTART)
row("the index of the log is deleted", index_deleted, **MOVED, recovers=RESTART)


# Damaged files.

def damaged(find, length=PAGE):
    """Overwrites bytes of the file, at the place that `find` returns. The end puts them back, unless the server
    has written there since."""
    @of_files
    def context(case):
        with case.traffic.pause:
            case.empty_log()
            # The commit of another process makes the server read its pages again.
            with case.other_process() as connection:
                place = find(connection)
                connection.execute("BEGIN IMMEDIATE")
                connection.execute("UPDATE filler SET bytes = random() WHERE id = 2")
                with open(case.database, "r+b") as file:
                    file.seek(place)
                    whole = file.read(length)
                    file.seek(place)
                    file.write(DAMAGE * length)
                connection.execute("COMMIT")
        yield
        starts_or_refuses(case)
        case.traffic.stop()
        # This copies the write-ahead log into the file, perhaps with damaged pages.
        case.service.stop()
        with open(case.database, "r+b") as file:
            file.seek(place)
            if file.read(length) == DAMAGE * length:
                file.seek(place)
                file.write(whole)
    return context


DAMAGE = b"\xa5"


def root(name):
    def find(connection):
        query = "SELECT rootpage FROM sqlite_schema WHERE name = ?"
        return (connection.execute(query, [name]).fetchone()[0] - 1) * PAGE
    return damaged(find)


def first_free_page(connection):
    with open(connection.execute("PRAGMA database_list").fetchone()[2], "rb") as file:
        file.seek(32)
        return (int.from_bytes(file.read(4), "big") - 1) * PAGE


# Writes of one batch may fail together.
ISSUING, REVOKING = dict(login=503, revoke={204, 503}), dict(login={201, 503}, revoke=503)
# Cached tokens pass as long as the change log can be read; if it can't, each token is looked up.
CACHED = {**NOTHING, "cached": EITHER}
DAMAGES = {
    "users": CACHED, "tokens": CACHED, "tokens_digest_prefix": CACHED, "changes": READ_ONLY,
    "email_owners": ISSUING, "email_owners_user_id": {}, "token_counts": dict(login=503, revoke=503),
    "sqlite_sequence": ISSUING, "users_email": ISSUING, "users_password_cost": ISSUING, "tokens_user_id": ISSUING,
    "tokens_expires_at": {}, "tokens_revoked_at": REVOKING, "tokens_created_at": ISSUING,
    "tokens_parent_id": REVOKING, "tokens_ages_from": {}, "tokens_unrevoked_id": dict(login=503, revoke=503),
    "bulk_revocations": {}, "bulk_revocations_revoked_at": {}, "__diesel_schema_migrations": {},
    "sqlite_autoindex___diesel_schema_migrations_1": {},
}
BROKEN = dict(elsewhere=False, recovers=RESTART)
for name, expected in DAMAGES.items():
    row(f"{name} is damaged", root(name),
        **{"ready": 503, "says": DAMAGED, **expected} if expected else {"ready": EITHER}, **BROKEN)
row("the header is damaged", damaged(lambda connection: 0, 100), **NOTHING, says=DAMAGED, **BROKEN)
# The server has read the schema already; the next start is refused.
row("the schema is damaged", damaged(lambda connection: 100, PAGE - 100), cached=EITHER, uncached=EITHER,
    login={201, 503}, revoke={204, 503}, ready=EITHER, start=DAMAGED, **BROKEN)
row("the list of free pages is damaged", damaged(first_free_page), login={201, 503}, ready=EITHER, **BROKEN)


@of_files
def cut(case):
    with case.traffic.pause:
        case.empty_log()
        whole = case.database.read_bytes()
        os.truncate(case.database, 0)
    yield
    if case.database.stat().st_size < len(whole):
        case.database.write_bytes(whole)


row("the file is truncated to nothing", cut, **NOTHING, says=f"{DAMAGED}|truncated|{GONE}", **BROKEN)


# Limits of the process.

@of_files
def file_size_limited(case):
    case.grow_log(MIB)
    before = limit(case, resource.RLIMIT_FSIZE, case.wal.stat().st_size)
    yield
    limit(case, resource.RLIMIT_FSIZE, before)


@of_files
def descriptors_used_up(case):
    before = limit(case, resource.RLIMIT_NOFILE, case.service.descriptors())
    late = Client(case.service.address)
    with ThreadPoolExecutor() as pool:
        answer = pool.submit(late.status, "GET", "/healthz")
        used = case.service.cpu_seconds()
        yield
        assert not answer.done(), "a new connection was accepted"
        limit(case, resource.RLIMIT_NOFILE, before)
        assert answer.result() == 200
        assert case.service.cpu_seconds() - used < 3, "the server was busy with what it can't accept"


row("files may not grow (RLIMIT_FSIZE)", file_size_limited, **READ_ONLY, says=f"{IO}|{FULL}")
row("descriptors are used up", descriptors_used_up, says="[Tt]oo many open files|accept")


# A log that can't shrink.

@of_files
def reader_stays(case):
    with case.other_process() as reader:
        reader.execute("BEGIN")
        reader.execute("SELECT * FROM users").fetchall()
        case.grow_log(150 * MIB)
        yield
        wait_for(lambda: (case.metric("bearerd_wal_bytes") or 0) > 140 * MIB, "the metric of the log's size")
        reader.execute("ROLLBACK")
    wait_for(lambda: case.metric("bearerd_wal_bytes") <= 64 * MIB, "a smaller log")
    assert case.wal.stat().st_size <= 64 * MIB


row("a reader keeps the log from shrinking", reader_stays, says="write-ahead log has grown")


@pytest.fixture(scope="session")
def library(tmp_path_factory):
    return compile_shim(tmp_path_factory.mktemp("shim"))


@pytest.fixture(scope="session")
def template(tmp_path_factory):
    folder = tmp_path_factory.mktemp("template")
    return folder, make_template(folder)


@pytest.fixture(scope="session")
def outcomes(request, library, template, tmp_path_factory):
    """The rows that were selected, by name. A few run at a time, because many of them wait."""
    rows = [item.callspec.params["row"] for item in request.session.items if item.name.startswith("test_fault[")]
    pool = ThreadPoolExecutor(3)
    yield {row.name: pool.submit(run_row, row, tmp_path_factory.mktemp("row"), library, template) for row in rows}
    pool.shutdown(cancel_futures=True)


@pytest.mark.parametrize("row", ROWS, ids=lambda row: row.name)
def test_fault(row, outcomes):
    outcomes[row.name].result()


def run_row(row, folder, library, template):
    with serving(folder, library, template) as case, ThreadPoolExecutor() as pool:
        wrong = []
        try:
            survive(row, case, pool, wrong)
        except Exception as error:
            raise AssertionError("\n".join([*wrong, str(error)])) from error
        assert not wrong, "\n".join(wrong)


def survive(row, case, pool, wrong):
    """Compares a row with what the server does, during the fault and after it. Adds the differences to `wrong`."""
    logged = len(case.service.log_text())
    with row.fault(case):
        late = answers_during(case, row, pool, logged, wrong)
    for name, answer in late.items():
        assert answer.result() in (201, 204, 503), f"{name}: {answer.result()}"
    if row.recovers == ITSELF:
        wait_for(lambda: case.ready() == 200, "the recovery", 10)
        assert case.log_in() == 201
    end(case, wrong)
    if row.elsewhere:
        case.ledger.dead.append(case.tokens["elsewhere"])
    if row.recovers == ITSELF:
        case.verify(case.service)
        case.service.kill()
    elif case.service.is_running():
        case.service.stop()
    starts_healthy(case)


@contextlib.contextmanager
def serving(folder, library, template):
    home = folder / "database"
    home.mkdir()
    case = Case(home, *template, library)
    try:
        case.start()
        yield case
    finally:
        case.close()


def answers_during(case, row, pool, logged, wrong):
    """Returns the answers that are late."""
    began = time.monotonic()

    def compare(name, answer):
        if not row.allows(name, answer.result()):
            wrong.append(f"{name}: {answer.result()}, not {getattr(row, name)}")

    def settle(name, ask):
        return pool.submit(settled, ask, lambda status: row.allows(name, status))

    # What the server has noticed by now.
    stale = pool.submit(passes_after_revocation, case) if row.elsewhere else None
    ready, cached = settle("ready", case.ready), settle("cached", lambda: case.check("cached"))
    wrong += stale.result() if stale else []
    compare("ready", ready)
    compare("cached", cached)
    # What it does from now on.
    answers = {"uncached": pool.submit(case.check, "uncached"), "login": pool.submit(case.log_in),
               "revoke": pool.submit(case.revoke)}
    start = pool.submit(start_is_not_refused, case, row.start) if row.start else None
    again = pool.submit(case.check, "elsewhere")
    if case.health() != 200:
        wrong.append("healthz does not answer")
    late = {name: answers.pop(name) for name, answer in list(answers.items())
            if row.allows(name, LATE) and not answer.done()}
    for name, answer in answers.items():
        compare(name, answer)
    wrong += start.result() if start else []
    if row.elsewhere and again.result() == 200:
        wrong.append("the token that another process revoked passes again")
    if not settled(lambda: re.search(row.says, case.service.log_text()[logged:], re.IGNORECASE), bool):
        wrong.append(f"no line with {row.says!r} in {kinds(case.service.log_text()[logged:])}")
    time.sleep(max(0, began + sized(0, 8) - time.monotonic()))
    if not row.allows("ready", case.ready()):
        wrong.append("readyz has changed meanwhile")
    return late


def settled(value, is_right, patience=4):
    """The value as soon as it is right, or the last one."""
    deadline = time.monotonic() + patience
    while True:
        found = value()
        if is_right(found) or time.monotonic() > deadline:
            return found
        time.sleep(0.02)


def passes_after_revocation(case):
    """Another process revokes a token, if the fault has not done so. No check of it that begins a second later may pass."""
    done = case.revoked_at or case.revoke_elsewhere()
    while True:
        began = time.monotonic()
        if case.check("elsewhere") != 200:
            return []
        if began - done > 1:
            return [f"a token passed {began - done:.2f} s after another process had revoked it"]


def start_is_not_refused(case, pattern):
    command = ["serve", "--listen", "127.0.0.1:0"]
    try:
        result = case.service.run(*command, check=False, timeout=12, preexec_fn=obey_modes)
    except subprocess.TimeoutExpired:
        return ["another start is not refused"]
    lines = [line for line in result.stderr.splitlines() if " WARN " not in line]
    is_refused = result.returncode in (1, 2) and len(lines) == 1 and re.search(pattern, lines[0])
    return [] if is_refused else [f"another start: exit {result.returncode}, {lines}"]


def end(case, wrong):
    """Ends the traffic, and adds to `wrong` what it and the log have seen."""
    case.traffic.stop()
    wrong += case.traffic.wrong[:9]
    seconds = time.monotonic() - case.started
    flood = {kind: count for kind, count in kinds(case.service.log_text()).items() if count > seconds + 2}
    if flood:
        wrong.append(f"lines in {seconds:.0f} s: {flood}")


def starts_or_refuses(case):
    """A start on damaged files may be refused. If not, nothing that is dead passes and no live token is refused."""
    try:
        case.healthy.start()
    except RuntimeError as error:
        assert re.search(f"{DAMAGED}|{IO}", str(error)), error
        return
    client = Client(case.healthy.address)
    with case.traffic.pause:
        wrong = [token for token in case.ledger.dead[-9:] if client.check(token) == 200]
        wrong += [token for token in case.ledger.live[-9:] if client.check(token) not in (200, 503)]
    assert not wrong, f"{len(wrong)} tokens on damaged files"
    case.healthy.kill()


def starts_healthy(case):
    """Starts a server without the shim, and checks that all is there and the file is intact."""
    case.healthy.start()
    case.verify(case.healthy)
    assert case.healthy.stop() == 0
    case.healthy.run("check")


def test_each_table_and_index_has_a_row_of_damage(template):
    folder, _ = template
    with contextlib.closing(sqlite3.connect(folder / "bearerd.sqlite")) as connection:
        roots = connection.execute("SELECT name FROM sqlite_schema WHERE rootpage > 0 AND name <> 'filler'")
        assert {name for name, in roots} == set(DAMAGES)


def test_a_server_that_was_paused_passes_nothing_that_was_revoked_meanwhile(tmp_path, library, template):
    with serving(tmp_path, library, template) as case, ThreadPoolExecutor() as pool:
        with case.other_process() as connection:
            # The server must not be stopped while it holds the lock.
            connection.execute("BEGIN IMMEDIATE")
            case.service.process.send_signal(signal.SIGSTOP)
            connection.execute(REVOKE)
            connection.execute("COMMIT")
        time.sleep(1.1)  # A cached token may pass for a second.
        clients = case.clients["elsewhere"], case.clients["health"]
        answers = [pool.submit(client.check, case.tokens["elsewhere"]) for client in clients]
        wait_for(lambda: all(answer.running() for answer in answers), "two checks")
        case.service.process.send_signal(signal.SIGCONT)
        assert [answer.result() for answer in answers] == [401, 401]
        wrong = []
        end(case, wrong)
        assert not wrong
