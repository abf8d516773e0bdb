"""CPUs and memory that this process may use: the machine's, cut by control groups and limits."""

from __future__ import annotations

import math
import os
from collections.abc import Iterator
from pathlib import Path

__all__ = ["free_memory", "usable_cpus"]

ROOT = Path("/")


def usable_cpus(root: Path = ROOT) -> int:
    """Return how many CPUs this process may use: its affinity, cut by the cgroups' quotas.

    `root` is where /proc and /sys are found.
    """
    cpus = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    for folder, is_v2 in _cgroups(root, "cpu"):
        names = ("cpu.max",) if is_v2 else ("cpu.cfs_quota_us", "cpu.cfs_period_us")
        try:
            quota, period = map(int, " ".join((folder / n).read_text() for n in names).split())
        except (OSError, ValueError):  # not there, or "max"
            continue
        if quota > 0:  # version 1 says -1 for none
            cpus = min(cpus, math.ceil(quota / period))
    return max(1, cpus)


def free_memory(root: Path = ROOT) -> float:
    """Return the bytes that can be had: the machine's, cut by cgroups and by `ulimit -v`.

    Infinite where the system does not say. `root` is where /proc and /sys are found.
    """
    return min([_of_machine(root), _of_address_space(root), *_of_cgroups(root)])


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


def _of_address_space(root: Path) -> float:
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
    for folder, is_v2 in _cgroups(root, "memory"):
        limits = ("max", "current") if is_v2 else ("limit_in_bytes", "usage_in_bytes")
        prefix = "" if is_v2 else "total_"
        try:
            most, used = (int((folder / f"memory.{name}").read_text()) for name in limits)
            stat = (folder / "memory.stat").read_text().split()
        except (OSError, ValueError):  # not there, or "max"
            continue
        files = (f"{prefix}inactive_file", f"{prefix}active_file")
        cached = sum(int(stat[stat.index(name) + 1]) for name in files)
        yield float(max(most - used + cached, 0))


def _cgroups(root: Path, controller: str) -> Iterator[tuple[Path, bool]]:
    """Yield the folder of each cgroup around this process, outermost first; True for version 2."""
    try:
        lines = (root / "proc/self/cgroup").read_text().splitlines()
    except OSError:
        return
    for line in lines:
        _, controllers, path = line.split(":", 2)
        is_v2 = not controllers
        if not is_v2 and controller not in controllers.split(","):
            continue
        here = root / "sys/fs/cgroup" / ("" if is_v2 else controller)
        # In a container the path may be the host's, of which only the mount's top is there.
        for below in ("", *Path(path).parts[1:]):
            here /= below
            yield here, is_v2
