"""git, pip and requests like Docker's through nginx, with a token as the password of HTTP Basic."""

import base64
import contextlib
import os
import subprocess
import sys

import pytest

import servers
from attacks import METHODS, WITHOUT_A_TOKEN, forgeries
from sites import Site
from upstream import Upstream


def basic(token, user="anybody"):
    pair = base64.b64encode(f"{user}:{token}".encode()).decode()
    return [("Authorization", f"Basic {pair}")]


@contextlib.contextmanager
def fcgiwrap():
    """Runs fcgiwrap. Gives the path of its socket."""
    with servers.temporary_folder() as folder:
        socket = folder / "socket"
        command = ["fcgiwrap", "-c", "1", "-s", f"unix:{socket}"]
        with servers.running(command, folder) as process:
            servers.await_answer(process, folder, lambda: os.stat(socket))
            yield socket


@pytest.fixture(scope="module")
def repositories():
    """A folder with a repository `code.git` of one commit."""
    with servers.temporary_folder() as folder:
        git = ["git", "-c", "user.name=Ada", "-c", "user.email=ada@example.org", "-C", "work"]
        quiet = {"cwd": folder, "check": True, "stdout": subprocess.DEVNULL}
        subprocess.run(["git", "init", "-q", "-b", "main", "work"], **quiet)
        subprocess.run([*git, "commit", "-q", "--allow-empty", "-m", "First"], **quiet)
        subprocess.run(["git", "clone", "-q", "--bare", "work", "code.git"], **quiet)
        yield folder


def git_http_backend():
    folder = subprocess.check_output(["git", "--exec-path"], text=True).strip()
    return f"{folder}/git-http-backend"


@contextlib.contextmanager
def started(basic_bearerd, repositories, backend):
    """nginx with both sites of the recipe."""
    with contextlib.ExitStack() as stack:
        upstream = stack.enter_context(Upstream())
        folder = stack.enter_context(servers.temporary_folder())
        git = {"unix:/run/fcgiwrap.socket": f"unix:{stack.enter_context(fcgiwrap())}",
               "/srv/git": repositories, "/usr/lib/git-core/git-http-backend": backend}
        sites = {"git": git, "packages": {"127.0.0.1:3000": upstream.address}}
        address = stack.enter_context(servers.nginx(folder, basic_bearerd.address, sites))
        yield Site("nginx", address, basic_bearerd, upstream)


@pytest.fixture(scope="module")
def site(basic_bearerd, repositories):
    with started(basic_bearerd, repositories, git_http_backend()) as site:
        yield site


class Git:
    """Runs git as a user does. The server's name leads to the proxy, and the password comes from
    GIT_ASKPASS, never from a URL or a command line."""

    def __init__(self, site, folder):
        self.site, self.folder = site, folder
        askpass = folder / "askpass"
        askpass.write_text('#!/bin/sh\ncase $1 in User*) echo ada ;; *) echo "$TOKEN" ;; esac\n')
        askpass.chmod(0o700)
        self.environment = {"PATH": os.environ["PATH"], "HOME": str(folder),
                            "GIT_CONFIG_NOSYSTEM": "1", "GIT_TERMINAL_PROMPT": "0",
                            "LC_ALL": "C", "http_proxy": f"http://{site.address}"}

    def __call__(self, *arguments, token=None):
        known = {"GIT_ASKPASS": str(self.folder / "askpass"), "TOKEN": token} if token else {}
        identity = ["-c", "user.name=Ada", "-c", "user.email=ada@example.org"]
        return subprocess.run(["git", *identity, *arguments], cwd=self.folder,
                              env={**self.environment, **known}, text=True,
                              stdout=subprocess.PIPE, stderr=subprocess.STDOUT)


@pytest.fixture
def git(site, tmp_path):
    return Git(site, tmp_path)


URL = "http://git.example.org/code.git"


def test_without_a_token_a_clone_asks_for_a_password(git):
    cloned = git("clone", URL)
    assert cloned.returncode != 0
    assert "could not read Username" in cloned.stdout, cloned.stdout


def test_with_a_dead_token_a_clone_fails(git):
    cloned = git("clone", URL, token="bd_nonsense")
    assert cloned.returncode != 0
    assert "Authentication failed" in cloned.stdout, cloned.stdout


def test_with_a_token_a_clone_succeeds_until_it_is_revoked(git, site):
    token = site.bearerd.token("git:read")
    cloned = git("clone", URL, token=token)
    assert cloned.returncode == 0, cloned.stdout
    assert git("-C", "code", "log", "--format=%s").stdout == "First\n"
    fetch = ["-C", "code", "fetch"]
    assert git(*fetch, token=token).returncode == 0
    site.bearerd.revoke(token)
    assert "Authentication failed" in git(*fetch, token=token).stdout


def test_a_token_for_reading_cannot_push(git, site):
    reader, writer = site.bearerd.token("git:read"), site.bearerd.token("git:*")
    assert git("clone", URL, token=reader).returncode == 0
    git("-C", "code", "commit", "-q", "--allow-empty", "-m", "Second")
    push = ["-C", "code", "push", "origin", "HEAD:refs/heads/second"]
    pushed = git(*push, token=reader)
    assert pushed.returncode != 0 and "403" in pushed.stdout, pushed.stdout
    pushed = git(*push, token=writer)
    assert pushed.returncode == 0, pushed.stdout


