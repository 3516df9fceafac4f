"""Builds the programs, runs servers, and sends requests to them."""

import contextlib
import http.client
import itertools
import json
import os
import re
import socket
import subprocess
import threading
import time
from concurrent import futures

from .bench import LOAD_CORES, ROOT, SERVER_CORES, fail
from .kernel import pinned

BENCHES = ["bare", "bcrypt", "commits", "logins", "revocations"]
VERIFY = "/api/verify"
# The library sets these for each answer.
OF_EACH_ANSWER = {"date", "content-length", "connection"}


def build():
    """Builds in release mode. Returns the paths of the server and of the bench programs."""
    benches = [argument for name in BENCHES for argument in ("--bench", name)]
    output = subprocess.run(
        ["cargo", "build", "--release", "--locked", "--bins", *benches,
         "--message-format=json-render-diagnostics"],
        cwd=ROOT, check=True, stdout=subprocess.PIPE, text=True,
    ).stdout
    messages = map(json.loads, output.splitlines())
    return {m["target"]["name"]: m["executable"] for m in messages
            if m.get("executable") and m["target"]["kind"][0] in ("bin", "bench")}


def rounds_of(bench, program):
    """The output of a bench program: a line of figures for each round."""
    output = subprocess.run([bench.programs[program], "--bench", str(bench.rounds)],
                            cwd=bench.folder, check=True, stdout=subprocess.PIPE, text=True).stdout
    return [tuple(map(float, line.split())) for line in output.splitlines()]


@contextlib.contextmanager
def running(arguments, folder, cores=SERVER_CORES, **settings):
    """Runs a server that prints its address, until the block ends. Gives its URL and its process, whose
    `began` is the time of the start."""
    own = {"BEARERD_LISTEN": "127.0.0.1:0", "BEARERD_LOG": "warn"}
    began = time.monotonic()
    process = subprocess.Popen(arguments, cwd=folder, env={**os.environ, **own, **settings},
                               stdout=subprocess.PIPE, text=True,
                               preexec_fn=pinned(cores) if cores else None)
    process.began = began
    try:
        line = process.stdout.readline() or fail(f"{arguments[0]} did not start")
        yield line.split()[-1], process
    finally:
        process.terminate()
        process.wait(timeout=30)


def bearerd(bench, database="bearerd.sqlite", cores=SERVER_CORES, **settings):
    """Runs bearerd until the block ends, without a token_ttl, since a file may be old."""
    own = {"BEARERD_DATABASE_URL": f"sqlite://{database}", "BEARERD_TOKEN_TTL": "never"}
    command = [bench.programs["bearerd"], "serve"]
    return running(command, bench.folder, cores, **own, **settings)


def bare(bench, url, token):
    """Runs an actix-web handler that always sends the present answer of `url`, and does nothing else."""
    status, headers, body = get(url, token)
    path = "/" + url.split("/", 3)[3]
    if status != 200:
        fail(f"{path} answered {status}")
    own = [f"{name}: {value}" for name, value in headers if name.lower() not in OF_EACH_ANSWER]
    return running([bench.programs["bare"], path, body.decode(), *own], bench.folder)


def create_user(bench, database="bearerd.sqlite", email="ada@example.org", *flags, **settings):
    """Creates a user with bearerd, and the database if it is missing."""
    arguments = ["user", "create", "--email", email, "--name", "Ada", *flags]
    _command(bench, database, arguments, **settings)


def disable_user(bench, email, database="bearerd.sqlite"):
    """Disables a user with bearerd."""
    _command(bench, database, ["user", "disable", email])


def list_users(bench, database="bearerd.sqlite"):
    """Lists the users with bearerd."""
    _command(bench, database, ["user", "list"])


def issue_token(bench, database="bearerd.sqlite", email="ada@example.org", ability="*"):
    """Issues a token for a user with bearerd, without a limit on their number."""
    arguments = ["token", "issue", "--email", email, "--name", "bench", "--ability", ability]
    return _command(bench, database, arguments, BEARERD_MAX_TOKENS_PER_USER="never").strip()


@contextlib.contextmanager
def commands(bench, database):
    """Lists the users and issues a token with bearerd, in turns, until the block ends."""
    ending = threading.Event()

    def run():
        for command in itertools.cycle((list_users, issue_token)):
            if ending.is_set():
                return
            command(bench, database)

    with futures.ThreadPoolExecutor() as pool:
        running = pool.submit(run)
        try:
            yield
        finally:
            ending.set()
    # Raises the error of a command that failed.
    running.result()


def _command(bench, database, arguments, **settings):
    command = [bench.programs["bearerd"], *arguments, "--database-url", f"sqlite://{database}"]
    return subprocess.run(command, cwd=bench.folder, check=True, text=True,
                          env={**os.environ, **settings}, input="long enough\n",
                          stdout=subprocess.PIPE, preexec_fn=pinned(LOAD_CORES)).stdout


def get(url, token=None):
    """Sends a GET. Returns the status, the headers in order, and the body."""
    _, _, address, path = url.split("/", 3)
    connection = http.client.HTTPConnection(address, timeout=30)
    try:
        connection.request("GET", f"/{path}", headers=bearer(token) if token else {})
        answer = connection.getresponse()
        return answer.status, answer.getheaders(), answer.read()
    finally:
        connection.close()


def bearer(token):
    return {"Authorization": f"Bearer {token}"}


def metric(address, name):
    """The sum of bearerd's metrics whose names with labels match."""
    text = get(f"{address}/metrics")[2].decode()
    return sum(float(line.rsplit(" ", 1)[1]) for line in text.splitlines() if re.match(name, line))


def free_port():
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        return listener.getsockname()[1]


def await_connection(address, process):
    """Waits until a server that prints nothing accepts connections."""
    host, port = address.split(":")
    while process.poll() is None:
        with contextlib.suppress(ConnectionRefusedError):
            return socket.create_connection((host, int(port))).close()
        time.sleep(0.01)
    return fail(f"{process.args[0]} did not start")
