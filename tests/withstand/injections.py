"""The faults of `test_faults.py`. A fault is a function that takes the case and returns a context manager; it lasts
while the block of that runs. Functions with other arguments return a fault."""

import contextlib
import errno
import os
import resource
import sqlite3
import time
from concurrent.futures import ThreadPoolExecutor

from faults import MIB, PAGE, REVOKE, Client, limit
from service import wait_for

fault = contextlib.contextmanager


# System calls that fail, by the shim.

def calls(operation, *files, prepare=None, **what):
    """Calls of this kind on these files fail from now on. `prepare` makes the server come to such calls soon."""
    @fault
    def context(case):
        if prepare:
            prepare(case)
        for file in files:
            case.shim.set(operation, file, **what)
        try:
            yield
            hits = sum(case.shim.hits(operation, file) for file in files)
        finally:
            case.shim.clear()
        assert hits, "no call met the fault"
    return context


def nearly_full_log(case):
    """The next checkpoint is due soon."""
    case.grow_log(8000 * (PAGE + 24))


def revoke_before_the_next_commit(case):
    """Another process revokes a token and then lets the server commit, which meets the fault."""
    with case.other_process() as connection:
        connection.execute("BEGIN IMMEDIATE")
        connection.execute(REVOKE)
        case.shim.set("sync", "wal", hang=1)
        connection.execute("COMMIT")
        case.revoked_at = time.monotonic()


@fault
def index_full(case):
    """The index of the log, `-shm`, can't grow. Each 32 KiB of it are for about 4,000 pages."""
    case.grow_log(3700 * (PAGE + 24))
    with calls("write", "shm", error=errno.ENOSPC)(case):
        wait_for(lambda: case.shim.hits("write", "shm"), "an index that must grow")
        yield


@fault
def read_only(case):
    with calls("write", "wal", error=errno.EROFS)(case):
        for file in ("database", "wal", "shm"):
            for operation in ("open", "write", "sync", "truncate", "unlink"):
                case.shim.set(operation, file, error=errno.EROFS)
        yield


# What another process does to the files.

@fault
def another_writer(case):
    with case.other_process() as connection:
        connection.execute("BEGIN IMMEDIATE")
        yield
        connection.execute("ROLLBACK")


@fault
def reader_stays(case):
    """Another process keeps a read transaction, so that the write-ahead log grows. Later it shrinks."""
    with case.other_process() as reader:
        reader.execute("BEGIN")
        reader.execute("SELECT * FROM users").fetchall()
        case.grow_log(150 * MIB)
        yield
        wait_for(lambda: (case.metric("bearerd_wal_bytes") or 0) > 140 * MIB, "the metric of the log's size")
        reader.execute("ROLLBACK")
    wait_for(lambda: case.metric("bearerd_wal_bytes") <= 64 * MIB, "a smaller log")
    assert case.wal.stat().st_size <= 64 * MIB


def mode(name, bits):
    """The mode of a file or of the folder."""
    @fault
    def context(case):
        path = case.folder / name
        before = path.stat().st_mode
        path.chmod(bits)
        yield
        path.chmod(before)
    return context


def moved(*suffixes, put=None, back=True):
    """These files are moved away and later back, unless they are gone for good. Meanwhile, a file that `put` makes
    takes their place. The server may acknowledge nothing that it does with the files that are gone."""
    @fault
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
            before = case.ledger.acknowledged
        yield
        lost = case.ledger.acknowledged - before
        assert lost == 0, f"{lost} writes to a file that is gone were acknowledged"
        for name in names if back else ():
            (aside / name).rename(case.folder / name)
    return context


def copied(case, path):
    """Copies the database, as a backup does."""
    with case.other_process() as source, contextlib.closing(sqlite3.connect(path)) as target:
        source.backup(target)


def replaced_for_good(*suffixes):
    """A copy replaces the file, and stays. If the new file has a log of its own, what another process writes to it
    is kept."""
    @fault
    def context(case):
        with moved("", *suffixes, put=copied, back=False)(case):
            if suffixes:
                case.revoke_elsewhere()
            yield
        if suffixes:
            case.ledger.dead.append(case.tokens["elsewhere"])
    return context


@fault
def deleted(case):
    with moved("", "-wal", "-shm", back=False)(case):
        yield
    # The restart makes a new database, so nothing passes.
    case.ledger.dead += case.ledger.live
    case.ledger.live.clear()


def unlinked(suffix):
    """The log or its index is deleted. The restart must find all writes."""
    @fault
    def context(case):
        case.database.with_name(f"bearerd.sqlite{suffix}").unlink()
        yield
    return context


@fault
def folder_renamed(case):
    elsewhere = case.folder.with_name("elsewhere")
    case.folder.rename(elsewhere)
    yield
    elsewhere.rename(case.folder)


@fault
def cut(case):
    """The file is truncated to nothing. The end puts its content back."""
    with case.traffic.pause:
        case.empty_log()
        whole = case.database.read_bytes()
        os.truncate(case.database, 0)
    yield
    if case.database.stat().st_size < len(whole):
        case.database.write_bytes(whole)


DAMAGE = b"\xa5"


def damaged(find, length=PAGE):
    """Bytes of the file are overwritten, at the place that `find` returns. The end puts them back, unless the server
    has written there since."""
    @fault
    def context(case):
        with case.traffic.pause:
            # The commit of another process makes the server read its pages again.
            with case.other_process() as connection:
                place = find(connection)
                case.begin_on_empty_log(connection)
                connection.execute("UPDATE filler SET bytes = random() WHERE id = 2")
                with open(case.database, "r+b") as file:
                    file.seek(place)
                    whole = file.read(length)
                    file.seek(place)
                    file.write(DAMAGE * length)
                connection.execute("COMMIT")
        yield
        case.starts_or_refuses("malformed|not a database|disk I/O error")
        case.traffic.stop()
        # This copies the write-ahead log into the file, perhaps with damaged pages.
        case.service.stop()
        with open(case.database, "r+b") as file:
            file.seek(place)
            if file.read(length) == DAMAGE * length:
                file.seek(place)
                file.write(whole)
    return context


def root(name):
    """Where the root page of a table or an index is."""
    def find(connection):
        query = "SELECT rootpage FROM sqlite_schema WHERE name = ?"
        return (connection.execute(query, [name]).fetchone()[0] - 1) * PAGE
    return find


def first_free_page(connection):
    with open(connection.execute("PRAGMA database_list").fetchone()[2], "rb") as file:
        file.seek(32)
        return (int.from_bytes(file.read(4), "big") - 1) * PAGE


# Limits of the process.

@fault
def file_size_limited(case):
    case.grow_log(MIB)
    before = limit(case, resource.RLIMIT_FSIZE, case.wal.stat().st_size)
    yield
    limit(case, resource.RLIMIT_FSIZE, before)


@fault
def descriptors_used_up(case):
    """No new connection can be accepted. One that waits is answered later, and costs no CPU."""
    before = limit(case, resource.RLIMIT_NOFILE, case.service.descriptors())
    late = Client(case.service.address, timeout=30)
    with ThreadPoolExecutor() as pool:
        answer = pool.submit(late.status, "GET", "/healthz")
        yield
        with case.traffic.pause:
            used, began = case.service.cpu_seconds(), time.monotonic()
            time.sleep(0.5)
            share = (case.service.cpu_seconds() - used) / (time.monotonic() - began)
        waits = not answer.done()
        limit(case, resource.RLIMIT_NOFILE, before)
        assert answer.result() == 200
    assert waits, "a new connection was accepted"
    assert share < 0.3, f"the server used {share:.2f} cores for what it can't accept"
