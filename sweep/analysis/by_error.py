"""Reduce a result of any size to small tables: each row group is counted, the counts add up.

Epochs of a neuron that did not converge are not known, only that they are more than were allowed.
Every statistic here treats them so (censored): they count as above all numbers, a quantile among
them is infinite ("not reached"), and `share_unconverged` says how many there are. Quantiles that
are whole numbers up to 4096 are exact, all others at most 0.05 % too low (`quantiles.py`).
"""

from collections.abc import Sequence
from dataclasses import dataclass
from math import prod
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd

from sweep.analysis.cell_index import by_row, everything, groups, lengths, panel_of, panels_of
from sweep.analysis.quantiles import Counts, Tally, count, cumulative, quantile_name, statistics
from sweep.analysis.row_groups import Columns, ResultRows, reduced, reduced_pairs
from sweep.analysis.selection import select
from sweep.errors import SpecError
from sweep.experiment.checks import CHOICES
from sweep.experiment.grid import Grid
from sweep.neuron.activations import ACTIVATIONS

Floats = npt.NDArray[np.float64]

QUANTILES = (0.1, 0.25, 0.5, 0.75, 0.9)
PAIR_OUTCOMES = ("over_fewer", "under_fewer", "tied", "neither", "already")


def error_edges(largest: float = 1.0) -> Floats:
    """Return the edges of the default bins of initial error, even steps of log-odds.

    Four bins for each factor 9 in error / (1 - error), so that 0.1, 0.5 and 0.9 are edges, and
    errors close to 1, where learning is slowest, are resolved as well as those close to 0.
    Where `largest` is above 1 (tanh has errors up to 2), all edges are doubled.
    """
    odds = 9.0 ** (np.arange(-32, 33) / 4)
    inner = np.where(odds <= 1, odds / (1 + odds), 1 - 1 / (1 + odds))
    inner[[28, 32, 36]] = 0.1, 0.5, 0.9
    return np.concatenate(([0.0], inner, [1.0])) * (1.0 if largest <= 1 else 2.0)


@dataclass(frozen=True)
class Counted:
    """How often each number of epochs occurs, in each bin of initial error of each group.

    Attributes
    ----------
    grid : Grid
    by : tuple of str
        The axes that are kept apart; all others are pooled.
    edges : array
        Of the bins of initial error. A bin holds its upper edge; errors outside are counted in the
        first and the last bin.
    tally : Tally
        The counts, by the flat index into (by, bins).
    fixed : dict
        Further axes, and the one value that was counted.
    non_finite : array
        The starts of each group that are left out, for their error is no number.
    """

    grid: Grid
    by: tuple[str, ...]
    edges: Floats
    tally: Tally
    fixed: dict[str, Any]
    non_finite: npt.NDArray[np.int64]


