"""The article's figures of its two starts; each function takes numbers and returns a figure."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from sweep.article.content import RATE, STARTS
from sweep.experiment.labels import cost_name
from sweep.figures.style import COST_COLOURS, INK, cost_colour, styled
from sweep.neuron.activations import ACTIVATIONS

GRID = {"color": "#e4e4e4", "linewidth": 0.5}
# The article's two starts, bad and worse, in every figure that shows both.
START_STYLES: tuple[dict[str, Any], ...] = ({"linestyle": "-"}, {"linestyle": (0, (5, 1.6))})
START_NAMES = [f"w = {w:g}, b = {b:g}" for w, b in STARTS]
MATCHED = COST_COLOURS["cross_entropy"]


def open_axes(rows: int, columns: int, size: tuple[float, float], **kw: Any) -> tuple[Figure, Any]:
    """Return a figure and its panels, with a pale grid and no frame."""
    figure = Figure(size, layout="constrained")
    panels = figure.subplots(rows, columns, squeeze=False, **kw)
    for ax in panels.flat:
        ax.grid(**GRID)
        ax.set_axisbelow(True)
        ax.spines[["top", "right"]].set_visible(False)
    return figure, panels


def draw_quadratic_curves(curves: Sequence[Any]) -> Figure:
    """Draw output and cost over epochs of the quadratic cost, the two starts side by side."""
    colour = cost_colour("quadratic")
    with styled():
        figure, panels = open_axes(2, 2, (6.4, 4.0), sharex=True, sharey="row")
        for column, ((w, b), curve) in enumerate(zip(STARTS, curves, strict=True)):
            rows = ((curve.output, "output a", "{:.2f}"), (curve.cost, "cost C", "{:.2g}"))
            for ax, (values, name, form) in zip(panels[:, column], rows, strict=True):
                ax.plot(curve.epoch[:301], values[:301], color=colour, linewidth=1.6)
                ends = ((0, "bottom", "left", 2), (300, "bottom", "right", 9))
                for epoch, vertical, horizontal, up in ends:
                    ax.plot(epoch, values[epoch], "o", color=colour, markersize=4, clip_on=False)
                    ax.annotate(
                        form.format(values[epoch]), (epoch, values[epoch]), va=vertical,
                        ha=horizontal, xytext=(0 if epoch else 4, up), textcoords="offset points",
                    )  # fmt: skip
                if not column:
                    ax.set_ylabel(name)
            panels[0, column].set_title(f"start w = {w:g}, b = {b:g}")
            panels[1, column].set_xlabel("epoch")
        panels[0, 0].set_ylim(0, 1.08)
        panels[1, 0].set_ylim(0, 0.54)
        panels[0, 0].set_xlim(0, 300)
        figure.suptitle(
            f"Quadratic cost, learning rate {RATE:g}: the worse start learns more slowly"
        )
    return figure


def draw_slope_and_gradient(
    starts: Any, error: Any, gradients: Mapping[str, Any], peak: tuple[float, float]
) -> Figure:
    """Draw the sigmoid with its slope, and the gradient against the initial error."""
    act = ACTIVATIONS["sigmoid"]
    z = np.linspace(-6, 6, 481)
    quadratic = cost_colour("quadratic")
    with styled():
        figure, panels = open_axes(1, 2, (7.2, 3.2))
        left, right = panels[0]
        left.plot(z, [act.value(v) for v in z], color=INK, linewidth=1.4)
        slope = np.array([act.derivative(v) for v in z])
        left.plot(z, slope, color="#8a8a8a", linewidth=1.4)
        left.text(-0.4, 0.55, "output σ(z)", ha="right", color=INK)
        left.text(-1.6, 0.2, "slope σ′(z)", ha="right", color="#6a6a6a")
        for start in starts:
            a, s = act.value(start), act.derivative(start)
            reach = 0.9
            left.plot(
                [start - reach, start + reach], [a - reach * s, a + reach * s],
                color=quadratic, linewidth=2.2, solid_capstyle="round",
            )  # fmt: skip
            left.plot(start, a, "o", color=quadratic, markersize=4.5)
            left.plot([start, start], [0, a], color=quadratic, linewidth=0.7, linestyle=":")
            left.plot(start, s, "o", color=quadratic, markersize=4.5)
            left.annotate(
                f"{a:.2f}", (start, a), ha="left", va="top", xytext=(5, -4),
                textcoords="offset points", color=quadratic,
            )  # fmt: skip
            left.annotate(
                f"{s:.3f}", (start, s), ha="left", va="bottom", xytext=(4, 3),
                textcoords="offset points", color=quadratic,
            )  # fmt: skip
        left.set_xlim(-6, 6)
        left.set_ylim(0, 1.1)
        left.set_xlabel("z = wx + b")
        left.set_title("The slope at the two starts")
        for cost, values in gradients.items():
            right.plot(error, values, color=cost_colour(cost), linewidth=1.6)
            for start in starts:
                e = act.value(start)
                right.plot(
                    e, np.interp(e, error, values), "o", color=cost_colour(cost),
                    markersize=4.5,
                )  # fmt: skip
        right.text(0.47, 0.52, "cross-entropy", color=MATCHED, ha="right")
        right.text(0.52, 0.05, "quadratic", color=quadratic, ha="center")
        right.plot([peak[0], peak[0]], [0, peak[1]], color=quadratic, linewidth=0.7, linestyle=":")
        right.annotate(
            f"peak {peak[1]:.3f} at {peak[0]:.3f}", (peak[0], peak[1]), xytext=(0, 16),
            textcoords="offset points", ha="center", color=quadratic,
            arrowprops={"arrowstyle": "-", "color": quadratic, "linewidth": 0.7},
        )  # fmt: skip
        right.set_xlim(0, 1)
        right.set_ylim(0, 1.04)
        right.set_xlabel("initial error |y − a|")
        right.set_ylabel("gradient ∂C/∂b")
        right.set_title("The first step, against the initial error")
    return figure


def draw_both_costs(curves: Mapping[str, Sequence[Any]]) -> Figure:
    """Draw output and cost of both starts under both costs."""
    with styled():
        figure, panels = open_axes(1, 2, (7.2, 3.4), sharex=True)
        for cost, pair in curves.items():
            for curve, style in zip(pair, START_STYLES, strict=True):
                for ax, values in zip(
                    panels[0], (curve.output, curve.cost / curve.cost[0]), strict=True
                ):
                    ax.plot(
                        curve.epoch[:301], values[:301], color=cost_colour(cost),
                        linewidth=1.5, **style,
                    )  # fmt: skip
        for ax, name in zip(panels[0], ("output a", "cost, as a share of the first"), strict=True):
            ax.set_xlabel("epoch")
            ax.set_ylabel(name)
            ax.set_ylim(0, 1.04)
        panels[0, 0].set_xlim(0, 300)
        handles = [Line2D([], [], color=cost_colour(c), label=cost_name(c)) for c in curves] + [
            Line2D([], [], color="#666666", label=n, **s)
            for n, s in zip(START_NAMES, START_STYLES, strict=True)
        ]
        figure.legend(handles=handles, frameon=False, loc="outside lower center", ncols=4)
        figure.suptitle(f"Learning rate {RATE:g}, both starts under both costs")
    return figure


def draw_wrong_gradient(true: Sequence[Any], script: Sequence[Any], learning_rate: float) -> Figure:
    """Draw the outputs of both starts, stepped with the gradient and with ∂C/∂a."""
    with styled():
        figure, panels = open_axes(1, 1, (5.6, 3.8))
        ax = panels[0, 0]
        for outputs, colour in ((true, MATCHED), (script, "#8c8c8c")):
            for output, style in zip(outputs, START_STYLES, strict=True):
                ax.plot(output, color=colour, linewidth=1.6, **style)
                ax.text(304, output[-1], f"{output[-1]:.2f}", va="center", color=colour)
        ax.texts[-1].set_va("bottom")
        ax.texts[-2].set_va("top")
        ax.set_xlim(0, 300)
        ax.set_ylim(0, 1.04)
        ax.set_xlabel("epoch")
        ax.set_ylabel("output a")
        handles = [
            Line2D([], [], color=MATCHED, label="stepped with ∂C/∂z: cross-entropy"),
            Line2D([], [], color="#8c8c8c", label="stepped with ∂C/∂a: the script"),
            *(
                Line2D([], [], color="#444444", label=n, **s)
                for n, s in zip(START_NAMES, START_STYLES, strict=True)
            ),
        ]
        figure.legend(handles=handles, frameon=False, loc="outside lower center", ncols=2)
        figure.suptitle(f"Cross-entropy at learning rate {learning_rate:g}")
    return figure
