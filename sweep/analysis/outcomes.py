"""What became of followed neurons: counts by outcome, and the tables of their figures."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd

from sweep.analysis.by_error import axes_attrs, axis_columns, fixed_values
from sweep.analysis.by_start import blocks, even, varied_starts
from sweep.analysis.cell_index import (
    along_rates,
    by_row,
    groups,
    held_values,
    lengths,
    panel_of,
    panels_of,
    pictured,
    shown_counts,
)
from sweep.analysis.row_groups import Columns, ResultRows, reduced
from sweep.errors import SpecError
from sweep.neuron.following import Outcome
from sweep.store.schema import axis_column

# An output that moves by less in the followed epochs had come to rest before them.
MOVES = 1e-6

__all__ = [
    "lyapunov_by_rate",
    "need_follow",
    "outcome_map",
    "outcomes",
]

# Cells of a picture along each axis.
FINE = 256


def need_follow(result: ResultRows) -> None:
    """Raise SpecError if neurons were not followed; says which line to add to the spec."""
    if result.grid.spec.follow is None:
        raise SpecError(
            "neurons were not followed after their training; add to the spec: "
            "[follow] epochs = 2000"
        )


def outcomes(result: ResultRows) -> pd.DataFrame:
    """Tabulate what became of the neurons of each combination of axes, by outcome.

    Returns
    -------
    DataFrame
        A row for each combination of the axes other than the starts and each outcome that occurs
        there: the axes, `outcome`, `count`, of which `stays`, `unconverged`; of these `settled`,
        whose output did not move any more when the training ended, with their mean `error`.

    Raises
    ------
    SpecError
        Neurons were not followed.
    """
    need_follow(result)
    grid = result.grid
    kept = tuple(grid.outer_names)
    group = groups(grid, kept)
    kinds = len(Outcome)
    totals = np.zeros((5, (int(group.max()) + 1) * kinds))

    def chunk(cells: range, read: Columns) -> npt.NDArray[np.float64]:
        outcome = read["outcome"]
        finite = outcome >= 0
        cell = (by_row(grid, cells, group) * kinds + outcome)[finite]
        unmet = ~np.isfinite(read["epochs"][finite])
        settled = unmet & ((read["highest"] - read["lowest"])[finite] < MOVES)
        error = np.where(settled, read["final_error"][finite], 0.0)
        sums = (None, unmet, read["stays"][finite], settled, error)
        return np.array([np.bincount(cell, each, totals.shape[1]) for each in sums])

    columns = ["outcome", "epochs", "stays", "lowest", "highest", "final_error"]
    for sums in reduced(result, columns, chunk):
        totals += sums
    met = np.flatnonzero(totals[0])
    places = np.unravel_index(met // kinds, lengths(grid, kept))
    table = pd.DataFrame(axis_columns(grid, list(kept), places))
    names = [outcome.name for outcome in Outcome]
    table["outcome"] = pd.Categorical.from_codes(met % kinds, names)
    *counts, error = totals[:, met]
    for name, values in zip(("count", "unconverged", "stays", "settled"), counts, strict=True):
        table[name] = values.astype(np.int64)
    table["error"] = error / np.where(counts[-1] > 0, counts[-1], np.nan)
    return table


def outcome_map(result: ResultRows) -> pd.DataFrame:
    """Tabulate the commonest outcome over the plane of starts, or over learning rate and start.

    Returns
    -------
    DataFrame
        A row for each cell that holds a start: the axes that get panels, the start (middle of the
        cell), `outcome`, a code of `Outcome`, −1 for starts that are not finite. `attrs` as of
        `epochs_by_start`, and `rates`, whether the learning rate is an axis of the picture.

    Raises
    ------
    SpecError
        Neurons were not followed; or neither two start axes vary, nor one and the learning rate.
    """
    need_follow(result)
    grid = result.grid
    names = varied_starts(grid)[:2]
    by_rate = len(names) == 1 and len(grid.values["learning_rate"]) > 1
    if len(names) < 2 and not by_rate:
        raise SpecError("needs two start axes (w, b) that vary, or one and the learning rate")
    shown = along_rates(grid, 2 * FINE) if by_rate else pictured(grid)
    panel = panel_of(grid, shown)
    cut = blocks if grid.spec.start is None else even
    located = [cut(result, name, FINE) for name in names]
    shape = [*map(len, shown.values()), *(len(middles) for middles, _ in located)]
    kinds = len(Outcome) + 1
    totals = np.zeros(int(np.prod(shape)) * kinds, np.int64)

    def chunk(cells: range, read: Columns) -> Any:
        cell = by_row(grid, cells, panel)
        held = cell >= 0
        for middles, locate in located:
            cell = cell * len(middles) + locate(cells, read)
        return np.unique((cell * kinds + read["outcome"] + 1)[held], return_counts=True)

    drawn = [axis_column(name) for name in names if grid.spec.start is not None]
    for cells, counts in reduced(result, ["outcome", *drawn], chunk, panel):
        totals[cells] += counts
    counts = totals.reshape(-1, kinds)
    met = np.flatnonzero(counts.any(axis=1))
    places = np.unravel_index(met, shape)
    index = [np.array(each)[k] for each, k in zip(shown.values(), places, strict=False)]
    table = pd.DataFrame(axis_columns(grid, list(shown), index))
    for name, (middles, _), k in zip(names, located, places[len(shown) :], strict=True):
        table[axis_column(name)] = middles[k]
    table["outcome"] = counts[met].argmax(axis=1) - 1
    panels = panels_of(grid)
    table.attrs = {
        "shown": {"learning_rate": len(shown["learning_rate"])} if by_rate else shown_counts(grid),
        "by": ["cost", "learning_rate"] if by_rate else list(panels.axes),
        **axes_attrs(grid, held_values(grid, shown) if by_rate else fixed_values(grid)),
        "rates": by_rate,
    }
    return table


def lyapunov_by_rate(result: ResultRows) -> pd.DataFrame:
    """Tabulate the Lyapunov exponents of all starts by cost and learning rate.

    Returns
    -------
    DataFrame
        A row for each cost and learning rate: these, `mean`, `least` and `largest`, of exponents
        that are finite. Of other axes the middle value.

    Raises
    ------
    SpecError
        Neurons were not followed, or there is one learning rate alone.
    """
    need_follow(result)
    grid = result.grid
    shown = along_rates(grid, len(grid.values["learning_rate"]))
    panel, size = panel_of(grid, shown), len(shown["cost"]) * len(shown["learning_rate"])
    count, total, least = np.zeros(size), np.zeros(size), np.full(size, np.inf)
    largest = -least

    def chunk(cells: range, read: Columns) -> Any:
        seat, value = by_row(grid, cells, panel), read["lyapunov"]
        held = (seat >= 0) & np.isfinite(value)
        return seat[held], value[held]

    for seat, value in reduced(result, ["lyapunov"], chunk, panel):
        count += np.bincount(seat, minlength=size)
        total += np.bincount(seat, value, size)
        np.minimum.at(least, seat, value)
        np.maximum.at(largest, seat, value)
    met = np.flatnonzero(count)
    places = np.unravel_index(met, [len(each) for each in shown.values()])
    index = [np.array(each)[k] for each, k in zip(shown.values(), places, strict=True)]
    columns = axis_columns(grid, list(shown), index)
    table = pd.DataFrame({name: columns[name] for name in ("cost", "learning_rate")})
    for name, values in (("mean", total / count.clip(1)), ("least", least), ("largest", largest)):
        table[name] = values[met]
    fixed = held_values(grid, shown)
    table.attrs = {"by": ["cost", "learning_rate"], **axes_attrs(grid, fixed)}
    return table.sort_values(["cost", "learning_rate"], ignore_index=True)
