"""The main numbers of a result, as data and as text: what `sweep info` and `sweep run` print."""

import math
from itertools import product
from typing import Any

import numpy as np
import pandas as pd

from sweep.analysis.advice import advice, format_advice
from sweep.analysis.by_error import (
    Counted,
    compare,
    count_by_error,
    epochs_by_error,
    error_edges,
    pool,
)
from sweep.analysis.cell_index import evenly_spaced, panels_of
from sweep.analysis.row_groups import ResultRows
from sweep.analysis.selection import select
from sweep.experiment.checks import CHOICES
from sweep.experiment.grid import Grid
from sweep.experiment.labels import cost_name, labels, order_costs, percent
from sweep.experiment.own import parameter_axes
from sweep.neuron.activations import ACTIVATIONS
from sweep.neuron.problem import Problem

SMALL, LARGE = 0.5, 0.9
"""An initial error up to the one is small, above the other large."""


def findings(result: ResultRows) -> dict[str, Any]:
    """Return the main numbers of a result, ready for JSON.

    Returns
    -------
    dict
        `costs`: for each cost (and `optimizer`, where there are several) its `starts`,
        `share_unconverged`, `median_small`, `median_large`, the median epochs from a small
        (<= 0.5) and a large (> 0.9) initial error, and
        `slowdown_from`, the initial error from which the median is more than twice that of 0.5
        (None if nowhere; the median over the learning rates and further axes).
        Medians are over the starts that are not within the tolerance to begin with; None where
        there are none, "not reached" where half of them or more did not converge.
        `panels`: the same but for `slowdown_from`, for each cost and each value of the one or two
        axes that get panels. Of further axes all these numbers are those of the middle value, as in
        figures.
        `comparison`, of the first two costs, if there are two: for each learning rate (and
        `optimizer`) the costs `over` and `under`, the `pairs` of starts not within the tolerance to
        begin with, `share_under` (the share that needs fewer epochs with `under`), `share_over`,
        `share_neither` (in which no cost converged) and `median_ratio` (the epochs under `over` ÷
        those under `under`, as the medians above). `optimizers`: the same of the first optimiser,
        gd if it is there, and each other one, for each cost.
        `non_finite`: the starts that are left out of all this, for they are not finite.
        `precision`: the share by which medians above 4,096 epochs may be too low.
        `beyond_flip`: the `cost`, `learning_rate`, its `label` (and `optimizer`, `x`, `y`) of
        panels in which steps overshoot, so that no float64 counts exactly; their `kappa` =
        η(|x|² + 1), and `flip`, above which the fixed point is unstable: 2/s with cross-entropy,
        2/s² with the quadratic cost and a sigmoid, s = y(1 − y); in general 2, or what else an
        optimiser has (`Update.flip`), over ∂δ/∂z at a = y. For one sample.
        `outcomes`, where neurons were followed: what became of them, see `analysis/advice.py`.

    Raises
    ------
    SweepError
        If a part cannot be read.
    """
    grid = result.grid
    act = ACTIVATIONS[grid.spec.task.activation]
    edges = np.union1d(error_edges(act.high - act.low), [SMALL, LARGE])
    counted = count_by_error(result, edges=edges)
    kept = _choices(grid)
    slow = _slowdowns(counted, kept)
    costs = _medians(counted, kept)
    return {
        "costs": [
            cost | {"slowdown_from": slow.get(tuple(cost[name] for name in kept))} for cost in costs
        ],
        "panels": _medians(counted, panels_of(grid).axes),
        "comparison": _comparison(result, "cost"),
        "optimizers": _comparison(result, "optimizer"),
        "non_finite": int(counted.non_finite.sum()),
        "precision": counted.tally.precision,
        "beyond_flip": _beyond_flip(grid),
        **({"outcomes": advice(result, flip_rates(grid))} if grid.spec.follow else {}),
    }


