"""Each row of `ROWS` is a fault of the disk or of the database's files, with the answers while it lasts, the line in
the log, and the recovery. The server is under traffic all the time. After each row, what it has acknowledged is
there, also after a restart."""

import contextlib
import re
import shutil
import signal
import sqlite3
import subprocess
import time
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from errno import EAGAIN, EIO, ENOLCK, ENOMEM, ENOSPC

import pytest

from faults import PAGE, REVOKE, Case, compile_shim, kinds, make_template, obey_modes
from injections import (another_writer, calls, copied, cut, damaged, deleted, descriptors_used_up, file_size_limited,
                        first_free_page, folder_renamed, index_full, mode, moved, nearly_full_log, read_only,
                        reader_stays, replaced_for_good, revoke_before_the_next_commit, root, unlinked)
from service import sized, wait_for

ITSELF, RESTART = "by itself", "by a restart"
# An answer that arrives only after the fault.
LATE = "late"


@dataclass
class Row:
    name: str
    # One of `injections`.
    fault: object
    # The right status, or a set of them, of the check of a token that was used a moment ago; of one that was not
    # used since the start; of a login; of a revocation; and of `readyz`.
    cached: object = 200
    uncached: object = 200
    login: object = 201
    revoke: object = 204
    ready: object = 200
    # A pattern of the line in the log.
    says: str = ""
    # A pattern of the line with which another start on these files is refused; "" if none is tried.
    start: str = ""
    # Whether another process can write meanwhile: what it revokes then is refused within a second.
    elsewhere: bool = True
    recovers: str = ITSELF

    def allows(self, what, status):
        right = getattr(self, what)
        return status in (right if isinstance(right, set) else {right})


EITHER = {200, 503}
READS = dict(login=503, revoke=503, ready=503)
NOTHING = dict(cached=503, uncached=503, **READS)
STUCK = dict(login=LATE, revoke=LATE, ready=503)
FULL, IO, LOCKED = "disk is full", "disk I/O error", "database is locked|locking protocol"
DAMAGED = "malformed|not a database"
NOT_COPIED = "write-ahead log can't be copied.*"
# Open files keep their rights. What is opened anew is refused: another start, and a reader's first connection.
OPENING = dict(uncached=EITHER, login={201, 503}, revoke={204, 503}, ready=EITHER)
DENIED = "permission denied|unable to open|read-only"
GONE = dict(**NOTHING, says="bearerd.sqlite(-wal|-shm)? was (replaced|moved or deleted)", elsewhere=False)
BROKEN = dict(elsewhere=False, recovers=RESTART)

ROWS = [
    Row("a full disk: the log", calls("write", "wal", error=ENOSPC), **READS, says=FULL, start=FULL),
    Row("a full disk: writes in part", calls("write", "wal", error=ENOSPC, parts=1), **READS, says=FULL, start=FULL),
    Row("a full disk: a checkpoint", calls("write", "database", error=ENOSPC, prepare=nearly_full_log), ready=503,
        says=NOT_COPIED + FULL),
    # A write of few pages may still fit.
    Row("a full disk: the index of the log", index_full, login={201, 503}, revoke={204, 503}, ready=EITHER,
        says=f"{IO}|{FULL}", elsewhere=False),
    Row("files may not grow (RLIMIT_FSIZE)", file_size_limited, **READS, says=f"{IO}|{FULL}"),
    Row("a file system that became read-only", read_only, **READS, uncached=EITHER, says=f"readonly|{IO}",
        start="read-only"),

    Row("reads fail", calls("read", "database", "wal", error=EIO), **NOTHING, says=f"{IO}|{DAMAGED}", start=IO),
    Row("reads of the log fail", calls("read", "wal", error=EIO), **NOTHING, says=f"{IO}|{DAMAGED}"),
    Row("a commit's write fails", calls("write", "wal", error=EIO), **READS, says=IO, start=IO),
    Row("a commit's third write fails", calls("write", "wal", error=EIO, skip=2), **READS, says=IO),
    Row("a commit's fsync fails", calls("sync", "wal", error=EIO), **READS, says=IO, start=IO),
    Row("a checkpoint's write fails", calls("write", "database", error=EIO, prepare=nearly_full_log), ready=503,
        says=NOT_COPIED + IO),
    Row("a checkpoint's fsync fails", calls("sync", "database", error=EIO, prepare=nearly_full_log), ready=503,
        says=NOT_COPIED + IO),
    Row("a checkpoint's truncation fails", calls("truncate", "database", error=EIO, prepare=nearly_full_log),
        ready=503, says=NOT_COPIED + IO),
    Row("asking for the files' metadata fails", calls("stat", "database", "wal", error=EIO), **NOTHING,
        says="can't be found .*Input/output error"),

    # The running server has mapped it already.
    Row("the index of the log can't be mapped", calls("map", "shm", error=ENOMEM), start=IO),

    Row("reads hang", calls("read", "database", "wal", hang=1), **NOTHING),
    Row("a commit's fsync hangs", calls("sync", "wal", hang=1, prepare=revoke_before_the_next_commit), **STUCK),
    Row("a checkpoint's fsync hangs", calls("sync", "database", hang=1, prepare=nearly_full_log), **STUCK),
    Row("asking for the files' metadata hangs", calls("stat", "database", "wal", hang=1), cached=EITHER,
        uncached=EITHER, login={LATE, 503}, revoke={LATE, 503}, ready=503),

    Row("no locks are left (ENOLCK)", calls("lock", "database", "shm", error=ENOLCK), **NOTHING, says=LOCKED),
    Row("locks are taken (EAGAIN)", calls("lock", "database", "shm", error=EAGAIN), **NOTHING, says=LOCKED),
    Row("another process holds the write lock", another_writer, **READS, says=LOCKED, elsewhere=False, start=LOCKED),
    Row("a reader keeps the log from shrinking", reader_stays, says="write-ahead log has grown"),
    Row("descriptors are used up", descriptors_used_up, **OPENING, says="too many open files"),

    Row("the file's mode is 000", mode("bearerd.sqlite", 0o000), **OPENING, start=DENIED),
    Row("the file's mode is 444", mode("bearerd.sqlite", 0o444), start="read-only"),
    Row("the log's mode is 000", mode("bearerd.sqlite-wal", 0o000), **OPENING, start=DENIED),
    Row("the folder's mode is 555", mode(".", 0o555)),
    Row("the folder's mode is 000", mode(".", 0o000), **NOTHING, says="permission denied", start=DENIED),

    Row("the file is replaced", moved("", put=copied), **GONE),
    Row("the file and its log are replaced", moved("", "-wal", "-shm", put=copied), **GONE),
    Row("the file is replaced for good", replaced_for_good(), **GONE, recovers=RESTART),
    Row("the file and its log are replaced for good", replaced_for_good("-wal", "-shm"), **GONE, recovers=RESTART),
    Row("the file is moved away", moved(""), **GONE),
    Row("the log is moved away", moved("-wal"), **GONE),
    Row("the index of the log is moved away", moved("-shm"), **GONE),
    Row("the folder is renamed", folder_renamed, **GONE),
    Row("the file and its log are deleted", deleted, **GONE, recovers=RESTART),
    Row("the log is deleted", unlinked("-wal"), **GONE, recovers=RESTART),
    Row("the index of the log is deleted", unlinked("-shm"), **GONE, recovers=RESTART),

    Row("the file is truncated to nothing", cut, **NOTHING, says=DAMAGED, **BROKEN),
    Row("the header is damaged", damaged(lambda connection: 0, 100), **NOTHING, says=DAMAGED, **BROKEN),
    # The server has read the schema already; the next start is refused.
    Row("the schema is damaged", damaged(lambda connection: 100, PAGE - 100), cached=EITHER, uncached=EITHER,
        login={201, 503}, revoke={204, 503}, ready=EITHER, start=DAMAGED, **BROKEN),
    Row("the list of free pages is damaged", damaged(first_free_page), login={201, 503}, ready=EITHER, **BROKEN),
]

