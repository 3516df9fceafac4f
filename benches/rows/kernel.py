"""System calls for processes, and measurements from /proc."""

import contextlib
import os
import re
import signal


def pinned(cores):
    """A function for a child process that pins it to these cores."""
    return lambda: os.sched_setaffinity(0, cores)


def interrupt(process):
    """Stops a process as Ctrl-C does."""
    process.send_signal(signal.SIGINT)


def processor_seconds(process):
    """The processor time that a process has used, with its threads and children."""
    tick = os.sysconf("SC_CLK_TCK")
    return sum(sum(map(int, _stat(pid)[11:15])) for pid in _family(process.pid)) / tick


def processor_milliseconds(process):
    """The processor time that a process has used with its threads, to the nanosecond."""
    threads = f"/proc/{process.pid}/task"
    return sum(_scheduled(f"{threads}/{thread}") for thread in os.listdir(threads)) / 1e6


def _scheduled(task):
    with open(f"{task}/schedstat") as schedstat:
        return int(schedstat.read().split()[0])


def _stat(pid):
    """The fields after the name in /proc/PID/stat: the state, the parent, … ."""
    with open(f"/proc/{pid}/stat") as stat:
        return stat.read().rsplit(")", 1)[1].split()


def _family(pid):
    """A process and its running descendants."""
    children = {}
    for entry in filter(str.isdigit, os.listdir("/proc")):
        with contextlib.suppress(FileNotFoundError, ProcessLookupError):
            children.setdefault(int(_stat(entry)[1]), []).append(int(entry))
    family = [pid]
    for member in family:
        family.extend(children.get(member, []))
    return family


def resident(process):
    """The resident memory of a process, in MiB."""
    with open(f"/proc/{process.pid}/status") as status:
        return int(re.search(r"VmRSS:\s+(\d+) kB", status.read())[1]) / 1024
