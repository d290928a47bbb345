"""What process trees use, from `/proc`: CPU time and memory."""

import os
from collections.abc import Iterable
from pathlib import Path

_TICKS_PER_S = os.sysconf("SC_CLK_TCK")


def tree(pids: Iterable[int]) -> set[int]:
    """These processes and everything below them."""
    parents = {pid: int(fields[1]) for pid, fields in _stats()}
    inside, grew = set(pids), True
    while grew:
        found = {child for child, parent in parents.items() if parent in inside} - inside
        inside |= found
        grew = bool(found)
    return inside


def tree_cpu_s(pids: Iterable[int]) -> float:
    """CPU seconds that these processes and everything below them have used; what ended before is in its parent.

    By the scheduler's own count, in nanoseconds: the ticks of `stat` are too coarse for a slice of some thousand logins. Threads
    that ended are not counted; the servers here keep theirs.
    """
    inside = tree(pids)
    return sum(_cpu_s(pid, fields) for pid, fields in _stats() if pid in inside)


def _cpu_s(pid: int, fields: list[str]) -> float:
    of_ended_children = sum(map(int, fields[13:15])) / _TICKS_PER_S
    files = list(Path(f"/proc/{pid}/task").glob("*/schedstat"))
    try:
        return sum(int(file.read_text().split()[0]) for file in files) / 1e9 + of_ended_children
    except OSError:
        return 0.0  # it ended while we looked


def tree_pss_mib(pids: Iterable[int]) -> float:
    """Their memory in MiB; pages that several of them share count once."""
    kib = 0
    for pid in tree(pids):
        try:
            lines = Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines()
        except OSError:
            continue
        kib += sum(int(line.split()[1]) for line in lines if line.startswith("Pss:"))
    return kib / 1024


def _stats() -> Iterable[tuple[int, list[str]]]:
    for entry in Path("/proc").iterdir():
        if entry.name.isdecimal():
            try:
                yield int(entry.name), (entry / "stat").read_text().rpartition(")")[2].split()
            except OSError:
                continue
