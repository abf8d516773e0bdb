"""Read a result row group by row group, on every core and never whole.

The order of the rows is that of the grid, so a row's place on every axis follows from its number:
the axes' columns are not read.
"""

from __future__ import annotations

from bisect import bisect_right
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any, NamedTuple, TypeVar

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.parquet as pq

from sweep.errors import SweepError
from sweep.experiment.grid import Grid
from sweep.neuron.problem import Status
from sweep.resources import usable_cpus
from sweep.store.folder import Folder, open_file, open_folder, retried, unreachable
from sweep.store.parts import part_name, usable_parts
from sweep.store.reading import read_rows
from sweep.store.schema import ROW_GROUP
from sweep.store.spec_file import read_spec

Item = TypeVar("Item")
Reduced = TypeVar("Reduced")
Columns = dict[str, npt.NDArray[Any]]


class Run(NamedTuple):
    """A run of cells that is read from another result."""

    cells: range
    source: ResultRows
    start: int  # where the run begins there


@dataclass(frozen=True)
class ResultRows:
    """The rows of a result that can be read.

    Attributes
    ----------
    folder : Folder
    grid : Grid
    parts : tuple of int
        Those that are usable.
    missing : tuple of int
        Those that are not computed yet.
    left_out : tuple of str
        The faults of the others.
    runs : tuple of Run
        Where all cells lie in other results: of a selection, or of several results put together
        (`sweep.analysis.selection`). It has no parts of its own then.
    """

    folder: Folder
    grid: Grid
    parts: tuple[int, ...] = ()
    missing: tuple[int, ...] = ()
    left_out: tuple[str, ...] = ()
    runs: tuple[Run, ...] = ()

    @property
    def rows(self) -> int:
        """The number of cells in the usable parts."""
        return sum(map(len, _row_groups(self, range(self.grid.size))))

    @cached_property
    def sources(self) -> tuple[ResultRows, ...]:
        """The folders' rows that these are read from."""
        if not self.runs:
            return (self,)
        sources = {id(each): each for run in self.runs for each in run.source.sources}
        return tuple(sources.values())

    @property
    def id(self) -> str:
        """The ids of the specs that the rows were computed from."""
        return "+".join(dict.fromkeys(source.grid.spec.id for source in self.sources))

    @property
    def warnings(self) -> list[str]:
        """Warnings about a result that is not complete, if any."""
        warnings = []
        for source in self.sources:
            where = f"{source.folder}: " if len(self.sources) > 1 else ""
            warnings += [f"{where}left out: {fault}" for fault in source.left_out]
            if source.missing:
                warnings.append(
                    f"{where}{len(source.missing)} of {source.grid.parts} parts are not computed "
                    "yet; the answers are those of the others"
                )
        return warnings

    @cached_property
    def _usable(self) -> frozenset[int]:
        return frozenset(self.parts)

    @cached_property
    def _run_starts(self) -> list[int]:
        return [run.cells.start for run in self.runs]


def open_result(folder: str | Path | Folder, *, skip_damaged: bool = False) -> ResultRows:
    """Open a folder of results; parts that are not computed yet may be missing.

    Parameters
    ----------
    folder
        What `sweep run` filled: a path, or a URI.
    skip_damaged
        Go on without the parts that cannot be used. Every part is read once to find them.

    Raises
    ------
    SpecError
        The folder holds no results.
    SweepError
        Parts are damaged; all are named.
    """
    folder = open_folder(folder)
    grid = Grid(read_spec(folder))
    advice = "--skip-damaged goes on without, "
    return ResultRows(
        folder, grid, *usable_parts(folder, grid, skip_damaged=skip_damaged, advice=advice)
    )


