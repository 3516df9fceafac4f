"""Provokes every kind of error at log level trace, and searches all that the program leaves for secrets."""

import base64
import contextlib
import json
import os
import re
import resource
import shutil
import signal
import socket
import sqlite3
import stat
import subprocess
import time
import zlib
from pathlib import Path

import pytest

from service import BEARERD, ENVIRONMENT, PATIENCE, Service, sized, wait_for
from traces import Secrets

ADA, ROOT = "ada@example.org", "root@example.org"


class Scene:
    """A server at log level trace with two users and their tokens. Every answer is searched."""

    ends_input = True

    def __init__(self, folder, **settings):
        self.folder = folder
        self.temporary = folder / "temporary"
        self.temporary.mkdir()
        self.secrets, self.found = Secrets(), []
        self.service = Service(folder, environment={"TMPDIR": str(self.temporary)}, log="trace",
                               verify_basic_auth="true", login_attempts_per_minute=100_000, **settings)
        self.password = self.secrets.add("password", "correct horse 7391 battery")
        self.create(ADA, self.password)
        self.create(ROOT, self.secrets.add("administrator's password", "staple 6620 administrate"), "--admin")
        self.token = self.issue("token", ADA, "*", "tokens:write", "account:write", "introspect")
        self.admin = self.issue("administrator's token", ROOT, "admin", "*")
        self.revoked = self.issue("revoked token", ADA)
        self.run("token", "revoke", "3")

    def run(self, *arguments, code=0, **options):
        """Runs a command, whose output must not contain a secret."""
        ended = self.service.run(*arguments, check=False, **options)
        assert ended.returncode == code, (arguments, ended)
        self.found += self.secrets.traces(f"output of {arguments}", ended.stdout + ended.stderr)
        return ended

    def create(self, email, password, *flags):
        self.run("user", "create", "--email", email, "--name", "N", *flags, input=f"{password}\n")

    def issue(self, name, email, *abilities):
        return self.secrets.add(name, self.service.issue(email, *abilities))

    def send(self, request, expected=None, issues=False):
        """Sends the bytes of a request, and returns the answer. Only one that `issues` a token may
        contain it."""
        with self.connect() as connection:
            connection.sendall(request)
            if self.ends_input:
                with contextlib.suppress(OSError):
                    connection.shutdown(socket.SHUT_WR)
            answer = b""
            with contextlib.suppress(OSError):
                while part := connection.recv(65536):
                    answer += part
        text = answer.decode(errors="replace")
        status = text.split(" ", 2)[1:2]
        if expected is not None:
            assert status == [str(expected)], (request, text)
        if issues:
            token = json.loads(text.split("\r\n\r\n", 1)[1])["token"]
            self.secrets.add(f"token {len(self.secrets.known)}", token)
        else:
            self.search_answer(request, text)
        return text

    def search_answer(self, request, text):
        """A client sees the path of its own request in the answers for unknown routes and methods."""
        text = re.sub(r"The route \S+ could not be found|not supported for route \S+\.", "", text)
        self.found += self.secrets.traces(f"answer to {request}", text)

    def connect(self):
        return self.service.connect()

    def ask(self, method, path, *headers, body=b"", expected=None, issues=False):
        if isinstance(body, dict):
            body, headers = json.dumps(body), ("Content-Type: application/json", *headers)
        body = body.encode() if isinstance(body, str) else body
        head = [f"{method} {path} HTTP/1.1", "Host: x", "Connection: close", *headers,
                f"Content-Length: {len(body)}", "", ""]
        return self.send("\r\n".join(head).encode() + body, expected, issues)

    def log_in(self, password, email=ADA, expected=201, **options):
        body = {"email": email, "password": password, "device_name": "d"}
        return self.ask("POST", "/api/tokens", body=body, expected=expected, **options)

    def assert_nothing_leaked(self):
        """Searches the log, the files, and what others can read of the process."""
        process = Path(f"/proc/{self.service.process.pid}")
        for name in ("cmdline", "environ", "maps", "status", "limits", "mountinfo"):
            self.found += self.secrets.traces(name, (process / name).read_bytes())
        for task in (process / "task").iterdir():
            self.found += self.secrets.traces("name of a thread", (task / "comm").read_bytes())
        if self.service.is_running():
            self.service.stop()
        assert "TRACE" in self.service.log_text()
        # The hash of a password may be in the database alone, and the text of a secret nowhere.
        database = {"bearerd.sqlite", "bearerd.sqlite-wal", "copy.sqlite"}
        self.found += self.secrets.traces_in_files(self.folder, without={"key.pem"})
        for path in self.folder.rglob("*"):
            if path.is_file() and path.name not in database and b"$2b$" in path.read_bytes():
                self.found.append(f"{path}: a password hash")
        assert self.found == []


