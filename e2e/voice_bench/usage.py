"""What a program and all of its descendants use, as the kernel counts it."""

import os
from collections import defaultdict
from collections.abc import Iterable
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

_TICKS_PER_SECOND = os.sysconf("SC_CLK_TCK")
_PROC = Path("/proc")


@dataclass(frozen=True, slots=True)
class Process:
    """One line of the kernel's table."""

    pid: int
    parent: int
    ticks: int
    """Its own, and those of the children that have ended and were waited for."""


def read_processes() -> dict[int, Process]:
    """Return all processes by their ids."""
    found = {}
    for entry in _PROC.iterdir():
        # It may end at any moment.
        with suppress(OSError):
            if entry.name.isdigit():
                process = parse_stat((entry / "stat").read_text())
                found[process.pid] = process
    return found


def parse_stat(line: str) -> Process:
    """Read `/proc/PID/stat`, whose second field is a name that may hold anything."""
    pid, rest = line.split(" ", 1)
    fields = rest.rpartition(")")[2].split()
    # proc(5) counts from 1: 4 is the parent; 14 to 17 are utime, stime, cutime and cstime.
    return Process(int(pid), int(fields[1]), sum(int(field) for field in fields[11:15]))


def descend(root: int, processes: dict[int, Process]) -> set[int]:
    """Return a process and all that came of it."""
    children = defaultdict(list)
    for process in processes.values():
        children[process.parent].append(process.pid)
    family, waiting = set(), [root] if root in processes else []
    while waiting:
        pid = waiting.pop()
        family.add(pid)
        waiting.extend(children[pid])
    return family


def cpu_seconds(roots: Iterable[int]) -> tuple[float, ...]:
    """Return how much processor time each family has used since it began, all read at one moment."""
    processes = read_processes()
    return tuple(sum(processes[pid].ticks for pid in descend(root, processes)) / _TICKS_PER_SECOND for root in roots)


def count_processes(root: int) -> int:
    """Count a family."""
    return len(descend(root, read_processes()))


def megabytes(root: int) -> float:
    """Return a family's memory, a page that several share counted in shares (PSS)."""
    return sum(_proportional_kilobytes(pid) for pid in descend(root, read_processes())) / 1024


def machine_seconds() -> tuple[float, float]:
    """Return the processor time that the whole machine has spent busy and idle, all cores together."""
    fields = [int(field) for field in (_PROC / "stat").read_text().splitlines()[0].split()[1:9]]
    # user nice system idle iowait irq softirq steal
    idle = fields[3] + fields[4]
    return (sum(fields) - idle) / _TICKS_PER_SECOND, idle / _TICKS_PER_SECOND


def _proportional_kilobytes(pid: int) -> int:
    with suppress(OSError):
        for line in (_PROC / str(pid) / "smaps_rollup").read_text().splitlines():
            if line.startswith("Pss:"):
                return int(line.split()[1])
    return 0
