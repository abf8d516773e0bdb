"""Why followed neurons did not converge, and what to do: as data, and in words for `sweep info`."""

from __future__ import annotations

from typing import Any

from sweep.analysis.outcomes import outcomes
from sweep.analysis.row_groups import ResultRows
from sweep.experiment.labels import cost_name, percent

__all__ = ["advice", "format_advice"]


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