@pytest.fixture
def scene(tmp_path):
    scene = Scene(tmp_path)
    scene.service.start()
    yield scene
    if scene.service.is_running():
        scene.service.kill()


def bearer(token):
    return f"Authorization: Bearer {token}"


def basic(password, user="x"):
    return "Authorization: Basic " + base64.b64encode(f"{user}:{password}".encode()).decode()


def variants(token):
    """Strings that are nearly a token. Each has its end or its beginning."""
    return [token[:-1], token + "x", token[1:], token.upper(), token[:20] + "!" + token[21:], f" {token}",
            f"{token} {token}", f"{token},{token}", f'"{token}"', f"3|{token}", f"{token[:-8]}00000000"]


def test_logins_and_bodies(scene):
    scene.log_in(scene.password, issues=True)
    wrong = scene.secrets.add("wrong password", "a wrong 8841 password")
    scene.log_in(wrong, expected=401)
    scene.log_in(wrong, email="nobody@example.org", expected=401)
    scene.log_in(wrong, email=scene.password, expected=422)
    scene.log_in([scene.password], expected=422)
    scene.log_in({"a": scene.password}, expected=422)
    scene.log_in(scene.password * 100, expected=422)
    for body in [
        '{"email":"ada@example.org","password":"%s' % scene.password,
        '{"password":"%s",}' % scene.password,
        '{"email":1,"password":"%s","password":"%s"}' % (scene.password, wrong),
        '{"password":"%s","device_name":"d","abilites":["%s"]}' % (scene.password, scene.token),
        '["%s"]' % scene.password,
        '"%s"' % scene.token,
        scene.token,
        b'{"password":"' + scene.password.encode() + b'\xff"}',
        '{"password":"%s\\u0000"}' % scene.password,
        '{"email":"ada@example.org","password":"%s","device_name":"d","expires_in":"%s"}' % (wrong, scene.token),
        '{"email":"ada@example.org","password":"%s","device_name":"%s"}' % (scene.password, "x" * 100_000),
        f"email=ada%40example.org&password={scene.password}",
    ]:
        for kind in ("application/json", "application/x-www-form-urlencoded", "text/plain", "no type"):
            for headers in ([], [bearer(scene.token)]):
                answer = scene.ask("POST", "/api/tokens", f"Content-Type: {kind}", *headers, body=body)
                assert answer.split(" ")[1][0] == "4", answer
    account = {"current_password": wrong, "password": "another 5512 good one"}
    scene.secrets.add("new password", account["password"])
    token = bearer(scene.token)
    scene.ask("PUT", "/api/user/password", token, body=account, expected=422)
    scene.ask("PUT", "/api/user/password", token, body={**account, "password": "8841"}, expected=422)
    scene.ask("PUT", "/api/user/password", token, body={**account, "passwort": wrong}, expected=422)
    scene.ask("PUT", "/api/user", token, body={"email": "e@example.org", "current_password": wrong})
    admin = bearer(scene.admin)
    user = {"email": "new@example.org", "name": "N", "password": scene.password}
    scene.ask("POST", "/api/users", admin, body=user, expected=201)
    scene.ask("POST", "/api/users", admin, body=user, expected=422)
    scene.ask("POST", "/api/users", admin, body={**user, "admin": scene.password}, expected=422)
    scene.ask("POST", "/api/users", token, body=user, expected=403)
    scene.ask("PATCH", "/api/users/1", admin, body={"password": [wrong]}, expected=422)
    scene.ask("PATCH", "/api/users/99", admin, body={"password": wrong}, expected=404)
    scene.ask("PUT", "/api/user/password", token, body={**account, "current_password": scene.password},
              expected=204)
    scene.assert_nothing_leaked()


