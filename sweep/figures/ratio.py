"""ratio.png: epochs under the quadratic cost ÷ under cross-entropy, over the plane of starts."""

import numpy as np
import pandas as pd
from matplotlib.figure import Figure

from sweep.errors import SpecError
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
from sweep.figures.style import RATIO_MAP, Look, axis_value, fitting, styled, title


def ratio(table: pd.DataFrame, style: str | Look = "paper") -> Figure:
    """Draw the epochs under the quadratic cost ÷ those under cross-entropy, over the starts.

    Parameters
    ----------
    table
        From `epochs_by_start`.
    style
        "paper", "talk" or a `Look`.

    Returns
    -------
    Figure
        A panel for each learning rate (and value of a second axis). Where a cell holds several
        starts, the ratio is that of their geometric means. Hatched where a cost did not converge.

    Raises
    ------
    SpecError
        The result lacks one of the two costs.
    """
    costs = list(table["cost"].cat.categories)
    if not {"quadratic", "cross_entropy"} <= set(costs):
        raise SpecError(
            f"needs both quadratic and cross_entropy, this result has {', '.join(costs)}"
        )
    across, down = panel_axes(table)
    plane = plane_of(table)
    rates, down_values = axis_values(table, across), axis_values(table, down)
    spots = [(value, rate) for value in down_values for rate in rates]
    drawn = []
    for value, rate in spots:
        part = rows_where(table, {across: rate, down: value})
        sides = (part[part["cost"] == cost] for cost in ("quadratic", "cross_entropy"))
        drawn.append((part, cells.ratio_of(*(over_plane(side, "epochs", plane) for side in sides))))
    every = np.concatenate([values.ravel() for _, (values, _) in drawn])
    norm = scales.ratio_norm(every)
    kinds: set[str] = set()
    with styled(style):
        columns = fitting(len(rates) if down else min(len(spots), 3), 1.6)
        figure, panels = plane_panels(-(-len(spots) // columns), columns)
        for ax, (value, rate), (part, (values, marks)) in zip(
            panels.flat, spots, drawn, strict=False
        ):
            kinds |= cells.paint(ax, values, marks, norm, RATIO_MAP)
            label_plane(ax, part[part["cost"] == "quadratic"], plane)
            more = f", {axis_value(down, value, down_values)}" if down else ""
            ax.set_title(axis_value(across, rate, rates) + more)
        for k, ax in enumerate(panels.flat):
            if k >= len(spots):
                ax.set_axis_off()
            if k % columns:
                ax.set_ylabel("")
                ax.tick_params(labelleft=False)
            if k + columns < len(spots):
                ax.set_xlabel("")
                ax.tick_params(labelbottom=False)
        label = "ratio of the epochs"
        scales.ratio_bar(figure, norm, every, panels, label, pad=0.01)
        cells.legend(figure, [*cells.swatches(table, kinds), contour_key()])
        figure.suptitle(title("Epochs of quadratic ÷ those of cross-entropy", table))
    return figure