def reduced(
    result: ResultRows,
    columns: Sequence[str],
    chunk: Callable[[range, Columns], Reduced],
    panel: npt.NDArray[np.int64] | None = None,
) -> Iterator[Reduced]:
    """Yield `chunk(cells, columns)` for each row group, in order.

    `panel` has a number for each combination of the outer axes; row groups are left out in which
    all are negative.
    """
    groups = _row_groups(result, range(result.grid.size))
    if panel is not None:
        each = result.grid.starts_count
        groups = (
            cells
            for cells in groups
            if (panel[cells.start // each : (cells.stop - 1) // each + 1] >= 0).any()
        )
    return pooled(lambda cells: chunk(cells, read(result, cells, columns)), groups)


def reduced_pairs(
    first: ResultRows,
    second: ResultRows,
    columns: Sequence[str],
    chunk: Callable[[range, Columns, Columns], Reduced],
) -> Iterator[Reduced]:
    """Yield `chunk(cells, columns, columns)` for the same cells of two results, in order.

    Their grids have the same shape. Cells are left out that lie in a part that is missing in one.
    """

    def pairs() -> Iterator[range]:
        for cells in _row_groups(first, range(first.grid.size)):
            if sum(map(len, _row_groups(second, cells))) == len(cells):
                yield cells

    def read_and_reduce(cells: range) -> Reduced:
        return chunk(cells, read(first, cells, columns), read(second, cells, columns))

    return pooled(read_and_reduce, pairs())


def read(result: ResultRows, cells: range, columns: Sequence[str]) -> Columns:
    """Read columns of a range of rows; epochs are infinite where the neuron did not converge.

    Raises
    ------
    SweepError
        A part cannot be read.
    """
    pieces: list[Columns] = []
    if result.runs:
        for run, here in _runs(result, cells):
            pieces.append(read(run.source, _moved(here, run.start - run.cells.start), columns))
        return _joined(pieces, columns)
    names = list({*columns, "status"} if "epochs" in columns else columns)
    for part in _parts_of(result, cells):
        whole, folder, grid = result.grid.part(part), result.folder, result.grid
        path = folder / part_name(grid, part)
        rows = range(max(cells.start - whole.start, 0), min(cells.stop, whole.stop) - whole.start)
        try:
            pieces += retried(lambda: list(read_rows(folder, grid, part, rows, names)))  # noqa: B023
        except FileNotFoundError:
            raise SweepError(f"{path}: is gone") from None
        except (pa.ArrowException, OSError, ValueError, TypeError, LookupError) as error:
            reason = unreachable(folder, error)
            if reason:
                raise SweepError(f"{path}: cannot be read: {reason}") from None
            reason = (str(error).splitlines() or [""])[0]
            raise SweepError(
                f"{path}: is damaged ({reason}); --skip-damaged goes on without it"
            ) from error
    if "epochs" in columns:
        for piece in pieces:
            converged = piece["status"] == Status.converged
            piece["epochs"] = np.where(converged, piece["epochs"], np.inf)
    return _joined(pieces, columns)


def _joined(pieces: Sequence[Columns], columns: Sequence[str]) -> Columns:
    if len(pieces) == 1:
        return {name: pieces[0][name] for name in columns}
    return {name: np.concatenate([piece[name] for piece in pieces]) for name in columns}


def column_range(result: ResultRows, column: str) -> tuple[float, float]:
    """Return the least and the largest value of a column, from the statistics in the footers."""
    statistics = []
    for source, name in [(s, part_name(s.grid, part)) for s in result.sources for part in s.parts]:
        with open_file(source.folder, name) as file:
            about = pq.read_metadata(file)
        place = about.schema.to_arrow_schema().get_field_index(column)
        groups = (about.row_group(k).column(place) for k in range(about.num_row_groups))
        statistics += [group.statistics for group in groups]
    return min(each.min for each in statistics), max(each.max for each in statistics)


def pooled(chunk: Callable[[Item], Reduced], items: Iterable[Item]) -> Iterator[Reduced]:
    """Yield `chunk(item)` in the order of the items, a few of them ahead on a pool of threads."""
    workers = usable_cpus()
    with ThreadPoolExecutor(workers) as pool:
        ahead: deque[Future[Reduced]] = deque()
        try:
            for item in items:
                ahead.append(pool.submit(chunk, item))
                if len(ahead) > 2 * workers:
                    yield ahead.popleft().result()
            while ahead:
                yield ahead.popleft().result()
        finally:
            for future in ahead:
                future.cancel()


def _row_groups(result: ResultRows, within: range) -> Iterator[range]:
    """Yield the cells that can be read, within a range, as they lie in row groups."""
    if result.runs:
        for run, here in _runs(result, within):
            shift = run.start - run.cells.start
            for cells in _row_groups(run.source, _moved(here, shift)):
                yield _moved(cells, -shift)
        return
    for part in _parts_of(result, within):
        if part in result._usable:
            whole = result.grid.part(part)
            for first in range(whole.start, whole.stop, ROW_GROUP):
                cells = _shared(range(first, min(first + ROW_GROUP, whole.stop)), within)
                if cells:
                    yield cells


def _runs(result: ResultRows, within: range) -> Iterator[tuple[Run, range]]:
    """Yield the runs that a range of cells meets, and which of the cells."""
    first = bisect_right(result._run_starts, within.start) - 1
    for run in result.runs[first:]:
        if run.cells.start >= within.stop:
            return
        here = _shared(run.cells, within)
        if here:
            yield run, here


def _shared(ours: range, theirs: range) -> range:
    return range(max(ours.start, theirs.start), min(ours.stop, theirs.stop))


def _moved(cells: range, shift: int) -> range:
    return range(cells.start + shift, cells.stop + shift)


def _parts_of(result: ResultRows, cells: range) -> range:
    each = result.grid.part_rows
    return range(cells.start // each, -(-cells.stop // each))
