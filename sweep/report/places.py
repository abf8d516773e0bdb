"""Where rows lie on the axes of a grid, from their numbers alone, and which axes get panels."""

from collections.abc import Sequence
from math import prod
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from sweep.experiment.grid import Grid

Ints = npt.NDArray[np.int64]

GOLDEN = (5**0.5 - 1) / 2
"""Steps of this share of a grid are even over it, and in step with none of its axes."""


class Panels(NamedTuple):
    """The axes other than the cost that a result's tables keep apart, and what is pooled.

    Attributes
    ----------
    across : str
        The axis that runs across a figure: the learning rate, or the first axis that varies.
    down : str or None
        A second axis that varies.
    pooled : tuple of str
        All others that vary.
    """

    across: str
    down: str | None
    pooled: tuple[str, ...]

    @property
    def axes(self) -> tuple[str, ...]:
        """The names of those kept apart, the cost first, as a grid orders them."""
        return ("cost", self.across) if self.down is None else ("cost", self.across, self.down)


def panels_of(grid: Grid) -> Panels:
    """Return which axes of a grid get panels: two at the most, besides the cost."""
    varied = [name for name in grid.outer_names if name != "cost" and len(grid.values[name]) > 1]
    across, *others = varied or ["learning_rate"]
    return Panels(across, others[0] if others else None, tuple(others[1:]))


def lengths(grid: Grid, names: tuple[str, ...]) -> list[int]:
    """Return how many values each named axis has."""
    return [len(grid.values[name]) for name in names]


def groups(grid: Grid, kept: tuple[str, ...]) -> Ints:
    """Return, for each combination of the outer axes, its flat index into the kept ones."""
    shape = lengths(grid, tuple(grid.outer_names))
    index = np.indices(shape).reshape(len(shape), -1)
    place = dict(zip(grid.outer_names, index, strict=True))
    found: Ints = np.zeros(prod(shape), np.int64)
    for name in kept:
        found = found * len(grid.values[name]) + place[name]
    return found


def pictured(grid: Grid) -> dict[str, list[int]]:
    """Return which values of the axes that get panels a figure has room for, as indices.

    Six of the one axis; of two axes so many that with the costs there are 12 panels at the most.
    """
    panels = panels_of(grid)
    costs = len(grid.values["cost"])
    most = (
        {panels.across: 6} if panels.down is None else {panels.across: 3, panels.down: 4 // costs}
    )
    shown = {"cost": list(range(costs))}
    for name, room in most.items():
        order = np.argsort(grid.values[name])
        shown[name] = [int(order[k]) for k in spread(range(len(order)), max(room, 1))]
    return shown


def panel_of(grid: Grid, shown: dict[str, list[int]]) -> Ints:
    """Return, for each combination of the outer axes, the number of its panel, or -1."""
    seat = np.full(lengths(grid, tuple(shown)), -1)
    seat[np.ix_(*shown.values())] = np.arange(prod(map(len, shown.values()))).reshape(
        [len(values) for values in shown.values()]
    )
    found: Ints = seat.ravel()[groups(grid, tuple(shown))]
    return found


def spread(values: Sequence[Any], most: int) -> list[Any]:
    """Return at most so many of the values, evenly spread, the first and the last among them."""
    if most == 1:
        return [values[len(values) // 2]]
    where = np.linspace(0, len(values) - 1, min(most, len(values))).round().astype(int)
    return [values[i] for i in where]


def by_row(grid: Grid, cells: range, combination: npt.NDArray[Any]) -> npt.NDArray[Any]:
    """Return, for each row, the entry of its combination of the outer axes."""
    each = grid.starts_count
    first, last = cells.start // each, (cells.stop - 1) // each
    ends = np.clip(np.arange(first, last + 2) * each, cells.start, cells.stop)
    return np.repeat(combination[first : last + 1], np.diff(ends))


def start_index(grid: Grid, cells: range, name: str) -> Ints:
    """Return, for each row, the index of its value on a start axis (w, b)."""
    after = grid.start_names[grid.start_names.index(name) + 1 :]
    stride = prod(lengths(grid, tuple(after)))
    index: Ints = np.arange(cells.start, cells.stop) // stride % len(grid.values[name])
    return index
