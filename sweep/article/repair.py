"""Section 4: cross-entropy repairs it, for the two starts and over the whole grid."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd

import sweep
from sweep.article import figures, many_starts
from sweep.article.content import Picture, Section, Table, compared, number, rounded
from sweep.article.slowdown import curves
from sweep.experiment.spec import ARTICLE, Spec

__all__ = ["repair"]


def repair(folder: str | Path) -> Section:
    """Section 4, from the result of the article's sweep in a folder."""
    two = {cost: curves(cost) for cost in ("quadratic", "cross_entropy")}
    better, worse = two["cross_entropy"]
    steps = [c.b[0] - c.b[1] for c in (better, worse)]
    costs = [c.cost[0] - c.cost[1] for c in (better, worse)]
    outputs = [c.output[0] - c.output[1] for c in (better, worse)]
    claims = [
        compared(
            "Cross-entropy: the worse start's weight and bias move faster at the beginning",
            "faster", f"{steps[1]:.4f} > {steps[0]:.4f} in the first epoch", steps[1] > steps[0],
        ),
        compared(
            "Cross-entropy: the worse start's cost falls faster at the beginning",
            "faster", f"{costs[1]:.4f} > {costs[0]:.4f} in the first epoch", costs[1] > costs[0],
        ),
        compared(
            "But not its output: that moves by σ′(z) times as much, and is slower at first",
            "slower", f"{outputs[1]:.4f} < {outputs[0]:.4f} in the first epoch",
            outputs[1] < outputs[0],
        ),
        rounded("From 0.82: output after 301 updates", "0.011598", better.output[301]),
        rounded("From 0.98: output after 301 updates", "0.011966", worse.output[301]),
    ]  # fmt: skip
    cells = _cells(folder)
    table, found = _by_rate(cells)
    trained = sum(row["trained"] for row in found)
    slower = sum(row["slower"] for row in found)
    fewer = sum(row["fewer"] for row in found)
    descents = {cost: sum(row[f"{cost}_descents"] for row in found) for cost in two}
    claims += [
        compared(
            f"From no start of the grid does cross-entropy need more epochs ({len(found)} learning "
            "rates)",
            "0", f"{slower} of {trained:,} starts that have something to learn", slower == 0,
        ),
        compared(
            "The median ratio quadratic ÷ cross-entropy is above 2 at every learning rate",
            "> 2", f"at least {number(min(row['median'] for row in found))}",
            all(row["median"] > 2 for row in found),
        ),
        *(
            compared(
                f"{cost.replace('_', '-').capitalize()}: epochs never shrink as the initial error "
                "grows, at any learning rate",
                "0 times", f"{descents[cost]} times", descents[cost] == 0,
            )
            for cost in two
        ),
    ]  # fmt: skip
    text = (
        "The same two starts under cross-entropy: the worse one takes the larger first step, "
        f"{steps[1]:.4f} against {steps[0]:.4f}, and after 301 updates both have all but "
        f"arrived, at {better.output[301]:.4f} and {worse.output[301]:.4f}. What learns faster is "
        "the weight, the bias and the cost. The output itself still moves more slowly at first "
        "from the worse start, for between z and a the slope σ′(z) remains; but the plateau is "
        f"gone: the output is below one half after {_below_half(worse)} epochs, not "
        f"{_below_half(two['quadratic'][1])}."
    )
    neither = _sum(found, "neither")
    unreached = f"; from {_percent(neither, trained)} neither arrives" if neither else ""
    grid = (
        f"Over the whole grid of starts (w, b), cross-entropy needs fewer epochs from "
        f"{_percent(fewer, trained)} of the {trained:,} starts that have something to learn, as "
        f"many from {_percent(trained - fewer - slower - neither, trained)}, and "
        f"more from {slower or 'none'}{unreached}. “The larger the error, the faster it learns” is "
        "a statement about the first step and not about the whole way: with both costs a larger "
        "initial error never means fewer epochs, at no learning rate. What cross-entropy changes "
        "is how fast they grow: with z and no longer with e^z (section 7)."
    )
    starts = Picture(
        "repair", figures.repair(two),
        "Output and cost from both starts under both costs: under cross-entropy (blue) even the "
        f"worse start is down to {worse.output[50]:.2f} after 50 epochs.",
    )  # fmt: skip
    whole = Picture(
        "grid", many_starts.grid(cells, Spec.load(ARTICLE).stop.max_epochs),
        "Epochs to converge against the initial error, a line for each learning rate: both costs "
        "need more of them for larger errors, the quadratic one exponentially more, and the ratio "
        "of the two is all but the same at every learning rate.",
    )  # fmt: skip
    return Section("Cross-entropy repairs it", [text, starts, grid, table, whole], claims)