def test_tokens_in_every_place(scene):
    token = scene.token
    for sent in [scene.revoked, *variants(token)[::sized(2, 1)], *variants(scene.revoked)[::sized(4, 1)]]:
        for header in (bearer(sent), f"authorization: bearer  {sent}", f"Authorization: Token {sent}",
                       f"Authorization: {sent}", basic(sent), basic("x", sent), f"Authorization: Basic {sent}",
                       f"Cookie: token={sent}"):
            for path in ("/api/user", "/api/verify?ability=a", "/api/tokens/current"):
                scene.ask("GET", path, header)
    # A token where none belongs.
    for place in (f"/{token}", f"/api/user?token={token}", f"/api/verify?access_token={token}",
                  f"/api/tokens/{token}", f"/api/users/{token}", f"/api/tokens?page={token}",
                  f"/api/verify?ability=a&{token}", f"/docs/{token}", f"/?{token}", f"//{token}",
                  f"http://x/{token}", f"/%zz{token}", "/" + token * 2000):
        scene.ask("GET", place)
        scene.ask("GET", place, bearer(scene.admin))
        scene.ask("DELETE", place, bearer(scene.admin))
    named = ("X-Forwarded-Uri", "X-Original-URL", "X-Original-URI", "X-Forwarded-For", "Forwarded", "Origin",
             "Referer", "User-Agent", "X-Api-Key", "Cookie", "Accept", "Content-Type", "X-Request-Id",
             "Transfer-Encoding", "Expect", "Upgrade", "If-Match", "Range", "Access-Control-Request-Headers")
    for name in named:
        for path in ("/api/user", "/api/verify", "/api/introspect", "/"):
            scene.ask("GET", path, f"{name}: {token}")
            scene.ask("POST", path, f"{name}: {token}", bearer(token), body="x=y")
    scene.ask("GET", "/api/user", bearer(token), bearer(scene.revoked))
    scene.ask("GET", "/api/user", bearer(token), expected=200)
    scene.assert_nothing_leaked()


def test_requests_that_are_no_http(scene):
    token, host = scene.token, "Host: x\r\n"
    requests = [f"{token}\r\n\r\n", f"GET {token}", f"{token} / HTTP/1.1\r\n\r\n", f"GET / {token}\r\n\r\n",
                f"GET / HTTP/1.1\r\n{token}\r\n\r\n", f"GET / HTTP/1.1\r\n{token}: \x01\r\n\r\n",
                f"GET / HTTP/1.1\r\n{host}{bearer(token)}\x01\r\n\r\n",
                f"GET / HTTP/1.1\r\n{host} {bearer(token)}\r\n\r\n",
                f"GET / HTTP/1.1\r\nHost: {token}@/\r\n\r\n",
                f"GET /{token}\x7f HTTP/1.1\r\n\r\n",
                f"POST / HTTP/1.1\r\n{host}Content-Length: {token}\r\n\r\n",
                f"POST /api/tokens HTTP/1.1\r\n{host}Transfer-Encoding: chunked\r\n\r\n{token}\r\n",
                f"POST /api/tokens HTTP/1.1\r\n{host}Content-Type: application/json\r\n"
                f'Transfer-Encoding: chunked\r\n\r\n33\r\n"{token}\r\nzz\r\n',
                f"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n{token}",
                f"GET / HTTP/1.1\r\n{host}" + f"X: {token}\r\n" * 3000 + "\r\n"]
    for request in requests:
        scene.send(request.encode("latin-1"))
        # Of the lines at level error, one a second is logged.
        time.sleep(sized(0, 1))
    scene.assert_nothing_leaked()


