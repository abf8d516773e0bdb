"""error.png: median epochs by initial error and learning rate, for each cost, and their ratio."""

from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd
from matplotlib.figure import Figure

from sweep.experiment.checks import CHOICES
from sweep.experiment.labels import cost_name, labels, option_name, order_costs
from sweep.figures import cells, scales
from sweep.figures.plane import axis_values, shown_values
from sweep.figures.style import (
    COST_COLOURS,
    RATIO_MAP,
    Look,
    axis_name,
    axis_value,
    crowding,
    epochs_map,
    page,
    styled,
    tick,
    title,
)

Floats = npt.NDArray[np.float64]

MAX_LABELS = 6
MAX_DOWN = 3


def error(table: pd.DataFrame, style: str | Look = "paper") -> Figure:
    """Draw the median epochs by initial error and learning rate, and the ratio of the two costs.

    Parameters
    ----------
    table
        From `epochs_by_error`.
    style
        "paper", "talk" or a `Look`.

    Returns
    -------
    Figure
        A panel for each cost on one logarithmic colour scale and, where quadratic and
        cross-entropy are both there, the ratio of their medians on a scale centred at 1. A row of
        panels for each of up to 3 values of a second axis. Bins whose median is not reached are
        hatched, bins without a start are white.
    """
    _, across, *down = table.attrs["by"]
    costs = order_costs(list(table["cost"].cat.categories))
    rates = np.array(axis_values(table, across))
    edges, first, last = scales.shown_bins(table)
    bins = np.arange(first, last + 1)
    rows = shown_values(table, down[0], MAX_DOWN) if down else [None]
    medians: dict[Any, Floats] = {}
    for value in rows:
        part = table[table[down[0]] == value] if down else table
        for cost in costs:
            of_cost = part[part["cost"] == cost]
            medians[value, cost] = cells.rectangle(of_cost, "bin", across, "median", bins, rates)
    norm = scales.log_norm(np.concatenate([m.ravel() for m in medians.values()]))
    compared = all(cost in costs for cost in COST_COLOURS)
    ratios = {
        value: cells.ratio_of(*(medians[value, cost] for cost in COST_COLOURS))
        for value in rows
        if compared
    }
    kinds: set[str] = set()
    with styled(style):
        written = (
            len(rates) <= MAX_LABELS and len(bins) <= 30 and len(rows) == 1 and crowding() == 1
        )
        count = len(costs) + compared
        width = float(np.clip((0.8 if across in CHOICES else 0.45) * len(rates), 2.1, 3.2))
        height = 5.8 if len(rows) == 1 else 2.6 * len(rows) + 1.4
        figure = page(max(width * count + 1.2, 4.8), height)
        panels = figure.subplots(len(rows), count, squeeze=False)
        for line, value in zip(panels, rows, strict=True):
            for ax, cost in zip(line, costs, strict=False):
                epochs = medians[value, cost]
                number = scales.whole if written else None
                marks = cells.epochs_marks(epochs)
                kinds |= cells.paint(ax, epochs, marks, norm, epochs_map(), number)
            if compared:
                every = np.concatenate([values.ravel() for values, _ in ratios.values()])
                far = scales.ratio_norm(every)
                number = scales.short if written else None
                kinds |= cells.paint(line[-1], *ratios[value], far, RATIO_MAP, number)
            for ax in line:
                scales.error_ticks(ax.yaxis, edges, first, last)
                if across in CHOICES or len(rates) * crowding() <= MAX_LABELS:
                    if across in CHOICES:
                        texts = [option_name(name).replace(" ", "\n") for name in rates]
                    else:
                        texts = [tick(text) for text in labels(rates, 2)]
                    ax.set_xticks(np.arange(len(rates)) + 0.5, texts, rotation=0)
                else:
                    scales.value_ticks(ax.xaxis, rates)
                ax.set_xlabel(axis_name(across))
            line[0].set_ylabel(
                (f"{axis_value(down[0], value, rows)}\n" if down else "")
                + "initial error (log-odds scale)"
            )
            for ax in line:
                ax.label_outer()
        for ax, cost in zip(panels[0], costs, strict=False):
            ax.set_title(cost_name(cost))
        below: dict[str, Any] = {"location": "bottom", "aspect": 30, "pad": 0.02}
        cost_panels = panels[:, : len(costs)]
        label = "median epochs to converge"
        scales.colour_bar(figure, norm, epochs_map(), cost_panels, label, **below)
        if compared:
            panels[0, -1].set_title("quadratic ÷ cross-entropy" if crowding() == 1 else "ratio")
            below["aspect"] = 15
            scales.ratio_bar(figure, far, every, panels[:, -1:], "ratio of the medians", **below)
        cells.legend(figure, cells.swatches(table, kinds))
        what = "Epochs to converge, by initial error and " + axis_name(across)
        figure.suptitle(title(what, table, {name: len(rows) for name in down[:1]}))
    return figure
