"""The parts of a result in their folder: which there are, and what is wrong with them."""

from __future__ import annotations

import errno
import json
import sys
from collections.abc import Iterable
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from fnmatch import fnmatch
from functools import lru_cache
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
from tqdm import tqdm

from sweep.errors import SpecError, SweepError, printable, short
from sweep.experiment.grid import Grid
from sweep.experiment.spec import Spec, differences
from sweep.resources import usable_cpus
from sweep.store.checksum import checksum_state, footer_checksum_state
from sweep.store.folder import (
    Folder,
    files,
    make,
    open_folder,
    read_end,
    read_file,
    remove_unfinished,
    write_whole,
)
from sweep.store.schema import (
    FORMAT,
    METADATA_KEY,
    NAMES,
    OLDEST,
    ROW_GROUP,
    schema,
    versions,
)

__all__ = [
    "check",
    "faults",
    "foreign_files",
    "part_name",
    "prepare",
    "read_about",
    "read_spec",
    "valid_parts",
]

SPEC_FILE = "spec.toml"
_FULL = (errno.ENOSPC, errno.EFBIG, errno.EDQUOT)

# Parts are runs of cells in the grid's order, and a longer axis moves every cell behind it.
_LONGER = "; to extend an axis, run its new values alone into a folder of their own, and read both"


def part_name(grid: Grid, part: int) -> str:
    """Return the name of a part's file."""
    digits = len(str(grid.parts))
    return f"part-{part:0{digits}d}-of-{grid.parts}.parquet"


def prepare(folder: Folder, spec: Spec) -> None:
    """Make a folder ready for the parts of a spec.

    Raises
    ------
    SpecError
        It holds another spec's results, or cannot be written. Nothing is changed then.
    SweepError
        The disk is full.
    """
    make(folder)
    there = files(folder)
    if SPEC_FILE in there:
        _refuse_another(folder, spec)
    elif any(fnmatch(name, "part-*.parquet") for name in there):
        raise SpecError(f"{folder}: has parts but no {SPEC_FILE}; choose another folder")
    else:
        try:
            write_whole(folder, SPEC_FILE, spec.toml().encode(), new=True)
            if folder.local:
                return
        except FileExistsError:  # another run was faster: with the same spec?
            pass
        except SweepError as error:
            if getattr(error.__cause__, "errno", None) in _FULL:
                raise
            raise SpecError(str(error)) from None
        # An object store writes over what another run wrote a moment before, or a moment later.
        _refuse_another(folder, spec)
    remove_unfinished(folder, there)


def _refuse_another(folder: Folder, spec: Spec) -> None:
    found = differences(spec, read_spec(folder))
    if found:
        hint = _LONGER if any(each.startswith("axes.") for each in found) else ""
        raise SpecError(f"{folder}: holds another sweep: {'; '.join(found)}{hint}")


def read_spec(folder: Folder) -> Spec:
    """Return the spec of a folder of results."""
    try:
        if SPEC_FILE not in files(folder):  # a listing says more than an opening if there is none
            raise FileNotFoundError
        text = read_file(folder, SPEC_FILE).decode()
    except FileNotFoundError:
        raise SpecError(f"{folder}: holds no results of sweep (there is no {SPEC_FILE})") from None
    except UnicodeDecodeError:
        raise SpecError(f"{folder / SPEC_FILE}: is not a text file") from None
    except SweepError as error:
        raise SpecError(str(error)) from None
    return Spec.parse(text, folder / SPEC_FILE)


def read_about(folder: Folder, name: str) -> dict[str, Any]:
    """Return what a part's file says of itself, and how many rows are in it.

    Raises
    ------
    SweepError
        The file cannot be read as Parquet.
    """
    try:
        footer = _footer(folder, name)
        if footer is None:
            footer = read_file(folder, name)
            if checksum_state(footer) == "damaged":
                raise ValueError("its checksum does not hold")
        return _about(footer)
    except _UNREADABLE as error:
        raise SweepError(f"{folder / name}: is damaged: {error}") from None


_UNREADABLE = (OSError, ValueError, TypeError, KeyError, RecursionError, pa.ArrowException)

# A footer, nearly always: one request of an object store.
TAIL, LONGEST_FOOTER = 2**16, 2**24


def _footer(folder: Folder, name: str) -> bytes | None:
    """Return the footer of a part, as the end of a file; None if no seal says that it is whole."""
    tail = read_end(folder, name, TAIL)
    length = int.from_bytes(tail[-8:-4], "little") + 8
    if length > len(tail) == TAIL:
        tail = read_end(folder, name, min(length, LONGEST_FOOTER))
    if length > len(tail):
        return None
    footer = tail[-length:]
    return footer if footer_checksum_state(footer) == "whole" else None


def _about(content: bytes) -> dict[str, Any]:
    """Return what a file says of itself, and what is in it, by its footer at the end of bytes."""
    footer = pq.read_metadata(pa.BufferReader(b"PAR1" + content))
    about = json.loads((footer.metadata or {}).get(METADATA_KEY, b"{}"))
    columns = [(column.name, column.physical_type) for column in footer.schema]
    groups = [footer.row_group(k).num_rows for k in range(footer.num_row_groups)]
    return {**about, "rows written": footer.num_rows, "columns": columns, "groups": groups}


