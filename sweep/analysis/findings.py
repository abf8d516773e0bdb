"""The main numbers of a result, as data and as text: what `sweep info` and `sweep run` print."""

import math
from itertools import product
from typing import Any

import numpy as np
import pandas as pd

from sweep.analysis.by_error import (
    Counted,
    compare_costs,
    count_by_error,
    epochs_by_error,
    error_edges,
    pool,
)
from sweep.analysis.cell_index import panels_of
from sweep.analysis.row_groups import ResultRows
from sweep.experiment.grid import Grid
from sweep.experiment.labels import cost_name, labels, percent
from sweep.neuron.activations import ACTIVATIONS
from sweep.neuron.arithmetic import exp_ratio
from sweep.neuron.costs import fused

SMALL, LARGE = 0.5, 0.9
"""An initial error up to the one is small, above the other large."""


def findings(result: ResultRows) -> dict[str, Any]:
    """Return the main numbers of a result, ready for JSON.

    Returns
    -------
    dict
        `costs`: for each cost its `starts`, `share_unconverged`, `median_small`, `median_large`,
        the median epochs from a small (<= 0.5) and a large (> 0.9) initial error, and
        `slowdown_from`, the initial error from which the median is more than twice that of 0.5
        (None if nowhere; the median over the learning rates and further axes).
        Medians are over the starts that are not within the tolerance to begin with; None where
        there are none, "not reached" where half of them or more did not converge.
        `wins`, if both quadratic and cross-entropy were run: for each learning rate the `pairs`
        of starts not within the tolerance to begin with, `share_cross_entropy` (the share that
        needs fewer epochs with cross-entropy), `share_quadratic`, `share_neither` (in which no
        cost converged) and `median_ratio` (quadratic ÷ cross-entropy, as the medians above).
        `non_finite`: the starts that are left out of all this, for they are not finite.
        `precision`: the share by which medians above 4,096 epochs may be too low.
        `beyond_flip`: the `cost`, `learning_rate`, its `label` (and `x`, `y`) of panels in which
        steps overshoot, so that no float64 counts exactly; their `kappa` = η(|x|² + 1), and `flip`,
        above which the fixed point is unstable: 2/s with cross-entropy, 2/s² with the quadratic
        cost and a sigmoid, s = y(1 − y); in general 2 over ∂δ/∂z at a = y. For one sample.

    Raises
    ------
    SweepError
        If a part cannot be read.
    """
    act = ACTIVATIONS[result.grid.spec.task.activation]
    edges = np.union1d(error_edges(act.high - act.low), [SMALL, LARGE])
    counted = count_by_error(result, by=panels_of(result.grid).axes, edges=edges)
    ends = [counted.edges[0], SMALL, LARGE, counted.edges[-1]]
    every = epochs_by_error(pool(counted, ["cost"], ends[::3]), quantiles=())
    some = epochs_by_error(pool(counted, ["cost"], ends), quantiles=[0.5], trained_only=True)
    medians = {(row.cost, row.bin): row.median for row in some.itertuples()}
    slow = _slowdowns(counted)
    costs = [
        {
            "cost": row.cost,
            "starts": int(row.starts),
            "share_unconverged": float(row.share_unconverged),
            "median_small": _median(medians.get((row.cost, 0))),
            "median_large": _median(medians.get((row.cost, 2))),
            "slowdown_from": slow.get(row.cost),
        }
        for row in every.rename(columns={"count": "starts"}).itertuples()
    ]
    return {
        "costs": costs,
        "wins": _wins(result),
        "non_finite": counted.non_finite,
        "precision": counted.tally.precision,
        "beyond_flip": _beyond_flip(result.grid),
    }


def format_findings(findings: dict[str, Any]) -> str:
    """Return findings as a few lines of text."""
    width = max((len(cost_name(cost["cost"])) for cost in findings["costs"]), default=0)
    lines = []
    for cost in findings["costs"]:
        slow = cost["slowdown_from"]
        lines.append(
            f"{cost_name(cost['cost']):{width}}  median epochs: {_epochs(cost['median_small'])} "
            f"from an initial error up to {SMALL:g}, {_epochs(cost['median_large'])} from above "
            f"{LARGE:g}; "
            + (f"slow (twice those from {SMALL:g}) from {slow:.4g}; " if slow else "")
            + f"unconverged: {percent(cost['share_unconverged'])} of {cost['starts']:,}"
        )
    if findings["wins"]:
        pairs = sum(win["pairs"] for win in findings["wins"])
        won = sum(win["share_cross_entropy"] * win["pairs"] for win in findings["wins"])
        lines.append(
            f"cross-entropy needs fewer epochs than quadratic from {percent(won / pairs)} of "
            f"{pairs:,} starts; by learning rate:"
        )
    rates = labels((win["learning_rate"] for win in findings["wins"]), 4)
    lines += [
        f"  {rate:<8} {percent(win['share_cross_entropy']):>7}"
        f"   median ratio quadratic ÷ cross-entropy: {_ratio(win['median_ratio'])}"
        for rate, win in zip(rates, findings["wins"], strict=True)
    ]
    return "\n".join(lines + _caveats(findings))


