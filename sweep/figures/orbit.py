"""orbit.png and orbit-samples.png: how epochs are looked up, for one sample and many (for READMEs).

The first shows a staircase over z₀, with trained neurons on it; the second the squares of (w, b).
"""

import numpy as np
from matplotlib.colors import LogNorm
from matplotlib.figure import Figure
from matplotlib.patches import Rectangle

from sweep.experiment.labels import cost_name
from sweep.figures.style import COST_COLOURS, cost_colour, epochs_map, page, styled
from sweep.kernels.orbit.plane import build_plane
from sweep.kernels.orbit.staircase import steps as steps_of
from sweep.kernels.training import train
from sweep.neuron.problem import make_problem

__all__ = ["orbit", "orbit_of_samples"]

RATE, MOST = 1.0, 60
RATE_OF_MANY = 0.15

# Squares are as for so many starts.
STARTS = 1_000_000


def orbit() -> Figure:
    """Return the picture: the orbit's steps as lines, neurons that were trained as points."""
    rng = np.random.default_rng(1)
    kwargs = {"x": 1.0, "y": 0.0, "tolerance": 0.1, "max_epochs": MOST}
    with styled():
        figure = page(6.4, 3.2)
        ax = figure.subplots()
        for cost in COST_COLOURS:
            problem = make_problem(**kwargs, cost=cost)  # type: ignore[arg-type]
            steps = steps_of(problem, RATE, 1.0, MOST, 6.0)
            ax.stairs(
                np.arange(1, len(steps)), steps, baseline=None, color=cost_colour(cost),
                linewidth=1.0, label=f"{cost_name(cost)}: the orbit's steps",
            )  # fmt: skip
            z = rng.uniform(steps[0], min(steps[-1], 5.0), 45)
            trained = train(0 * z, z, learning_rate=RATE, cost=cost, method="train", **kwargs)  # type: ignore[arg-type]
            ax.plot(
                z, trained.epochs, "o", color=cost_colour(cost), markersize=3.5,
                markerfacecolor="white", label=f"{cost_name(cost)}: neurons, trained",
            )  # fmt: skip
        ax.set(
            xlabel="start z₀ = w₀x + b₀",
            ylabel="epochs to converge",
            xlim=(-2.4, 5),
            ylim=(0, MOST),
        )
        ax.legend(frameon=False, loc="upper left")
        figure.suptitle("Epochs is a staircase over z₀: one backward orbit finds all of its steps")
    return figure


def orbit_of_samples() -> Figure:
    """Return the picture: epochs over (w, b) for 16 samples, and the squares of the lookup."""
    x = np.random.default_rng(0).normal(size=16)
    y = (x + 0.3 * np.random.default_rng(1).normal(size=16) > 0.2) * 1.0
    kwargs = {"x": x, "y": y, "tolerance": 0.2, "max_epochs": 100_000}
    low, high, stop = np.full(2, -5.0), np.full(2, 5.0), np.zeros(1, np.uint8)
    axis = np.linspace(-5.0, 5.0, 500)
    w, b = np.meshgrid(axis, axis, indexing="ij")
    with styled():
        figure = page(6.9, 3.4)
        for ax, cost in zip(figure.subplots(1, 2, sharey=True), COST_COLOURS, strict=True):
            problem = make_problem(**kwargs, cost=cost)  # type: ignore[arg-type]
            trained = train(w.ravel(), b.ravel(), learning_rate=RATE_OF_MANY, cost=cost, **kwargs)  # type: ignore[arg-type]
            epochs = np.where(trained.epochs > 0, trained.epochs, np.nan).reshape(w.shape)
            mesh = ax.pcolormesh(w, b, epochs, norm=LogNorm(), cmap=epochs_map(), rasterized=True)
            figure.colorbar(mesh, ax=ax, label="epochs to converge")
            table = build_plane(problem, RATE_OF_MANY, low, high, STARTS, 1, stop).known.table
            for middle, per_half in zip(table.middle, table.per_half, strict=True):
                corner, sides = middle - 1.0 / per_half, 2.0 / per_half
                ax.add_patch(
                    Rectangle(corner, *sides, fill=False, edgecolor="white", linewidth=0.3)
                )
            ax.set(xlabel="w₀", title=cost_name(cost), xlim=(-5, 5), ylim=(-5, 5), aspect="equal")
            ax.set_facecolor("#dddddd")
        figure.axes[0].set_ylabel("b₀")
        figure.suptitle("16 samples: epochs are looked up on squares (grey: within the tolerance)")
    return figure