def test_introspection_and_revocation(scene):
    form = "Content-Type: application/x-www-form-urlencoded"
    scene.ask("POST", "/api/introspect", form, bearer(scene.token), body=f"token={scene.token}", expected=200)
    clients = [bearer(scene.token), bearer(scene.admin), bearer(scene.revoked), basic(scene.token),
               basic(scene.revoked), basic(scene.password, ADA), f"X: {scene.token}"]
    for endpoint in ("/api/introspect", "/api/revoke"):
        for client in clients:
            for sent in [scene.revoked, *variants(scene.revoked)]:
                for body in (f"token={sent}", f"token={sent}&token={sent}", f"token={sent}&token_type_hint={sent}",
                             f"tokn={sent}", f"{sent}", f"token={sent}&client_secret={scene.password}",
                             f"client_id={ADA}&client_secret={scene.token}&token={sent}", f"token=%zz{sent}"):
                    scene.ask("POST", endpoint, form, client, body=body)
            scene.ask("POST", endpoint, client, body={"token": scene.revoked})
            scene.ask("GET", f"{endpoint}?token={scene.revoked}", client)
    scene.assert_nothing_leaked()


def well_formed(number):
    """A token that nobody has."""
    random = f"{number:040}"
    return f"bd_{random}{zlib.crc32(random.encode()):08x}"


def overwrite(path, data, at):
    with open(path, "r+b") as file:
        file.seek(at)
        file.write(data)


def damage_tables(scene):
    with contextlib.closing(sqlite3.connect(scene.service.database)) as database:
        pages = [page for page, in database.execute("SELECT rootpage FROM sqlite_master WHERE rootpage > 0")]
        database.execute("PRAGMA wal_checkpoint(TRUNCATE)")
        database.execute("CREATE TABLE a (b)")
        database.commit()
    for page in pages:
        overwrite(scene.service.database, b"\xa5" * 4096, (page - 1) * 4096)


def remove_tables(scene):
    with contextlib.closing(sqlite3.connect(scene.service.database)) as database:
        for table in ("tokens", "users", "changes"):
            database.execute(f"DROP TABLE {table}")
        database.commit()


def damage_header(scene):
    overwrite(scene.service.database, b"\xa5" * scene.service.database.stat().st_size, 0)


FAULTS = [damage_tables, remove_tables, damage_header]


@pytest.mark.parametrize("fault", FAULTS, ids=lambda fault: fault.__name__)
def test_a_store_that_fails(scene, fault):
    fault(scene)
    form = "Content-Type: application/x-www-form-urlencoded"
    statuses = set()
    for number in range(20):
        unknown = scene.secrets.add(f"unknown token {number}", well_formed(number))
        for answer in (
            scene.ask("GET", "/api/user", bearer(unknown)),
            scene.ask("GET", "/api/user", bearer(scene.token)),
            scene.ask("GET", "/api/verify?ability=a", basic(scene.token)),
            scene.log_in(scene.password, expected=None),
            scene.ask("POST", "/api/tokens", bearer(scene.token), body={"device_name": "d"}),
            scene.ask("POST", "/api/introspect", form, bearer(scene.token), body=f"token={scene.revoked}"),
            scene.ask("POST", "/api/revoke", form, bearer(scene.token), body=f"token={unknown}"),
            scene.ask("PUT", "/api/user/password", bearer(scene.token),
                      body={"current_password": scene.password, "password": "another 5512 good one"}),
            scene.ask("GET", "/api/tokens", bearer(scene.token)),
            scene.ask("GET", "/api/users", bearer(scene.admin)),
        ):
            statuses.add(answer.split(" ")[1])
    assert statuses & {"500", "503"}
    scene.assert_nothing_leaked()


def test_a_backup_and_other_commands(scene):
    scene.run("backup", "copy.sqlite")
    scene.run("backup", "copy.sqlite", code=1)
    scene.run("backup", "missing/copy.sqlite", code=1)
    scene.run("migrate")
    scene.run("check")
    scene.run("explain", input=f"{scene.token}\n")
    scene.run("explain", input=f"{scene.revoked}\n")
    for sent in variants(scene.token):
        scene.run("explain", "--json", input=f"{sent}\n")
    create = ("user", "create", "--email", "new@example.org", "--name", "N")
    short = scene.secrets.add("short password", "7h-$xQ!")
    scene.run(*create, input=f"{short}\n", code=2)
    scene.run(*create, input=f"{scene.password * 100}\n", code=2)
    scene.run("user", "create", "--email", ADA, "--name", "N", input=f"{scene.password}\n", code=1)
    scene.run("user", "password", "nobody@example.org", input=f"{scene.password}\n", code=1)
    scene.run("user", "password", ADA, input=f"{scene.secrets.add('changed', 'changed 1881 password')}\n")
    scene.run("user", "list", "--json")
    scene.run("token", "list", "--json")
    # A variable whose name is no setting's.
    wrong = {**scene.service.environment, "BEARERD_PASSWORD": scene.password}
    ended = subprocess.run([BEARERD, "user", "list"], cwd=scene.folder, env=wrong, capture_output=True)
    scene.found += scene.secrets.traces("output", ended.stdout + ended.stderr)
    scene.assert_nothing_leaked()