def _cells(folder: str | Path) -> pd.DataFrame:
    """Return one row for each start and learning rate, with the epochs under each cost.

    Epochs are infinite where max_epochs were not enough.
    """
    columns = ["cost", "learning_rate", "w0", "b0", "initial_error", "epochs", "status"]
    frame = sweep.load(folder, columns=columns)
    frame["epochs"] = np.where(frame["status"] == "converged", frame["epochs"], np.inf)
    sides = {
        cost: part.reset_index(drop=True) for cost, part in frame.groupby("cost", observed=True)
    }
    cells = sides["quadratic"][["learning_rate", "w0", "b0", "initial_error"]].astype(float)
    assert (sides["cross_entropy"]["initial_error"] == cells["initial_error"]).all()
    return cells.assign(**{cost: side["epochs"] for cost, side in sides.items()})


def _by_rate(cells: pd.DataFrame) -> tuple[Table, list[dict[str, float]]]:
    rows, found = [], []
    for rate, part in cells.groupby("learning_rate"):
        part = part[part["cross_entropy"] > 0].sort_values("initial_error", kind="stable")
        quadratic, entropy = (part[c].to_numpy() for c in ("quadratic", "cross_entropy"))
        decided = np.isfinite(entropy)
        ratio = quadratic[decided] / entropy[decided]
        # Starts with the same w + b have errors that differ in the last digit, and their epochs
        # may then differ by one the other way.
        error = part["initial_error"].to_numpy().round(12)
        row = {
            "rate": float(str(rate)),
            "trained": len(part),
            "fewer": int((entropy < quadratic).sum()),
            "slower": int((entropy > quadratic).sum()),
            "neither": int((~decided).sum()),
            "unbounded": int((decided & np.isinf(quadratic)).sum()),
            "least": float(ratio.min()),
            "median": float(np.median(ratio)),
            "largest": float(ratio[np.isfinite(ratio)].max()),
            "quadratic_descents": _descents(error, quadratic),
            "cross_entropy_descents": _descents(error, entropy),
        }
        found.append(row)
        rows.append([
            f"{row['rate']:.3g}", _percent(row["fewer"], row["trained"]), f"{row['least']:.3g}",
            f"{row['median']:.3g}" if np.isfinite(row["median"]) else "not reached",
            f"{row['largest']:.4g}", _percent(row["unbounded"], row["trained"]),
        ])  # fmt: skip
    head = ["η", "cross-entropy fewer", "least ratio", "median", "largest", "only quadratic fails"]
    return Table(head, rows), found


def _descents(error: np.ndarray, epochs: np.ndarray) -> int:
    """Count the steps to a larger error (these are sorted) at which the epochs become fewer."""
    last = np.flatnonzero(np.diff(error, append=np.inf) > 0)
    most = np.maximum.reduceat(epochs, np.append(0, last[:-1] + 1))
    least = np.minimum.reduceat(epochs, np.append(0, last[:-1] + 1))
    return int((least[1:] < most[:-1]).sum())


def _below_half(curve: sweep.Trace) -> int:
    return int(np.flatnonzero(curve.output < 0.5)[0])


def _sum(rows: list[dict[str, float]], name: str) -> float:
    return sum(row[name] for row in rows)


def _percent(part: float, whole: float) -> str:
    text = f"{100 * part / whole:.1f} %"
    return {"100.0 %": "> 99.9 %", "0.0 %": "< 0.1 %"}.get(text, text) if 0 < part < whole else text
