"""The cost of asking bearerd for a reverse proxy."""

import contextlib
import os
import shutil
import subprocess
import sys

from .bench import ROOT, SERVER_CORES, Figure, LeftOut, row
from .kernel import pinned
from .load import bearer, compare, ratios
from .servers import await_connection, bearerd, create_user, free_port, issue_token

sys.path.insert(0, os.path.join(ROOT, "tests/proxies"))
from recipes import recipe


@row
def proxy(bench):
    """Requests through nginx when it asks bearerd about each, against nginx when it doesn't."""
    if not shutil.which("nginx"):
        return LeftOut("nginx is missing (Debian: apt-get install nginx)")
    create_user(bench)
    token = issue_token(bench)
    with open(os.path.join(bench.folder, "bearerd.toml"), "w") as file:
        file.write(recipe("bearerd.toml", {}))
    with (bearerd(bench) as (address, _),
          _nginx(bench.folder, address.removeprefix("http://")) as (asking, plain, process)):
        how = {"headers": {**bearer(token), "Host": "app.example.org"}}
        with_it, without = compare(bench, (process, asking, how), (process, plain, how))
    rates = [[load.rate for load in side] for side in (with_it, without)]
    return [
        Figure("through nginx that asks bearerd, requests a second", rates[0]),
        Figure("… that does not", rates[1]),
        Figure("ratio of the two", ratios(*rates), 2),
    ]


@contextlib.contextmanager
def _nginx(folder, bearerd_address):
    """Runs nginx until the block ends, configured as docs/proxies.md shows. Gives two URLs and the process.
    nginx asks bearerd only about requests to the first URL. The application behind both is nginx, too."""
    asking, plain, application = [f"127.0.0.1:{free_port()}" for _ in range(3)]
    _configure(folder, bearerd_address, asking, plain, application)
    process = subprocess.Popen(["nginx", "-p", folder, "-c", "nginx.conf", "-e", "log"], cwd=folder,
                               preexec_fn=pinned(SERVER_CORES))
    try:
        await_connection(asking, process)
        yield f"http://{asking}/posts/1", f"http://{plain}/posts/1", process
    finally:
        process.terminate()
        process.wait(timeout=15)


def _configure(folder, bearerd_address, asking, plain, application):
    changes = {"127.0.0.1:3000": application}
    site = "/etc/nginx/sites-enabled/app"
    without = {"    include snippets/bearerd.conf;\n": "",
               "        include snippets/bearerd-identity.conf;\n": ""}
    files = {
        "nginx.conf": f"""
            daemon off; master_process off; pid {folder}/pid; error_log {folder}/log;
            events {{ worker_connections 4096; }}
            http {{
                access_log off; include bearerd.conf; include asking.conf; include plain.conf;
                server {{ listen {application}; return 200 "an answer"; }}
            }}
            """,
        "bearerd.conf":
            recipe("/etc/nginx/conf.d/bearerd.conf", {"127.0.0.1:8080": bearerd_address}),
        "asking.conf": recipe(site, {"listen 80": f"listen {asking}", **changes}),
        "plain.conf": recipe(site, {"listen 80": f"listen {plain}", **changes, **without}),
    }
    for name in ("bearerd.conf", "bearerd-identity.conf"):
        files[f"snippets/{name}"] = recipe(f"/etc/nginx/snippets/{name}", {})
    os.mkdir(os.path.join(folder, "snippets"))
    for name, text in files.items():
        with open(os.path.join(folder, name), "w") as file:
            file.write(text)
