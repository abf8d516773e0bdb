"""What became of followed neurons: shares by outcome, and what to do about the unconverged."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd

from sweep.analysis.by_error import axes_attrs, axis_columns, fixed_values
from sweep.analysis.by_start import blocks, even, varied_starts
from sweep.analysis.cell_index import (
    by_row,
    evenly_spaced,
    groups,
    lengths,
    panel_of,
    panels_of,
    pictured,
    shown_counts,
)
from sweep.analysis.row_groups import Columns, ResultRows, reduced
from sweep.errors import SpecError
from sweep.experiment.labels import cost_name, percent
from sweep.neuron.following import Outcome
from sweep.store.schema import axis_column

# An output that moves by less in the followed epochs had come to rest before them.
MOVES = 1e-6

__all__ = [
    "advice",
    "format_advice",
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
    names, rates = varied_starts(grid)[:2], grid.values["learning_rate"]
    by_rate = len(names) == 1 and len(rates) > 1
    if len(names) < 2 and not by_rate:
        raise SpecError("needs two start axes (w, b) that vary, or one and the learning rate")
    if by_rate:
        shown = {name: [len(grid.values[name]) // 2] for name in grid.outer_names}
        shown["cost"] = list(range(len(grid.values["cost"])))
        shown["learning_rate"] = evenly_spaced(np.argsort(rates).tolist(), 2 * FINE)
    else:
        shown = pictured(grid)
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
        **axes_attrs(grid, fixed_values(grid)),
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
    if len(grid.values["learning_rate"]) < 2:
        raise SpecError("needs several learning rates; this result has one")
    shown = {name: [len(grid.values[name]) // 2] for name in grid.outer_names}
    for name in ("cost", "learning_rate"):
        shown[name] = list(range(len(grid.values[name])))
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
    table["mean"], table["least"], table["largest"] = (
        total[met] / count[met],
        least[met],
        largest[met],
    )
    fixed = {
        name: float(grid.values[name][shown[name][0]])
        for name in grid.outer_names
        if name not in ("cost", "learning_rate") and len(grid.values[name]) > 1
    }
    table.attrs = {"by": ["cost", "learning_rate"], **axes_attrs(grid, fixed)}
    return table.sort_values(["cost", "learning_rate"], ignore_index=True)


def advice(result: ResultRows, flips: dict[str, float]) -> list[dict[str, Any]]:
    """Return, for each cost, what became of the neurons, ready for JSON.

    Parameters
    ----------
    flips : dict
        For each cost, the learning rate above which the fixed point is unstable, where it is known.

    Returns
    -------
    list of dict
        `cost`; `followed`, its neurons that are finite; `outcomes`, for each outcome that occurs
        its share of all, `unconverged`, the share that did not converge, `settled`, the share of
        those that had come to rest by the end of the training, and their mean `error`;
        `left`, the share that converged and did not stay within the tolerance; `flip`.
    """
    table = outcomes(result)
    found = []
    for cost, rows in table.groupby("cost", observed=True):
        count = int(rows["count"].sum())
        converged = rows["count"] - rows["unconverged"]
        kinds = {}
        for outcome, part in rows.groupby("outcome", observed=True):
            settled = int(part["settled"].sum())
            error = float((part["error"] * part["settled"]).sum() / settled) if settled else None
            kinds[str(outcome)] = {
                "share": float(part["count"].sum() / count),
                "unconverged": int(part["unconverged"].sum()) / count,
                "settled": settled / count,
                "error": error,
            }
        left = float((converged - rows["stays"]).clip(lower=0).sum() / count)
        found.append(
            {
                "cost": str(cost),
                "followed": count,
                "outcomes": kinds,
                "left": left,
                "flip": flips.get(str(cost)),
            }
        )
    return found


def format_advice(found: list[dict[str, Any]], epochs: int) -> list[str]:
    """Return what became of the neurons as lines of text, and what to do in plain words."""
    lines = []
    for each in found:
        cost, kinds = cost_name(each["cost"]), each["outcomes"]
        shares = ", ".join(
            f"{percent(kind['share'])} {WORDS[name]}" for name, kind in kinds.items()
        )
        lines.append(f"{cost}, followed for {epochs:,} more epochs: {shares}")
        if each["left"]:
            lines.append(
                f"  {percent(each['left'])} met the tolerance and left it again: "
                "they only passed through"
            )
        for name, kind in kinds.items():
            late = kind["unconverged"] - (kind["settled"] if name == "rests" else 0.0)
            if name == "rests" and kind["settled"]:
                lines.append(
                    f"  {percent(kind['settled'])} rest above the tolerance, at a mean error of "
                    f"{kind['error']:.3g}: this data does not allow a smaller one there"
                )
            if late:
                lines.append(f"  {percent(late)} {TEXTS[name]}")
        moving = kinds.keys() & {"cycle", "irregular"}
        if moving and each["flip"] is not None:
            lines.append(
                f"  the fixed point is unstable from a learning rate of {each['flip']:.4g} on: "
                "smaller ones rest"
            )
    return lines


WORDS = {
    "rests": "at rest",
    "cycle": "on a cycle",
    "irregular": "irregular",
    "creeps": "still on the way",
}

TEXTS = {
    "rests": "came to rest after the training had ended: more epochs (stop.max_epochs)",
    "cycle": "did not converge and are on a cycle: a smaller learning rate would rest",
    "irregular": "did not converge and are irregular: a smaller learning rate would rest",
    "creeps": "did not converge and are still on the way: more epochs (stop.max_epochs), or "
    "another cost",
}
