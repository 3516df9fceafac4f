"""Runs bearerd in a folder of its own, so that a test can kill it, start it again and read its log."""

import contextlib
import http.client
import json
import os
import signal
import socket
import ssl
import subprocess
import time
from pathlib import Path

ROOT = Path(__file__).parents[2]
BEARERD = os.environ.get("BEARERD_BIN", str(ROOT / "target/debug/bearerd"))
# Settings from outside must not affect the tests.
ENVIRONMENT = {name: value for name, value in os.environ.items() if not name.startswith("BEARERD_")}
ENVIRONMENT |= {"BEARERD_BCRYPT_COST": "4", "BEARERD_LOG": "info"}
FULL = os.environ.get("WITHSTAND_FULL") == "1"
PATIENCE = 20
# The tests make their certificates themselves.
UNVERIFIED = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
UNVERIFIED.check_hostname, UNVERIFIED.verify_mode = False, ssl.CERT_NONE
EMAIL, PASSWORD = "ada@example.org", "long enough"


def sized(brief, full):
    """A count or a time: `brief` in CI, `full` with `tests/withstand/run --full`."""
    return full if FULL else brief


def wait_for(condition, what, patience=PATIENCE):
    """Waits until `condition()` is true, and returns its value."""
    deadline = time.monotonic() + patience
    while True:
        value = condition()
        if value:
            return value
        if time.monotonic() > deadline:
            raise TimeoutError(f"{what} did not happen within {patience} s")
        time.sleep(0.01)


class Answer:
    def __init__(self, response):
        self.status, self.headers = response.status, response.headers
        self.body = response.read().decode(errors="replace")

    def json(self):
        return json.loads(self.body)

    def __repr__(self):
        return f"{self.status} {self.headers.items()} {self.body}"


class Service:
    """bearerd on one folder. `settings` are environment variables without `BEARERD_`, such as
    `token_ttl="never"`."""

    def __init__(self, folder, listen="127.0.0.1:0", environment=(), **settings):
        self.folder, self.listen = Path(folder), listen
        own = {f"BEARERD_{name.upper()}": str(value) for name, value in settings.items()}
        self.environment = {**ENVIRONMENT, **own, **dict(environment)}
        self.process = None
        self.log = self.folder / "log"
        self.database = self.folder / "bearerd.sqlite"

    def run(self, *arguments, check=True, **options):
        """Runs a command to its end."""
        return subprocess.run([BEARERD, *arguments], cwd=self.folder, env=self.environment,
                              check=check, capture_output=True, text=True, **options)

    def create_user(self, email=EMAIL, *flags):
        create = ["user", "create", "--email", email, "--name", "Ada", *flags]
        return self.run(*create, input=f"{PASSWORD}\n")

    def issue(self, email=EMAIL, *abilities):
        """Issues a token on the command line."""
        named = [word for ability in abilities for word in ("--ability", ability)]
        return self.run("token", "issue", "--email", email, "--name", "t", *named).stdout.strip()

    def start(self, **options):
        """Starts the server. It answers by the time this returns; its log goes to the file `log`."""
        with open(self.log, "ab") as log:
            options = {"stderr": log, **options}
            self.process = subprocess.Popen(
                [BEARERD, "serve", "--listen", self.listen], cwd=self.folder, text=True,
                env=self.environment, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, **options)
        line = self.process.stdout.readline()
        if not line:
            raise RuntimeError(f"bearerd did not start:\n{self.log_text()}")
        self.url = line.split()[-1]
        host, port = self.url.split("://")[1].rsplit(":", 1)
        self.address = (host, int(port))
        return self

    def kill(self, number=signal.SIGKILL):
        """Sends a signal that ends the server, and returns its exit code."""
        self.process.send_signal(number)
        code = self.process.wait(timeout=PATIENCE)
        self.process.stdout.close()
        return code

    def stop(self):
        return self.kill(signal.SIGTERM)

    def is_running(self):
        return self.process is not None and self.process.poll() is None

    def log_text(self):
        return self.log.read_text(errors="replace") if self.log.exists() else ""

    def connect(self, source=None, timeout=PATIENCE):
        """A connection, of TLS if the server has a certificate. `source` is an address of the client,
        such as `127.0.0.2`."""
        connection = socket.create_connection(self.address, timeout, source and (source, 0))
        return UNVERIFIED.wrap_socket(connection) if self.url.startswith("https:") else connection

    def send(self, method, path, token=None, body=None, headers=(), timeout=PATIENCE, source=None):
        """Sends one request on a connection of its own."""
        connection = http.client.HTTPConnection(*self.address)
        connection.sock = self.connect(source, timeout)
        headers = dict(headers)
        if token is not None:
            headers["Authorization"] = f"Bearer {token}"
        if body is not None:
            body = json.dumps(body)
            headers["Content-Type"] = "application/json"
        with contextlib.closing(connection):
            connection.request(method, path, body, headers)
            return Answer(connection.getresponse())

    def status(self, token):
        """The status of a token's check."""
        return self.send("GET", "/api/user", token).status

    def log_in(self, email=EMAIL, password=PASSWORD, **options):
        body = {"email": email, "password": password, "device_name": "t"}
        return self.send("POST", "/api/tokens", body=body, **options)

    def metric(self, name):
        """The value in `/metrics` for this name with its labels; 0 if it is absent."""
        for line in self.send("GET", "/metrics").body.splitlines():
            if line.startswith(f"{name} "):
                return float(line.rsplit(" ", 1)[1])
        return 0.0

    # What the kernel knows of the process.

    def resident_mib(self, field="VmRSS"):
        text = Path(f"/proc/{self.process.pid}/status").read_text()
        line = next(line for line in text.splitlines() if line.startswith(f"{field}:"))
        return int(line.split()[1]) / 1024

    def peak_mib(self):
        """The most memory that the process has had."""
        return self.resident_mib("VmHWM")

    def queued_mib(self):
        """What the kernel holds for the server's connections: what it has yet to send, and what the
        server has yet to read."""
        port, sums = f":{self.address[1]:04X}", [0, 0]
        for line in Path("/proc/net/tcp").read_text().splitlines()[1:]:
            _, local, _, _, queues, *_ = line.split()
            if local.endswith(port):
                sums = [a + int(b, 16) for a, b in zip(sums, queues.split(":"))]
        return [size / 2**20 for size in sums]

    def descriptors(self):
        return len(os.listdir(f"/proc/{self.process.pid}/fd"))

    def cpu_seconds(self):
        fields = Path(f"/proc/{self.process.pid}/stat").read_text().rsplit(") ", 1)[1].split()
        return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


@contextlib.contextmanager
def serving(folder, listen="127.0.0.1:0", environment=(), **settings):
    """A server with the user Ada, killed when the block ends."""
    service = Service(folder, listen, environment, **settings)
    service.create_user()
    try:
        yield service.start()
    finally:
        if service.is_running():
            service.kill()
