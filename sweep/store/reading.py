"""Reading a result: as a pyarrow dataset or into pandas, only the columns and rows wanted."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.dataset as pads
import pyarrow.parquet as pq
from numpy.typing import NDArray

from sweep.errors import SpecError, SweepError, check_choice, short
from sweep.experiment.grid import Grid
from sweep.experiment.labels import stored_value
from sweep.neuron.problem import Code
from sweep.resources import free_memory
from sweep.store.folder import Folder, open_file, open_folder, retried, unreachable
from sweep.store.parts import part_name, usable_parts
from sweep.store.schema import axis_column, names_of, nulls_of, schema
from sweep.store.spec_file import read_spec

__all__ = [
    "Condition",
    "chosen",
    "condition_on",
    "load",
    "load_rows",
    "open_parts",
    "read",
    "resolved",
    "scan",
]

Condition = tuple[str, str, Any]

ORDERED, OPERATORS = ("<", "<=", ">", ">="), ("==", "!=", "<", "<=", ">", ">=", "in", "not in")


def scan(folder: str | Path | Folder) -> pads.Dataset:
    """Return the parts of a folder as one pyarrow dataset, to be read in pieces.

    Raises
    ------
    SpecError
        The folder holds no results.
    SweepError
        Parts are damaged; all are named.

    Examples
    --------
    >>> import sweep, tempfile
    >>> axes = {"w": [0.6, 2.0], "b": [0.9, 2.0], "learning_rate": [0.15]}
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     result = sweep.run(sweep.Spec(axes=axes), folder)
    ...     batches = sweep.scan(folder).to_batches(["epochs"])
    ...     sum(batch["epochs"].sum().as_py() for batch in batches)
    1575
    """
    folder = open_folder(folder)
    return open_parts(folder, Grid(read_spec(folder)))


def load(
    folder: str | Path | Folder,
    columns: Sequence[str] | None = None,
    where: pads.Expression | Sequence[Condition] | None = None,
) -> pd.DataFrame:
    """Read a result into pandas; rows are in the grid's order.

    Only the columns named are read, and only the row groups in which `where` can hold.

    Parameters
    ----------
    columns : sequence of str, optional
        Only these.
    where : pyarrow expression or sequence of (column, operator, value), optional
        Only rows for which all of this holds, e.g. ``[("cost", "==", "quadratic")]``. Operators
        are ``== != < <= > >=``, and ``in`` and ``not in`` with a list. A value of an axis may be
        given as `sweep info` prints it, or with more of its digits.

    Raises
    ------
    SpecError
        The folder holds no results, or `columns` or `where` do not fit it.
    SweepError
        The table is larger than memory, or parts are damaged.

    Examples
    --------
    >>> import sweep, tempfile
    >>> axes = {"w": [0.6, 2.0], "b": [0.9, 2.0], "learning_rate": [0.15]}
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     result = sweep.run(sweep.Spec(axes=axes), folder)
    ...     sweep.load(folder, ["w0", "b0", "epochs"], where=[("cost", "==", "quadratic")])
        w0   b0  epochs
    0  0.6  0.9     273
    1  0.6  2.0     316
    2  2.0  0.9     335
    3  2.0  2.0     469
    """
    folder = open_folder(folder)
    grid = Grid(read_spec(folder))
    return load_rows(folder, grid, open_parts(folder, grid), columns, where)


def load_rows(
    folder: Folder,
    grid: Grid,
    dataset: pads.Dataset,
    columns: Sequence[str] | None,
    where: pads.Expression | Sequence[Condition] | None,
) -> pd.DataFrame:
    """Read a dataset from `open_parts` into pandas, as `load` does; errors name the folder."""
    names = chosen(columns, dataset.schema.names)
    arrays: dict[str, Any] = read(folder, grid, dataset, names, condition_on(where, grid))
    for name, texts in names_of(grid).items():
        if name in arrays:
            arrays[name] = pd.Categorical.from_codes(arrays[name], texts)
    for name, none in nulls_of(grid).items():
        if name in arrays and not isinstance(arrays[name], pd.Categorical):
            arrays[name] = pd.arrays.IntegerArray(arrays[name], arrays[name] == none)
    return pd.DataFrame(arrays, copy=False)


def open_parts(
    folder: Folder, grid: Grid, parts: Sequence[int] | None = None, among: Grid | None = None
) -> pads.Dataset:
    """Return the parts that exist as one dataset; none may be damaged or another sweep's.

    Parameters
    ----------
    parts
        These, which were checked before.
    among
        The grid of several results together: its columns, some of which are one number here.
    """
    file_format = pads.ParquetFileFormat(
        default_fragment_scan_options=pads.ParquetFragmentScanOptions(
            page_checksum_verification=True
        )
    )
    among = among or grid
    single = pads.scalar(True)
    for name in among.outer_names:
        if name not in grid.values:
            single = single & (pads.field(name) == grid.outer_values[name].item())
    fragments = [
        file_format.make_fragment(
            f"{folder.path}/{part_name(grid, part)}",
            folder.filesystem,
            _constants(grid, part) & single,
        )
        for part in (usable_parts(folder, grid).parts if parts is None else parts)
    ]
    return pads.FileSystemDataset(fragments, schema(among), file_format, folder.filesystem)


def _constants(grid: Grid, part: int) -> pads.Expression:
    """Return the values of the outer axes that all rows of a part share.

    Arrow leaves out whole parts by it. It does so by the statistics of row groups too, but not for
    names, of which the costs are the outermost axis.
    """
    cells, shared = grid.part(part), pads.scalar(True)
    shape = [len(grid.values[name]) for name in grid.outer_names]
    ends = [cell // grid.starts_count for cell in (cells.start, cells.stop - 1)]
    first, last = (np.unravel_index(panel, shape) for panel in ends)
    for name, low, high in zip(grid.outer_names, first, last, strict=True):
        if low != high:
            break
        shared = shared & (pads.field(name) == grid.values[name][low].item())
    return shared


def chosen(columns: Sequence[str] | None, known: Sequence[str]) -> list[str]:
    """Return the columns named, each once; all known ones for None."""
    if columns is None:
        return list(known)
    if isinstance(columns, str) or not len(columns):
        raise SpecError(f"columns = {columns!r}: must be a list of names, at least one")
    for name in columns:
        if name not in known:
            raise SpecError(f"columns: {name!r} is no column here; known: {', '.join(known)}")
    return list(dict.fromkeys(columns))


def condition_on(where: Any, grid: Grid) -> pads.Expression:
    """Return `where` as an expression that holds or not for each row."""
    try:
        if isinstance(where, pads.Expression):
            expression = where
        else:
            expression = pads.scalar(True)
            for condition in resolved(where, grid):
                expression = expression & pq.filters_to_expression([condition])
        schema(grid).empty_table().filter(expression)
    except (pa.ArrowException, OverflowError) as error:
        raise SpecError(f"where = {short(where)}: {str(error).splitlines()[0]}") from None
    return expression


def resolved(where: Sequence[Condition] | None, grid: Grid) -> list[Condition]:
    """Return checked conditions, each value replaced by the stored one that it means.

    Raises
    ------
    SpecError
        One is not (column, operator, value), or they do not fit one another, or an axis has no such
        value.
    """
    if isinstance(where, (str, bytes)) or not isinstance(where, (Sequence, type(None))):
        raise SpecError(f"where = {short(where)}: must be a list of (column, operator, value)")
    conditions = [_resolved(condition, grid) for condition in where or ()]
    for name, values in grid.values.items():
        held = [condition for condition in conditions if condition[0] == axis_column(name)]
        named = any(operator == "in" and value for _, operator, value in held)
        if named and not np.logical_and.reduce([_meets(values, *c[1:]) for c in held]).any():
            raise SpecError(f"where = {short(where)}: no value of the axis {name} is all of that")
    return conditions


def _meets(values: NDArray[Any], operator: str, value: Any) -> NDArray[np.bool_]:
    """Return for which values of an axis a checked condition holds."""
    if operator in ("in", "not in", "!="):
        return np.isin(values, value, invert=operator != "in")
    compare = {"<": np.less, "<=": np.less_equal, ">": np.greater, ">=": np.greater_equal}
    held: NDArray[np.bool_] = compare[operator](values, value)
    return held


def _resolved(condition: Any, grid: Grid) -> Condition:
    if not isinstance(condition, (tuple, list)) or len(condition) != 3:
        raise SpecError(
            f"where: {short(condition)}: must be (column, operator, value), as in "
            "('epochs', '>', 100)"
        )
    column, operator, value = condition
    check_choice("where: column", column, schema(grid).names)
    check_choice("where: operator", operator, OPERATORS)
    several, field = operator in ("in", "not in"), f"where: {column} {operator}"
    if several and (isinstance(value, str) or not isinstance(value, (Collection, np.ndarray))):
        raise SpecError(f"{field} {short(value)}: must be a list of values")
    names = names_of(grid).get(column)
    if names and operator in ORDERED:
        raise SpecError(f"{field} {short(value)}: names have no order; use == or in")
    listed: list[Any] = (
        [item.name if isinstance(item, Code) else item for item in value]
        if several
        else [value.name if isinstance(value, Code) else value]
    )
    for item in listed:
        if names:
            check_choice(f"where: {column}", item, names)
        elif pa.types.is_boolean(schema(grid).field(column).type):
            if not isinstance(item, (bool, np.bool_)) or operator not in ("==", "!="):
                raise SpecError(f"{field} {short(item)}: must be == or != and true or false")
        elif isinstance(item, (bool, Code)) or not isinstance(
            item, (int, float, np.integer, np.floating)
        ):
            raise SpecError(f"{field} {short(item)}: must be a number")
        elif item != item:
            raise SpecError(f"{field} nan: nothing is equal to it, above or below")
    axes = {axis_column(name): name for name in grid.values}
    if column not in axes or names or operator in ORDERED:
        return column, operator, listed if several else listed[0]
    values = grid.values[axes[column]]
    stored = [stored_value(field, item, values) for item in listed]
    # What wrote format 2 may have rounded a logarithmic axis otherwise, by a few ulps.
    near = {v + ulps * float(np.spacing(v)) for v in stored for ulps in range(-4, 5)}
    stored += sorted(near - set(values.tolist()))
    return column, "in" if operator in ("==", "in") else "not in", stored


def read(
    folder: Folder, grid: Grid, dataset: pads.Dataset, names: list[str], condition: pads.Expression
) -> dict[str, NDArray[Any]]:
    """Return columns of the rows for which the condition holds; names as their codes.

    Rows go into their arrays batch by batch. Of 20 million rows (0.86 GiB), memory peaked 0.2 to
    0.3 GiB above the result; by Arrow's table and to_pandas, whose frames cannot be written to in
    part, 0.7 GiB.
    """
    coded = names_of(grid)
    types = {
        name: np.int8 if name in coded else kind.to_pandas_dtype()
        for name, kind in zip(dataset.schema.names, dataset.schema.types, strict=True)
        if name in names
    }
    try:
        rows = retried(lambda: dataset.count_rows(filter=condition))  # often from the footers alone
        _refuse_too_large(folder, rows, types)
        arrays = {name: np.empty(rows, types[name]) for name in names}
        retried(lambda: _fill(arrays, grid, dataset, condition))
    except (pa.ArrowException, OSError, ValueError, TypeError, LookupError) as error:
        reason = unreachable(folder, error)
        if reason:
            raise SweepError(f"{folder}: cannot be read: {reason}") from None
        raise SweepError(
            f"{folder}: cannot be read: {(str(error).splitlines() or [''])[0]}; "
            "`sweep check` names the parts that are damaged"
        ) from error
    return arrays


def _fill(
    arrays: dict[str, NDArray[Any]], grid: Grid, dataset: pads.Dataset, condition: pads.Expression
) -> None:
    row = 0
    names, nulls = names_of(grid), nulls_of(grid)
    for batch in dataset.to_batches(
        columns=list(arrays), filter=condition, batch_readahead=1, fragment_readahead=1
    ):
        for name, column in arrays.items():
            column[row : row + len(batch)] = decode(batch[name], names.get(name), nulls.get(name))
        row += len(batch)


def read_rows(
    folder: Folder, grid: Grid, part: int, rows: range, columns: Sequence[str]
) -> Iterator[dict[str, NDArray[Any]]]:
    """Yield columns of some rows of a part, by row group; names as their codes."""
    names, nulls = names_of(grid), nulls_of(grid)
    with open_file(folder, part_name(grid, part)) as source:
        file = pq.ParquetFile(source, page_checksum_verification=True)
        start = 0
        for group in range(file.num_row_groups):
            stop = start + file.metadata.row_group(group).num_rows
            if start < rows.stop and stop > rows.start:
                here = slice(max(rows.start - start, 0), min(rows.stop, stop) - start)
                table = file.read_row_group(group, columns=list(columns), use_threads=False)
                chunks = {name: table[name].combine_chunks() for name in columns}
                yield {
                    name: decode(chunks[name], names.get(name), nulls.get(name))[here]
                    for name in columns
                }
            start = stop


def _refuse_too_large(folder: Folder, rows: int, types: dict[str, Any]) -> None:
    size = rows * sum(np.dtype(kind).itemsize for kind in types.values())
    free = free_memory()
    if 1.25 * size > free:  # a quarter for batches in flight
        raise SweepError(
            f"{folder}: {rows:,} rows of {len(types)} columns take {size / 2**30:.2f} GiB of "
            f"memory, and {free / 2**30:.2f} GiB are free; load fewer columns or (where=) "
            "fewer rows, or stream them with sweep.scan"
        )


def decode(
    column: pa.Array | pa.ChunkedArray, names: list[str] | None, none: int | None = None
) -> NDArray[Any]:
    """Return a column as an array, of names their codes in `names`, `none` in place of nulls."""
    if isinstance(column, pa.ChunkedArray):
        column = column.chunk(0)
    if names is None:
        return np.asarray(column if none is None else column.fill_null(none))
    # Parquet's dictionary has the names in whatever order it met them.
    listed = [names.index(name) for name in column.dictionary.to_pylist()]
    known = np.array([*listed, -1 if none is None else none], np.int8)
    codes: NDArray[Any] = known[np.asarray(column.indices.fill_null(len(listed)))]
    return codes
