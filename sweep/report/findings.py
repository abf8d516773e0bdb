"""What a result says, as data and in a few lines: what `sweep info` and `sweep run` print."""

import math
from typing import Any

import numpy as np
import pandas as pd

from sweep.report.analysis import Counted, compare_costs, count_by_error, epochs_by_error, pool
from sweep.report.places import panels_of
from sweep.report.stream import Result

SMALL, LARGE = 0.5, 0.9
"""An initial error up to the one is small, above the other large."""


def findings(result: Result) -> dict[str, Any]:
    """Return the answers that a result gives in a few numbers, ready for JSON.

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

    Raises
    ------
    SweepError
        If a part cannot be read.
    """
    counted = count_by_error(result, by=panels_of(result.grid).axes)
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
            "median_small": _told(medians.get((row.cost, 0))),
            "median_large": _told(medians.get((row.cost, 2))),
            "slowdown_from": slow.get(row.cost),
        }
        for row in every.rename(columns={"count": "starts"}).itertuples()
    ]
    return {"costs": costs, "wins": _wins(result)}


def report(found: dict[str, Any]) -> str:
    """Put findings into a few lines of text."""
    width = max(len(_name(cost["cost"])) for cost in found["costs"])
    lines = []
    for cost in found["costs"]:
        slow = cost["slowdown_from"]
        lines.append(
            f"{_name(cost['cost']):{width}}  median epochs: {_epochs(cost['median_small'])} from "
            f"an initial error up to {SMALL:g}, {_epochs(cost['median_large'])} from above "
            f"{LARGE:g}; "
            + (f"slow (twice those from {SMALL:g}) from {slow:.4g}; " if slow else "")
            + f"unconverged: {_percent(cost['share_unconverged'])} of {cost['starts']:,}"
        )
    if found["wins"]:
        pairs = sum(win["pairs"] for win in found["wins"])
        won = sum(win["share_cross_entropy"] * win["pairs"] for win in found["wins"])
        lines.append(
            f"cross-entropy needs fewer epochs than quadratic from {_percent(won / pairs)} of "
            f"{pairs:,} starts; by learning rate:"
        )
    lines += [
        f"  {win['learning_rate']:<8.4g} {_percent(win['share_cross_entropy']):>7}"
        f"   median ratio quadratic ÷ cross-entropy: {_ratio(win['median_ratio'])}"
        for win in found["wins"]
    ]
    return "\n".join(lines)


def _slowdowns(counted: Counted) -> dict[str, float]:
    """Return the initial error from which each cost needs twice the epochs of an error of 0.5."""
    table = epochs_by_error(counted, quantiles=[0.5], trained_only=True)
    found: dict[str, float] = {}
    for cost, mine in table.groupby("cost", observed=True):
        begins = []
        for _, panel in mine.groupby(list(counted.by[1:]), observed=True):
            half = panel.loc[panel["error_high"] <= SMALL, "median"].tail(1)
            slow = panel["median"].to_numpy() > 2 * half.to_numpy() if len(half) else []
            begins.append(panel["error_low"].to_numpy()[slow].min(initial=np.inf))
        middle = float(np.median(begins)) if begins else math.inf
        if math.isfinite(middle):
            found[str(cost)] = middle
    return found


def _wins(result: Result) -> list[dict[str, Any]]:
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
            "median_ratio": _told(row.median),
        }
        for row in trained.itertuples()
    ]


def _told(number: float | None) -> float | str | None:
    if number is None or math.isnan(number):
        return None
    return "not reached" if math.isinf(number) else float(number)


def _name(cost: str) -> str:
    return cost.replace("_", "-")


def _epochs(number: float | str | None) -> str:
    return f"{number:,.0f}" if isinstance(number, float) else number or "none"


def _ratio(number: float | str | None) -> str:
    return f"{number:.3g}" if isinstance(number, float) else "unbounded" if number else "none"


def _percent(share: float) -> str:
    # 99.96 % is not 100 %: only what holds without an exception is said so.
    text = f"{100 * share:.1f} %"
    return {"100.0 %": "> 99.9 %", "0.0 %": "< 0.1 %"}.get(text, text) if 0 < share < 1 else text
