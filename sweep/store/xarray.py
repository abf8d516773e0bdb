"""A result as labelled arrays over the axes of its grid, for xarray."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from math import prod
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pyarrow as pa
import pyarrow.dataset as pads
import pyarrow.parquet as pq
from numpy.typing import NDArray

from sweep.errors import SpecError, SweepError
from sweep.experiment.checks import CHOICES
from sweep.experiment.grid import Grid
from sweep.store.folder import Folder, open_folder
from sweep.store.reading import Condition, chosen, condition_on, open_parts, read, resolved
from sweep.store.schema import axis_column, columns_of, schema
from sweep.store.spec_file import read_spec

if TYPE_CHECKING:
    import xarray

__all__ = ["grid_rows", "load_grid"]


def load_grid(
    folder: str | Path | Folder,
    columns: Sequence[str] | None = None,
    where: Sequence[Condition] | None = None,
) -> xarray.Dataset:
    """Read a result as labelled arrays over the axes of its grid; needs xarray.

    The dimensions are the axes' columns in the grid's order: cost, learning_rate, …, w0, b0.
    Drawn starts are one dimension, ``start``, with w0 and b0 as coordinates. The status is that of
    `sweep.Status`, a number. Where the tolerance is an axis, say ``grid.sel({"tolerance": 0.1})``:
    xarray has a keyword of that name. The spec is ``grid.encoding["spec"]``, so that results of
    several specs can be combined.

    Parameters
    ----------
    columns : sequence of str, optional
        Only these of epochs, status, initial_error and final_error.
    where : sequence of (axis, operator, value), optional
        Only this part of the axes, as for `load`, e.g. ``[("learning_rate", "<", 0.1)]``; the
        other parts are not read.

    Raises
    ------
    SpecError
        As for `load`; or xarray is not installed.
    SweepError
        As for `load`; or some of the selected cells are not computed yet. They are not filled:
        epochs are whole numbers, and no number of epochs says "not known".

    Examples
    --------
    >>> import sweep, tempfile
    >>> axes = {"w": [0.6, 2.0], "b": [0.9, 2.0], "learning_rate": [0.15]}
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     result = sweep.run(sweep.Spec(axes=axes), folder)
    ...     grid = sweep.load_grid(folder)
    >>> grid.epochs.dims
    ('cost', 'learning_rate', 'w0', 'b0')
    >>> grid.epochs.sel(w0=2.0, b0=2.0).squeeze().values.tolist()
    [469, 50]
    """
    folder = open_folder(folder)
    grid = Grid(read_spec(folder))
    return grid_rows(folder, grid, open_parts(folder, grid), columns, where)


def grid_rows(
    folder: Folder,
    grid: Grid,
    dataset: pads.Dataset,
    columns: Sequence[str] | None,
    where: Sequence[Condition] | None,
    outer: Mapping[str, NDArray[Any]] | None = None,
) -> xarray.Dataset:
    """Read a dataset from `open_parts` as `load_grid` does; errors name the folder.

    `outer` has the values of the axes other than the starts, if they are not all of the grid's.
    """
    try:
        import xarray
    except ImportError:
        raise SpecError("load_grid: needs xarray: pip install xarray") from None
    declared = columns_of(grid)
    names = chosen(columns, list(declared))
    if isinstance(where, pads.Expression):
        raise SpecError("where: must be a list of (axis, operator, value) here")
    condition = condition_on(where, grid)
    start = grid.spec.start

    def starts(first: Sequence[Condition]) -> pa.Table:
        names = [axis_column(name) for name in grid.start_names]
        if start is not None and start.random is not None:
            return pa.table(dict(zip(names, grid.starts(0, grid.starts_count).T, strict=True)))
        # Those of a file are in the parts: the result is whole without it.
        table = pa.table(read(folder, grid, dataset, names, condition_on(first, grid)))
        if len(table) < grid.starts_count:
            raise SweepError(
                f"{folder}: not all starts are computed yet; `sweep run` computes them"
            )
        return table

    coordinates = _coordinates(grid, resolved(where, grid), outer or grid.values, starts)
    sizes = {dimension: len(values) for dimension, values in coordinates.values()}
    arrays = read(folder, grid, dataset, names, condition)
    rows, cells = len(arrays[names[0]]), prod(sizes.values())
    if rows < cells:
        raise SweepError(
            f"{folder}: {cells - rows:,} of the {cells:,} selected cells are not computed yet; "
            "`sweep run` computes them"
        )
    shaped = {name: (tuple(sizes), arrays[name].reshape(tuple(sizes.values()))) for name in names}
    result = xarray.Dataset(shaped, coordinates)
    result.encoding["spec"] = grid.spec.toml()  # not an attribute, which would have to be the same
    fields = schema(grid)
    for name, variable in result.variables.items():
        if name in fields.names:
            about = fields.field(name).metadata
            variable.attrs = {"long_name": about[b"description"].decode()}
            variable.attrs["units"] = about[b"unit"].decode()
    for name in names:
        if declared[name].none is not None:
            result[name].attrs["missing_value"] = declared[name].none
        if declared[name].names:
            result[name].attrs["flag_values"] = list(range(len(declared[name].names)))
            result[name].attrs["flag_meanings"] = " ".join(declared[name].names)
    return result


def _coordinates(
    grid: Grid,
    where: Sequence[Condition],
    outer: Mapping[str, NDArray[Any]],
    starts_of: Callable[[Sequence[Condition]], pa.Table],
) -> dict[str, tuple[str, NDArray[Any]]]:
    """Return the dimension and the values of each axis for which the conditions hold.

    Raises
    ------
    SpecError
        A condition is on a column that is no axis.
    """
    axes = {axis_column(name): outer[name] for name in grid.outer_names}
    starts = [axis_column(name) for name in grid.start_names]
    for column, _, _ in where:
        if column not in (*axes, *starts):
            known = ", ".join((*axes, *starts))
            raise SpecError(f"where: {column} is no axis, and arrays have axes; known: {known}")
    listed = grid.spec.start is not None
    if not listed:
        axes |= {axis_column(name): grid.values[name] for name in grid.start_names}
    tables = {column: pa.table({column: values}) for column, values in axes.items()}
    if listed:
        tables["start"] = starts_of([(column, "==", values[0]) for column, values in axes.items()])
    coordinates = {}
    for dimension, table in tables.items():
        held = [condition for condition in where if condition[0] in table.column_names]
        if held:
            table = table.filter(pq.filters_to_expression(held))
        for column in table.column_names:
            values = table[column].to_numpy()
            coordinates[column] = (dimension, values.astype(str) if column in CHOICES else values)
    return coordinates
