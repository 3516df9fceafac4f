"""Greedy and slow clients: while an attack stands, the server stays small and others are served as before;
afterwards everything that the attack took is given back."""

import concurrent.futures
import contextlib
import dataclasses
import http.client
import json
import math
import resource
import select
import subprocess
import sys
import time

import pytest

import service as harness
from service import FULL, ROOT, serving, sized, wait_for

CONNECTIONS = sized(200, 2000)
WINDOW = sized(2, 8)
RATE = 64
# Limits while an attack stands.
MEMORY_MIB = 64
# The processor is shared with the attacker and with the measurement.
FLOOR = 0.005
LOGIN_SECONDS = 2
# Limits 10 seconds after it.
BACK_SECONDS = 10
# The allocator keeps a part of what was freed for the next connections.
LEFT_MIB = sized(12, 48)
LEFT_DESCRIPTORS = 4
IDLE_CORES = 0.1
DEADLY = 3 << 30
COLUMNS = ("open", "ended", "MiB quiet/peak/left", "kernel MiB unsent/unread", "cores quiet/attack",
           "p99 ms quiet/control/attack", "login ms", "descriptors", "back s")
OWNER, OTHER = "127.0.0.3", "127.0.0.2"


@dataclasses.dataclass
class Kind:
    name: str
    # Cores that the server may spend on it, beyond what the other clients cost.
    cores: float = 0.1
    tls: bool = False
    settings: dict = dataclasses.field(default_factory=dict)
    # Seconds after which the server has ended the connections; None if they may stay.
    ends: float | None = None
    # The most memory that the server may have. The library of HTTP/2 keeps a table of streams for each connection.
    mib: int = MEMORY_MIB
    # Another client may lose an idle connection.
    full: bool = False

    def __str__(self):
        return self.name


HTTP2 = {"tls": True, "settings": {"http2": "true"}, "mib": sized(96, 512)}
CROWD = {"settings": {"max_connections": str(CONNECTIONS)}, "full": True, "ends": 12}
KINDS = [
    Kind("idle"),
    Kind("slow head", ends=12),
    Kind("slow second head", ends=12),
    Kind("slow body", ends=40),
    Kind("endless body, not read", cores=0.5, ends=2),
    Kind("pipelined, not read", ends=40),
    Kind("slow reader", ends=40),
    Kind("connect and close", cores=0.5),
    Kind("half heads from one address", **CROWD),
    Kind("half heads from many networks", **CROWD),
    Kind("half handshake", tls=True, ends=12),
    Kind("idle over TLS", tls=True),
    Kind("HTTP/2 stalled streams", cores=0.3, ends=40, **HTTP2),
    Kind("HTTP/2 pings only", ends=90, **HTTP2),
    Kind("HTTP/2 floods", cores=0.5, ends=2, **HTTP2),
]
# The same once more, by another way.
KINDS += [
    Kind("idle after a request", ends=85),
    Kind("slow second head over TLS", tls=True, ends=12),
    Kind("pipelined over TLS, not read", tls=True, ends=40),
    Kind("slow reader over TLS", tls=True, ends=40),
    Kind("HTTP/2 flood of RST_STREAM", cores=0.5, ends=2, **HTTP2),
    Kind("HTTP/2 flood of SETTINGS", cores=0.5, ends=2, **HTTP2),
    Kind("HTTP/2 flood of PING", cores=0.5, ends=2, **HTTP2),
    Kind("HTTP/2 flood of CONTINUATION", cores=0.5, ends=2, **HTTP2),
] if FULL else []


class Attack:
    """The clients of one kind, in a process of their own."""

    def __init__(self, kind, service, connections=CONNECTIONS):
        command = [sys.executable, ROOT / "tests/withstand/peers.py", kind.name, *service.address]
        self.process = subprocess.Popen([*map(str, command), str(connections)], text=True,
                                        stdin=subprocess.PIPE, stdout=subprocess.PIPE)

    def stands(self, patience=30):
        """Waits until each connection was tried. A server that serves nobody keeps some waiting."""
        select.select([self.process.stdout], [], [], patience)

    def figures(self):
        print(file=self.process.stdin, flush=True)
        return json.loads(next(line for line in self.process.stdout if line.startswith("{")))

    def close(self):
        if self.process.poll() is None:
            self.process.stdin.close()
            self.process.wait(timeout=harness.PATIENCE)


