"""Logins, which cost as much as bcrypt does, and the effect of a flood of logins on other requests."""

import http.client
import json
import shutil
import statistics
import subprocess
import time

from .bench import LOAD_CORES, Figure, fail, row
from .kernel import pinned, processor_milliseconds
from .load import alternate, finish, load, ratios, start, with_token
from .servers import VERIFY, bearerd, create_user, disable_user, issue_token, rounds_of

FLOOD = 256
# The same as benches/bcrypt.rs, in PHP.
PHP = """
$hash = password_hash("long enough", PASSWORD_BCRYPT, ["cost" => 12]);
for ($i = 0; $i < 5; $i++) {
    $start = hrtime(true);
    password_verify("long enough", $hash) || exit(1);
    $times[] = (hrtime(true) - $start) / 1e6;
}
echo min($times);
"""


@row
def login(bench):
    """Concurrent logins on all cores, with bcrypt's cost 12, against as many checks by bcrypt alone."""
    rounds = rounds_of(bench, "logins")
    return [
        Figure("logins a second, on all cores", [r[0] for r in rounds], 1),
        Figure("checks of a password a second, by bcrypt alone", [r[1] for r in rounds], 1),
        Figure("ratio of the two", [a / b for a, b in rounds], 2, least=0.95),
    ]


@row
def bcrypt(bench):
    """The check of one password at the default cost, against PHP. Both run on one core, so that other
    programs on the machine affect both."""
    sides = [[bench.programs["bcrypt"], "--bench"]]
    if shutil.which("php"):
        sides.append(["php", "-n", "-r", PHP])
    times = alternate(bench, *[lambda side=side: _milliseconds(bench, side) for side in sides])
    figures = [Figure("one password checked, bcrypt of cost 12", times[0], 0, " ms")]
    if len(times) == 1:
        return figures
    return [
        *figures,
        Figure("the same in PHP", times[1], 0, " ms"),
        Figure("PHP's time to ours", ratios(times[1], times[0]), 2, least=1),
    ]


@row
def refusals(bench):
    """Logins that fail, one after the other, with stored hashes of cost 8 and 10 and the setting 9: an
    unknown email, a wrong password for each cost, and the password of a disabled user. The figures compare
    the medians of the four kinds: of the time that a client waits, and of the server's processor time."""
    create_user(bench, email="low@example.org", BEARERD_BCRYPT_COST="8")
    create_user(bench, email="high@example.org", BEARERD_BCRYPT_COST="10")
    create_user(bench, email="disabled@example.org", BEARERD_BCRYPT_COST="8")
    disable_user(bench, "disabled@example.org")
    kinds = [("nobody@example.org", "wrong"), ("low@example.org", "wrong"),
             ("high@example.org", "wrong"), ("disabled@example.org", "long enough")]
    waits, times = [], []
    with bearerd(bench, BEARERD_LOGIN_ATTEMPTS_PER_MINUTE="1000000",
                 BEARERD_BCRYPT_COST="9") as server:
        for _ in range(bench.rounds):
            # The kinds take turns, so that other programs on the machine affect all of them.
            turns = [[_refusal(*server, *kind) for kind in kinds]
                     for _ in range(5 if bench.quick else 25)]
            medians = [tuple(map(statistics.median, zip(*kind))) for kind in zip(*turns)]
            waits.append([wait for wait, _ in medians])
            times.append([spent for _, spent in medians])
    return [
        Figure("a login that fails, bcrypt of cost 10", [min(wait) for wait in waits], 1, " ms"),
        Figure("unknown email, wrong password, disabled user: slowest to fastest",
               [max(wait) / min(wait) for wait in waits], 3),
        Figure("… of processor time", [max(spent) / min(spent) for spent in times], 3, most=1.02),
    ]


def _refusal(address, process, email, password):
    """Sends a login that fails. Returns the milliseconds that the client waits, and those of the server's
    processor time."""
    body = json.dumps({"email": email, "password": password, "device_name": "bench"})
    connection = http.client.HTTPConnection(address.split("/")[2], timeout=30)
    start, before = time.perf_counter(), processor_milliseconds(process)
    try:
        connection.request("POST", "/api/tokens", body, {"Content-Type": "application/json"})
        status = connection.getresponse().status
    finally:
        connection.close()
    if status != 401:
        fail(f"a login that must fail was answered with {status}")
    return (time.perf_counter() - start) * 1000, processor_milliseconds(process) - before


def _milliseconds(bench, command):
    return float(subprocess.run(command, cwd=bench.folder, check=True, stdout=subprocess.PIPE,
                                text=True, preexec_fn=pinned(LOAD_CORES)).stdout)


@row
def storm(bench):
    """The check while 256 clients from 64 networks flood the server with logins, against no flood. The
    server has one core. The clients obey the `Retry-After` of a 503. In a second flood they don't."""
    create_user(bench)
    token = issue_token(bench)
    with bearerd(bench, BEARERD_LOGIN_ATTEMPTS_PER_MINUTE="1000000",
                 BEARERD_TRUSTED_PROXIES="127.0.0.1") as (address, process):
        url = address + VERIFY
        how = with_token(token)
        load(process, url, 1, **how)

        def flooded(patience):
            flood = start(f"{address}/api/tokens", bench.seconds + 2, script="login.lua",
                          arguments=[patience], connections=FLOOD)
            try:
                # A second later, all clients have been answered once, and the queue is full.
                load(process, url, 1, **how)
                return load(process, url, bench.seconds, **how)
            finally:
                finish(flood, refusals=True)

        calm, storm, blizzard = alternate(
            bench, lambda: load(process, url, bench.seconds, **how),
            lambda: flooded("patient"), lambda: flooded("impatient"))
    rates = [[load.rate for load in side] for side in (calm, storm, blizzard)]
    return [
        Figure("checks a second, without a login", rates[0]),
        Figure("… while 256 clients log in", rates[1]),
        Figure("ratio of the two", ratios(rates[1], rates[0]), 2, least=0.6),
        Figure("99 of 100 checks meanwhile take at most", [load.p99 for load in storm], 1, " ms",
               most=25),
        Figure("the ratio, when who is refused tries again at once", ratios(rates[2], rates[0]), 2),
    ]