def _medians(counted: Counted, by: tuple[str, ...]) -> list[dict[str, Any]]:
    """Return the numbers of each combination of axes, ready for JSON."""
    ends = [counted.edges[0], SMALL, LARGE, counted.edges[-1]]
    every = epochs_by_error(pool(counted, by, ends[::3]), quantiles=())
    some = epochs_by_error(pool(counted, by, ends), quantiles=[0.5], trained_only=True)
    keys = list(by)
    medians = {
        (*row[:-2], int(row[-2])): row[-1]
        for row in some[[*keys, "bin", "median"]].itertuples(index=False, name=None)
    }
    return [
        dict(zip(keys, key, strict=True))
        | {
            "starts": int(starts),
            "share_unconverged": float(share),
            "median_small": _median(medians.get((*key, 0))),
            "median_large": _median(medians.get((*key, 2))),
        }
        for *key, starts, share in every[[*keys, "count", "share_unconverged"]].itertuples(
            index=False, name=None
        )
    ]


def format_findings(findings: dict[str, Any], grid: Grid) -> str:
    """Return findings as a few lines of text, at most a screen."""
    panels, act = panels_of(grid), ACTIVATIONS[grid.spec.task.activation]
    axes = [name for name in panels.axes[1:] if len(grid.values[name]) > 1]
    shown = {name: _some(grid, name, 6 if len(axes) == 1 else 3) for name in axes}
    shown |= {name: grid.values[name].tolist() for name in CHOICES if name in axes}
    texts = {name: dict(zip(*_labelled(grid, name), strict=True)) for name in axes}
    head = ["cost", *(name.replace("_", " ") for name in axes)]
    head += [f"error up to {SMALL:g}", f"above {LARGE:g}", "unconverged, of all starts"]
    table = [
        [
            cost_name(row["cost"]),
            *(texts[name][row[name]] for name in axes),
            _epochs(row["median_small"]),
            _epochs(row["median_large"]),
            f"{percent(row['share_unconverged'])} of {row['starts']:,}",
        ]
        for row in findings["panels"]
        if all(row[name] in shown[name] for name in axes)
    ]
    error = "mean |y - a|" if np.ndim(grid.spec.task.numbers[0]) else "|y - a|"
    held = "".join(f", {name} = {_labelled(grid, name)[1][k]}" for name, k in panels.fixed.items())
    left_out = [
        f"{len(shown[name])} of {len(grid.values[name]):,} values of {name}"
        for name in axes
        if len(shown[name]) < len(grid.values[name])
    ]
    stop = grid.spec.stop
    what = "gradient " if stop.rule == "gradient" else ""
    limit = f" ({what}at most {stop.tolerance:g})"
    if "tolerance" in grid.values:
        limit = f" (of the {what.strip()})" if what else ""
    lines = [
        f"median epochs to converge{limit}, by the error {error} at the start"
        f"{f', up to {act.high - act.low:g}' if act.high - act.low != 1 else ''}{held}"
        + (f"; {', '.join(left_out)}" if left_out else ""),
        *_columns([head, *table], 1 + len(axes)),
    ]
    lines += [
        f"{_named(cost)}: slow (twice the epochs from an error of {SMALL:g}) "
        f"from an error of {cost['slowdown_from']:.4g}"
        for cost in findings["costs"]
        if cost["slowdown_from"]
    ]
    lines += _compared(findings["comparison"], grid) + _compared(findings["optimizers"], grid)
    lines += _caveats(findings)
    if grid.spec.follow:
        lines += format_advice(findings["outcomes"], grid.spec.follow.epochs)
    return "\n".join(lines)


def _choices(grid: Grid) -> tuple[str, ...]:
    """Return "cost", and "optimizer" where there are several."""
    return ("cost", *(n for n in CHOICES if n != "cost" and len(grid.values.get(n, ())) > 1))


def _named(row: dict[str, Any]) -> str:
    """Return the cost of a row, and its optimiser if it has one."""
    with_ = f" with {row['optimizer']}" if "optimizer" in row else ""
    return f"{cost_name(row['cost'])}{with_}"


def _labelled(grid: Grid, name: str) -> tuple[list[Any], list[str]]:
    values: list[Any] = grid.values[name].tolist()
    return values, values if name in CHOICES else labels(values, 4)