# Each table and index, and what its damaged root prevents. Cached tokens pass as long as the change log can be read;
# if it can't, each token is looked up. Writes of one batch may fail together.
CHECKING = {**NOTHING, "cached": EITHER}
ISSUING, REVOKING = dict(login=503, revoke={204, 503}), dict(login={201, 503}, revoke=503)
OBJECTS = {
    "users": CHECKING,
    "users_email": ISSUING,
    "users_password_cost": ISSUING,
    "email_owners": ISSUING,
    "email_owners_user_id": {},
    "tokens": CHECKING,
    "tokens_digest_prefix": CHECKING,
    "tokens_user_id": ISSUING,
    "tokens_created_at": ISSUING,
    "tokens_expires_at": {},
    "tokens_ages_from": {},
    "tokens_revoked_at": REVOKING,
    "tokens_parent_id": REVOKING,
    "tokens_unrevoked_id": READS,
    "token_counts": READS,
    "changes": READS,
    "bulk_revocations": {},
    "bulk_revocations_revoked_at": {},
    "sqlite_sequence": ISSUING,
    "__diesel_schema_migrations": {},
    "sqlite_autoindex___diesel_schema_migrations_1": {},
}
for name, prevented in OBJECTS.items():
    expected = {"ready": 503, "says": DAMAGED, **prevented} if prevented else {"ready": EITHER}
    ROWS.append(Row(f"{name} is damaged", damaged(root(name)), **expected, **BROKEN))


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
    # The files of a row that failed are kept.
    shutil.rmtree(folder)


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
    if not settled(lambda: re.search(row.says, case.service.log_text()[logged:], re.I), bool):
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
    """Another process revokes a token, if the fault has not done so. No check that begins a second later may pass."""
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
    is_refused = result.returncode in (1, 2) and len(lines) == 1 and re.search(pattern, lines[0], re.I)
    return [] if is_refused else [f"another start: exit {result.returncode}, {lines}"]


def end(case, wrong):
    """Ends the traffic, and adds to `wrong` what it and the log have seen."""
    case.traffic.stop()
    wrong += case.traffic.wrong[:9]
    seconds = time.monotonic() - case.started
    flood = {kind: count for kind, count in kinds(case.service.log_text()).items() if count > seconds + 2}
    if flood:
        wrong.append(f"lines in {seconds:.0f} s: {flood}")


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
        assert {name for name, in roots} == set(OBJECTS)


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGKILL])
@pytest.mark.parametrize("name", ["a full disk: writes in part", "a full disk: a checkpoint", "a commit's fsync fails",
                                  "a checkpoint's fsync fails"])
def test_a_server_that_ends_during_a_fault_loses_nothing(name, number, tmp_path, library, template):
    fault = next(row.fault for row in ROWS if row.name == name)
    with serving(tmp_path, library, template) as case:
        with fault(case):
            wait_for(lambda: case.ready() == 503, "readyz 503")
            case.service.kill(number)
        case.traffic.stop()
        starts_healthy(case)


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