def _caveats(findings: dict[str, Any]) -> list[str]:
    """Return lines that say where the numbers do not hold."""
    lines = []
    medians = [
        cost[name] for cost in findings["costs"] for name in ("median_small", "median_large")
    ]
    if any(isinstance(median, float) and median > 4096 for median in medians):
        lines.append(
            f"medians above 4,096 epochs may be {100 * findings['precision']:.2g} % too low"
        )
    if findings["non_finite"]:
        lines.append(f"{findings['non_finite']:,} starts are not finite, and left out of all this")
    beyond = findings["beyond_flip"]
    for cost in dict.fromkeys(panel["cost"] for panel in beyond):
        panels = [panel for panel in beyond if panel["cost"] == cost]
        first = min(panels, key=lambda panel: panel["learning_rate"])
        lines.append(
            f"{cost_name(cost)}: in {len(panels):,} panels, from learning rate "
            f"{first['label']} on, steps overshoot (κ = {first['kappa']:.4g} is "
            f"above {first['flip']:.4g}): orbits cycle or are chaotic, no float64 counts exactly"
        )
    return lines


def _beyond_flip(grid: Grid) -> list[dict[str, Any]]:
    """Return the panels of one sample in which a step is too large for the fixed point a = y."""
    task = grid.spec.task
    if "x" not in grid.values and np.ndim(task.x) and len(np.atleast_1d(task.x)) > 1:
        return []
    x = grid.values["x"][:, None] if "x" in grid.values else np.reshape(task.x, (1, -1))
    names = [name for name in ("x", "y") if name in grid.values]
    rates = grid.values["learning_rate"].tolist()
    rates = list(zip(rates, labels(rates, 4), strict=True))
    panels = []
    for cost in grid.values["cost"].tolist():
        for y in grid.values.get("y", np.ravel(task.y)).tolist():
            slope = _slope_at_target(cost, task.activation, y)
            for inputs, (rate, text) in product(x, rates):
                kappa = rate * (float(inputs @ inputs) + 1.0)
                if kappa * slope > 2.0:
                    outer = {"x": float(inputs[0]), "y": y}
                    panel = {"cost": cost, "learning_rate": rate, "label": text}
                    panel |= {name: outer[name] for name in names}
                    panels.append(panel | {"kappa": kappa, "flip": 2.0 / slope})
    return panels


def _slope_at_target(cost: str, activation: str, y: float) -> float:
    """Return ∂δ/∂z where a = y, which is 0 for a target at the end of the range."""
    act = ACTIVATIONS[activation]
    y = act.low + act.high - y if act.mirrors(y) else y
    if not act.low < y:
        return 0.0
    low, high = -700.0, 700.0
    for _ in range(80):
        middle = 0.5 * (low + high)
        low, high = (middle, high) if act.forward(middle, y, exp_ratio)[0] < 0 else (low, middle)
    slope = act.forward(high, y, exp_ratio)[1]
    return fused(cost, activation).ddelta_dz(0.0, slope, 0.0)


def _slowdowns(counted: Counted) -> dict[str, float]:
    """Return the initial error from which each cost needs twice the epochs of an error of 0.5."""
    table = epochs_by_error(counted, quantiles=[0.5], trained_only=True)
    errors: dict[str, float] = {}
    for cost, rows in table.groupby("cost", observed=True):
        begins = []
        for _, panel in rows.groupby(list(counted.by[1:]), observed=True):
            half = panel.loc[panel["error_high"] <= SMALL, "median"].tail(1)
            slow = panel["median"].to_numpy() > 2 * half.to_numpy() if len(half) else []
            begins.append(panel["error_low"].to_numpy()[slow].min(initial=np.inf))
        middle = float(np.median(begins)) if begins else math.inf
        if math.isfinite(middle):
            errors[str(cost)] = middle
    return errors


def _wins(result: ResultRows) -> list[dict[str, Any]]:
    if not {"quadratic", "cross_entropy"} <= set(result.grid.values["cost"]):
        return []
    ends = [0, np.inf]
    table: pd.DataFrame = compare_costs(result, edges=ends, quantiles=[0.5])
    trained = table[table["pairs"] > table["already"]]
    return [
        {
            "learning_rate": float(row.learning_rate),
            "pairs": int(row.pairs - row.already),
            "share_cross_entropy": row.under_fewer / (row.pairs - row.already),
            "share_quadratic": row.over_fewer / (row.pairs - row.already),
            "share_neither": row.neither / (row.pairs - row.already),
            "median_ratio": _median(row.median),
        }
        for row in trained.itertuples()
    ]


def _median(number: float | None) -> float | str | None:
    """Return a median for JSON: None where there is none, "not reached" where it is infinite."""
    if number is None or math.isnan(number):
        return None
    return "not reached" if math.isinf(number) else float(number)


def _epochs(number: float | str | None) -> str:
    return f"{number:,.0f}" if isinstance(number, float) else number or "none"


def _ratio(number: float | str | None) -> str:
    return f"{number:.3g}" if isinstance(number, float) else "unbounded" if number else "none"
