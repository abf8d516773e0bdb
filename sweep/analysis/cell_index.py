"""Where rows lie on the axes of a grid, from their numbers alone, and which axes get panels."""

from collections.abc import Iterable, Sequence
from math import prod
from typing import Any, NamedTuple, TypeVar

import numpy as np
import numpy.typing as npt

from sweep.errors import SpecError
from sweep.experiment.checks import CHOICES
from sweep.experiment.grid import Grid

Value = TypeVar("Value")
Ints = npt.NDArray[np.int64]


class Panels(NamedTuple):
    """How the outer axes of a result are shown.

    Attributes
    ----------
    across : str
        The axis that runs across a figure: the learning rate, or the first that varies.
    down : str or None
        A second axis that varies.
    fixed : dict
        All others, and the index of the one value that is shown, the middle one: to pool the
        epochs of different tasks would say nothing of any.
    """

    across: str
    down: str | None
    fixed: dict[str, int]

    @property
    def axes(self) -> tuple[str, ...]:
        """The axes whose values are kept apart, the cost first, as a grid orders them."""
        return ("cost", self.across) if self.down is None else ("cost", self.across, self.down)


def panels_of(grid: Grid) -> Panels:
    """Return how the outer axes of a grid are shown."""
    outer = [name for name in grid.outer_names if name != "cost"]
    across, *others = [name for name in outer if len(grid.values[name]) > 1] or ["learning_rate"]
    down = others[0] if others else None
    fixed = {n: len(grid.values[n]) // 2 for n in outer if n not in (across, down)}
    return Panels(across, down, fixed)


def lengths(grid: Grid, names: Iterable[str]) -> list[int]:
    """Return how many values each named axis has."""
    return [len(grid.values[name]) for name in names]


def groups(grid: Grid, kept: tuple[str, ...]) -> Ints:
    """Return, for each combination of the outer axes, its flat index into the kept ones."""
    shape = lengths(grid, grid.outer_names)
    indices = np.indices(shape).reshape(len(shape), -1)
    place = dict(zip(grid.outer_names, indices, strict=True))
    index: Ints = np.zeros(prod(shape), np.int64)
    for name in kept:
        index = index * len(grid.values[name]) + place[name]
    return index


def everything(grid: Grid) -> dict[str, list[int]]:
    """Return all values of the axes that get panels, and the shown one of others, as indices."""
    panels = panels_of(grid)
    return {name: list(range(len(grid.values[name]))) for name in panels.axes} | {
        name: [index] for name, index in panels.fixed.items()
    }


def pictured(grid: Grid) -> dict[str, list[int]]:
    """Return which of `everything` fit into a figure.

    Six values of the one axis; of two axes so many that with the costs there are at most 12 panels.
    All optimisers, and then two values of the other axis.
    """
    panels, shown = panels_of(grid), everything(grid)
    most = {panels.across: 6}
    if panels.down is not None:
        optimizers = "optimizer" in (panels.across, panels.down)
        most = {panels.across: 3, panels.down: max(4 // len(shown["cost"]), 1)}
        most = dict.fromkeys(most, 2) if optimizers else most
    for name, count in most.items():
        every = in_order(grid, name)
        shown[name] = every if name in CHOICES else evenly_spaced(every, count)
    return shown


def in_order(grid: Grid, name: str) -> list[int]:
    """Return the indices of an axis' values, rising; names as they come."""
    values = grid.values[name]
    return list(range(len(values))) if name in CHOICES else np.argsort(values).tolist()


def along_rates(grid: Grid, most: int) -> dict[str, list[int]]:
    """Return all costs, at most so many learning rates, rising, and the middle of other axes.

    Raises
    ------
    SpecError
        There is one learning rate alone.
    """
    rates = grid.values["learning_rate"]
    if len(rates) < 2:
        raise SpecError("needs several learning rates; this result has one")
    shown = {name: [len(grid.values[name]) // 2] for name in grid.outer_names}
    shown["cost"] = list(range(len(grid.values["cost"])))
    shown["learning_rate"] = evenly_spaced(np.argsort(rates).tolist(), most)
    return shown


def held_values(grid: Grid, shown: dict[str, list[int]]) -> dict[str, Any]:
    """Return the axes of which one value of several is shown, and that value."""
    return {
        name: grid.values[name][index[0]].item()
        for name, index in shown.items()
        if name != "cost" and len(index) == 1 < len(grid.values[name])
    }


def shown_counts(grid: Grid) -> dict[str, int]:
    """Return of how many values of the axes that get panels a picture shows starts."""
    shown, panels = pictured(grid), panels_of(grid)
    return {name: len(shown[name]) for name in panels.axes if name != "cost"}


def panel_of(grid: Grid, shown: dict[str, list[int]]) -> Ints:
    """Return, for each combination of the outer axes, the number of its panel, or -1."""
    seat = np.full(lengths(grid, shown), -1)
    seat[np.ix_(*shown.values())] = np.arange(prod(map(len, shown.values()))).reshape(
        [len(values) for values in shown.values()]
    )
    index: Ints = seat.ravel()[groups(grid, tuple(shown))]
    return index


def evenly_spaced(values: Sequence[Value], most: int) -> list[Value]:
    """Return at most so many of the values, evenly spaced, the first and the last among them."""
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
    stride = prod(lengths(grid, after))
    index: Ints = np.arange(cells.start, cells.stop) // stride % len(grid.values[name])
    return index