def _fault(folder: Folder, grid: Grid, part: int, every_byte: bool) -> str | None:
    """Return what is wrong with a part's file that is there, or None.

    Raises
    ------
    SpecError
        It is whole, of another version of the format.
    """
    name = part_name(grid, part)
    try:
        if not every_byte:
            with suppress(*_UNREADABLE):
                footer = _footer(folder, name)
                if footer is not None and _belongs(grid, part, _about(footer)):
                    return None
        content = read_file(folder, name)
        state = checksum_state(content)
        if state == "damaged":
            return "is damaged"
        about = _about(content)
    except FileNotFoundError:
        return "is missing"
    except _UNREADABLE:
        return "is damaged"
    theirs = about.get("format", FORMAT)
    if theirs not in range(OLDEST, FORMAT + 1):
        raise SpecError(
            f"{folder / name}: has format {short(theirs)}, this version of sweep reads formats "
            f"{OLDEST} to {FORMAT}; choose another folder, or the version that wrote it "
            f"({about.get('versions', {}).get('neuron-sweep', 'unknown')})"
        )
    if state == "unsealed" and "id" in about:
        return "is damaged"
    return None if _belongs(grid, part, about) else _stranger(grid, about)


_PHYSICAL = {pa.float64(): "DOUBLE", pa.int32(): "INT32", NAMES: "BYTE_ARRAY"}


def _belongs(grid: Grid, part: int, about: dict[str, Any]) -> bool:
    """Say whether a part is one of a grid, by what its file says of itself."""
    rows = len(grid.part(part))
    ours: dict[str, Any] = {
        "part": part,
        "rows": rows,
        "rows written": rows,
        "columns": [(each.name, _PHYSICAL[each.type]) for each in schema(grid)],
        "groups": [min(ROW_GROUP, rows - first) for first in range(0, rows, ROW_GROUP)],
    }
    if not isinstance(about.get("method"), str) or not isinstance(about.get("versions"), dict):
        return False
    if about.get("format") == FORMAT:
        ours |= {"format": FORMAT, "id": grid.spec.id, "axes": grid.hashes}
    elif about.get("format") != 2 or _id_of(about.get("spec")) != grid.spec.id:
        return False  # the ids of format 2 were hashes of another kind
    return ours.items() <= about.items()


@lru_cache(maxsize=64)
def _id_of(toml: str | None) -> str | None:
    try:
        return None if toml is None else Spec.parse(toml).id
    except SpecError:
        return None


def _stranger(grid: Grid, about: dict[str, Any]) -> str:
    """Say what a part is that is whole and does not belong to a grid."""
    theirs, written = about.get("axes", {}), about.get("versions", {})
    other = [name for name, each in grid.hashes.items() if theirs.get(name) != each]
    if about.get("id") != grid.spec.id or not other:
        return "belongs to another sweep"
    here = versions(grid).items()
    by = [f"{k} {written.get(k)}, here {v}" for k, v in here if written.get(k) != v]
    return (
        f"has other values of {', '.join(other)} than this machine computes "
        f"(it was written with {'; '.join(by) or 'the same versions'})"
    )


def faults(
    folder: Folder,
    grid: Grid,
    parts: Iterable[int] | None = None,
    *,
    every_byte: bool = True,
) -> dict[int, str]:
    """Return what is wrong with each part's file that is not there and whole.

    Parameters
    ----------
    parts
        Look into these (default: all); of the others only those are named that are not there.
    every_byte
        Read the files whole; else their footers only, which finds what was cut off or written
        over, not what changed within.

    Raises
    ------
    SpecError
        A part is of another version of the format.
    """
    there = files(folder)
    found = {part: "is missing" for part in range(grid.parts) if part_name(grid, part) not in there}
    look = [part for part in (range(grid.parts) if parts is None else parts) if part not in found]
    # Object stores answer each request late, but many at once.
    threads = usable_cpus() if folder.local else max(16, usable_cpus())
    pool = ThreadPoolExecutor(threads)
    try:
        told = pool.map(lambda part: _fault(folder, grid, part, every_byte), look)
        quiet = True if sys.stderr is None else None  # None: where it is no terminal
        bar = tqdm(told, "checking", len(look), leave=False, unit="parts", disable=quiet, delay=1)
        found |= {part: fault for part, fault in zip(look, bar, strict=True) if fault}
    finally:
        pool.shutdown(cancel_futures=True)
    return dict(sorted(found.items()))


def valid_parts(folder: Folder, grid: Grid, ours: Iterable[int] | None = None) -> set[int]:
    """Return the parts that are there and whole; those not `ours`, if given, that are there.

    Every byte is read: to check a part costs a ninth of computing it, or much less (seal.py). Of an
    object store, which checks its objects itself and is far away, only the footers.
    """
    return set(range(grid.parts)) - faults(folder, grid, ours, every_byte=folder.local).keys()


def refuse_older(folder: Folder, grid: Grid, standing: Iterable[int]) -> None:
    """Raise SpecError if parts are of an older format, whose axes may hold other values than ours.

    One run writes them all, so the first that can be read tells.
    """
    for part in standing:
        try:
            theirs = read_about(folder, part_name(grid, part)).get("format", FORMAT)
        except SweepError:  # damaged, and another shard's to compute
            continue
        if theirs < FORMAT:
            raise SpecError(
                f"{folder}: holds parts of format {theirs}, which this version of sweep reads and "
                "does not add to; run the sweep into another folder"
            )
        return


def foreign_files(folder: Folder, grid: Grid) -> list[str]:
    """Return the Parquet files that are no part; reading a folder by a glob would mix them in."""
    parts = {part_name(grid, part) for part in range(grid.parts)}
    return sorted(
        name for name in files(folder) if fnmatch(name, "*.parquet") and name not in parts
    )


def check(folder: str | Path | Folder) -> list[str]:
    """Return what is wrong with a folder of results, a line for each file; empty if nothing is.

    Every byte of every part is read.
    """
    folder = open_folder(folder)
    grid = Grid(read_spec(folder))
    wrong = [f"{part_name(grid, part)} {fault}" for part, fault in faults(folder, grid).items()]
    found = [printable(name) for name in foreign_files(folder, grid)]
    return wrong + [f"{name} is no part of this sweep" for name in found]
