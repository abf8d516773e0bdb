"""What figures over the plane of starts share: the plane, its panels, their axes."""

from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt
import pandas as pd
from matplotlib.artist import Artist
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from sweep.analysis.cell_index import evenly_spaced
from sweep.experiment.checks import CHOICES
from sweep.figures import cells, scales
from sweep.figures.style import INK, page, start_name

Floats = npt.NDArray[np.float64]


class Plane(NamedTuple):
    """The two start columns of a table from `epochs_by_start`, and their values, increasing.

    `largest` is 1, or 2 where a start has an initial error above 1, as those of tanh do.
    """

    across: str
    up: str
    across_values: Floats
    up_values: Floats
    largest: float


def plane_of(table: pd.DataFrame) -> Plane:
    """Return the plane of a table; its columns come after those of `by`."""
    first = len(table.attrs["by"])
    across, up = table.columns[first : first + 2]
    across_values, up_values = (np.sort(table[name].unique()) for name in (across, up))
    largest = 2.0 if table["initial_error"].max() > 1 else 1.0
    return Plane(across, up, across_values, up_values, largest)


def panel_axes(table: pd.DataFrame) -> tuple[str, str | None]:
    """Return the axis whose values get panels, and a second one if there is one."""
    _, across, *down = table.attrs["by"]
    return across, down[0] if down else None


def axis_values(table: pd.DataFrame, name: str | None) -> list[Any]:
    """Return the values of an axis, increasing, or names as they come; one None for no axis."""
    if name is None:
        return [None]
    met = table[name].unique().tolist()
    names = isinstance(table[name].dtype, pd.CategoricalDtype)
    return [each for each in table[name].cat.categories if each in met] if names else sorted(met)


def shown_values(table: pd.DataFrame, name: str, most: int) -> list[Any]:
    """Return at most so many values of an axis, evenly spaced; names all."""
    values = axis_values(table, name)
    return values if name in CHOICES else evenly_spaced(values, most)


def rows_where(table: pd.DataFrame, values: dict[str | None, Any]) -> pd.DataFrame:
    """Return the rows in which each axis has its value; no axis (None) selects nothing."""
    for name, value in values.items():
        table = table if name is None else table[table[name] == value]
    return table


def over_plane(part: pd.DataFrame, column: str, plane: Plane) -> Floats:
    """Return a column as a rectangle over the plane, NaN where the table has no row."""
    return cells.rectangle(
        part, plane.up, plane.across, column, plane.up_values, plane.across_values
    )


def plane_panels(rows: int, columns: int) -> tuple[Figure, npt.NDArray[Any]]:
    """Return a figure with so many panels for planes."""
    side = 1.7 if columns > 3 or rows > 2 else 2.5
    figure = page(max(side * columns + 1.6, 4.8), side * rows + 1.3)
    return figure, figure.subplots(rows, columns, squeeze=False)


def label_plane(ax: Axes, part: pd.DataFrame, plane: Plane) -> None:
    """Draw lines of equal initial error, and label the axes of a panel."""
    cells.contours(ax, over_plane(part, "initial_error", plane), plane.largest)
    scales.value_ticks(ax.xaxis, plane.across_values)
    scales.value_ticks(ax.yaxis, plane.up_values)
    ax.set_aspect("auto")
    ax.set_xlabel(start_name(plane.across))
    ax.set_ylabel(start_name(plane.up))


def contour_key() -> Artist:
    """Return the legend's entry for the lines of equal initial error."""
    return Line2D([], [], color=INK, linewidth=0.8, label="lines of equal initial error")
