"""What the peers' scripts share: installing what is pinned into target/peers, starting a server on
loopback, and telling benches/run how to ask it who one is."""

import json
import os
import signal
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
import venv

HERE = os.path.dirname(os.path.abspath(__file__))
INSTALLED = os.path.join(HERE, "../../target/peers")
EMAIL, PASSWORD = "ada@example.org", "long enough"


def installed(name, pins, install):
    """Where a peer is installed: by `install`, once for each state of the file of its pins."""
    place = os.path.join(INSTALLED, name)
    with open(os.path.join(HERE, name, pins)) as file:
        wanted = file.read()
    mark = os.path.join(place, "installed")
    if not os.path.exists(mark) or open(mark).read() != wanted:
        os.makedirs(place, exist_ok=True)
        install(place)
        with open(mark, "w") as file:
            file.write(wanted)
    return place


def from_pypi(name):
    """The commands of what a peer's requirements.txt pins."""
    def install(place):
        venv.create(place, with_pip=True, clear=True)
        requirements = os.path.join(HERE, name, "requirements.txt")
        subprocess.run([f"{place}/bin/pip", "install", "-q", "-r", requirements],
                       check=True, stdout=sys.stderr)
    return os.path.join(installed(name, "requirements.txt", install), "bin")


def post(url, body, token=None, method="POST"):
    """The JSON that is answered to this JSON."""
    headers = {"Content-Type": "application/json"}
    if token:
        headers["Authorization"] = token
    request = urllib.request.Request(url, json.dumps(body).encode(), headers, method=method)
    with urllib.request.urlopen(request) as answer:
        return json.load(answer)


def serve(name, command, enter, **how):
    """Starts a server, `command` with its address in place of `{}`, and serves until SIGTERM.
    `enter` makes a user and a token at its URL, and gives the path to ask and the headers."""
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        address = f"127.0.0.1:{listener.getsockname()[1]}"
    command = [argument.replace("{}", address) for argument in command]
    process = subprocess.Popen(command, stdout=sys.stderr, **how)
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(0))
    try:
        url = f"http://{address}"
        _await(url, process)
        path, headers = enter(url)
        request = urllib.request.Request(url + path, headers=headers)
        with urllib.request.urlopen(request) as answer:
            if EMAIL not in answer.read().decode():
                sys.exit(f"{name} does not tell who one is")
        print(json.dumps({"name": name, "url": url + path, "headers": headers}), flush=True)
        process.wait()
    finally:
        process.terminate()
        process.wait(timeout=20)


def _await(url, process):
    while process.poll() is None:
        try:
            return urllib.request.urlopen(url).close()
        except urllib.error.HTTPError:
            return None
        except OSError:
            time.sleep(0.05)
    return sys.exit(f"{process.args[0]} did not start")
