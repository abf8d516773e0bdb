"""Reduce a result of any size to small tables: each batch is counted, the counts are added up.

Epochs of a neuron that did not converge are not known, only that they are more than were allowed.
Every statistic here treats them so (censored): they stand above all numbers, a quantile that falls
among them is infinite ("not reached"), and `share_unconverged` says how many there are. How exact
quantiles are stands in `counts`: whole numbers below 4096 exactly, all else within 0.05 %.
"""

from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.dataset as ds

from sweep.errors import SpecError, SweepError
from sweep.report import counts
from sweep.report.columns import (
    Axes,
    Floats,
    axes_of,
    epochs_allowed,
    group_of,
    is_start,
    known_epochs,
    numbers,
    pooled_axes,
)
from sweep.report.stream import batches, pooled, side_by_side

QUANTILES = (0.1, 0.25, 0.5, 0.75, 0.9)
PAIR_OUTCOMES = ("over_fewer", "under_fewer", "tied", "neither", "already")


def error_edges(largest: float = 1.0) -> Floats:
    """Return the edges of the default bins of initial error, even steps of log-odds.

    Four bins for each factor 9 in error / (1 - error), so that 0.1, 0.5 and 0.9 are edges, and
    errors close to 1, where learning is slowest, are told apart as well as those close to 0.
    Where `largest` is above 1 (tanh has errors up to 2), all edges are doubled.
    """
    odds = 9.0 ** (np.arange(-32, 33) / 4)
    inner = np.where(odds <= 1, odds / (1 + odds), 1 - 1 / (1 + odds))
    inner[[28, 32, 36]] = 0.1, 0.5, 0.9
    return np.concatenate(([0.0], inner, [1.0])) * (1.0 if largest <= 1 else 2.0)


def epochs_by_error(
    dataset: ds.Dataset,
    *,
    by: Sequence[str] = ("cost", "learning_rate"),
    edges: npt.ArrayLike | None = None,
    quantiles: Sequence[float] = QUANTILES,
    trained_only: bool = False,
) -> pd.DataFrame:
    """Tabulate the epochs to converge by initial error.

    Parameters
    ----------
    dataset
        A result. Its rows are pooled over every axis that is not in `by`.
    by
        The axes that are kept apart.
    edges
        Increasing edges of the bins of initial error. A bin holds its upper edge; errors outside
        are counted in the first and the last bin. `error_edges()` if None.
    quantiles
        Shares in (0, 1]; each becomes a column (`median`, `q10`).
    trained_only
        Leave out starts that are within the tolerance before any update (0 epochs).

    Returns
    -------
    DataFrame
        One row for each group and bin that holds a start: the columns of `by`, `bin` (from 0),
        `error_low`, `error_high`, `count`, `converged`, `share_unconverged`, `min` and `max` (of
        those that converged, else NaN), the quantiles (infinite where not reached), `max_epochs`
        (how many epochs those that did not converge were given; NaN if all did).
        `attrs`: `edges`, and `pooled`, the names of axes other than the start that were pooled.

    Raises
    ------
    SpecError
        If the result is empty or lacks a column.
    SweepError
        If a part cannot be read.
    """
    axes = axes_of(dataset, by)
    bounds = _bounds(dataset, edges)

    def chunk(batch: pa.RecordBatch) -> tuple[counts.Counts, int]:
        epochs, error = known_epochs(batch), numbers(batch["initial_error"])
        kept = ~np.isnan(error)
        if trained_only:
            kept &= epochs > 0
        return counts.count(_cell(batch, axes, bounds)[kept], epochs[kept]), epochs_allowed(batch)

    parts: list[counts.Counts] = []
    limit = -1
    for more, used_up in pooled(
        chunk, batches(dataset, [*by, "initial_error", "epochs", "status"])
    ):
        counts.add(parts, more)
        limit = max(limit, used_up)

    found = counts.statistics(parts, quantiles)
    found = found.rename(columns={"finite": "converged"})
    found.insert(2, "share_unconverged", 1 - found["converged"] / found["count"])
    found["max_epochs"] = float(limit) if limit >= 0 else np.nan
    return _labelled(found, dataset, axes, bounds)


