"""Kills the server and commands, and cuts and damages the write-ahead log: what was acknowledged is still
there, what was not is there wholly or not at all, and no revoked token passes."""

import contextlib
import dataclasses
import os
import random
import shutil
import sqlite3
import subprocess
import threading
import time
from pathlib import Path

import pytest

from accounts import Client, finish, traffic
from service import BEARERD, ROOT, Service, serving, sized, wait_for

CLIENTS = 16
SETTINGS = {"login_attempts_per_minute": 1_000_000, "max_tokens_per_user": "never"}
WAL = "bearerd.sqlite-wal"
# The log has a head, and pages with heads of their own.
LOG_HEAD, PAGE_HEAD = 32, 24
PAGE = PAGE_HEAD + 4096
# With so many pages it is checkpointed.
CHECKPOINT = 8000


@pytest.fixture
def dice():
    """A random generator. SEED repeats the choices of a run, although not its timing."""
    seed = int(os.environ.get("SEED", time.time_ns() % 1_000_000))
    print(f"SEED={seed}")
    return random.Random(seed)


def row(what, times, *clients):
    """A row of the run's figures: how many answers the clients got and missed, and how many facts that
    follow from these were checked afterwards."""
    names = ("acknowledged", "unanswered", "checked")
    return {"what": what, "times": times} | {
        name: sum(getattr(client, name) for client in clients) for name in names}


def administrator(service):
    service.create_user("root@example.org", "--admin")
    return service.issue("root@example.org", "admin")


def assert_intact(folder):
    """`bearerd check` and SQLite's own check on a copy of the files, so that the recovery of the originals
    is left to the server."""
    copy = Path(folder) / "copy"
    shutil.rmtree(copy, ignore_errors=True)
    copy.mkdir()
    for file in Path(folder).glob("bearerd.sqlite*"):
        # The index of the log is rebuilt, as after a power cut.
        if not file.name.endswith("-shm"):
            shutil.copy(file, copy)
    checked = Service(copy).run("check", check=False)
    assert checked.returncode == 0, checked.stdout + checked.stderr
    with contextlib.closing(sqlite3.connect(copy / "bearerd.sqlite")) as database:
        assert database.execute("PRAGMA integrity_check").fetchall() == [("ok",)]


