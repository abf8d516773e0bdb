"""orbit.png: epochs is a staircase over z₀, and trained neurons lie on it (for a README)."""

import numpy as np
from matplotlib.figure import Figure

from sweep.experiment.labels import cost_name
from sweep.figures.style import COST_COLOURS, cost_colour, page, styled
from sweep.kernels.orbit.staircase import steps as steps_of
from sweep.kernels.training import train
from sweep.neuron.problem import make_problem

__all__ = ["orbit"]

RATE, MOST = 1.0, 60


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
