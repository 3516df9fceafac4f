"""WebDAV's COPY and MOVE, which name a second path in Destination: the rules apply to both paths."""

import contextlib
from types import SimpleNamespace

import pytest

import servers
from servers import HOST
from sites import SECTIONS, started_bearerd, started_proxy

# For a client that may change the first path but not the second.
RULES = """
[[rules]]
host = "app.example.org"
path = "/pub/**"
all = ["pub"]

[[rules]]
host = "app.example.org"
path = "/sec/**"
all = ["sec"]
"""


@contextlib.contextmanager
def dav_server():
    """nginx's own WebDAV server, with a folder of files."""
    address = f"127.0.0.1:{servers.free_port()}"
    with servers.temporary_folder() as folder:
        for name in ("pub", "sec"):
            (folder / "root" / name).mkdir(parents=True)
            (folder / "root" / name).chmod(0o777)
        site = f"""
            server {{
                listen {address};
                root {folder}/root;
                # nginx compares the host of a Destination with this name.
                server_name {HOST};
                dav_methods PUT DELETE COPY MOVE;
            }}
            """
        with servers.running_nginx(folder, address, {"sites-enabled/dav": site}):
            yield address, folder / "root"


@pytest.fixture(scope="module", params=[name for name in SECTIONS if name != "apache"])
def dav(request):
    with contextlib.ExitStack() as stack:
        bearerd = stack.enter_context(started_bearerd(request.param, rules=RULES))
        application, files = stack.enter_context(dav_server())
        address = stack.enter_context(started_proxy(request.param, bearerd, application))
        token = {name: bearerd.token(*name.split("+")) for name in ("pub", "sec", "pub+sec")}
        yield SimpleNamespace(address=address, files=files, token=token)


def ask(dav, method, token, destinations):
    """Sends COPY or MOVE for /pub/x. Returns the status."""
    (dav.files / "pub/x").write_text("content")
    headers = [("Destination", destination) for destination in destinations]
    sent = [*servers.bearer(dav.token[token]), *headers]
    return servers.send(dav.address, "/pub/x", sent, method=method).status


def files(dav):
    return sorted(str(path.relative_to(dav.files)) for path in dav.files.rglob("*") if path.is_file())


PROTECTED = [
    f"http://{HOST}/sec/x", "/sec/x", f"https://{HOST}/sec/x", f"http://{HOST}:80/sec/x",
    f"HTTP://{HOST.upper()}/sec/x", "/sec/../sec/x", "/pub/../sec/x", "/%73ec/x", "/sec%2fx",
    "/./sec/x", "//sec/x", f"//{HOST}/sec/x", "/pub/..;/sec/x", "/SEC/x", "/sec/x?/pub/y",
    "/sec/x#/pub/y", " /sec/x", "/sec/x ", "/pub/%2e%2e/sec/x", "/pub\\..\\sec/x", "sec/x", "../sec/x",
    f"http://pub@{HOST}/sec/x", f"http:/{HOST}/sec/x", "http:///sec/x", "", "*",
    "/pub/y, /sec/x", "/sec/x, /pub/y", f"http://{HOST}/pub/y, http://{HOST}/sec/x",
    "/pub/y\t/sec/x", "/pub/y /sec/x",
]


@pytest.mark.parametrize("method", ["COPY", "MOVE"])
def test_both_paths_need_their_abilities(dav, method):
    for destination in ("/sec/x", f"http://{HOST}/sec/x"):
        assert ask(dav, method, "pub", [destination]) == 403
        assert ask(dav, method, "sec", [destination]) == 403
        assert ask(dav, method, "pub+sec", [destination]) == 204
        assert files(dav)[-1] == "sec/x"
        (dav.files / "sec/x").unlink()
    assert ask(dav, method, "pub", ["/pub/y"]) == 204
    (dav.files / "pub/y").unlink()


@pytest.mark.parametrize("method", ["COPY", "MOVE"])
def test_no_spelling_of_a_destination_bypasses_its_rule(dav, method):
    for destination in PROTECTED:
        for destinations in ([destination], ["/pub/y", destination], [destination, "/pub/y"]):
            status = ask(dav, method, "pub", destinations)
            assert not list((dav.files / "sec").iterdir()), (destinations, status)


def test_without_a_destination_copy_and_move_are_refused(dav):
    before = files(dav)
    for method in ("COPY", "MOVE", "copy", "Move"):
        assert 400 <= ask(dav, method, "pub+sec", []) <= 500
        assert files(dav) == sorted({*before, "pub/x"})


def test_the_application_sees_only_the_checked_destination(site, tokens):
    for destinations in (["/posts/2"], ["/posts/2", "/admin"], ["/admin", "/posts/2"],
                         ["/posts/2", "/posts/3"]):
        headers = [("Destination", destination) for destination in destinations]
        for method in ("COPY", "PUT"):
            _, asked = site.ask("/posts/1", tokens.writer, headers, method=method)
            if asked:
                seen = [value for name, value in asked.headers if name.lower() == "destination"]
                assert seen == ["/posts/2"], destinations


def test_a_destination_that_is_not_utf8_is_refused(site, tokens):
    for destination in ("/posts/\xff", "/posts/\xff../../admin", f"http://{HOST}/posts/\xff"):
        answer, asked = site.ask("/posts/1", tokens.writer, [("Destination", destination)],
                                 method="COPY")
        assert answer.status >= 400 and asked is None, destination
