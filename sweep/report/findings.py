"""What a result says, as data and in a few lines: what `sweep info` and `sweep run` print."""

import math
from typing import Any

import numpy as np
import pyarrow.dataset as ds

from sweep.errors import SweepError
from sweep.report.analysis import compare_costs, epochs_by_error

SMALL, LARGE = 0.5, 0.9
"""An initial error up to the one is small, above the other large."""


def findings(dataset: ds.Dataset) -> dict[str, Any]:
    """Return the answers that a result gives in a few numbers, ready for JSON.

    Returns
    -------
    dict
        `costs`: for each cost its `starts`, `share_unconverged`, and `median_small`,
        `median_large`, the median epochs from a small (<= 0.5) and a large (> 0.9) initial error.
        Medians are over the starts that are not within the tolerance to begin with; None where
        there are none, "not reached" where half of them or more did not converge.
        `wins`, if both quadratic and cross-entropy were run: for each learning rate the `pairs`
        of starts not within the tolerance to begin with, `share_cross_entropy` (the share that
        needs fewer epochs with cross-entropy), `share_quadratic`, `share_neither` (in which no
        cost converged) and `median_ratio` (quadratic ÷ cross-entropy, as the medians above).

    Raises
    ------
    SpecError
        If the result is empty.
    SweepError
        If a part cannot be read.
    """
    every = epochs_by_error(dataset, by=["cost"], edges=[0, np.inf], quantiles=())
    some = epochs_by_error(
        dataset, by=["cost"], edges=[0, SMALL, LARGE, np.inf], quantiles=[0.5], trained_only=True
    )
    medians = {(row.cost, row.bin): row.median for row in some.itertuples()}
    costs = [
        {
            "cost": row.cost,
            "starts": int(row.count_),
            "share_unconverged": float(row.share_unconverged),
            "median_small": _told(medians.get((row.cost, 0))),
            "median_large": _told(medians.get((row.cost, 2))),
        }
        for row in every.rename(columns={"count": "count_"}).itertuples()
    ]
    return {"costs": costs, "wins": _wins(dataset, [cost["cost"] for cost in costs])}


def report(found: dict[str, Any]) -> str:
    """Put findings into a few lines of text."""
    width = max(len(_name(cost["cost"])) for cost in found["costs"])
    lines = [
        f"{_name(cost['cost']):{width}}  median epochs: {_epochs(cost['median_small'])} from an "
        f"initial error up to {SMALL:g}, {_epochs(cost['median_large'])} from above {LARGE:g}; "
        f"unconverged: {_percent(cost['share_unconverged'])} of {cost['starts']:,}"
        for cost in found["costs"]
    ]
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


def _wins(dataset: ds.Dataset, costs: list[str]) -> list[dict[str, Any]]:
    if not {"quadratic", "cross_entropy"} <= set(costs):
        return []
    try:
        table = compare_costs(dataset, edges=[0, np.inf], quantiles=[0.5])
    except SweepError:
        return []  # a result that is not complete yet has no pairs
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
