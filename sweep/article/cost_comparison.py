"""Section 4: cross-entropy repairs it, for the two starts and over the whole grid."""

from __future__ import annotations

from pathlib import Path
from typing import NamedTuple

import numpy as np
import pandas as pd

import sweep
from sweep.article import many_starts_figures, two_starts_figures
from sweep.article.content import CaptionedFigure, Section, Table, claim, digits_claim, number
from sweep.article.slowdown import curves
from sweep.experiment.labels import cost_name, percent
from sweep.experiment.spec import ARTICLE, Spec

__all__ = ["cost_comparison"]


def cost_comparison(folder: str | Path) -> Section:
    """Section 4, from the result of the article's sweep in a folder."""
    traces = {cost: curves(cost) for cost in ("quadratic", "cross_entropy")}
    better, worse = traces["cross_entropy"]
    steps = [c.b[0] - c.b[1] for c in (better, worse)]
    costs = [c.cost[0] - c.cost[1] for c in (better, worse)]
    outputs = [c.output[0] - c.output[1] for c in (better, worse)]
    claims = [
        claim(
            "Cross-entropy: the worse start's weight and bias move faster at the beginning",
            "faster", f"{steps[1]:.4f} > {steps[0]:.4f} in the first epoch", steps[1] > steps[0],
        ),
        claim(
            "Cross-entropy: the worse start's cost falls faster at the beginning",
            "faster", f"{costs[1]:.4f} > {costs[0]:.4f} in the first epoch", costs[1] > costs[0],
        ),
        claim(
            "But not its output: that moves by σ′(z) times as much, and is slower at first",
            "slower", f"{outputs[1]:.4f} < {outputs[0]:.4f} in the first epoch",
            outputs[1] < outputs[0],
        ),
        digits_claim("From 0.82: output after 301 updates", "0.011598", better.output[301]),
        digits_claim("From 0.98: output after 301 updates", "0.011966", worse.output[301]),
    ]  # fmt: skip
    cells = _epochs_by_cost(folder)
    rates = _by_rate(cells)
    trained = sum(rate.trained for rate in rates)
    slower = sum(rate.slower for rate in rates)
    fewer = sum(rate.fewer for rate in rates)
    descents = {cost: sum(rate.descents[cost] for rate in rates) for cost in traces}
    claims += [
        claim(
            f"From no start of the grid does cross-entropy need more epochs ({len(rates)} learning "
            "rates)",
            "0", f"{slower} of {trained:,} starts that have something to learn", slower == 0,
        ),
        claim(
            "The median ratio quadratic ÷ cross-entropy is above 2 at every learning rate",
            "> 2", f"at least {number(min(rate.median for rate in rates))}",
            all(rate.median > 2 for rate in rates),
        ),
        *(
            claim(
                f"{cost_name(cost).capitalize()}: epochs never shrink as the initial error "
                "grows, at any learning rate",
                "0 times", f"{descents[cost]} times", descents[cost] == 0,
            )
            for cost in traces
        ),
    ]  # fmt: skip
    text = (
        "The same two starts under cross-entropy: the worse one takes the larger first step, "
        f"{steps[1]:.4f} against {steps[0]:.4f}, and after 301 updates both have all but "
        f"arrived, at {better.output[301]:.4f} and {worse.output[301]:.4f}. What learns faster is "
        "the weight, the bias and the cost. The output itself still moves more slowly at first "
        "from the worse start, for between z and a the slope σ′(z) remains; but the plateau is "
        f"gone: the output is below one half after {_below_half(worse)} epochs, not "
        f"{_below_half(traces['quadratic'][1])}."
    )
    neither = sum(rate.neither for rate in rates)
    unreached = f"; from {percent(neither / trained)} neither arrives" if neither else ""
    grid = (
        f"Over the whole grid of starts (w, b), cross-entropy needs fewer epochs from "
        f"{percent(fewer / trained)} of the {trained:,} starts that have something to learn, as "
        f"many from {percent((trained - fewer - slower - neither) / trained)}, and "
        f"more from {slower or 'none'}{unreached}. “The larger the error, the faster it learns” is "
        "a statement about the first step and not about the whole way: with both costs a larger "
        "initial error never means fewer epochs, at no learning rate. What cross-entropy changes "
        "is how fast they grow: with z and no longer with e^z (section 7)."
    )
    starts = CaptionedFigure(
        "repair", two_starts_figures.draw_both_costs(traces),
        "Output and cost from both starts under both costs: under cross-entropy (blue) even the "
        f"worse start is down to {worse.output[50]:.2f} after 50 epochs.",
    )  # fmt: skip
    by_error = CaptionedFigure(
        "grid", many_starts_figures.draw_epochs_by_error(cells, Spec.load(ARTICLE).stop.max_epochs),
        "Epochs to converge against the initial error, a line for each learning rate: both costs "
        "need more of them for larger errors, the quadratic one exponentially more, and the ratio "
        "of the two is all but the same at every learning rate.",
    )  # fmt: skip
    return Section(
        "Cross-entropy repairs it", [text, starts, grid, _table(rates), by_error], claims
    )


