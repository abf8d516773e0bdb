"""heatmap.png: epochs to converge over the plane of starts, by cost and learning rate."""

from typing import Any

import pandas as pd
from matplotlib.figure import Figure

from sweep.experiment.checks import CHOICES
from sweep.experiment.labels import cost_name, order_costs
from sweep.figures import cells, scales
from sweep.figures.plane import (
    axis_values,
    contour_key,
    label_plane,
    over_plane,
    panel_axes,
    plane_of,
    plane_panels,
    rows_where,
)
from sweep.figures.style import Look, axis_value, epochs_map, fitting, styled, title

# Which rows of the table some panels show, and how they are named.
Panels = tuple[dict[str | None, Any], str]


def _named_values(table: pd.DataFrame, axis: str | None) -> list[Panels]:
    values = axis_values(table, axis)
    return [({axis: each}, axis_value(axis, each, values) if axis else "") for each in values]


def _crossed(first: list[Panels], second: list[Panels]) -> list[Panels]:
    """Return all pairs, those of one of the second after those of the one before."""
    pairs = [(a, b) for b in second for a in first]
    return [(a[0] | b[0], "\n".join(filter(None, (a[1], b[1])))) for a, b in pairs]


def heatmap(table: pd.DataFrame, style: str | Look = "paper") -> Figure:
    """Draw the epochs to converge over the starts, a panel for each cost and learning rate.

    Parameters
    ----------
    table
        From `epochs_by_start`.
    style
        "paper", "talk" or a `Look`.

    Returns
    -------
    Figure
        Rows are costs (and the values of a second axis), columns learning rates (or the values of
        whichever axis varies); of optimisers as a second axis, rows are these. One logarithmic
        colour scale; lines of equal initial error; starts that did not converge hatched, those that
        needed 0 epochs pale.
    """
    across, down = panel_axes(table)
    costs = order_costs(list(table["cost"].cat.categories))
    norm = scales.log_norm(table["epochs"].to_numpy())
    of_costs: list[Panels] = [({"cost": cost}, cost_name(cost)) for cost in costs]
    of_across, of_down = (_named_values(table, axis) for axis in (across, down))
    lines, columns = _crossed(of_costs, of_down), of_across
    if down in CHOICES:
        lines, columns = of_down, _crossed(of_costs, of_across)
    plane = plane_of(table)
    kinds: set[str] = set()
    with styled(style):
        # One learning rate would make a tall column of panels: lay it down.
        wide = len(columns) > 1 and fitting(len(columns)) == len(columns)
        shape = (len(lines), len(columns)) if wide else (len(columns), len(lines))
        figure, panels = plane_panels(*shape)
        for i, (of_line, name) in enumerate(lines):
            for j, (of_column, column) in enumerate(columns):
                ax = panels[i, j] if wide else panels[j, i]
                part = rows_where(table, of_line | of_column)
                epochs = over_plane(part, "epochs", plane)
                marks = cells.epochs_marks(epochs)
                kinds |= cells.paint(ax, epochs, marks, norm, epochs_map())
                label_plane(ax, part, plane)
                if len(columns) == 1:
                    ax.set_title(f"{name}\n{column}")
                elif (i if wide else j) == 0:
                    ax.set_title(column if wide else name)
                if len(columns) > 1 and (j if wide else i) == 0:
                    beside = name if wide else column
                    ax.set_ylabel(f"{beside}\n{ax.get_ylabel()}")
                ax.label_outer()
        label = "epochs to converge"
        scales.colour_bar(figure, norm, epochs_map(), panels, label, pad=0.01)
        cells.legend(figure, [*cells.swatches(table, kinds), contour_key()])
        figure.suptitle(title("Epochs to converge from every start", table))
    return figure