# HTTPS.

def make_certificate(folder):
    subprocess.run(["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes",
                    "-days", "9", "-subj", "/CN=localhost", "-addext", "subjectAltName=DNS:localhost",
                    "-keyout", folder / "key.pem", "-out", folder / "cert.pem"], check=True, capture_output=True)
    return (folder / "key.pem").read_text()


class SecureScene(Scene):
    # Python can't end one direction of a TLS connection.
    ends_input = False

    def __init__(self, folder):
        self.key = make_certificate(folder)
        super().__init__(folder, tls_cert="cert.pem", tls_key="key.pem", http2="true")
        body = "".join(self.key.splitlines()[1:-1])
        for at in range(0, len(body) - 30, 30):
            self.secrets.add(f"private key at {at}", body[at:at + 30])


@pytest.fixture
def secure(tmp_path):
    scene = SecureScene(tmp_path)
    scene.service.start()
    yield scene
    if scene.service.is_running():
        scene.service.kill()


def test_https(secure):
    token = secure.token
    secure.log_in(secure.password, issues=True)
    secure.ask("GET", "/api/user", bearer(token), expected=200)
    secure.ask("GET", f"/api/user?token={token}", bearer(secure.revoked), expected=401)
    secure.send(f"GET / HTTP/1.1\r\n{token}\r\n\r\n".encode())
    # Plain HTTP, and data that is no TLS.
    for data in (f"GET /{token} HTTP/1.1\r\n{bearer(token)}\r\n\r\n".encode(), b"\x16\x03\x01\x02\x00" + token.encode(),
                 b"\x16\x03\x01\x00\x33" + token.encode(), b"\x15\x03\x01\x00\x33" + token.encode()):
        with socket.create_connection(secure.service.address) as connection, contextlib.suppress(OSError):
            connection.sendall(data)
            connection.shutdown(socket.SHUT_WR)
            secure.found += secure.secrets.traces("answer to data that is no TLS", connection.recv(65536))
    # HTTP/2.
    for arguments in ([], ["-d", f"token={secure.revoked}"], ["-H", f"X: {token}"], ["-H", f"{token}: x"],
                      ["-H", basic(secure.password, ADA)], ["-H", basic(token)],
                      ["-H", f"X: {secure.password}"]):
        for path in ("/api/user", "/api/introspect", f"/{token}"):
            curl = ["curl", "-sS", "--http2", "--cacert", secure.folder / "cert.pem", "-H", bearer(token), *arguments,
                    f"https://localhost:{secure.service.address[1]}{path}"]
            ended = subprocess.run(curl, capture_output=True, timeout=PATIENCE)
            secure.search_answer(curl, ended.stdout.decode(errors="replace"))
    secure.assert_nothing_leaked()


def test_a_private_key_that_can_t_be_read(secure):
    begin, *body, end = secure.key.splitlines()
    damaged = {
        "without line breaks": secure.key.replace("\n", ""),
        "with spaces for line breaks": secure.key.replace("\n", " "),
        "without its first line": "\n".join([*body, end]),
        "without its last line": "\n".join([begin, *body]),
        "with a wrong last line": "\n".join([begin, *body, "-----END RSA KEY-----"]),
        "cut": secure.key[:100],
        "with a wrong character": secure.key.replace(body[0][:2], "!!"),
        "doubled": "\n".join([begin, *body, *body, end]),
        "in the first line": "\n".join([begin + body[0], *body[1:], end]),
        "of another kind": secure.key.replace("PRIVATE", "RSA PRIVATE"),
    }
    for name, key in damaged.items():
        (secure.folder / "key.pem").write_text(key)
        logged = secure.service.log_text().count("certificate not reloaded")
        secure.service.process.send_signal(signal.SIGHUP)
        wait_for(lambda: secure.service.log_text().count("certificate not reloaded") > logged, f"the refusal of a key {name}")
        secure.run("serve", "--listen", "127.0.0.1:0", code=1)
        secure.run("check")
    secure.assert_nothing_leaked()


