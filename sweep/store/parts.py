"""The parts of a result in their folder: which exist, which are usable, and the others' faults."""

from __future__ import annotations

import json
import sys
from collections.abc import Iterable
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from enum import Enum
from fnmatch import fnmatch
from functools import lru_cache
from pathlib import Path
from typing import Any, NamedTuple

import pyarrow as pa
import pyarrow.parquet as pq
from tqdm import tqdm

from sweep.errors import SpecError, SweepError, printable, short
from sweep.experiment.grid import Grid
from sweep.experiment.spec import Spec
from sweep.resources import usable_cpus
from sweep.store.checksum import State, checksum_state, footer_checksum_state
from sweep.store.folder import (
    Folder,
    files,
    open_folder,
    read_end,
    read_file,
)
from sweep.store.schema import FORMAT, METADATA_KEY, NAMES, OLDEST, ROW_GROUP, schema, versions
from sweep.store.spec_file import SPEC_FILE, read_spec

__all__ = [
    "Fault",
    "FaultKind",
    "UsableParts",
    "check",
    "fault_lines",
    "faults",
    "foreign_files",
    "part_name",
    "read_metadata",
    "refuse_older",
    "usable_parts",
    "valid_parts",
]


class FaultKind(Enum):
    """What is the matter with a part's file."""

    missing = "missing"
    damaged = "damaged"
    foreign = "foreign"  # valid, of another sweep or with other values of an axis


class Fault(NamedTuple):
    """Why a part cannot be used; the message goes on after the file's name."""

    kind: FaultKind
    message: str


MISSING, DAMAGED = Fault(FaultKind.missing, "is missing"), Fault(FaultKind.damaged, "is damaged")


def part_name(grid: Grid, part: int) -> str:
    """Return the name of a part's file."""
    digits = len(str(grid.parts))
    return f"part-{part:0{digits}d}-of-{grid.parts}.parquet"


def read_metadata(folder: Folder, name: str) -> dict[str, Any]:
    """Return the metadata of a part's file, with its columns and numbers of rows.

    Raises
    ------
    SweepError
        The file cannot be read as Parquet.
    """
    try:
        footer = _footer(folder, name)
        if footer is None:
            footer = read_file(folder, name)
            if checksum_state(footer) is State.damaged:
                raise ValueError("its checksum does not match")
        return _metadata(footer)
    except _UNREADABLE as error:
        raise SweepError(f"{folder / name}: is damaged: {error}") from None


_UNREADABLE = (OSError, ValueError, TypeError, KeyError, RecursionError, pa.ArrowException)

# A footer, nearly always: one request of an object store.
TAIL, LONGEST_FOOTER = 2**16, 2**24


def _footer(folder: Folder, name: str) -> bytes | None:
    """Return a part's footer, the end of its file; None if no checksum says that it is valid."""
    tail = read_end(folder, name, TAIL)
    length = int.from_bytes(tail[-8:-4], "little") + 8
    if length > len(tail) == TAIL:
        tail = read_end(folder, name, min(length, LONGEST_FOOTER))
    if length > len(tail):
        return None
    footer = tail[-length:]
    return footer if footer_checksum_state(footer) is State.valid else None


def _metadata(content: bytes) -> dict[str, Any]:
    """Return our metadata, columns and numbers of rows, from a footer at the end of bytes."""
    footer = pq.read_metadata(pa.BufferReader(b"PAR1" + content))
    metadata = json.loads((footer.metadata or {}).get(METADATA_KEY, b"{}"))
    columns = [(column.name, column.physical_type) for column in footer.schema]
    groups = [footer.row_group(k).num_rows for k in range(footer.num_row_groups)]
    return {**metadata, "rows written": footer.num_rows, "columns": columns, "groups": groups}