def test_a_push_larger_than_gits_buffer_arrives(git, site):
    token = site.bearerd.token("git:*")
    assert git("clone", URL, token=token).returncode == 0
    (git.folder / "code/large").write_bytes(os.urandom(3 << 20))
    git("-C", "code", "add", "large")
    git("-C", "code", "commit", "-q", "-m", "Large")
    pushed = git("-C", "code", "push", "origin", "HEAD:refs/heads/large", token=token)
    assert pushed.returncode == 0, pushed.stdout


def test_the_git_backend_gets_the_user_and_not_the_token(basic_bearerd, tmp_path):
    with servers.temporary_folder() as folder:
        program = folder / "program"
        # Not a shell script: a shell would drop repeated variables.
        program.write_text(f"#!{sys.executable}\nprint('Content-Type: text/plain\\n')\n"
                           "print(open('/proc/self/environ').read())\n")
        program.chmod(0o755)
        with started(basic_bearerd, folder, program) as site:
            token = basic_bearerd.token("git:read")
            headers = [*basic(token, user="forged"), ("Remote-User", "forged")]
            answer, _ = site.ask("/code.git/HEAD?q", headers=headers, host="git.example.org")
    variables = answer.body.split("\0")
    # Programs would read a repeated name in different ways.
    users = [variable for variable in variables if variable.startswith("REMOTE_USER=")]
    assert users == ["REMOTE_USER=1"]
    assert "PATH_INFO=/code.git/HEAD" in variables and "QUERY_STRING=q" in variables
    assert not [variable for variable in variables if "AUTHORIZATION" in variable]


def test_a_challenge_offers_basic(site):
    for host, target in [("git.example.org", "/code.git/info/refs?service=git-upload-pack"),
                         ("packages.example.org", "/v2/")]:
        answer, _ = site.ask(target, host=host)
        assert answer.status == 401
        assert 'Basic realm="' in answer.challenge


def test_no_method_and_no_header_passes_without_a_token(site):
    for host, target in [("git.example.org", "/code.git/HEAD"), ("packages.example.org", "/v2/")]:
        for method in METHODS:
            for headers in WITHOUT_A_TOKEN:
                answer, asked = site.ask(target, headers=headers, method=method, host=host)
                assert asked is None and answer.status >= 400, (method, headers, host, answer)
        for headers in forgeries():
            answer, asked = site.ask(target, headers=headers, host=host)
            assert asked is None and answer.status in (400, 401), (headers, host, answer)


@pytest.mark.parametrize("target", ["/v2/", "/simple/", "/simple/bearerd-example/"])
def test_the_application_sees_the_user_and_not_the_token(site, target):
    token = site.bearerd.token("packages:read")
    for headers in (basic(token), basic(token, user=""), servers.bearer(token)):
        answer, asked = site.ask(target, headers=headers, host="packages.example.org")
        assert answer.status == 200
        assert dict(asked.identity)["remote-user"] == "ada@example.org"
        assert dict(asked.headers)["Host"] == "packages.example.org"
        assert "Authorization" not in dict(asked.headers)
    for headers, status in [(basic("bd_nonsense"), 401), (basic(""), 401),
                            (basic(site.bearerd.token("git:read")), 403)]:
        answer, asked = site.ask(target, headers=headers, host="packages.example.org")
        assert (answer.status, asked) == (status, None)


def test_a_large_upload_passes_with_the_ability(site):
    upload = {"host": "packages.example.org", "method": "PUT", "body": bytes(3 << 20)}
    for ability, status in [("packages:write", 200), ("packages:read", 403)]:
        headers = basic(site.bearerd.token(ability))
        answer, asked = site.ask("/v2/example/blobs/uploads/1", headers=headers, **upload)
        assert (answer.status, bool(asked)) == (status, status == 200)


def test_pip_finds_a_package_with_a_token_from_netrc(site, tmp_path):
    wheel = "bearerd_example-1.0-py3-none-any.whl"
    site.upstream.pages["/simple/bearerd-example/"] = f'<a href="{wheel}">{wheel}</a>'.encode()
    index = ["index", "versions", "bearerd-example", "--no-input", "--no-cache-dir", "--isolated",
             "--index-url", "http://packages.example.org/simple/",
             "--trusted-host", "packages.example.org"]
    environment = {"PATH": os.environ["PATH"], "HOME": str(tmp_path),
                   "http_proxy": f"http://{site.address}", "PIP_DISABLE_PIP_VERSION_CHECK": "1"}

    def pip():
        return subprocess.run([sys.executable, "-m", "pip", *index], env=environment, text=True,
                              stdout=subprocess.PIPE, stderr=subprocess.STDOUT)

    assert pip().returncode != 0
    netrc = tmp_path / ".netrc"
    netrc.write_text(f"machine packages.example.org login any password {site.bearerd.token('*')}\n")
    netrc.chmod(0o600)
    found = pip()
    assert found.returncode == 0 and "bearerd-example (1.0)" in found.stdout, found.stdout