def kill_at_start(service, dice):
    """Kills a server while it starts: in the recovery of the log, or in its first sweep."""
    process = subprocess.Popen(
        [BEARERD, "serve", "--listen", "127.0.0.1:0"], cwd=service.folder, env=service.environment,
        stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    time.sleep(dice.uniform(0, 0.1))
    process.kill()
    process.wait()


def test_nothing_acknowledged_is_lost_by_kills_under_16_clients(tmp_path, dice, figures):
    cycles = sized(20, 200)
    with serving(tmp_path, **SETTINGS) as service:
        admin = administrator(service)
        clients = [Client(service, f"client{number}", admin, random.Random(dice.random()),
                          source=f"127.0.0.{number + 10}") for number in range(CLIENTS)]
        logs = 0
        for cycle in range(cycles):
            for client in clients:
                # A command that outlives the server checkpoints the log, and nothing is left to recover.
                client.commands = cycle % 2 == 1
            threads, faults = traffic(clients, until=lambda: False)
            time.sleep(dice.uniform(0.05, 0.7))
            service.kill()
            finish(threads, faults)
            log = tmp_path / WAL
            logs += log.exists() and log.stat().st_size > 0
            assert_intact(tmp_path)
            for _ in range(dice.choice([0, 0, 1, 3])):
                kill_at_start(service, dice)
            service.start()
            for client in clients:
                client.verify(everything=cycle == cycles - 1)
    assert logs >= cycles // 2, "the kills left no log to recover"
    figures.append(row("kills of the server", cycles, *clients))


def cut(log, dice, _database=None):
    """A power cut without fsync: a suffix of the file is missing."""
    return log[:dice.randrange(len(log) + 1)]


def zeros(log, dice, _database):
    """The file has its length, but not its last data."""
    kept = cut(log, dice)
    return kept + bytes(len(log) - len(kept))


def overwritten(log, dice, _database):
    at = dice.randrange(len(log))
    noise = dice.randbytes(dice.choice([1, 100, 4096, 9000]))
    return (log[:at] + noise + log[at + len(noise):])[:len(log)]


def flipped(log, dice, _database):
    at = dice.randrange(len(log))
    return log[:at] + bytes([log[at] ^ 1 << dice.randrange(8)]) + log[at + 1:]


def appended(log, dice, _database):
    """Garbage, or old frames, after the end."""
    at = dice.randrange(len(log))
    return log + dice.choice([dice.randbytes(dice.randrange(9000)), log[at:at + 9000]])


def half_checkpointed(log, dice, database):
    """A power cut in a checkpoint: pages of the log are in the database, some of them in part."""
    with open(database, "r+b") as file:
        for at in range(LOG_HEAD, len(log) - PAGE + 1, PAGE):
            if dice.random() < 0.5:
                number = int.from_bytes(log[at:at + 4], "big")
                file.seek((number - 1) * (PAGE - PAGE_HEAD))
                file.write(log[at + PAGE_HEAD:at + dice.choice([512, 2048, PAGE])])
    return log


DAMAGES = [cut, cut, zeros, overwritten, flipped, appended, half_checkpointed]


def test_a_damaged_log_loses_the_latest_changes_and_none_before_them(tmp_path, dice, figures):
    original = tmp_path / "original"
    original.mkdir()
    with serving(original, **SETTINGS) as service:
        client = Client(service, "client", administrator(service), dice, commands=False)
        # The log begins with the history.
        service.stop()
        service.start()
        client.begin()
        # The length of the log after each acknowledged act, and what the server then held.
        log = original / WAL
        history = [(0, client.world)]
        while len(history) < sized(80, 200):
            client.act()
            if client.world != history[-1][1]:
                history.append((log.stat().st_size, client.world))
        service.kill()
    content, last = log.read_bytes(), client.count
    lengths = [length for length, _ in history]
    assert lengths == sorted(lengths), "a checkpoint has begun the log anew"
    times, lost = sized(60, 500), 0
    for number in range(times):
        damage = DAMAGES[number % len(DAMAGES)]
        folder = tmp_path / "damaged"
        shutil.rmtree(folder, ignore_errors=True)
        folder.mkdir()
        shutil.copy(original / "bearerd.sqlite", folder)
        damaged = damage(content, dice, folder / "bearerd.sqlite")
        (folder / WAL).write_bytes(damaged)
        # Up to the first byte that differs, everything must be there.
        same = len(os.path.commonprefix([content, damaged]))
        assert_intact(folder)
        client.service = Service(folder, **SETTINGS).start()
        try:
            client.begin()
            client.worlds = {world for _, world in history}
            client.observe()
            # To tell two passwords apart, it may have logged in.
            before = (token for token in client.world.tokens if token.number <= last)
            held = dataclasses.replace(client.world, tokens=frozenset(before))
            position = max(at for at, (_, world) in enumerate(history) if world == held)
            least = max(at for at, (length, _) in enumerate(history) if length <= same)
            assert position >= least, f"{damage.__name__}: {position} of {least} changes are there"
            lost += len(history) - 1 - position
            client.verify(everything=True)
        finally:
            client.service.kill()
    figures.append(row("damages of the log", times, client))
    print(f"{lost / times:.1f} of {len(history)} changes were lost on average")


@contextlib.contextmanager
def connected(folder):
    with contextlib.closing(sqlite3.connect(Path(folder) / "bearerd.sqlite")) as database:
        # Migrations compute the keys of emails by it.
        database.create_function("email_key", 1, str.lower, deterministic=True)
        yield database


def add_tokens(folder, count, user=1, **columns):
    """Adds tokens to the file as another program would."""
    row = {"user_id": user, "name": "old", "abilities": "", "created_at": int(time.time()), **columns}
    names, marks = ", ".join(row), ", ".join("?" * len(row))
    with connected(folder) as database, database:
        database.executemany(
            f"INSERT INTO tokens ({names}, digest) VALUES ({marks}, randomblob(32))",
            (tuple(row.values()) for _ in range(count)))


def count(folder, table, where="1"):
    with connected(folder) as database:
        return database.execute(f"SELECT count(*) FROM {table} WHERE {where}").fetchone()[0]


class Killer:
    """Runs a command again and again, each time on a fresh copy of a folder, and kills it at a random
    moment. The range of moments follows the load of the machine, so that about one run of three ends."""

    def __init__(self, template, folder, dice):
        self.template, self.folder, self.dice = template, folder, dice
        self.seconds = None
        self.acknowledged = self.unanswered = self.checked = 0

    def fresh(self):
        shutil.rmtree(self.folder, ignore_errors=True)
        shutil.copytree(self.template, self.folder)
        return Service(self.folder, **SETTINGS)

    def run(self, *arguments, service=None, input=None):
        """Runs it once, and returns the service and whether the command ended before it was killed. The
        first time, it always does."""
        service = service or self.fresh()
        begun = time.monotonic()
        process = subprocess.Popen(
            [BEARERD, *arguments], cwd=service.folder, text=True, stdin=subprocess.PIPE,
            env=service.environment, stdout=subprocess.PIPE, stderr=subprocess.STDOUT)
        patience = 60 if self.seconds is None else self.dice.uniform(0, self.seconds)
        try:
            out, _ = process.communicate(input, timeout=patience)
        except subprocess.TimeoutExpired:
            process.kill()
            process.communicate()
            self.unanswered += 1
            self.seconds *= 1.1
            return service, False
        assert process.returncode == 0, out
        self.seconds = 0.8 * (self.seconds or time.monotonic() - begun)
        self.acknowledged += 1
        return service, True


@pytest.fixture
def killer(tmp_path, dice):
    (tmp_path / "template").mkdir()
    return Killer(tmp_path / "template", tmp_path / "work", dice)


def prepared(killer):
    """The template with the user Ada, and a live token of hers."""
    service = Service(killer.template, **SETTINGS)
    service.create_user()
    return service.issue()


def passes(service, token):
    """Whether a token passes, by a server of its own."""
    service.start()
    try:
        return service.status(token) == 200
    finally:
        service.kill()


def test_a_killed_sweep_removes_no_live_token_and_the_next_one_goes_on(killer, figures):
    token = prepared(killer)
    dead = sized(1500, 6000)
    now = int(time.time())
    add_tokens(killer.template, 10, name="live")
    add_tokens(killer.template, dead, revoked_at=now - 100)
    add_tokens(killer.template, dead, expires_at=now - 100)
    # Below the watermark of a user.
    Service(killer.template).create_user("bob@example.org")
    add_tokens(killer.template, dead, user=2)
    Service(killer.template).run("user", "password", "bob@example.org", input="something else\n")
    live = "name <> 'old'"
    for number in range(1 + sized(10, 60)):
        service, ended = killer.run("prune", "--older-than", "0s")
        # Killed once more, and then by a server whose first sweep is the one that ends.
        if number % 2:
            killer.run("prune", "--older-than", "0s", service=service)
        assert_intact(service.folder)
        assert count(service.folder, "tokens", live) == 11
        killer.checked += 11
        service.environment |= {"BEARERD_RETENTION": "0s", "BEARERD_SWEEP_INTERVAL": "1s"}
        service.start()
        try:
            if number % 3 == 0:
                wait_for(lambda: count(service.folder, "tokens") == 11, "the rest of the sweep")
            assert service.status(token) == 200
        finally:
            service.kill()
        assert_intact(service.folder)
        assert count(service.folder, "tokens", live) == 11
    figures.append(row("kills of a sweep", killer.unanswered, killer))


def test_a_killed_backup_leaves_no_half_copy(killer, figures):
    token = prepared(killer)
    add_tokens(killer.template, sized(5000, 50000))
    (killer.template / "backups").mkdir()
    for _ in range(1 + sized(12, 100)):
        service, ended = killer.run("backup", "backups/bearerd.sqlite")
        copy = service.folder / "backups/bearerd.sqlite"
        assert copy.exists() or not ended
        if copy.exists():
            restored = Service(service.folder / "restored", **SETTINGS)
            restored.folder.mkdir()
            copy.rename(restored.database)
            assert_intact(restored.folder)
            assert passes(restored, token)
            killer.checked += 1
        assert_intact(service.folder)
        # The next one clears what this one has left.
        again = service.run("backup", "backups/bearerd.sqlite", check=False)
        assert again.returncode == 0, again.stderr
        left = sorted(path.name for path in copy.parent.iterdir())
        assert left == ["bearerd.sqlite"], left
    figures.append(row("kills of a backup", killer.unanswered, killer))


def dump(folder):
    """The schema and all rows, but not the times at which migrations ran."""
    with connected(folder) as database:
        schema = database.execute("SELECT type, name, sql FROM sqlite_master ORDER BY 1, 2").fetchall()
        tables = [name for kind, name, _ in schema if kind == "table"]
        rows = {name: sorted(database.execute(f"SELECT * FROM {name}").fetchall(), key=repr)
                for name in tables if name != "__diesel_schema_migrations"}
        versions = database.execute("SELECT version FROM __diesel_schema_migrations ORDER BY 1")
        return schema, rows, versions.fetchall()


def test_a_killed_upgrade_goes_on_to_the_same_result(killer, figures):
    with connected(killer.template) as database:
        database.executescript((ROOT / "tests/fixtures/0.1.0.sql").read_text())
    now, many = int(time.time()), sized(1500, 15000)
    for user, columns in [(1, {}), (2, {"expires_at": now + 9999}), (3, {"revoked_at": now}),
                          (4, {"abilities": "posts:*", "last_used_at": now})]:
        add_tokens(killer.template, many, user, **columns)
    with connected(killer.template) as database, database:
        # Rows that a sweep had half removed.
        database.execute("DELETE FROM token_heads WHERE token_id % 50 = 0")
    service, _ = killer.run("migrate")
    original, expected = dump(killer.template), dump(service.folder)
    for number in range(sized(20, 200)):
        service, ended = killer.run("migrate")
        for _ in range(2):
            if not ended:
                _, ended = killer.run("migrate", service=service)
        # This reads the log, which is otherwise left to the next start.
        if number % 3 == 0:
            assert dump(service.folder) in (original, expected)
        if number % 2:
            # The server migrates too.
            service.start().stop()
        else:
            service.run("migrate")
        assert_intact(service.folder)
        assert dump(service.folder) == expected
        killer.checked += 1
    figures.append(row("kills of an upgrade", killer.unanswered, killer))


def password_works(service, password):
    status = service.log_in(password=password).status
    assert status in (201, 401)
    return status == 201


@pytest.mark.parametrize("arguments", [("user", "delete"), ("user", "password"), ("user", "disable")],
                         ids=" ".join)
def test_a_killed_change_of_a_user_is_made_wholly_or_not_at_all(arguments, killer, figures):
    token = prepared(killer)
    add_tokens(killer.template, sized(2000, 20000))
    for _ in range(1 + sized(10, 100)):
        service, ended = killer.run(*arguments, "ada@example.org", input="another one\n")
        assert_intact(service.folder)
        tokens = service.run("token", "list", "--json").stdout.count('"live": true')
        service.start()
        try:
            old, new = password_works(service, "long enough"), password_works(service, "another one")
            unchanged = (True, False, 200, sized(2001, 20001))
            changed = (False, arguments[1] == "password", 401, 0)
            held = (old, new, service.status(token), tokens)
        finally:
            service.kill()
        assert held in ((changed,) if ended else (changed, unchanged)), held
        killer.checked += len(held)
    figures.append(row(f"kills of user {arguments[1]}", killer.unanswered, killer))


def test_nothing_acknowledged_is_lost_by_kills_during_a_checkpoint(tmp_path, dice, figures):
    template, full, folder = (tmp_path / name for name in ("template", "full", "work"))
    template.mkdir()
    cycles, begun = sized(6, 80), 0
    with serving(template, **SETTINGS) as service:
        admin = administrator(service)
        clients = [Client(service, f"client{number}", admin, random.Random(dice.random()), commands=False,
                          source=f"127.0.0.{number + 10}") for number in range(CLIENTS)]
        enough = threading.Event()
        threads, faults = traffic(clients, until=enough.is_set)
        time.sleep(0.5)
        enough.set()
        finish(threads, faults)
        # Another program fills the log nearly.
        add_tokens(template, 20000)
        log = template / WAL
        with connected(template) as database:
            database.execute("PRAGMA wal_autocheckpoint = 0")
            for rows, pages in [("name = 'old'", 800), ("id BETWEEN 100 AND 200", 30)]:
                while log.stat().st_size < (CHECKPOINT - pages) * PAGE:
                    with database:
                        database.execute(f"UPDATE tokens SET last_used_at = random() WHERE {rows}")
            service.kill()
            # Before this connection, which is the last one, checkpoints the log.
            shutil.copytree(template, full)
    states = [client.known() for client in clients]
    for _ in range(cycles):
        shutil.rmtree(folder, ignore_errors=True)
        shutil.copytree(full, folder)
        service = Service(folder, **SETTINGS)
        before = service.database.stat().st_mtime_ns
        service.start()
        for client, state in zip(clients, states):
            client.service = service
            client.forget(state)
        threads, faults = traffic(clients, until=lambda: False)
        with contextlib.suppress(TimeoutError):
            wait_for(lambda: service.database.stat().st_mtime_ns != before, "the checkpoint", 3)
            begun += 1
            time.sleep(dice.uniform(0, 0.03))
        service.kill()
        finish(threads, faults)
        assert_intact(folder)
        service.start()
        try:
            for client in clients:
                client.verify(everything=True)
        finally:
            service.kill()
    assert begun > cycles // 2, "no checkpoint began"
    figures.append(row("kills in a checkpoint", cycles, *clients))
