"""bifurcation.png: the outputs that neurons visit after their training, by learning rate."""

import numpy as np
import pandas as pd
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from sweep.analysis.by_error import axes_attrs
from sweep.analysis.cell_index import along_rates, held_values
from sweep.analysis.findings import flip_rates
from sweep.analysis.outcomes import need_follow
from sweep.analysis.row_groups import ResultRows
from sweep.errors import SpecError
from sweep.experiment.labels import cost_name, order_costs
from sweep.figures import cells, scales
from sweep.figures.style import INK, Look, cost_colour, page, styled, title
from sweep.kernels.tracing import trace

# Rates, starts and last epochs that are shown, fewer rates with many samples: so many outputs at
# most. Compiled, 15 million updates a second on a CPU.
RATES, STARTS, VISITED, MOST_OUTPUTS, MOST_UPDATES = 600, 3, 128, 20_000_000, 200_000_000


def table_of(result: ResultRows) -> pd.DataFrame:
    """Trace a few starts through training and following, at up to 600 learning rates.

    Returns
    -------
    DataFrame
        `cost`, `learning_rate` and `output`, the mean output over the samples in the last 128
        epochs. `attrs`: `flips`, for each cost the learning rate above which the fixed point is
        unstable; `epochs`, the first and the last that are shown. Of other axes the middle value.

    Raises
    ------
    SpecError
        Neurons were not followed, there is one learning rate alone, or no start is finite.
    """
    need_follow(result)
    grid = result.grid
    samples = len(np.atleast_1d(grid.spec.task.numbers[1]))
    shown = along_rates(grid, max(min(RATES, MOST_OUTPUTS // (STARTS * VISITED * samples)), 2))
    starts = grid.spread_starts(STARTS)
    starts = starts[np.isfinite(starts).all(axis=1)]
    if not len(starts):
        raise SpecError("no start is finite")
    index = shown["learning_rate"]
    first_of = {name: each[0] for name, each in shown.items()}
    rates = np.repeat(grid.values["learning_rate"][index], len(starts))
    w, b = np.tile(starts[:, :-1], (len(index), 1)), np.tile(starts[:, -1], len(index))
    pieces, first = [], 0
    for k, cost in enumerate(grid.values["cost"].tolist()):
        problem, _ = grid.problem(first_of | {"cost": k})
        updates = len(rates) * samples * len(grid.values["cost"])
        last = max(min(problem.max_epochs + problem.follow, MOST_UPDATES // updates), VISITED) - 1
        first = max(last - VISITED + 1, 0)
        seen = trace(
            w, b, learning_rate=rates, cost=problem.given_cost, x=problem.x, y=problem.y,
            activation=problem.activation, epochs=np.arange(first, last + 1),
        )  # fmt: skip
        output = seen.output.reshape(len(rates), last + 1 - first, -1).mean(axis=-1)
        pieces.append(
            pd.DataFrame(
                {
                    "cost": cost,
                    "learning_rate": np.repeat(rates, output.shape[1]),
                    "output": output.ravel(),
                }
            )
        )
    table = pd.concat(pieces, ignore_index=True)
    table.attrs = {
        "by": ["cost", "learning_rate"],
        "shown": {"learning_rate": len(index)},
        "flips": flip_rates(grid),
        "epochs": (first, last),
        **axes_attrs(grid, held_values(grid, shown)),
    }
    return table


def bifurcation(table: pd.DataFrame, style: str | Look = "paper") -> Figure:
    """Draw the outputs visited against the learning rate, a panel for each cost.

    Parameters
    ----------
    table
        From `table_of`.
    style
        "paper", "talk" or a `Look`.

    Returns
    -------
    Figure
        A dashed line marks where the fixed point turns unstable, 2 over κ's slope of δ, where there
        is one sample with a soft target.
    """
    costs = order_costs(list(table["cost"].unique()))
    rates, (first, last) = table["learning_rate"], table.attrs["epochs"]
    size = float(np.clip(150 / rates.nunique(), 0.7, 3.0))
    with styled(style):
        figure = page(6.4, 2.6 * len(costs) + 1.2)
        panels = figure.subplots(len(costs), 1, squeeze=False, sharex=True)
        marked = False
        for ax, cost in zip(panels[:, 0], costs, strict=True):
            part = table[table["cost"] == cost]
            ax.plot(
                part["learning_rate"],
                part["output"],
                "o",
                color=cost_colour(cost, costs),
                markersize=size,
                markeredgewidth=0,
                alpha=0.5,
                rasterized=True,
            )
            flip = table.attrs["flips"].get(cost, np.inf)
            if rates.min() <= flip <= rates.max():
                ax.axvline(flip, color=INK, linewidth=0.9, linestyle="--")
                marked = True
            ax.set_title(cost_name(cost))
            ax.set_ylabel("outputs visited")
            scales.rate_axis(ax, rates.to_numpy())
            ax.label_outer()
        text = "the fixed point turns unstable"
        mark = Line2D([], [], color=INK, linewidth=0.9, linestyle="--", label=text)
        cells.legend(figure, [mark] if marked else [])
        figure.suptitle(title(f"Outputs in epochs {first:,} to {last:,}", table))
    return figure
