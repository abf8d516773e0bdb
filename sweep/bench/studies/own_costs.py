"""Which of six costs repairs the learning slowdown, and by how much: a table and a picture."""

from __future__ import annotations

import argparse
from pathlib import Path

import numpy as np
from matplotlib.figure import Figure
from numpy.typing import NDArray

import sweep
from sweep.figures.style import INK, page, styled

__all__ = ["COSTS", "draw", "epochs_of", "repairs"]

TASK = {"x": 1.0, "y": 0.0, "tolerance": 0.1, "max_epochs": 10_000_000}
RATE = 0.15

COSTS: dict[str, sweep.Cost] = {
    cost.name: cost
    for cost in (
        sweep.Cost("squares", "(a - y)**2/2"),
        sweep.Cost("log_cosh", "log(cosh(a - y))"),
        sweep.Cost("brier_4", "(a - y)**4"),
        sweep.Cost("tsallis", "y*(1 - a**(1 - t))/(1 - t) + (1 - y)*(1 - (1 - a)**(1 - t))/(1 - t)",
                   t=0.5),
        sweep.Cost("focal", "-(1 - y)*a**g*log(1 - a) - y*(1 - a)**g*log(a)", g=2.0),
        sweep.Cost("smoothed", "-(y*(1 - s) + s/2)*log(a) - (1 - y*(1 - s) - s/2)*log(1 - a)",
                   s=0.1),
    )
}  # fmt: skip

# First outputs: the article's two, and two further away.
STARTS = {0.82: 1.5, 0.98: 4.0, 0.9997: 8.0, 0.999994: 12.0}

# A cost repairs the slowdown if the farthest of these starts takes at most so many times the
# epochs of the nearest.
REPAIRED = 3.0


def epochs_of(cost: str | sweep.Cost, z: NDArray[np.float64]) -> NDArray[np.int32]:
    """Return the epochs of neurons that start from z, half of it weight and half of it bias."""
    return sweep.train(z / 2, z / 2, learning_rate=RATE, cost=cost, **TASK).epochs  # type: ignore[arg-type]


def repairs(epochs: NDArray[np.int32]) -> bool:
    """Say whether a cost repairs the slowdown, from the epochs of STARTS."""
    return bool(epochs[-1] <= REPAIRED * epochs[0])


def draw() -> Figure:
    """Draw epochs over z₀, and the gradient that makes them so."""
    z = np.linspace(-1.5, 13.0, 400)
    looks = ["-", "--", "-.", ":", (0, (5, 1, 1, 1)), (0, (3, 1, 1, 1, 1, 1))]
    colours = ["#d95f02", "#8c6d31", "#c51b7d", "#6a3d9a", "#1b7837", "#0a5fa5"]
    with styled():
        figure = page(7.2, 3.4)
        left, right = figure.subplots(1, 2)
        for cost, look, colour in zip(COSTS.values(), looks, colours, strict=True):
            epochs = epochs_of(cost, z)
            line = {"linestyle": look, "color": colour, "label": cost.name.replace("_", " ")}
            left.plot(z, np.where(epochs > 0, epochs, np.nan), **line)
            seen = sweep.trace(0 * z, z, learning_rate=1.0, cost=cost, x=0.0, y=0.0, epochs=1)
            right.plot(z, z - seen.b[:, 1], **line)
        for axes in (left, right):
            axes.set_yscale("log")
            axes.set_xlabel("z at the start")
            axes.grid(color="#e4e4e4", linewidth=0.5)
        left.set_ylim(8, 3e6)
        left.set_ylabel(f"epochs to an output of {TASK['tolerance']}")
        right.set_ylim(1e-7, 3.0)
        right.set_ylabel("gradient ∂C/∂z, target 0")
        left.legend(frameon=False, labelcolor=INK)
        ends = np.array(list(STARTS.values()))
        repaired = sum(repairs(epochs_of(cost, ends)) for cost in COSTS.values())
        figure.suptitle(f"Six costs from formulas: {repaired} of them repair the learning slowdown")
    return figure


def main() -> int:
    """Print the table, and draw the picture into a file if one is named."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("picture", nargs="?", type=Path)
    args = parser.parse_args()
    print(f"epochs to an output of 0.1 from a first output of …; η = {RATE}, x = 1, y = 0\n")
    print(f"{'':<15}" + "".join(f"{output:>11g}" for output in STARTS) + "  last ÷ first")
    z = np.array(list(STARTS.values()))
    costs: dict[str, str | sweep.Cost] = {"cross_entropy": "cross_entropy", **COSTS}
    for name, cost in costs.items():
        epochs = epochs_of(cost, z)
        ratio = f"{epochs[-1] / epochs[0]:10,.1f}{'  repairs it' if repairs(epochs) else ''}"
        print(f"{name:<15}" + "".join(f"{each:>11,}" for each in epochs) + ratio)
    if args.picture:
        draw().savefig(args.picture, dpi=150)
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