def count_by_error(
    result: ResultRows, *, by: Sequence[str] | None = None, edges: npt.ArrayLike | None = None
) -> Counted:
    """Count the epochs to converge by initial error, which one reading of the result takes.

    Parameters
    ----------
    result
    by
        The axes to keep apart; all others are pooled. If None, those that get panels, and of
        further axes only the value that is shown.
    edges
        Increasing edges of the bins of initial error. `error_edges` if None.

    Raises
    ------
    SpecError
        If `by` names something that is no axis.
    SweepError
        If a part cannot be read.
    """
    grid = result.grid
    bounds = _bounds(grid, edges)
    kept, group = _kept(grid, panels_of(grid).axes if by is None else by)
    shown = panel_of(grid, everything(grid)) if by is None else group

    def chunk(cells: range, rows: Columns) -> tuple[Counts, npt.NDArray[np.int64]]:
        cell = _cell(grid, cells, group, bounds, rows["initial_error"])
        unknown = np.isnan(rows["initial_error"])
        known = ~unknown
        if shown.min() < 0:
            counted = by_row(grid, cells, shown) >= 0
            known, unknown = known & counted, unknown & counted
        bins = len(bounds) - 1
        missing = np.bincount(cell[unknown] // bins, minlength=len(totals))
        return count(cell[known], rows["epochs"][known]), missing

    tally, totals = Tally(), np.zeros(prod(lengths(grid, kept)), np.int64)
    for more, missing in reduced(result, ["initial_error", "epochs"], chunk, shown):
        tally.add(more)
        totals += missing
    fixed = fixed_values(grid) if by is None else {}
    return Counted(grid, kept, bounds, tally, fixed, totals)


def pool(counted: Counted, by: Sequence[str], edges: npt.ArrayLike) -> Counted:
    """Pool what was counted over axes that are not in `by`, and bins between `edges`."""
    kept, bounds = tuple(by), np.asarray(edges, np.float64)
    shape = [*lengths(counted.grid, counted.by), len(counted.edges) - 1]
    old = np.indices(shape).reshape(len(shape), -1)
    place = dict(zip(counted.by, old, strict=False))
    coarse = np.searchsorted(bounds[1:-1], counted.edges[1:])[old[-1]]
    into = [*lengths(counted.grid, kept), len(bounds) - 1]
    new = np.ravel_multi_index([*(place[name] for name in kept), coarse], into)
    non_finite = np.bincount(new[:: shape[-1]] // into[-1], counted.non_finite, prod(into[:-1]))
    tally = counted.tally.moved(new)
    return Counted(counted.grid, kept, bounds, tally, counted.fixed, non_finite.astype(np.int64))


def epochs_by_error(
    counted: Counted, *, quantiles: Sequence[float] = QUANTILES, trained_only: bool = False
) -> pd.DataFrame:
    """Tabulate the epochs to converge by initial error.

    Parameters
    ----------
    counted
        From `count_by_error`.
    quantiles
        Shares in (0, 1]; each becomes a column (`median`, `q10`).
    trained_only
        Leave out starts that are within the tolerance before any update (0 epochs).

    Returns
    -------
    DataFrame
        One row for each group and bin that holds a start: the columns of `by`, `bin` (from 0),
        `error_low`, `error_high`, `count`, `share_unconverged`, `converged`, `min` and `max` (of
        those that converged, else NaN), the quantiles (infinite where not reached).
        `attrs`: `edges`, `by`, `fixed` (further axes, and the one value that was counted),
        `max_epochs` (how many were allowed), `precision` (of quantiles above 4096).
    """
    tally = counted.tally.positive() if trained_only else counted.tally
    counts = statistics(tally, quantiles).rename(columns={"finite": "converged"})
    counts.insert(2, "share_unconverged", 1 - counts["converged"] / counts["count"])
    table = _labelled(counts, counted.grid, counted.by, counted.edges)
    table.attrs |= axes_attrs(counted.grid, counted.fixed)
    table.attrs["precision"] = tally.precision
    return table


def share_by_epochs(counted: Counted, *, points: int = 200) -> pd.DataFrame:
    """Tabulate the distribution of epochs: which share of the starts converged within how many.

    Parameters
    ----------
    counted
        From `count_by_error`. Starts within the tolerance before any update are left out.
    points
        At about so many numbers of epochs, evenly spaced in the logarithm.

    Returns
    -------
    DataFrame
        The columns of `by`, `epochs`, `count` (of starts in all), `share`. `attrs`: `by`,
        `fixed`, `max_epochs`.
    """
    tally = pool(counted, counted.by, [0, np.inf]).tally.positive()
    at = np.unique(np.geomspace(1, max(counted.grid.spec.stop.max_epochs, 1), points).round())
    cells, reached = cumulative(tally, np.append(at, np.inf))
    counts = pd.DataFrame(
        {
            "epochs": np.tile(at, len(cells)),
            "count": np.repeat(reached[:, -1], len(at)),
            "share": (reached[:, :-1] / reached[:, -1:]).ravel(),
        },
        index=pd.Index(np.repeat(cells, len(at)), name="cell"),
    )
    table = _labelled(counts, counted.grid, counted.by)
    table.attrs |= axes_attrs(counted.grid, counted.fixed)
    return table


def compare(
    result: ResultRows,
    *,
    axis: str = "cost",
    over: str = "quadratic",
    under: str = "cross_entropy",
    by: Sequence[str] = ("learning_rate",),
    edges: npt.ArrayLike | None = None,
    quantiles: Sequence[float] = QUANTILES,
) -> pd.DataFrame:
    """Tabulate, by initial error, which of two costs, or optimisers, needs fewer epochs.

    Parameters
    ----------
    result, by, edges, quantiles
        As in `count_by_error` and `epochs_by_error`; `by` without the axis.
    axis
        "cost" or "optimizer".
    over, under
        Two of its values, from the same starts: a ratio is the epochs under `over` divided by those
        under `under`.

    Returns
    -------
    DataFrame
        One row for each group and bin that holds a start: the columns of `by`, `bin`, `error_low`,
        `error_high`, `pairs`, of which `over_fewer`, `under_fewer`, `tied`, `neither` (converged)
        and `already` (within the tolerance at the start); then the quantiles of the ratio over the
        first three: infinite where only `under` converged, 0 where only `over` did, NaN where
        there are none. `attrs` as in `epochs_by_error`.

    Raises
    ------
    SpecError
        If the result lacks one of the two.
    SweepError
        If a part cannot be read.
    """
    known = result.grid.outer_values[axis].tolist()
    for name in (over, under):
        if name not in known:
            raise SpecError(
                f"{axis}: the comparison needs {name}, this result has {', '.join(known)}"
            )
    (first, _), (second, _) = (select(result, {axis: name}) for name in (over, under))
    grid = first.grid
    kept, group = _kept(grid, by)
    bounds = _bounds(grid, edges)
    bins = (len(bounds) - 1) * prod(lengths(grid, kept))

    def chunk(cells: range, ours: Columns, theirs: Columns) -> tuple[Counts, npt.NDArray[np.int64]]:
        epochs1, epochs2, error = ours["epochs"], theirs["epochs"], ours["initial_error"]
        outcome = np.where(epochs1 < epochs2, 0, np.where(epochs1 > epochs2, 1, 2))
        same = epochs1 == epochs2
        outcome[same & np.isinf(epochs1)] = PAIR_OUTCOMES.index("neither")
        outcome[same & (epochs1 == 0)] = PAIR_OUTCOMES.index("already")
        cell = _cell(grid, cells, group, bounds, error)
        known = ~np.isnan(error)
        tally = np.bincount(
            (cell * len(PAIR_OUTCOMES) + outcome)[known], minlength=bins * len(PAIR_OUTCOMES)
        )
        decided = known & (outcome <= PAIR_OUTCOMES.index("tied"))
        return count(cell[decided], epochs1[decided] / epochs2[decided]), tally

    ratios = Tally()
    outcomes = np.zeros(bins * len(PAIR_OUTCOMES), np.int64)
    needed = ["initial_error", "epochs"]
    for chunk_ratios, tally in reduced_pairs(first, second, needed, chunk):
        ratios.add(chunk_ratios)
        outcomes += tally

    table = pd.DataFrame(outcomes.reshape(bins, -1), columns=list(PAIR_OUTCOMES))
    table.insert(0, "pairs", table.sum(axis="columns"))
    quantile = statistics(ratios, quantiles)[[quantile_name(q) for q in quantiles]]
    ratio_table = _labelled(table[table["pairs"] > 0].join(quantile), grid, kept, bounds)
    ratio_table.attrs["precision"] = ratios.precision
    return ratio_table


def _kept(grid: Grid, by: Sequence[str]) -> tuple[tuple[str, ...], npt.NDArray[np.int64]]:
    kept = tuple(by)
    for name in kept:
        if name not in grid.outer_names:
            raise SpecError(f"{name}: is no axis of this result: {', '.join(grid.outer_names)}")
    return kept, groups(grid, kept)


def _bounds(grid: Grid, edges: npt.ArrayLike | None) -> Floats:
    if edges is not None:
        return np.asarray(edges, dtype=np.float64)
    act = ACTIVATIONS[grid.spec.task.activation]
    return error_edges(act.high - act.low)


def _cell(
    grid: Grid, cells: range, group: npt.NDArray[np.int64], bounds: Floats, error: Floats
) -> npt.NDArray[np.int64]:
    bins = np.searchsorted(bounds[1:-1], error)
    cell: npt.NDArray[np.int64] = by_row(grid, cells, group * (len(bounds) - 1)) + bins
    return cell


def _labelled(
    cell_table: pd.DataFrame, grid: Grid, kept: tuple[str, ...], bounds: Floats | None = None
) -> pd.DataFrame:
    """Put the axes and the bin, which the index holds as a cell, into columns at the left."""
    shape = lengths(grid, kept) + ([len(bounds) - 1] if bounds is not None else [])
    places = np.unravel_index(cell_table.index.to_numpy(), shape)
    labels = axis_columns(grid, kept, places)
    if bounds is not None:
        bins = places[-1]
        labels |= {"bin": bins, "error_low": bounds[bins], "error_high": bounds[bins + 1]}
    table = pd.concat([pd.DataFrame(labels), cell_table.reset_index(drop=True)], axis="columns")
    table.attrs = {"by": list(kept), "max_epochs": grid.spec.stop.max_epochs}
    if bounds is not None:
        table.attrs["edges"] = bounds.tolist()
    return table


def axis_columns(grid: Grid, kept: Sequence[str], places: Sequence[Any]) -> dict[str, Any]:
    """Return the columns of a table that say where on each axis a row lies."""
    columns: dict[str, Any] = {}
    for name, place in zip(kept, places, strict=False):
        values = grid.values[name]
        text = name in CHOICES
        columns[name] = pd.Categorical.from_codes(place, values) if text else values[place]
    return columns


def fixed_values(grid: Grid) -> dict[str, Any]:
    """Return the axes of which one value is shown, and that value."""
    return {name: grid.values[name][at].item() for name, at in panels_of(grid).fixed.items()}


def axes_attrs(grid: Grid, fixed: dict[str, Any]) -> dict[str, Any]:
    """Return what a figure's title needs: the axes held at a value, and how long all axes are.

    Of the axes that are held it has all values, from which the label of the one must differ.
    """
    return {
        "fixed": fixed,
        "axes": {name: grid.values[name].tolist() for name in fixed},
        "rule": grid.spec.stop.rule,
        "sizes": {name: len(grid.values[name]) for name in grid.outer_names},
    }