# What the operating system keeps.

def test_an_abort_writes_no_core_dump(tmp_path):
    service = Service(tmp_path)
    service.create_user()

    def allow_core_dumps():
        hard = resource.getrlimit(resource.RLIMIT_CORE)[1]
        resource.setrlimit(resource.RLIMIT_CORE, (hard, hard))

    service.start(preexec_fn=allow_core_dumps)
    limits = Path(f"/proc/{service.process.pid}/limits").read_text()
    assert re.search(r"Max core file size +0 +0 ", limits), limits
    os.kill(service.process.pid, signal.SIGABRT)
    status = os.waitpid(service.process.pid, 0)[1]
    service.process.returncode = -signal.SIGABRT
    service.process.stdout.close()
    assert os.WTERMSIG(status) == signal.SIGABRT
    assert not os.WCOREDUMP(status)
    assert not list(tmp_path.glob("core*"))


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can start a process of another user")
def test_the_user_of_the_server_can_t_read_its_memory(tmp_path):
    nobody = 65534
    # A folder and a copy of the program that this user can reach.
    folder = Path(subprocess.run(["mktemp", "-d"], check=True, capture_output=True, text=True).stdout.strip())
    try:
        program = shutil.copy(BEARERD, folder / "bearerd")
        folder.chmod(0o777)
        serve = subprocess.Popen([program, "serve", "--listen", "127.0.0.1:0"], cwd=folder, env=ENVIRONMENT,
                                 stdout=subprocess.PIPE, user=nobody, group=nobody, extra_groups=[])
        with serve:
            started = serve.stdout.readline()
            read = {name: subprocess.run(["cat", f"/proc/{serve.pid}/{name}"], user=nobody, group=nobody,
                                         extra_groups=[], capture_output=True)
                    for name in ("mem", "environ", "maps")}
            serve.terminate()
        assert b"listening" in started
        for name, attempt in read.items():
            assert b"Permission denied" in attempt.stderr and not attempt.stdout, (name, attempt)
    finally:
        shutil.rmtree(folder)


def public_files(folder):
    """Files and folders that others than their owner can use."""
    return [f"{path.relative_to(folder)}: {stat.filemode(path.lstat().st_mode)}"
            for path in folder.rglob("*") if path.lstat().st_mode & 0o077]


def test_files_are_private_whatever_the_umask_is(tmp_path):
    folder, temporary = tmp_path / "data", tmp_path / "temporary"
    folder.mkdir(), temporary.mkdir()
    open_to_all = {"preexec_fn": lambda: os.umask(0)}
    service = Service(folder, environment={"TMPDIR": str(temporary)})
    service.log = tmp_path / "log"
    service.run("migrate", **open_to_all)
    service.run("user", "create", "--email", ADA, "--name", "N", input="long enough\n", **open_to_all)
    service.start(**open_to_all)
    service.issue(ADA)
    # The companions of the database exist while the server runs.
    assert {path.suffix for path in folder.iterdir()} == {".sqlite", ".sqlite-wal", ".sqlite-shm"}
    assert public_files(tmp_path / "data") == []
    service.run("backup", "copy.sqlite", **open_to_all)
    service.run("check", **open_to_all)
    assert public_files(folder) == []
    service.stop()
    assert {path.name for path in folder.iterdir()} == {"bearerd.sqlite", "copy.sqlite"}
    with subprocess.Popen([BEARERD, "serve", "--demo", "--listen", "127.0.0.1:0"], cwd=folder, env=service.environment,
                          stdout=subprocess.PIPE, **open_to_all) as demo:
        demo.stdout.readline()
        assert list(temporary.rglob("demo.sqlite"))
        public = public_files(temporary)
        demo.terminate()
    assert public == []
    assert list(temporary.iterdir()) == []
    assert public_files(folder) == []
