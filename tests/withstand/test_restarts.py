"""Stops and starts servers while clients use them: each request is answered wholly or its connection closes
before the answer begins, nothing acknowledged is lost, and a client that retries once notices nothing if
another server is there."""

import contextlib
import json
import random
import re
import socket
import ssl
import subprocess
import threading
import time

import pytest

from service import PASSWORD, Service, serving, sized, wait_for

SETTINGS = {"login_attempts_per_minute": 1_000_000, "max_tokens_per_user": "never"}
USERS = 64
GRACE = 10
UNANSWERED = "unanswered"


def email(number):
    return f"user{number}@example.org"


def create_users(service, users=USERS):
    service.create_user("root@example.org", "--admin")
    admin = service.issue("root@example.org", "admin")
    for number in range(users):
        body = {"name": "x", "email": email(number), "password": PASSWORD}
        assert service.send("POST", "/api/users", admin, body).status == 201
    return admin


def request(method, path, token=None, body=None):
    """A request's bytes."""
    head = [f"{method} {path} HTTP/1.1", "Host: localhost"]
    if token:
        head.append(f"Authorization: Bearer {token}")
    body = json.dumps(body).encode() if body else b""
    if body:
        head.append("Content-Type: application/json")
    head.append(f"Content-Length: {len(body)}")
    return "\r\n".join([*head, "", ""]).encode() + body


class Partial(AssertionError):
    """An answer broke off."""


class Connection:
    """A kept connection that notices how it ends."""

    def __init__(self, address, source="127.0.0.1", tls=None):
        self.address, self.source, self.tls, self.socket = address, source, tls, None

    def ask(self, data):
        """The status and text of an answer, or `UNANSWERED`: then the connection was refused, or closed
        before the first byte of an answer."""
        try:
            if self.socket is None:
                self.socket = socket.create_connection(self.address, 30, (self.source, 0))
                if self.tls:
                    self.socket = self.tls.wrap_socket(self.socket)
            self.socket.sendall(data)
        except OSError:
            # The server may have answered earlier requests only: each was read before the next was sent.
            return self.close()
        received = b""
        while True:
            try:
                part = self.socket.recv(65536)
            except (ConnectionError, ssl.SSLEOFError):
                part = b""
            if not part:
                self.close()
                if received:
                    raise Partial(received)
                return UNANSWERED
            received += part
            head, separator, text = received.partition(b"\r\n\r\n")
            length = re.search(rb"(?i)\r\ncontent-length: (\d+)", head)
            wanted = int(length[1]) if length else 0
            if separator and len(text) >= wanted:
                if re.search(rb"(?i)\r\nconnection: close", head):
                    self.close()
                return int(head.split()[1]), text.decode()

    def close(self):
        if self.socket is not None:
            self.socket.close()
            self.socket = None
        return UNANSWERED


class Busy(threading.Thread):
    """A client with a user of its own that logs in, checks, revokes and logs in again without a pause.
    `ask` sends a request, and may send it again."""

    def __init__(self, number, ask, until):
        super().__init__()
        self.number, self.ask, self.until = number, ask, until
        self.answered = self.unanswered = 0
        # Tokens whose issue or whose revocation was acknowledged; where no answer came, neither.
        self.live, self.dead, self.fault = set(), set(), None

    def run(self):
        try:
            dice = random.Random(self.number)
            while not self.until():
                self.step(dice)
        except Exception as fault:  # noqa: BLE001: shown by the test
            self.fault = fault

    def step(self, dice):
        if not self.live or dice.random() < 0.3:
            body = {"email": email(self.number), "password": PASSWORD, "device_name": "t"}
            text = self.expect(201, request("POST", "/api/tokens", None, body))
            if text:
                self.live.add(json.loads(text)["token"])
            return
        token = dice.choice(sorted(self.live))
        if dice.random() < 0.3:
            self.live.discard(token)
            # With 401 an earlier attempt was carried out and its answer lost.
            if self.expect(204, request("DELETE", "/api/tokens/current", token), 401) is not None:
                self.dead.add(token)
        else:
            self.expect(200, request("GET", "/api/user", token))

    def expect(self, *expected_and_request):
        expected, data, *others = expected_and_request
        answer = self.ask(data)
        if answer is UNANSWERED:
            self.unanswered += 1
            time.sleep(0.01)
            return None
        self.answered += 1
        assert answer[0] in (expected, *others), f"{data.split()[:2]} was answered with {answer}"
        return answer[1]


