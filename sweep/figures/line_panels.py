"""What slowdown and distribution share: both costs as lines, a panel for each learning rate."""

from collections.abc import Callable, Sequence

import pandas as pd
from matplotlib.artist import Artist
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from sweep.experiment.labels import cost_name, order_costs
from sweep.figures import cells
from sweep.figures.plane import shown_values
from sweep.figures.style import axis_value, cost_line, fitting, letters, page, title


def line_panels(
    table: pd.DataFrame,
    draw: Callable[[Axes, str, pd.DataFrame], bool],
    scale: Callable[[Axes], None],
    what: str,
    labels: tuple[str, str],
    line: str,
    more: Sequence[Artist],
    never: Sequence[Artist],
) -> Figure:
    """Draw each cost into a panel for each value of the axes that get panels."""
    _, across, *down = table.attrs["by"]
    costs = order_costs(list(table["cost"].cat.categories))
    rates = shown_values(table, across, 4 if down else 6)
    values = shown_values(table, down[0], 3) if down else [None]
    spots = [(value, rate) for value in values for rate in rates]
    columns = fitting(len(rates) if down else min(len(rates), 2 if len(rates) == 4 else 3), 1.6)
    rows = -(-len(spots) // columns)
    figure = page(*((2.6 * columns + 0.8, 2.2 * rows + 1.2) if columns > 1 else (4.8, 4.0)))
    panels = figure.subplots(rows, columns, squeeze=False, sharex=True, sharey=True)
    stopped = False
    for ax, (value, rate) in zip(panels.flat, spots, strict=False):
        part = table[table[across] == rate]
        part = part[part[down[0]] == value] if down else part
        for cost in costs:
            stopped |= draw(ax, cost, part[part["cost"] == cost])
        more_said = f", {axis_value(down[0], value, values)}" if down else ""
        ax.set_title(axis_value(across, rate, rates) + more_said)
        ax.grid(color="#e4e4e4", linewidth=0.5)
        scale(ax)
    for k, ax in enumerate(panels.flat):
        if k >= len(spots):
            ax.set_axis_off()
        elif k + columns >= len(spots):
            ax.tick_params(labelbottom=True)
            ax.set_xlabel(labels[0])
        if k % columns == 0:
            ax.set_ylabel(labels[1])
    handles: list[Artist] = [
        Line2D(
            [], [], label=f"{cost_name(cost)}{', ' if line else ''}{line}", **cost_line(cost, costs)
        )
        for cost in costs
    ]
    handles += [*more, *(never if stopped else ())]
    if len(spots) < panels.size and 9 <= letters(1) < 10:  # a talk's letters need more room
        legend = panels.flat[-1].legend(handles=handles, loc="center", frameon=False)
        legend.set_in_layout(False)  # or panels grow apart for it
    else:
        cells.legend(figure, handles)
    shown = {across: len(rates)} | {name: len(values) for name in down[:1]}
    figure.suptitle(title(what, table, shown))
    return figure
