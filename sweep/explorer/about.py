"""What the page knows when it opens: what can be chosen, where to begin, and the colours."""

from __future__ import annotations

from typing import Any

import numpy as np

from sweep.experiment.checks import optimizers_of
from sweep.experiment.grid import Grid
from sweep.experiment.spec import Spec
from sweep.explorer.endpoints import fixed_weights
from sweep.explorer.query import FARTHEST, LARGEST, SMALLEST, held_optimizer, held_parameters
from sweep.neuron.activations import ACTIVATIONS
from sweep.neuron.costs import COSTS, default_costs

__all__ = ["about"]

# The article's learning rate, its two starts, and what is to be seen there.
ARTICLE_RATE = 0.15
ARTICLE_STARTS = (
    {
        "w": 0.6,
        "b": 0.9,
        "text": "A first output of 0.82. The error falls at once, with either cost: nothing is "
        "saturated.",
    },
    {
        "w": 2.0,
        "b": 2.0,
        "text": "A first output of 0.98. The quadratic cost hardly moves for 150 epochs, because "
        "its gradient has the factor σ'(z); cross-entropy, where that cancels, starts fastest.",
    },
)


def _colours(name: str) -> list[list[int]]:
    from matplotlib import colormaps

    shades = 255 * np.asarray(colormaps[name](np.linspace(0, 1, 256)))[:, :3]
    colours: list[list[int]] = shades.round().astype(int).tolist()
    return colours


def _middle(values: Any) -> float:
    return float(values[(len(values) - 1) // 2])


def about(spec: Spec, stored: bool = False) -> dict[str, Any]:
    """Return what the page needs to begin: choices, limits, a first state, and colours.

    `stored` says whether there is a result whose cells can be shown as they are.
    """
    grid = Grid(spec)
    x, y = spec.task.numbers
    one = np.size(y) == 1 and spec.inputs == 1
    w, *_, b = grid.start_names
    extent = {
        name: [float(grid.values[axis].min()), float(grid.values[axis].max())]
        if axis in grid.values
        else [-5.0, 5.0]
        for name, axis in (("w", w), ("b", b))
    }
    costs = [str(cost) for cost in grid.values["cost"]]
    activation = spec.task.activation
    outer = grid.values
    state = {
        "cost": costs[0],
        "other_cost": costs[-1],
        "learning_rate": _middle(outer["learning_rate"]),
        "tolerance": _middle(outer.get("tolerance", [spec.stop.tolerance])),
        "max_epochs": spec.stop.max_epochs,
        "activation": activation,
        "x": _middle(outer.get("x", [x])) if one else None,
        "y": _middle(outer.get("y", [y])) if one else None,
    }
    costs_of = {
        name: [cost.name for cost in COSTS.values() if name in cost.pairs] for name in ACTIVATIONS
    }
    costs_of[activation] += list(spec.costs)
    article = one and activation == "sigmoid" and (state["x"], state["y"]) == (1.0, 0.0)
    article = article and optimizers_of(spec)[0] == "gd"
    if article and not stored:
        state["learning_rate"] = ARTICLE_RATE
    return {
        "name": spec.name,
        "stored": stored,
        "rule": spec.stop.rule,
        "samples": int(np.size(y)),
        "inputs": spec.inputs,
        "weight": w,
        "fixed": fixed_weights(spec) | held_parameters(spec) | held_optimizer(spec),
        "extent": extent,
        "state": state,
        "costs": costs_of,
        "defaults": {name: default_costs(name) for name in ACTIVATIONS},
        "range": {name: [act.low, act.high] for name, act in ACTIVATIONS.items()},
        "starts": list(ARTICLE_STARTS) if article else [],
        "limits": {"farthest": FARTHEST, "cell": [SMALLEST, LARGEST]},
        "colours": {"epochs": _colours("viridis"), "ratio": _colours("RdBu_r")},
    }  # fmt: skip
