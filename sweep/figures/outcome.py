"""outcome.png: what became of each neuron after its training, over starts, or by learning rate."""

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.colors import BoundaryNorm, ListedColormap
from matplotlib.figure import Figure
from matplotlib.patches import Patch

from sweep.analysis.outcomes import outcome_map as table_of
from sweep.experiment.labels import cost_name, order_costs
from sweep.figures import cells, scales
from sweep.figures.plane import axis_values, panel_axes, plane_panels, rows_where
from sweep.figures.style import Look, axis_name, axis_value, fitting, start_name, styled, title
from sweep.neuron.following import Outcome

__all__ = ["OUTCOMES", "outcome", "table_of"]

# Distinct for the colour-blind; in greyscale from dark to light: irregular, rests, cycle, creeps.
OUTCOMES = {
    Outcome.rests: ("#2c7fb8", "at rest"),
    Outcome.cycle: ("#f0b429", "on a cycle"),
    Outcome.irregular: ("#5e2a84", "irregular: Lyapunov exponent above 0"),
    Outcome.creeps: ("#dcdcdc", "still on the way"),
}


def outcome(table: pd.DataFrame, style: str | Look = "paper") -> Figure:
    """Draw what became of each neuron in the epochs that it was followed after its training.

    Parameters
    ----------
    table
        From `table_of`.
    style
        "paper", "talk" or a `Look`.

    Returns
    -------
    Figure
        A panel for each cost and learning rate over the plane of starts; where one number of the
        starts varies alone, a panel for each cost over learning rate and start. Of several starts
        in a cell the commonest outcome is shown; cells without one are white.
    """
    costs = order_costs(list(table["cost"].cat.categories))
    starts = list(table.columns[:-1])[-1 if table.attrs["rates"] else -2 :]
    plane = ("learning_rate", starts[0]) if table.attrs["rates"] else (starts[1], starts[0])
    across, down = (None, None) if table.attrs["rates"] else panel_axes(table)
    lines = [(cost, value) for value in axis_values(table, down) for cost in costs]
    columns = axis_values(table, across)
    with styled(style):
        wide = len(columns) > 1 and fitting(len(columns)) == len(columns)
        shape = (len(lines), len(columns)) if wide else (len(columns), len(lines))
        figure, panels = plane_panels(*shape)
        for i, (cost, value) in enumerate(lines):
            for j, rate in enumerate(columns):
                ax = panels[i, j] if wide else panels[j, i]
                part = rows_where(table, {"cost": cost, across: rate, down: value})
                _paint(ax, part, table, *plane)
                name = cost_name(cost)
                name += f"\n{axis_value(down, value, axis_values(table, down))}" if down else ""
                if across is None:
                    ax.set_title(name)
                elif (i if wide else j) == 0:
                    ax.set_title(axis_value(across, rate, columns) if wide else name)
                if across is not None and (j if wide else i) == 0:
                    beside = name if wide else axis_value(across, rate, columns)
                    ax.set_ylabel(f"{beside}\n{ax.get_ylabel()}")
                ax.label_outer()
        found = set(table["outcome"])
        handles = [
            Patch(facecolor=colour, label=text, edgecolor="#777777", linewidth=0.5)
            for code, (colour, text) in OUTCOMES.items()
            if int(code) in found
        ]
        cells.legend(figure, handles)
        figure.suptitle(title("What became of each neuron after its training", table))
    return figure


def _paint(ax: Axes, part: pd.DataFrame, table: pd.DataFrame, across: str, up: str) -> None:
    columns, rows = (np.sort(table[name].unique()) for name in (across, up))
    codes = cells.rectangle(part, up, across, "outcome", rows, columns)
    colours = ListedColormap([colour for colour, _ in OUTCOMES.values()])
    ax.imshow(
        np.ma.masked_where(~(codes >= 0), codes),
        cmap=colours,
        norm=BoundaryNorm(np.arange(-0.5, len(OUTCOMES)), len(OUTCOMES)),
        origin="lower",
        extent=(0, len(columns), 0, len(rows)),
        aspect="auto",
        interpolation="nearest",
    )
    scales.value_ticks(ax.xaxis, columns)
    scales.value_ticks(ax.yaxis, rows)
    named = {"learning_rate": axis_name("learning_rate")}
    ax.set_xlabel(named.get(across) or start_name(across))
    ax.set_ylabel(start_name(up))