def _some(grid: Grid, name: str, most: int) -> list[Any]:
    """Return at most so many values of an axis."""
    return evenly_spaced(sorted(grid.values[name].tolist()), most)


def _columns(rows: list[list[str]], left: int) -> list[str]:
    """Return rows of texts as lines; the first columns flush left, the others right."""
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    return [
        "  "
        + "  ".join(
            text.ljust(width) if k < left else text.rjust(width)
            for k, (text, width) in enumerate(zip(row, widths, strict=True))
        ).rstrip()
        for row in rows
    ]


def _compared(comparison: list[dict[str, Any]], grid: Grid) -> list[str]:
    """Return a line for each two costs, or optimisers, that are compared and learned anything."""

    def kind(row: dict[str, Any]) -> tuple[str, ...]:
        held = [row[name] for name in CHOICES if name in row]
        return *map(cost_name, (row["over"], row["under"])), *held

    lines = []
    for over, under, *held in dict.fromkeys(map(kind, comparison)):
        rows = [row for row in comparison if kind(row) == (over, under, *held)]
        pairs = sum(row["pairs"] for row in rows)
        won, neither = (
            sum(row[name] * row["pairs"] for row in rows) / pairs
            for name in ("share_under", "share_neither")
        )
        unknown = f" (from {percent(neither)} neither converged)" if neither else ""
        shown = _some(grid, "learning_rate", 6)
        rates = dict(zip(*_labelled(grid, "learning_rate"), strict=True))
        ratios = ", ".join(
            f"{_ratio(row['median_ratio'])} at {rates[row['learning_rate']]}"
            for row in rows
            if row["learning_rate"] in shown
        )
        lines.append(
            f"{''.join(f'{cost_name(name)}: ' for name in held)}{under} needs fewer epochs than "
            f"{over} from {percent(won)} of {pairs:,} starts outside the tolerance{unknown}; "
            f"{over} ÷ {under}, the median, by learning rate: {ratios}"
        )
    return lines


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
    for name in dict.fromkeys(map(_named, beyond)):
        panels = [panel for panel in beyond if _named(panel) == name]
        first = min(panels, key=lambda panel: panel["learning_rate"])
        lines.append(
            f"{name}: in {len(panels):,} panels, from learning rate "
            f"{first['label']} on, steps overshoot (κ = {first['kappa']:.4g} is "
            f"above {first['flip']:.4g}): orbits cycle or are chaotic, no float64 counts exactly"
        )
    return lines


def _beyond_flip(grid: Grid) -> list[dict[str, Any]]:
    """Return the panels of one sample in which a step is too large for the fixed point a = y."""
    task = grid.spec.task
    given, _ = task.numbers
    if "x" not in grid.values and np.ndim(given) and len(np.atleast_1d(given)) > 1:
        return []
    x = grid.values["x"][:, None] if "x" in grid.values else np.reshape(given, (1, -1))
    of_task = ("optimizer", "x", "y", *parameter_axes(grid.spec))
    names = [name for name in of_task if name in grid.values]
    rates = grid.values["learning_rate"].tolist()
    rates = list(zip(rates, labels(rates, 4), strict=True))
    panels = []
    of_delta = [name for name in names if name != "x"]
    for cost, *index in product(*(range(len(grid.values[n])) for n in ("cost", *of_delta))):
        place = dict(zip(of_delta, index, strict=True))
        problem, _ = grid.problem(_first(grid) | {"cost": cost} | place)
        slope = _slope_at_fixed_point(problem)
        outer = {name: grid.values[name][k].item() for name, k in place.items()}
        for inputs, (rate, text) in product(x, rates):
            kappa = rate * (float(inputs @ inputs) + 1.0)
            if kappa * slope > problem.optimizer.flip:
                outer["x"] = float(inputs[0])
                panel = {"cost": str(grid.values["cost"][cost]), "learning_rate": rate,
                         "label": text, **{name: outer[name] for name in names}}  # fmt: skip
                panels.append(panel | {"kappa": kappa, "flip": problem.optimizer.flip / slope})
    return panels


