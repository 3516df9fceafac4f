"""Shared code of the peers' scripts. It installs the pinned packages into target/peers, starts a server on
loopback, and tells benches/run how to request the user of a token."""

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
    """Runs `install` once for each version of the file of pins. Returns the folder of the installation."""
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
    """Installs a peer's requirements.txt. Returns the folder of its commands."""
    def install(place):
        venv.create(place, with_pip=True, clear=True)
        requirements = os.path.join(HERE, name, "requirements.txt")
        subprocess.run([f"{place}/bin/pip", "install", "-q", "-r", requirements],
                       check=True, stdout=sys.stderr)
    return os.path.join(installed(name, "requirements.txt", install), "bin")


def post(url, body, token=None, method="POST"):
    """Posts JSON. Returns the JSON of the answer."""
    headers = {"Content-Type": "application/json"}
    if token:
        headers["Authorization"] = token
    request = urllib.request.Request(url, json.dumps(body).encode(), headers, method=method)
    with urllib.request.urlopen(request) as answer:
        return json.load(answer)


def serve(name, command, enter, **how):
    """Starts `command`, with the address of the server in place of `{}`, and waits for SIGTERM. `enter`
    creates a user and a token at the URL of the server. It returns the path to request and the headers."""
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
