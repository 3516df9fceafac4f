"""Alternatives to bearerd: the same request to the three peers in benches/peers."""

import contextlib
import json
import os
import statistics
import subprocess

from .bench import ROOT, SERVER_CORES, Figure, LeftOut, row
from .kernel import pinned
from .load import compare, ratios, with_token
from .servers import bearerd, create_user, issue_token

PEERS = ["knox", "better_auth", "pocketbase"]


@row
def peers(bench):
    """The request for the user of a token, against the fastest of three peers, per second of processor
    time. Each server runs on the server's core, and is idle while the others are measured."""
    if bench.quick:
        return LeftOut("a quick run installs no peers")
    scripts = [os.path.join(ROOT, "benches/peers", name, "run") for name in PEERS]
    create_user(bench)
    token = issue_token(bench)
    with contextlib.ExitStack() as stack:
        address, process = stack.enter_context(bearerd(bench))
        peers = [stack.enter_context(_peer(bench, script)) for script in scripts]
        sides = [(process, f"{address}/api/user", with_token(token))]
        sides += [(peer, said["url"], {"headers": said["headers"]}) for peer, said in peers]
        ours, *theirs = compare(bench, *sides)
    own = [load.own for load in ours]
    figures = [Figure("`GET /api/user`, requests a second of processor time", own)]
    fastest = max(theirs, key=lambda loads: statistics.median(load.own for load in loads))
    for (_, said), loads in zip(peers, theirs):
        figures.append(Figure(said["name"], [load.own for load in loads]))
    ratio = ratios(own, [load.own for load in fastest])
    return [*figures, Figure("ratio to the fastest of them", ratio, 1, least=25)]


@contextlib.contextmanager
def _peer(bench, script):
    """Runs a peer until the block ends. Gives its process and the output of its script: `name`, `url` and
    `headers`."""
    process = subprocess.Popen([script, bench.folder], stdout=subprocess.PIPE, text=True,
                               preexec_fn=pinned(SERVER_CORES))
    try:
        yield process, json.loads(process.stdout.readline())
    finally:
        process.terminate()
        process.wait(timeout=30)