def _fault(folder: Folder, grid: Grid, part: int, every_byte: bool) -> Fault | None:
    """Return why a part's file cannot be used; None if it can.

    Raises
    ------
    SpecError
        It is valid, of another version of the format.
    """
    name = part_name(grid, part)
    try:
        if not every_byte:
            with suppress(*_UNREADABLE):
                footer = _footer(folder, name)
                if footer is not None and _belongs(grid, part, _metadata(footer)):
                    return None
        content = read_file(folder, name)
        state = checksum_state(content)
        if state is State.damaged:
            return DAMAGED
        metadata = _metadata(content)
    except FileNotFoundError:
        return MISSING
    except _UNREADABLE:
        return DAMAGED
    written_format = metadata.get("format", FORMAT)
    if written_format not in range(OLDEST, FORMAT + 1):
        raise SpecError(
            f"{folder / name}: has format {short(written_format)}, this version of sweep reads "
            f"formats {OLDEST} to {FORMAT}; choose another folder, or the version that wrote it "
            f"({metadata.get('versions', {}).get('neuron-sweep', 'unknown')})"
        )
    if state is State.absent and "id" in metadata:
        return DAMAGED
    if _belongs(grid, part, metadata):
        return None
    return Fault(FaultKind.foreign, _why_foreign(grid, metadata))


def _physical_type(stored: pa.DataType) -> str:
    """Return Parquet's physical type of a number, or of names."""
    if stored == NAMES:
        return "BYTE_ARRAY"
    if pa.types.is_floating(stored):
        return "DOUBLE" if stored.bit_width == 64 else "FLOAT"
    if pa.types.is_boolean(stored):
        return "BOOLEAN"
    return "INT64" if stored.bit_width == 64 else "INT32"


def _belongs(grid: Grid, part: int, metadata: dict[str, Any]) -> bool:
    """Say whether a part is one of a grid, by the metadata of its file."""
    rows = len(grid.part(part))
    expected: dict[str, Any] = {
        "part": part,
        "rows": rows,
        "rows written": rows,
        "columns": [(field.name, _physical_type(field.type)) for field in schema(grid)],
        "groups": [min(ROW_GROUP, rows - first) for first in range(0, rows, ROW_GROUP)],
    }
    if not (isinstance(metadata.get("method"), str) and isinstance(metadata.get("versions"), dict)):
        return False
    if metadata.get("format") == FORMAT:
        expected |= {"format": FORMAT, "id": grid.spec.id, "axes": grid.hashes}
    elif metadata.get("format") != 2 or _id_of(metadata.get("spec")) != grid.spec.id:
        return False  # the ids of format 2 were hashes of another kind
    return expected.items() <= metadata.items()


@lru_cache(maxsize=64)
def _id_of(toml: str | None) -> str | None:
    try:
        return None if toml is None else Spec.parse(toml).id
    except SpecError:
        return None


def _why_foreign(grid: Grid, metadata: dict[str, Any]) -> str:
    """Say why a valid part does not belong to a grid."""
    written_axes, written_by = metadata.get("axes", {}), metadata.get("versions", {})
    axes = [name for name, digest in grid.hashes.items() if written_axes.get(name) != digest]
    if metadata.get("id") != grid.spec.id or not axes:
        return "belongs to another sweep"
    different = [
        f"{package} {written_by.get(package)}, here {version}"
        for package, version in versions(grid).items()
        if written_by.get(package) != version
    ]
    return (
        f"has other values of {', '.join(axes)} than this machine computes "
        f"(it was written with {'; '.join(different) or 'the same versions'})"
    )


def faults(
    folder: Folder, grid: Grid, parts: Iterable[int] | None = None, *, every_byte: bool = True
) -> dict[int, Fault]:
    """Return the fault of each part that cannot be used.

    Parameters
    ----------
    parts
        Read these (default: all); of the others only the missing ones are reported.
    every_byte
        Read the files whole; else their footers only, which finds what was cut off or written
        over, not what changed within.

    Raises
    ------
    SpecError
        A part is of another version of the format.
    """
    listing = files(folder)
    result = {part: MISSING for part in range(grid.parts) if part_name(grid, part) not in listing}
    to_read = [p for p in (range(grid.parts) if parts is None else parts) if p not in result]
    # Object stores answer each request late, but many at once.
    threads = usable_cpus() if folder.local else max(16, usable_cpus())
    pool = ThreadPoolExecutor(threads)
    try:
        checked = pool.map(lambda part: _fault(folder, grid, part, every_byte), to_read)
        quiet = True if sys.stderr is None else None  # None: where it is no terminal
        bar = tqdm(
            checked, "checking", len(to_read), leave=False, unit="parts", disable=quiet, delay=1
        )
        result |= {part: fault for part, fault in zip(to_read, bar, strict=True) if fault}
    finally:
        pool.shutdown(cancel_futures=True)
    return dict(sorted(result.items()))


