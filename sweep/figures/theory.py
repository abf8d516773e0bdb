"""theory.png: measured epochs over the closed form of the gradient flow."""

from math import prod
from typing import Any

import matplotlib as mpl
import numpy as np
import numpy.typing as npt
import pandas as pd
from matplotlib.artist import Artist
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from sweep.analysis.by_error import axes_attrs, fixed_values
from sweep.analysis.cell_index import groups, lengths, panel_of, pictured, shown_counts
from sweep.analysis.row_groups import Columns, ResultRows, reduced
from sweep.errors import SpecError
from sweep.experiment.grid import GOLDEN, Grid
from sweep.experiment.labels import cost_name, order_costs
from sweep.figures import cells, scales
from sweep.figures.style import (
    Look,
    axis_value,
    epochs_map,
    letters,
    page,
    styled,
    title,
)
from sweep.neuron import flow
from sweep.store.schema import axis_column

SAMPLED = 300

MIN_COMPARED = 5
"""Below, a share of the epochs says no more than that they are whole."""


def table_of(result: ResultRows) -> pd.DataFrame:
    """Take about 300 starts of each panel out of a result, with what the closed form says.

    Parameters
    ----------
    result
        Of one sample, with a sigmoid and targets 0 or 1.

    Returns
    -------
    DataFrame
        `cost`, `learning_rate`, `kappa`, `tolerance`, `z0` (mirrored if the target is 1, so that
        learning goes downhill), `epochs` (infinite where the neuron did not converge), `flow` (the
        epochs of the gradient flow). Starts within the tolerance are left out.

    Raises
    ------
    SpecError
        There is no closed form for this result, or nothing was learned.
    SweepError
        If a part cannot be read.
    """
    grid = result.grid
    drawn = [axis_column(name) for name in grid.start_names if grid.spec.start is not None]
    panel = np.where(_in_closed_form(grid), panel_of(grid, pictured(grid)), -1)
    place = np.unravel_index(np.arange(len(panel)), lengths(grid, grid.outer_names))
    outer = {n: grid.values[n][p] for n, p in zip(grid.outer_names, place, strict=True)}
    x, y = grid.spec.task.numbers
    inputs = outer["x"][:, None] if "x" in outer else np.reshape(x, (1, -1))
    target = np.ravel(outer.get("y", y)) * np.ones(len(panel))
    each = pd.DataFrame(
        {
            "cost": outer["cost"],
            "learning_rate": outer["learning_rate"],
            "kappa": outer["learning_rate"] * ((inputs**2).sum(axis=1) + 1),
            "tolerance": outer.get("tolerance", grid.spec.stop.tolerance),
            "mirror": np.where(target == 0, 1.0, -1.0),
        }
    )
    inputs = np.broadcast_to(inputs, (len(panel), inputs.shape[1]))
    count = grid.starts_count
    starts = np.unique((np.arange(min(SAMPLED, count)) * GOLDEN % 1 * count).astype(np.int64))
    chosen = (np.flatnonzero(panel >= 0)[:, None] * count + starts).ravel()

    def chunk(rows: range, read: Columns) -> pd.DataFrame:
        taken = chosen[slice(*np.searchsorted(chosen, [rows.start, rows.stop]))]
        columns = {name: column[taken - rows.start] for name, column in read.items()}
        start = [columns[name] for name in drawn]
        if not drawn:
            index = np.unravel_index(taken % count, lengths(grid, grid.start_names))
            start = [grid.values[n][k] for n, k in zip(grid.start_names, index, strict=True)]
        where = taken // count
        with np.errstate(over="ignore", invalid="ignore"):
            z0 = (np.column_stack(start[:-1]) * inputs[where]).sum(axis=1) + start[-1]
        points = each.iloc[where].assign(z0=z0, epochs=columns["epochs"])
        return points[(points["epochs"] > 0) & np.isfinite(z0)]

    if not len(chosen):
        raise SpecError("the values that are shown of the other axes have no closed form")
    pieces = list(reduced(result, ["epochs", *drawn], chunk, panel))
    points = pd.concat(pieces, ignore_index=True)
    if not np.isfinite(points["epochs"]).any():
        raise SpecError("no start converged that was not within the tolerance from the beginning")
    points["z0"] *= points.pop("mirror")
    for cost, of_cost in points.groupby("cost"):
        epochs = flow.epochs(str(cost), of_cost["z0"], of_cost["tolerance"], of_cost["kappa"])
        points.loc[of_cost.index, "flow"] = epochs
    counts = shown_counts(grid)
    fixed = fixed_values(grid)
    if counts.pop("optimizer", 1) > 1:
        fixed["optimizer"] = "gd"
    points.attrs = axes_attrs(grid, fixed) | {"shown": counts}
    return points