class Others:
    """A client from another network that checks its token, on a kept connection and on new ones in
    turn."""

    def __init__(self, service):
        self.service, self.token, self.kept = service, service.issue(), None
        self.lost, self.failure = 0, ""
        # The first requests of a connection and of a server take longer.
        for number in range(10):
            self.check(new=number % 2)

    def check(self, new):
        if not new and self.kept:
            # A server may close an idle connection at any time: a client then tries once more.
            with contextlib.suppress(ConnectionError, http.client.HTTPException):
                return self.ask(self.kept)
            self.lost += 1
        connection = http.client.HTTPConnection("localhost")
        connection.auto_open = False
        connection.sock = self.service.connect(OTHER)
        status = self.ask(connection)
        if new:
            connection.close()
        else:
            self.kept = connection
        return status

    def ask(self, connection):
        connection.request("GET", "/api/user", headers={"Authorization": f"Bearer {self.token}"})
        response = connection.getresponse()
        response.read()
        return response.status

    def p99(self, seconds):
        """The 99th percentile of the seconds that checks took, counted from when they were due. It is
        infinite if a check failed."""
        begun, times = time.monotonic(), []
        for number in range(seconds * RATE):
            due = begun + number / RATE
            time.sleep(max(0, due - time.monotonic()))
            try:
                status = self.check(new=number % 2)
            except (OSError, http.client.HTTPException) as error:
                status = error
            if status != 200:
                self.failure = repr(status)
                return math.inf
            times.append(time.monotonic() - due)
            if times[-1] > harness.PATIENCE:
                break
        return sorted(times)[-1 - len(times) // 100]


@contextlib.contextmanager
def target(folder, kind):
    folder.mkdir()
    settings = dict(kind.settings)
    if kind.tls:
        make = ["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1",
                "-nodes", "-days", "2", "-subj", "/CN=localhost", "-keyout", "key.pem", "-out", "cert.pem"]
        subprocess.run(make, cwd=folder, check=True, capture_output=True)
        settings |= {"tls_cert": "cert.pem", "tls_key": "key.pem"}
    with serving(folder, **settings) as service:
        # A server without bounds must not take the machine down.
        resource.prlimit(service.process.pid, resource.RLIMIT_DATA, (DEADLY, DEADLY))
        yield service


def cores_during(service, work):
    """The result of `work()`, and the cores that the server used meanwhile."""
    begun, used = time.monotonic(), service.cpu_seconds()
    result = work()
    return result, (service.cpu_seconds() - used) / (time.monotonic() - begun)


def measured(service, others, limit=None, control=None):
    """The p99 of the others' checks and the cores that the server used. An attack slows each check; other
    programs on the machine slow some. So the best of three counts where the limit is not kept, and the
    same checks of a control server, which nobody attacks, raise the limit."""
    best, most_cores, quiet = math.inf, 0, 0
    for _ in range(3):
        with concurrent.futures.ThreadPoolExecutor() as pool:
            controlled = pool.submit(control.p99, WINDOW) if control else None
            p99, cores = cores_during(service, lambda: others.p99(WINDOW))
            best, most_cores = min(best, p99), max(most_cores, cores)
            quiet = max(quiet, controlled.result() if control else 0)
        if others.failure or limit is None or best < limit(quiet):
            break
    return best, most_cores, quiet


def has_ended(kind, service, attack, quiet_descriptors):
    """Whether the server ends each connection by itself. A brief run does not wait for the slow ones."""
    if kind.ends is None or kind.ends > sized(3, 120):
        return True

    def condition():
        left = service.descriptors() - quiet_descriptors
        return attack.figures()["ended"] >= CONNECTIONS or left <= LEFT_DESCRIPTORS

    with contextlib.suppress(TimeoutError):
        return wait_for(condition, "the end of the connections", kind.ends)
    return False


def seconds_to(condition):
    """How long it takes until `condition()` is true, or infinity if it takes too long."""
    begun = time.monotonic()
    with contextlib.suppress(TimeoutError):
        wait_for(condition, "the end of the attack", BACK_SECONDS)
        return time.monotonic() - begun
    return math.inf


@pytest.mark.parametrize("kind", KINDS, ids=str)
def test_an_attack_harms_nobody_and_leaves_nothing(kind, tmp_path, figures):
    row = {"kind": kind.name, "peers": CONNECTIONS, **dict.fromkeys(COLUMNS, "-")}
    figures.append(row)
    with contextlib.ExitStack() as stack:
        service = stack.enter_context(target(tmp_path / "attacked", kind))
        others = Others(service)
        control = Others(stack.enter_context(target(tmp_path / "control", kind)))
        service.log_in(source=OWNER)
        quiet_p99, quiet_cores, _ = measured(service, others)
        quiet_mib, quiet_descriptors = service.resident_mib(), service.descriptors()

        attack = Attack(kind, service)
        stack.callback(attack.close)
        attack.stands()

        def limit(control_p99):
            return 2 * max(quiet_p99, control_p99) + FLOOR

        p99, cores, control_p99 = measured(service, others, limit, control)
        row["p99 ms quiet/control/attack"] = " / ".join(
            f"{seconds * 1000:.1f}" for seconds in (quiet_p99, control_p99, p99))
        row["cores quiet/attack"] = f"{quiet_cores:.2f} / {cores:.2f}"
        assert service.is_running(), "the server had too much memory, or died of something else"

        begun = time.monotonic()
        login = service.log_in(source=OWNER).status
        login_seconds = time.monotonic() - begun
        peak_mib, descriptors = service.peak_mib(), service.descriptors()
        unsent, unread = service.queued_mib()
        lost = others.lost
        ended = has_ended(kind, service, attack, quiet_descriptors)
        seen = attack.figures()
        row["open"], row["ended"] = seen["open"], seen["ended"]
        row["login ms"] = f"{login_seconds * 1000:.0f}"
        row["kernel MiB unsent/unread"] = f"{unsent:.0f} / {unread:.0f}"

        left_mib = LEFT_MIB if kind.mib == MEMORY_MIB else kind.mib

        def is_back():
            _, cores = cores_during(service, lambda: time.sleep(0.3))
            return (cores < IDLE_CORES and service.resident_mib() < quiet_mib + left_mib
                    and service.descriptors() <= quiet_descriptors + LEFT_DESCRIPTORS)

        attack.close()
        back = seconds_to(is_back)
        kept_mib, left_descriptors = service.resident_mib(), service.descriptors()
        row["MiB quiet/peak/left"] = f"{quiet_mib:.0f} / {peak_mib:.0f} / {kept_mib:.0f}"
        row["descriptors"] = f"{quiet_descriptors} / {descriptors} / {left_descriptors}"
        row["back s"] = f"{back:.1f}"

    holds = {
        f"the server had {peak_mib:.0f} MiB": peak_mib < kind.mib,
        f"the kernel had {unsent:.0f} MiB of its answers": unsent < MEMORY_MIB,
        f"it used {cores:.2f} cores": cores < quiet_cores + kind.cores,
        f"it had {descriptors} descriptors": descriptors <= quiet_descriptors + CONNECTIONS + 8,
        f"the others' p99 was {p99:.4f} s, {quiet_p99:.4f} s before, {control_p99:.4f} s elsewhere "
        f"{others.failure}": p99 < limit(control_p99),
        f"the others lost {lost} idle connections": kind.full or not lost,
        f"a login was answered with {login} in {login_seconds:.2f} s":
            login == 201 and login_seconds < LOGIN_SECONDS,
        f"it did not end the connections within {kind.ends} s": ended,
        f"{kept_mib - quiet_mib:.0f} MiB and {left_descriptors - quiet_descriptors} descriptors were not "
        f"given back within {BACK_SECONDS} s, or the processor was busy": back < BACK_SECONDS,
    }
    assert not [fault for fault, held in holds.items() if not held]