def compare_costs(
    dataset: ds.Dataset,
    *,
    over: str = "quadratic",
    under: str = "cross_entropy",
    by: Sequence[str] = ("learning_rate",),
    edges: npt.ArrayLike | None = None,
    quantiles: Sequence[float] = QUANTILES,
) -> pd.DataFrame:
    """Tabulate, by initial error, which of two costs needs fewer epochs from the same start.

    A result lists the same starts in the same order under each cost, so the rows of the two are
    read side by side and each pair is one start.

    Parameters
    ----------
    dataset, by, edges, quantiles
        As in `epochs_by_error`; `by` without the cost.
    over, under
        The two costs: a ratio is the epochs under `over` divided by those under `under`.

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
        If the result is empty or lacks one of the costs.
    SweepError
        If the costs were not run on the same starts, or a part cannot be read.
    """
    costs = axes_of(dataset, ["cost"])["cost"]
    for cost in (over, under):
        if cost not in costs:
            raise SpecError(
                f"cost: the comparison needs {cost}, this result has {', '.join(costs)}"
            )
    axes = axes_of(dataset, by)
    bounds = _bounds(dataset, edges)
    cells = (len(bounds) - 1) * int(np.prod([len(values) for values in axes.values()]))

    def chunk(
        pair: tuple[pa.RecordBatch, pa.RecordBatch],
    ) -> tuple[counts.Counts, npt.NDArray[np.int64]]:
        for name in [*by, "initial_error"]:
            if not np.array_equal(numbers(pair[0][name]), numbers(pair[1][name]), equal_nan=True):
                raise SweepError("the costs were not run on the same starts in the same order")
        first, second = (known_epochs(side) for side in pair)
        outcome = np.where(first < second, 0, np.where(first > second, 1, 2))
        outcome[(first == second) & np.isinf(first)] = PAIR_OUTCOMES.index("neither")
        outcome[(first == second) & (first == 0)] = PAIR_OUTCOMES.index("already")
        cell = _cell(pair[0], axes, bounds)
        known = ~np.isnan(numbers(pair[0]["initial_error"]))
        tally = np.bincount(
            (cell * len(PAIR_OUTCOMES) + outcome)[known], minlength=cells * len(PAIR_OUTCOMES)
        )
        decided = known & (outcome <= PAIR_OUTCOMES.index("tied"))
        return counts.count(cell[decided], first[decided] / second[decided]), tally

    parts: list[counts.Counts] = []
    tallies = np.zeros(cells * len(PAIR_OUTCOMES), np.int64)
    columns = [*by, "initial_error", "epochs", "status"]
    streams = (batches(dataset, columns, ds.field("cost") == cost) for cost in (over, under))
    for more, tally in pooled(chunk, side_by_side(*streams)):
        counts.add(parts, more)
        tallies += tally

    outcomes = pd.DataFrame(tallies.reshape(cells, -1), columns=list(PAIR_OUTCOMES))
    outcomes.insert(0, "pairs", outcomes.sum(axis="columns"))
    ratios = counts.statistics(parts, quantiles)[[counts.quantile_name(q) for q in quantiles]]
    found = outcomes[outcomes["pairs"] > 0].join(ratios)
    return _labelled(found, dataset, axes, bounds)


def _bounds(dataset: ds.Dataset, edges: npt.ArrayLike | None) -> Floats:
    if edges is not None:
        return np.asarray(edges, dtype=np.float64)
    largest = (
        pc.max(batch["initial_error"]).as_py() for batch in batches(dataset, ["initial_error"])
    )
    return error_edges(max((value for value in largest if value is not None), default=1.0))


def _cell(batch: pa.RecordBatch, axes: Axes, bounds: Floats) -> npt.NDArray[np.intp]:
    bins = np.searchsorted(bounds[1:-1], numbers(batch["initial_error"]))
    return group_of(batch, axes) * (len(bounds) - 1) + bins


def _labelled(found: pd.DataFrame, dataset: ds.Dataset, axes: Axes, bounds: Floats) -> pd.DataFrame:
    """Put the axes and the bin, which the index holds as a cell, into columns at the left."""
    lengths = [len(values) for values in axes.values()]
    *groups, bins = np.unravel_index(found.index.to_numpy(), (*lengths, len(bounds) - 1))
    labels: dict[str, Any] = {}
    for (name, values), group in zip(axes.items(), groups, strict=True):
        text = isinstance(values, list)
        labels[name] = pd.Categorical.from_codes(group, values) if text else values[group]
    labels |= {"bin": bins, "error_low": bounds[bins], "error_high": bounds[bins + 1]}
    table = pd.concat([pd.DataFrame(labels), found.reset_index(drop=True)], axis="columns")
    starts = [name for name in dataset.schema.names if is_start(name)]
    table.attrs = {
        "edges": bounds.tolist(),
        "pooled": pooled_axes(dataset, ["cost", *axes, *starts]),
    }
    return table
