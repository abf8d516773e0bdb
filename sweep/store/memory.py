"""How much memory this process may still take, so that a table too large is refused in time."""

from __future__ import annotations

import math
import os
from collections.abc import Iterator
from pathlib import Path

__all__ = ["free_memory"]

# Of control groups: where they lie, the limit, what is used, and what of that is page cache.
_V1 = ("sys/fs/cgroup/memory", "memory.limit_in_bytes", "memory.usage_in_bytes",
       "total_inactive_file", "total_active_file")  # fmt: skip
_V2 = ("sys/fs/cgroup", "memory.max", "memory.current", "inactive_file", "active_file")


def free_memory(root: Path = Path("/")) -> float:
    """Return the bytes that can be had: the machine's, cut by cgroups and by `ulimit -v`.

    Infinite where the system does not tell. `root` is where /proc and /sys are found.
    """
    return min([_of_machine(root), _of_addresses(root), *_of_cgroups(root)])


def _of_machine(root: Path) -> float:
    try:
        lines = (root / "proc/meminfo").read_text().splitlines()
        return next(1024.0 * int(line.split()[1]) for line in lines if "MemAvailable" in line)
    except (OSError, StopIteration):
        pass
    try:
        return float(os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE"))
    except (AttributeError, OSError, ValueError):
        return math.inf


def _of_addresses(root: Path) -> float:
    try:
        import resource

        limit = resource.getrlimit(resource.RLIMIT_AS)[0]
        pages = int((root / "proc/self/statm").read_text().split()[0])
        page = resource.getpagesize()
    except (ImportError, OSError):
        return math.inf
    return math.inf if limit == resource.RLIM_INFINITY else float(max(limit - page * pages, 0))


def _of_cgroups(root: Path) -> Iterator[float]:
    """Yield what each cgroup around this process leaves free; page cache counts as free."""
    try:
        lines = (root / "proc/self/cgroup").read_text().splitlines()
    except OSError:
        return
    for line in lines:
        _, controllers, path = line.split(":", 2)
        names = _V1 if "memory" in controllers.split(",") else _V2
        if controllers and names is _V2:
            continue
        here = root / names[0]
        # In a container the path may be the host's, of which only the mount's top is there.
        for below in ("", *Path(path).parts[1:]):
            here /= below
            try:
                most, used = (int((here / name).read_text()) for name in names[1:3])
                stat = (here / "memory.stat").read_text().split()
            except (OSError, ValueError):  # not there, or "max"
                continue
            cached = sum(int(stat[stat.index(name) + 1]) for name in names[3:])
            yield float(max(most - used + cached, 0))