def _first(grid: Grid) -> dict[str, int]:
    return dict.fromkeys(grid.outer_names, 0)


def flip_rates(grid: Grid) -> dict[str, float]:
    """Return, of one sample, the learning rate above which each cost's fixed point is unstable."""
    if {"x", "y", *parameter_axes(grid.spec)} & grid.values.keys():
        return {}
    rates = {}
    for k, cost in enumerate(grid.values["cost"].tolist()):
        problem, _ = grid.problem(_first(grid) | {"cost": k})
        slope = _slope_at_fixed_point(problem) if len(problem.y) == 1 else 0.0
        if slope > 0:
            rates[cost] = 2.0 / (slope * (float((problem.x**2).sum()) + 1.0))
    return rates


def _slope_at_fixed_point(problem: Problem) -> float:
    """Return ∂δ/∂z where δ = 0, of the first sample; 0 if that is at an end of the range."""
    y = float(problem.y[0])
    low, high = -700.0, 700.0
    if not problem.at(low, y)[2] < 0.0 < problem.at(high, y)[2]:
        return 0.0
    for _ in range(80):
        middle = 0.5 * (low + high)
        low, high = (middle, high) if problem.at(middle, y)[2] < 0 else (low, middle)
    return problem.at(high, y)[3]


def _slowdowns(counted: Counted, kept: tuple[str, ...]) -> dict[tuple[str, ...], float]:
    """Return the initial error from which each cost needs twice the epochs of an error of 0.5."""
    table = epochs_by_error(counted, quantiles=[0.5], trained_only=True)
    errors: dict[tuple[str, ...], float] = {}
    for names, rows in table.groupby(list(kept), observed=True):
        begins = []
        for _, panel in rows.groupby(list(counted.by[1:]), observed=True):
            half = panel.loc[panel["error_high"] <= SMALL, "median"].tail(1)
            slow = panel["median"].to_numpy() > 2 * half.to_numpy() if len(half) else []
            begins.append(panel["error_low"].to_numpy()[slow].min(initial=np.inf))
        middle = float(np.median(begins)) if begins else math.inf
        if math.isfinite(middle):
            errors[tuple(map(str, names))] = middle
    return errors


def _comparison(result: ResultRows, axis: str) -> list[dict[str, Any]]:
    """Compare the first two costs, or the first optimiser with each other one.

    Of the article's two costs quadratic is the first, of optimisers gd.
    """
    grid = result.grid
    held = {name: grid.values[name][k].item() for name, k in panels_of(grid).fixed.items()}
    result = select(result, held)[0] if held else result
    names = order_costs(grid.values[axis].tolist() if axis in grid.values else [])
    first = names[1:2] if axis == "cost" else names[1:]
    kept = tuple(name for name in _choices(grid) if name != axis)
    found = []
    for under in first:
        table: pd.DataFrame = compare(
            result, axis=axis, over=names[0], under=under, by=(*kept, "learning_rate"),
            edges=[0, np.inf], quantiles=[0.5],
        )  # fmt: skip
        trained = table[table["pairs"] > table["already"]]
        found += [
            {
                "over": names[0],
                "under": under,
                **{name: str(getattr(row, name)) for name in kept},
                "learning_rate": float(row.learning_rate),
                "pairs": int(row.pairs - row.already),
                "share_under": row.under_fewer / (row.pairs - row.already),
                "share_over": row.over_fewer / (row.pairs - row.already),
                "share_neither": row.neither / (row.pairs - row.already),
                "median_ratio": _median(row.median),
            }
            for row in trained.itertuples()
        ]
    return found


def _median(number: float | None) -> float | str | None:
    """Return a median for JSON: None where there is none, "not reached" where it is infinite."""
    if number is None or math.isnan(number):
        return None
    return "not reached" if math.isinf(number) else float(number)


def _epochs(number: float | str | None) -> str:
    return f"{number:,.0f}" if isinstance(number, float) else number or "none"


def _ratio(number: float | str | None) -> str:
    return f"{number:.3g}" if isinstance(number, float) else "unbounded" if number else "none"