def finish(clients):
    for client in clients:
        client.join()
    for client in clients:
        if client.fault:
            raise client.fault


def check_tokens(service, clients):
    """Whether each token passes or not, as acknowledged. Returns their number."""
    connection = Connection(service.address)
    for client in clients:
        for status, tokens in ((200, client.live), (401, client.dead)):
            for token in tokens:
                assert connection.ask(request("GET", "/api/user", token))[0] == status
    return sum(len(client.live) + len(client.dead) for client in clients)


@pytest.mark.parametrize("scheme", ["http", "https"])
def test_a_shutdown_under_64_busy_clients_loses_no_answer(scheme, tmp_path, figures):
    settings, tls = SETTINGS, None
    if scheme == "https":
        make = ["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1",
                "-nodes", "-days", "2", "-subj", "/CN=localhost", "-keyout", "key.pem", "-out", "cert.pem"]
        subprocess.run(make, cwd=tmp_path, check=True, capture_output=True)
        settings = SETTINGS | {"tls_cert": "cert.pem", "tls_key": "key.pem"}
        tls = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
        tls.check_hostname, tls.verify_mode = False, ssl.CERT_NONE
    slowest = checked = answered = unanswered = 0
    shutdowns = sized(3, 40)
    plain = Service(tmp_path, **SETTINGS)
    create_users(plain.start())
    plain.stop()
    service = Service(tmp_path, **settings).start()
    try:
        for number in range(shutdowns):
            stopped = threading.Event()
            clients = [
                Busy(user, Connection(service.address, f"127.0.0.{10 + user}", tls).ask, stopped.is_set)
                for user in range(USERS)]
            for client in clients:
                client.start()
            time.sleep(random.uniform(0.2, 0.8))
            begun = time.monotonic()
            assert service.stop() == 0
            slowest = max(slowest, time.monotonic() - begun)
            stopped.set()
            finish(clients)
            assert not service.database.with_name("bearerd.sqlite-wal").exists()
            checked += check_tokens(plain.start(), clients)
            plain.stop()
            service.start()
            answered += sum(client.answered for client in clients)
            unanswered += sum(client.unanswered for client in clients)
    finally:
        for one in (service, plain):
            if one.is_running():
                one.kill()
    assert slowest < GRACE
    figures.append({"what": f"shutdowns under {USERS} clients, {scheme}", "times": shutdowns,
                    "answered": answered, "unanswered": unanswered, "tokens checked": checked,
                    "longest s": f"{slowest:.2f}"})


class Retrying:
    """Sends each request to one of two servers, and once more to the other one if no answer came."""

    def __init__(self, services, source, dice):
        self.connections = [Connection(service.address, source) for service in services]
        self.dice, self.retried = dice, 0

    def ask(self, data):
        first = self.dice.randrange(2)
        answer = self.connections[first].ask(data)
        if answer is UNANSWERED:
            self.retried += 1
            answer = self.connections[1 - first].ask(data)
        return answer


def restart(service):
    """At the same address. Returns how long nobody listened."""
    host, port = service.address
    service.listen = f"{host}:{port}"
    begun = time.monotonic()
    assert service.stop() == 0
    service.start()
    return time.monotonic() - begun


def test_two_servers_on_one_database_see_the_changes_of_each_other(service):
    other = Service(service.folder).start()
    try:
        for one, two in ((service, other), (other, service)):
            revoked, rest = (one.log_in().json()["token"] for _ in range(2))
            assert two.status(revoked) == two.status(rest) == 200
            assert one.send("DELETE", "/api/tokens/current", revoked).status == 204
            wait_for(lambda: two.status(revoked) == 401, "the revocation at the other server", 2)
            assert two.status(rest) == 200
            body = {"current_password": PASSWORD, "password": PASSWORD}
            keeper = one.log_in().json()["token"]
            assert one.send("PUT", "/api/user/password", keeper, body).status == 204
            wait_for(lambda: two.status(rest) == 401, "the new password at the other server", 2)
            assert two.status(keeper) == 200
    finally:
        other.kill()


