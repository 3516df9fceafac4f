"""Building the programs, running servers, and asking them."""

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
# The library sets these for each answer by itself.
OF_EACH_ANSWER = {"date", "content-length", "connection"}


def build():
    """Builds in release, and gives the paths of the server and of the bench programs."""
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
    """What a bench program prints: a line of figures for each round."""
    output = subprocess.run([bench.programs[program], "--bench", str(bench.rounds)],
                            cwd=bench.folder, check=True, stdout=subprocess.PIPE, text=True).stdout
    return [tuple(map(float, line.split())) for line in output.splitlines()]


@contextlib.contextmanager
def running(arguments, folder, cores=SERVER_CORES, **settings):
    """Runs a server that prints where it listens, until the block ends; gives its URL and its
    process, of which `began` is when it was started."""
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
    """Runs bearerd until the block ends. Tokens in a file made earlier don't die of age."""
    own = {"BEARERD_DATABASE_URL": f"sqlite://{database}", "BEARERD_TOKEN_TTL": "never"}
    command = [bench.programs["bearerd"], "serve"]
    return running(command, bench.folder, cores, **own, **settings)


def bare(bench, url, token):
    """Runs an actix-web handler that answers as `url` does now, and does nothing else."""
    status, headers, body = get(url, token)
    path = "/" + url.split("/", 3)[3]
    if status != 200:
        fail(f"{path} answered {status}")
    own = [f"{name}: {value}" for name, value in headers if name.lower() not in OF_EACH_ANSWER]
    return running([bench.programs["bare"], path, body.decode(), *own], bench.folder)


def create_user(bench, database="bearerd.sqlite", email="ada@example.org", *flags, **settings):
    """Has bearerd create a user, and the database if it is the first."""
    arguments = ["user", "create", "--email", email, "--name", "Ada", *flags]
    _command(bench, database, arguments, **settings)


def disable_user(bench, email, database="bearerd.sqlite"):
    """Has bearerd disable a user."""
    _command(bench, database, ["user", "disable", email])


def list_users(bench, database="bearerd.sqlite"):
    """Has bearerd list the users."""
    _command(bench, database, ["user", "list"])


def issue_token(bench, database="bearerd.sqlite", email="ada@example.org", ability="*"):
    """Has bearerd issue a token of a user, who may have any number of them."""
    arguments = ["token", "issue", "--email", email, "--name", "bench", "--ability", ability]
    return _command(bench, database, arguments, BEARERD_MAX_TOKENS_PER_USER="never").strip()


@contextlib.contextmanager
def commands(bench, database):
    """Has bearerd list the users and issue a token, in turns, until the block ends."""
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
    # A command that failed has ended them.
    running.result()


def _command(bench, database, arguments, **settings):
    command = [bench.programs["bearerd"], *arguments, "--database-url", f"sqlite://{database}"]
    return subprocess.run(command, cwd=bench.folder, check=True, text=True,
                          env={**os.environ, **settings}, input="long enough\n",
                          stdout=subprocess.PIPE, preexec_fn=pinned(LOAD_CORES)).stdout


def get(url, token=None):
    """The status, the headers in order, and the body that a GET is answered with."""
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
    """A sum of bearerd's metrics whose names, with their labels, match."""
    text = get(f"{address}/metrics")[2].decode()
    return sum(float(line.rsplit(" ", 1)[1]) for line in text.splitlines() if re.match(name, line))


def free_port():
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        return listener.getsockname()[1]


def await_connection(address, process):
    """Waits until a server that prints nothing takes connections."""
    host, port = address.split(":")
    while process.poll() is None:
        with contextlib.suppress(ConnectionRefusedError):
            return socket.create_connection((host, int(port))).close()
        time.sleep(0.01)
    return fail(f"{process.args[0]} did not start")