def valid_parts(folder: Folder, grid: Grid, parts: Iterable[int] | None = None) -> set[int]:
    """Return which of the given parts are valid, and which of the others exist.

    Every byte is read: to check a part costs a ninth of computing it, or much less (checksum.py).
    Of an object store, which checks its objects itself and is far away, only the footers.
    """
    return set(range(grid.parts)) - faults(folder, grid, parts, every_byte=folder.local).keys()


class UsableParts(NamedTuple):
    """The parts that can be read, those not computed yet, and the faults of the others."""

    parts: tuple[int, ...]
    missing: tuple[int, ...]
    left_out: tuple[str, ...]


def usable_parts(
    folder: Folder, grid: Grid, *, skip_damaged: bool = False, advice: str = ""
) -> UsableParts:
    """Return the parts that can be read; some may be missing.

    Parameters
    ----------
    skip_damaged
        Leave out parts that cannot be used; every byte is read to find them.
    advice
        What else to do about damaged parts, for the error.

    Raises
    ------
    SpecError
        There is no part yet.
    SweepError
        Parts are damaged or foreign; all are named.
    """
    faults_by_part = faults(folder, grid, every_byte=skip_damaged)
    missing = tuple(
        part for part, fault in faults_by_part.items() if fault.kind is FaultKind.missing
    )
    if len(missing) == grid.parts:
        raise SpecError(f"{folder}: has no parts yet; `sweep run` computes them")
    unusable = [
        f"{part_name(grid, part)} {fault.message}"
        for part, fault in faults_by_part.items()
        if fault.kind is not FaultKind.missing
    ]
    if unusable and not skip_damaged:
        raise SweepError(
            f"{folder}: {', '.join(unusable)}; {advice}`sweep run` computes such parts again"
        )
    parts = tuple(part for part in range(grid.parts) if part not in faults_by_part)
    if not parts:
        raise SweepError(f"{folder}: no part can be read: {', '.join(unusable)}")
    return UsableParts(parts, missing, tuple(unusable))


def refuse_older(folder: Folder, grid: Grid, parts: Iterable[int]) -> None:
    """Raise SpecError if parts are of an older format, whose axes may hold other values than ours.

    One run writes them all, so the first that can be read decides.
    """
    for part in parts:
        try:
            written = read_metadata(folder, part_name(grid, part)).get("format", FORMAT)
        except SweepError:  # damaged, and another shard's to compute
            continue
        if written < FORMAT:
            raise SpecError(
                f"{folder}: holds parts of format {written}, which this version of sweep reads and "
                "does not add to; run the sweep into another folder"
            )
        return


def foreign_files(folder: Folder, grid: Grid) -> list[str]:
    """Return the Parquet files that are no part; reading a folder by a glob would mix them in."""
    ours = {SPEC_FILE, *(part_name(grid, part) for part in range(grid.parts))}
    return sorted(name for name in files(folder) if fnmatch(name, "*.parquet") and name not in ours)


def check(folder: str | Path | Folder) -> list[str]:
    """Return the faults of a folder of results, a line for each file; empty if there are none.

    Every byte of every part is read.

    Examples
    --------
    >>> import sweep, tempfile
    >>> axes = {"w": [0.6, 2.0], "b": [0.9, 2.0], "learning_rate": [0.15], "cost": ["quadratic"]}
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     result = sweep.run(sweep.Spec(axes=axes), folder)
    ...     sweep.check(folder)
    []
    """
    folder = open_folder(folder)
    grid = Grid(read_spec(folder))
    return fault_lines(folder, grid, faults(folder, grid))


def fault_lines(folder: Folder, grid: Grid, faults_by_part: dict[int, Fault]) -> list[str]:
    """Return a line for each part with a fault, and for each file that is no part."""
    lines = [f"{part_name(grid, part)} {fault.message}" for part, fault in faults_by_part.items()]
    foreign = [printable(name) for name in foreign_files(folder, grid)]
    return lines + [f"{name} is no part of this sweep" for name in foreign]