def test_rolling_restarts_of_two_servers_lose_no_request_that_is_retried_once(tmp_path, figures):
    restarts, users = sized(6, 60), 16
    with serving(tmp_path, **SETTINGS) as one:
        create_users(one, users)
        other = Service(tmp_path, **SETTINGS).start()
        stopped = threading.Event()
        try:
            retrying = [Retrying([one, other], f"127.0.0.{10 + user}", random.Random(user))
                        for user in range(users)]
            clients = [Busy(user, retry.ask, stopped.is_set) for user, retry in enumerate(retrying)]
            for client in clients:
                client.start()
            longest = 0
            for number in range(restarts):
                # The clients use both servers again.
                answered = sum(client.answered for client in clients)
                wait_for(lambda: sum(client.answered for client in clients) > answered + 100, "traffic")
                longest = max(longest, restart((one, other)[number % 2]))
            stopped.set()
            finish(clients)
            checked = check_tokens(other, clients)
        finally:
            stopped.set()
            other.kill()
    retried = sum(retry.retried for retry in retrying)
    unanswered = sum(client.unanswered for client in clients)
    figures.append({"what": "restarts of two servers in turn", "times": restarts,
                    "answered": sum(client.answered for client in clients), "unanswered": unanswered,
                    "tokens checked": checked, "longest s": f"{longest:.2f}"})
    assert retried > 0 and unanswered == 0


def refuses(service):
    """Whether nobody listens any more."""
    try:
        service.connect().close()
    except ConnectionError:
        return True
    return False


def test_a_shutdown_answers_a_request_that_it_has_half_read_and_waits_for_no_other(service):
    body = {"email": "ada@example.org", "password": PASSWORD, "device_name": "t"}
    data = request("POST", "/api/tokens", None, body)
    with service.connect() as late, service.connect() as never, service.connect() as idle:
        for connection in (late, never):
            connection.sendall(data[:-20])
        idle.sendall(request("GET", "/healthz"))
        assert idle.recv(65536).startswith(b"HTTP/1.1 200")
        begun = time.monotonic()
        service.process.terminate()
        wait_for(lambda: refuses(service), "the end of listening")
        assert idle.recv(65536) == b""
        late.sendall(data[-20:])
        assert late.recv(65536).startswith(b"HTTP/1.1 201")
        assert service.process.wait(GRACE) == 0
        assert time.monotonic() - begun < GRACE
        with contextlib.suppress(ConnectionError):
            answer = never.recv(65536)
            assert not answer or b"\r\nconnection: close" in answer.lower(), answer


class Patient:
    """Sends each request until it is answered, as a proxy that retries does."""

    def __init__(self, service, source, patience):
        self.connection, self.patience, self.longest = Connection(service.address, source), patience, 0

    def ask(self, data):
        begun = time.monotonic()
        answer = self.connection.ask(data)
        while answer is UNANSWERED and time.monotonic() - begun < self.patience:
            time.sleep(0.01)
            answer = self.connection.ask(data)
        self.longest = max(self.longest, time.monotonic() - begun)
        return answer


def test_a_restart_at_the_same_address_is_a_pause_for_clients_that_retry(tmp_path, figures):
    restarts, users = sized(3, 30), 16
    with serving(tmp_path, **SETTINGS) as service:
        create_users(service, users)
        stopped = threading.Event()
        patient = [Patient(service, f"127.0.0.{10 + user}", GRACE) for user in range(users)]
        clients = [Busy(user, one.ask, stopped.is_set) for user, one in enumerate(patient)]
        for client in clients:
            client.start()
        try:
            for _ in range(restarts):
                answered = sum(client.answered for client in clients)
                wait_for(lambda: sum(client.answered for client in clients) > answered + 100, "traffic")
                restart(service)
        finally:
            stopped.set()
        finish(clients)
        checked = check_tokens(service, clients)
    unanswered = sum(client.unanswered for client in clients)
    figures.append({"what": "restarts at the same address", "times": restarts,
                    "answered": sum(client.answered for client in clients), "unanswered": unanswered,
                    "tokens checked": checked, "longest s": f"{max(one.longest for one in patient):.2f}"})
    assert unanswered == 0