def theory(table: pd.DataFrame, style: str | Look = "paper") -> Figure:
    """Draw measured epochs over the closed form of the gradient flow.

    Parameters
    ----------
    table
        From `table_of`.
    style
        "paper", "talk" or a `Look`.

    Returns
    -------
    Figure
        κ · epochs against z₀, a panel for each cost: in the flow all learning rates fall onto one
        line (for each tolerance). Below, measured ÷ closed form where that is at least 5 epochs.
    """
    costs = order_costs(list(table["cost"].unique()))
    rates = np.sort(table["learning_rate"].unique())
    table = table[np.isfinite(table["epochs"])]
    tolerances = sorted(table["tolerance"].unique())
    marks = dict(zip(rates, "osD^vP", strict=False))
    with styled(style):
        shades = mpl.colormaps[epochs_map()](np.linspace(0, 0.85, len(rates)))
        figure = page(3.2 * len(costs) + 0.8, 5.0)
        panels = figure.subplots(
            2, len(costs), squeeze=False, sharex=True, sharey="row", height_ratios=[3, 1.3]
        )
        for (top, low), cost in zip(panels.T, costs, strict=True):
            part = table[table["cost"] == cost]
            for rate, shade in zip(rates, shades, strict=True):
                of_rate = part[part["learning_rate"] == rate]
                dots: dict[str, Any] = {"marker": marks[rate], "color": shade, "linestyle": ""}
                dots |= {"markersize": letters(0.28), "alpha": 0.8, "markeredgewidth": 0}
                scaled = of_rate["kappa"] * of_rate["epochs"]
                top.plot(of_rate["z0"], scaled, label=f"{rate:g}", **dots)
                of_rate = of_rate[of_rate["flow"] >= MIN_COMPARED]
                low.plot(of_rate["z0"], of_rate["epochs"] / of_rate["flow"], **dots)
            for tolerance in tolerances:
                curve = part[part["tolerance"] == tolerance]
                if len(curve):
                    z = np.linspace(curve["z0"].min(), curve["z0"].max(), 400)
                    line = {"color": "black", "linewidth": letters(0.1)}
                    top.plot(z, flow.epochs(cost, z, tolerance, 1.0), label="flow", **line)
                    if len(tolerances) > 1:
                        there = z[120], float(flow.epochs(cost, z[120], tolerance, 1.0))
                        style_of_text = {"ha": "center", "va": "bottom", "fontsize": letters(0.85)}
                        text = axis_value("tolerance", tolerance, tolerances)
                        top.annotate(text, there, **style_of_text)
            low.axhline(1, color="black", linewidth=letters(0.1))
            top.set_title(cost_name(cost))
            low.set_xlabel("z₀, towards the target")
            top.set_yscale("log")
            for ax in (top, low):
                ax.grid(color="#e4e4e4", linewidth=0.5)
        for ax in panels[0]:
            scales.log_ticks(ax.yaxis, *ax.get_ylim())
        panels[0, 0].set_ylabel("κ × epochs to converge,\nκ = η(|x|² + 1)")
        panels[1, 0].set_ylabel("measured ÷\nclosed form")
        note = f"from {MIN_COMPARED} epochs on"
        corner = {"xycoords": "axes fraction", "ha": "right", "va": "top"}
        panels[1, -1].annotate(note, (0.98, 0.95), fontsize=letters(0.8), **corner)
        keys: list[Artist] = [Line2D([], [], color="black", label="closed-form gradient flow")]
        keys += [
            Line2D(
                [],
                [],
                color=shade,
                marker=marks[rate],
                linestyle="",
                label=axis_value("learning_rate", rate, rates),
            )
            for rate, shade in zip(rates, shades, strict=True)
        ]
        cells.legend(figure, keys)
        figure.suptitle(title("Epochs to converge, measured and in closed form", table))
    return figure


def _in_closed_form(grid: Grid) -> npt.NDArray[np.bool_]:
    """Return which combinations of the outer axes have a closed form, if any.

    Raises
    ------
    SpecError
        None has, with the reason.
    """
    task = grid.spec.task
    x, y = task.numbers
    given = np.asarray(grid.values.get("y", np.ravel(y)))
    reason = None
    if grid.spec.stop.rule != "error":
        reason = f"rule = {grid.spec.stop.rule}"
    elif task.activation != "sigmoid":
        reason = f"activation = {task.activation}"
    elif np.ndim(x) > 0 and len(np.atleast_1d(x)) > 1:
        reason = f"{len(np.atleast_1d(x))} samples"
    elif not np.isin(given, (0, 1)).any():
        reason = f"y = {float(given[0])}"
    elif "gd" not in grid.outer_values["optimizer"]:
        reason = f"optimizer = {', '.join(grid.outer_values['optimizer'])}"
    if reason:
        raise SpecError(
            "the closed form is known of gradient descent with one sample, a sigmoid and a target "
            f"of 0 or 1; this result has {reason}"
        )
    known: npt.NDArray[np.bool_] = np.ones(prod(lengths(grid, grid.outer_names)), bool)
    if "y" in grid.values:
        known &= np.isin(given, (0, 1))[groups(grid, ("y",))]
    if "optimizer" in grid.values:
        known &= (grid.values["optimizer"] == "gd")[groups(grid, ("optimizer",))]
    return known & np.isin(grid.values["cost"], flow.FLOWS)[groups(grid, ("cost",))]
