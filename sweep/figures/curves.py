"""curves.png: learning curves of a few starts, traced on demand."""

from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd
from matplotlib.artist import Artist
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.ticker import NullLocator

from sweep.analysis.by_error import axes_attrs
from sweep.analysis.cell_index import evenly_spaced, in_order, panels_of
from sweep.analysis.row_groups import ResultRows
from sweep.errors import SpecError, short
from sweep.experiment.checks import CHOICES
from sweep.experiment.grid import Grid
from sweep.experiment.labels import below_one, cost_name, labels, order_costs
from sweep.figures import cells, scales
from sweep.figures.plane import axis_values
from sweep.figures.style import (
    INK,
    Look,
    axis_value,
    cost_line,
    crowding,
    page,
    start_symbol,
    styled,
    tick,
    title,
)
from sweep.kernels.tracing import trace
from sweep.kernels.training import train
from sweep.neuron.problem import Status, finite
from sweep.store.schema import axis_column

Floats = npt.NDArray[np.float64]

CHOSEN_ERRORS = (0.5, 0.9, 0.99)
"""The initial errors next to which learning curves begin, as shares of the largest."""

# Compiled, 15 million updates a second of one sample on a CPU: seconds a curve at the most.
MAX_TRACED = 100_000_000
POINTS = 300  # of a curve, evenly spaced in the logarithm
CANDIDATES = 4096


