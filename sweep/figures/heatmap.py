"""heatmap.png: epochs to converge over the plane of starts, by cost and learning rate."""

import pandas as pd
from matplotlib.figure import Figure

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
        whichever axis varies); one logarithmic colour scale; lines of equal initial error; starts
        that did not converge hatched, those that needed 0 epochs pale.
    """
    across, down = panel_axes(table)
    costs = order_costs(list(table["cost"].cat.categories))
    norm = scales.log_norm(table["epochs"].to_numpy())
    lines = [(cost, value) for value in axis_values(table, down) for cost in costs]
    columns = axis_values(table, across)
    plane = plane_of(table)
    kinds: set[str] = set()
    with styled(style):
        # One learning rate would make a tall column of panels: lay it down.
        wide = len(columns) > 1 and fitting(len(columns)) == len(columns)
        shape = (len(lines), len(columns)) if wide else (len(columns), len(lines))
        figure, panels = plane_panels(*shape)
        for i, (cost, value) in enumerate(lines):
            for j, rate in enumerate(columns):
                ax = panels[i, j] if wide else panels[j, i]
                part = rows_where(table, {"cost": cost, across: rate, down: value})
                epochs = over_plane(part, "epochs", plane)
                marks = cells.epochs_marks(epochs)
                kinds |= cells.paint(ax, epochs, marks, norm, epochs_map())
                label_plane(ax, part, plane)
                name = cost_name(cost)
                if down:
                    name += f"\n{axis_value(down, value, axis_values(table, down))}"
                if len(columns) == 1:
                    ax.set_title(f"{name}\n{axis_value(across, rate, columns)}")
                elif (i if wide else j) == 0:
                    ax.set_title(axis_value(across, rate, columns) if wide else name)
                if len(columns) > 1 and (j if wide else i) == 0:
                    beside = name if wide else axis_value(across, rate, columns)
                    ax.set_ylabel(f"{beside}\n{ax.get_ylabel()}")
                ax.label_outer()
        label = "epochs to converge"
        scales.colour_bar(figure, norm, epochs_map(), panels, label, pad=0.01)
        cells.legend(figure, [*cells.swatches(table, kinds), contour_key()])
        figure.suptitle(title("Epochs to converge from every start", table))
    return figure