def _epochs_by_cost(folder: str | Path) -> pd.DataFrame:
    """Return one row for each start and learning rate, with the epochs under each cost.

    Epochs are infinite where max_epochs were not enough.
    """
    columns = ["cost", "learning_rate", "w0", "b0", "initial_error", "epochs", "status"]
    frame = sweep.load(folder, columns=columns)
    frame["epochs"] = np.where(frame["status"] == "converged", frame["epochs"], np.inf)
    by_cost = {
        cost: rows.reset_index(drop=True) for cost, rows in frame.groupby("cost", observed=True)
    }
    cells = by_cost["quadratic"][["learning_rate", "w0", "b0", "initial_error"]].astype(float)
    assert (by_cost["cross_entropy"]["initial_error"] == cells["initial_error"]).all()
    return cells.assign(**{cost: rows["epochs"] for cost, rows in by_cost.items()})


class RateSummary(NamedTuple):
    """Epochs under both costs at one learning rate, over the starts that have something to learn.

    Of the `trained` starts cross-entropy needs `fewer` epochs from some and more (`slower`) from
    others, `neither` cost converges, or `only_cross_entropy` does. `least`, `median` and `largest`
    (of the finite) are ratios quadratic ÷ cross-entropy; `descents` are those of `_descents`.
    """

    rate: float
    trained: int
    fewer: int
    slower: int
    neither: int
    only_cross_entropy: int
    least: float
    median: float
    largest: float
    descents: dict[str, int]


def _by_rate(cells: pd.DataFrame) -> list[RateSummary]:
    summaries = []
    for rate, part in cells.groupby("learning_rate"):
        part = part[part["cross_entropy"] > 0].sort_values("initial_error", kind="stable")
        quadratic, entropy = (part[c].to_numpy() for c in ("quadratic", "cross_entropy"))
        converged = np.isfinite(entropy)
        ratio = quadratic[converged] / entropy[converged]
        # Starts with the same w + b have errors that differ in the last digit, and their epochs
        # may then differ by one in the other direction.
        error = part["initial_error"].to_numpy().round(12)
        summaries.append(
            RateSummary(
                rate=float(str(rate)),
                trained=len(part),
                fewer=int((entropy < quadratic).sum()),
                slower=int((entropy > quadratic).sum()),
                neither=int((~converged).sum()),
                only_cross_entropy=int((converged & np.isinf(quadratic)).sum()),
                least=float(ratio.min()),
                median=float(np.median(ratio)),
                largest=float(ratio[np.isfinite(ratio)].max()),
                descents={
                    "quadratic": _descents(error, quadratic),
                    "cross_entropy": _descents(error, entropy),
                },
            )
        )
    return summaries


def _table(rates: list[RateSummary]) -> Table:
    head = ["η", "cross-entropy fewer", "least ratio", "median", "largest", "only quadratic fails"]
    rows = [
        [
            f"{r.rate:.3g}", percent(r.fewer / r.trained), f"{r.least:.3g}",
            f"{r.median:.3g}" if np.isfinite(r.median) else "not reached",
            f"{r.largest:.4g}", percent(r.only_cross_entropy / r.trained),
        ]
        for r in rates
    ]  # fmt: skip
    return Table(head, rows)


def _descents(error: np.ndarray, epochs: np.ndarray) -> int:
    """Count the steps to a larger error (these are sorted) at which the epochs become fewer."""
    last = np.flatnonzero(np.diff(error, append=np.inf) > 0)
    most = np.maximum.reduceat(epochs, np.append(0, last[:-1] + 1))
    least = np.minimum.reduceat(epochs, np.append(0, last[:-1] + 1))
    return int((least[1:] < most[:-1]).sum())


def _below_half(curve: sweep.Trace) -> int:
    return int(np.flatnonzero(curve.output < 0.5)[0])