def table_of(result: ResultRows, starts: Sequence[Sequence[float]] | None = None) -> pd.DataFrame:
    """Trace a few starts of a result.

    Parameters
    ----------
    result
        Only its spec is used. The starts are those next to an initial error of 0.5, 0.9 and 0.99,
        at up to 3 values of the first axis that gets panels, or all optimisers; other axes are held
        at their middle, optimisers at the first.
    starts
        These (w1 … wd, b) in place of those.

    Returns
    -------
    DataFrame
        `cost`, the axis, `start` (from 0), the start columns, `initial_error`, `epoch`, `error`,
        `reached` (whether it is the epoch at which the tolerance was), at epochs that are about
        even in the logarithm, until twice the epochs that the tolerance took, or max_epochs, or 10⁸
        sample-epochs. `attrs`: `by`, `tolerance`, `samples` (their number), `fixed` (the axes that
        are held at their middle), `cut` (the least epoch at which a curve ends for the last reason,
        or None).
    """
    grid = result.grid
    across = panels_of(grid).across
    middle = {name: len(values) // 2 for name, values in grid.values.items()} | {"optimizer": 0}
    shown = in_order(grid, across)
    shown = shown if across in CHOICES else evenly_spaced(shown, 3)
    places = [middle | {across: k} for k in shown]
    outer = [{name: place[name] for name in grid.outer_names} for place in places]
    columns = [axis_column(name) for name in grid.start_names]
    pieces: list[pd.DataFrame] = []
    cut: list[int] = []
    for place in outer:
        chosen = _chosen(grid, place) if starts is None else _checked(grid, starts)
        for cost in range(len(grid.values["cost"])):
            problem, rate = grid.problem(place | {"cost": cost})
            common: dict[str, Any] = {
                "learning_rate": rate,
                "cost": problem.given_cost,
                "x": problem.x,
                "y": problem.y,
                "activation": problem.activation,
                "optimizer": problem.optimizer,
            }
            weights, biases = chosen[:, :-1], chosen[:, -1]
            most = min(problem.max_epochs, MAX_TRACED // len(problem.x))
            trained = train(
                weights, biases, tolerance=problem.tolerance, max_epochs=most, rule=problem.rule,
                **common,
            )  # fmt: skip
            for number, start in enumerate(chosen):
                met = trained.status[number] == int(Status.converged)
                epochs = int(trained.epochs[number])
                last = min(2 * epochs + 10, problem.max_epochs) if met else most
                if not met and most < problem.max_epochs:
                    cut.append(most)
                even = np.geomspace(1, last + 1, POINTS).astype(np.int64) - 1
                at = np.union1d(even, [epochs]) if met else np.unique(even)
                curve = trace(weights[number], float(biases[number]), epochs=at, **common)
                piece = pd.DataFrame({"epoch": at, "error": curve.error})
                labels = {
                    "cost": str(grid.values["cost"][cost]),
                    across: grid.values[across][place[across]],
                    "start": number,
                    **dict(zip(columns, start, strict=True)),
                    "initial_error": curve.error[0],
                    "reached": met & (at == epochs),
                }
                pieces.append(piece.assign(**labels))
    table = pd.concat(pieces, ignore_index=True)
    if across in CHOICES:
        table[across] = pd.Categorical(table[across], grid.values[across])
    problem, _ = grid.problem(outer[0])
    fixed = {
        name: grid.values[name][middle[name]].item()
        for name in grid.outer_names
        if name not in ("cost", across) and len(grid.values[name]) > 1
    }
    table.attrs = {
        "by": ["cost", across],
        "shown": {across: len(places)},
        **axes_attrs(grid, fixed),
        "tolerance": problem.tolerance,
        "samples": len(problem.x),
        "starts": columns,
        "most": problem.max_epochs,
        "cut": min(cut, default=None),
    }
    return table


def curves(table: pd.DataFrame, style: str | Look = "paper") -> Figure:
    """Draw the learning curves of a few starts, both costs, a row for each learning rate.

    Parameters
    ----------
    table
        From `table_of`.
    style
        "paper", "talk" or a `Look`.

    Returns
    -------
    Figure
        Columns are starts, with growing initial error; dots where the tolerance was reached.
    """
    across = table.attrs["by"][1]
    costs = order_costs(list(table["cost"].unique()))
    rates = axis_values(table, across)
    starts = sorted(table["start"].unique())
    tolerance, by_error = table.attrs["tolerance"], table.attrs["rule"] == "error"
    top = table["error"].max() * 1.06
    columns = table.attrs["starts"]
    distance = "error |y − a|" if table.attrs["samples"] == 1 else "error, mean |y − a|"
    begins: dict[int, list[float]] = {}  # of each column, where the panel above began
    symbols = ", ".join(start_symbol(column) for column in columns)
    begun = {column: table[column].unique() for column in columns}
    texts = [dict(zip(values, labels(values), strict=True)) for values in begun.values()]
    with styled(style):
        figure = page(2.5 * len(starts) + 0.8, 1.9 * len(rates) + 1.2)
        panels = figure.subplots(len(rates), len(starts), squeeze=False, sharex=True, sharey=True)
        for line, rate in zip(panels, rates, strict=True):
            limit = rate if across == "tolerance" else tolerance
            for ax, start in zip(line, starts, strict=True):
                part = table[(table[across] == rate) & (table["start"] == start)]
                if not len(part):
                    ax.set_axis_off()
                    continue
                for cost in costs:
                    curve = part[part["cost"] == cost]
                    epoch, error = curve["epoch"].to_numpy(), curve["error"].to_numpy()
                    look = cost_line(cost, costs)
                    ax.plot(epoch, error, label=cost, **look)
                    met = curve["reached"].to_numpy()
                    ax.plot(epoch[met], error[met], "o", color=look["color"])
                if by_error:
                    ax.axhline(limit, color=INK, linewidth=0.7, linestyle=":")
                ax.grid(color="#e4e4e4", linewidth=0.5)
                begin = part[columns].iloc[0].tolist()
                if ax in panels[0] or begin != begins.get(start):
                    begins[start] = begin
                    shown = [text[value] for text, value in zip(texts, begin, strict=True)]
                    values = ", ".join(map(tick, shown))
                    apart = "\n" if crowding() > 1 else " "
                    ax.set_title(f"initial error {below_one(error[0])}\n{symbols} ={apart}{values}")
                if ax in panels[-1]:
                    ax.set_xlabel("epoch")
            line[0].set_ylabel(f"{axis_value(across, rate, rates)}\n{distance}")
        last = max(table["epoch"].max(), 10)
        panels[0, 0].set_xscale("symlog", linthresh=1, linscale=0.3)
        panels[0, 0].set_xlim(0, 1.1 * last)
        panels[0, 0].set_ylim(0, top)
        decades = 10 ** np.arange(np.log10(last) + 1e-9).astype(int)
        panels[0, 0].set_xticks([0, *decades[1 :: 2 if crowding() > 1 else 1], decades[0]])
        for ax in panels.flat:
            ax.xaxis.set_major_formatter(lambda number, _: scales.plain(number))
            ax.xaxis.set_minor_locator(NullLocator())
        handles: list[Artist] = [
            Line2D([], [], label=cost_name(c), **cost_line(c, costs)) for c in costs
        ]
        if by_error:
            text = "tolerance" if across == "tolerance" else f"tolerance {tolerance:g}"
            handles.append(Line2D([], [], color=INK, linewidth=0.7, linestyle=":", label=text))
        handles.append(
            Line2D([], [], color="#777777", marker="o", linestyle="", label="tolerance reached")
        )
        cells.legend(figure, handles)
        cut = table.attrs["cut"]
        ends = "" if cut is None else f", followed for {cut:,} of {table.attrs['most']:,} epochs"
        figure.suptitle(title(f"Learning curves{ends}", table))
    return figure


def _checked(grid: Grid, starts: Sequence[Sequence[float]]) -> Floats:
    """Return starts that a caller gave, as they lie in a grid."""
    numbers = finite("starts", starts, 2)
    if numbers.ndim != 2 or numbers.shape[1] != len(grid.start_names) or not len(numbers):
        raise SpecError(
            f"starts = {short(starts)}: must be a list of ({', '.join(grid.start_names)})"
        )
    return numbers


def _chosen(grid: Grid, outer: dict[str, int]) -> Floats:
    """Return the starts of the learning curves, with growing initial error."""
    problem, _ = grid.problem(outer)
    starts = grid.spread_starts(CANDIDATES)
    with np.errstate(over="ignore", invalid="ignore"):
        z = starts[:, :-1] @ problem.x.T + starts[:, -1:]
    finite = np.isfinite(z).all(axis=1)
    if not finite.any():
        raise SpecError("no start is finite")
    starts, z = starts[finite], z[finite]
    forward = np.vectorize(lambda z, y: abs(problem.act.residual_and_slope(z, y)[0]))
    error = forward(z, problem.y).mean(axis=1) / (problem.act.high - problem.act.low)
    at = [int(np.abs(error - wanted).argmin()) for wanted in CHOSEN_ERRORS]
    return starts[list(dict.fromkeys(at))]
