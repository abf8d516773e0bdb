"""The article's figures: functions of numbers that return Matplotlib figures."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from sweep.neuron.activations import ACTIVATIONS
from sweep.report import scales

GRID = {"color": "#e4e4e4", "linewidth": 0.5}
# The article's two starts, bad and worse, in every figure that shows both.
START_STYLES: tuple[dict[str, Any], ...] = ({"linestyle": "-"}, {"linestyle": (0, (5, 1.6))})
START_NAMES = ("w = 0.6, b = 0.9", "w = 2, b = 2")
MATCHED = scales.COST_COLOURS["cross_entropy"]


def _axes(rows: int, columns: int, size: tuple[float, float], **kw: Any) -> tuple[Figure, Any]:
    figure = Figure(size, layout="constrained")
    panels = figure.subplots(rows, columns, squeeze=False, **kw)
    for ax in panels.flat:
        ax.grid(**GRID)
        ax.set_axisbelow(True)
        ax.spines[["top", "right"]].set_visible(False)
    return figure, panels


def _log_error(ax: Axes, low: float = 0.02, high: float = 0.9999) -> None:
    """Label an axis of log-odds with errors."""
    ticks = [e for e in (0.001, 0.01, 0.1, 0.5, 0.9, 0.99, 0.999, 0.9999) if low <= e <= high]
    ax.set_xticks([np.log(e / (1 - e)) for e in ticks], [f"{e:g}" for e in ticks])


def experiments(starts: Sequence[tuple[float, float]], curves: Sequence[Any]) -> Figure:
    """Draw output and cost over epochs of the quadratic cost, the two starts side by side."""
    colour = scales.cost_colour("quadratic")
    with scales.style():
        figure, panels = _axes(2, 2, (6.4, 4.0), sharex=True, sharey="row")
        for column, ((w, b), curve) in enumerate(zip(starts, curves, strict=True)):
            for ax, values, name in zip(
                panels[:, column], (curve.output, curve.cost), ("output a", "cost C"), strict=True
            ):
                ax.plot(curve.epoch[:301], values[:301], color=colour, linewidth=1.6)
                ends = ((0, "bottom", "left", 2), (300, "bottom", "right", 4))
                for epoch, vertical, horizontal, up in ends:
                    ax.plot(epoch, values[epoch], "o", color=colour, markersize=4, clip_on=False)
                    ax.annotate(
                        f"{values[epoch]:.2f}", (epoch, values[epoch]), xytext=(4 if not epoch else 0, up),
                        textcoords="offset points", va=vertical, ha=horizontal,
                    )  # fmt: skip
                if not column:
                    ax.set_ylabel(name)
            panels[0, column].set_title(f"start w = {w:g}, b = {b:g}")
            panels[1, column].set_xlabel("epoch")
        panels[0, 0].set_ylim(0, 1.08)
        panels[1, 0].set_ylim(0, 0.54)
        panels[0, 0].set_xlim(0, 300)
        figure.suptitle("Quadratic cost, learning rate 0.15: the worse start learns more slowly")
    return figure


def why(starts: Any, error: Any, gradients: Mapping[str, Any], peak: tuple[float, float]) -> Figure:
    """Draw the sigmoid with its slope, and the gradient against the initial error."""
    act = ACTIVATIONS["sigmoid"]
    z = np.linspace(-6, 6, 481)
    quadratic = scales.cost_colour("quadratic")
    with scales.style():
        figure, panels = _axes(1, 2, (7.2, 3.2))
        left, right = panels[0]
        left.plot(z, [act.value(v) for v in z], color=scales.INK, linewidth=1.4)
        slope = np.array([act.derivative(v) for v in z])
        left.plot(z, 4 * slope, color="#8a8a8a", linewidth=1.4, linestyle="--")
        left.text(-0.5, 0.17, "output σ(z)", ha="right", va="bottom", color=scales.INK)
        left.text(-2.0, 0.62, "slope 4σ′(z)", ha="right", color="#6a6a6a")
        for k, start in enumerate(starts):
            a, s = act.value(start), act.derivative(start)
            reach = 0.9
            left.plot(
                [start - reach, start + reach], [a - reach * s, a + reach * s],
                color=quadratic, linewidth=2.2, solid_capstyle="round",
            )  # fmt: skip
            left.plot(start, a, "o", color=quadratic, markersize=4.5)
            left.plot([start, start], [0, a], color=quadratic, linewidth=0.7, linestyle=":")
            left.plot(start, 4 * s, "o", color="#6a6a6a", markersize=3.5)
            left.annotate(
                f"a = {a:.2f}\nσ′ = {s:.3f}", (start, a), ha="center",
                xytext=((2, -38), (12, -24))[k], textcoords="offset points", color=quadratic,
                bbox={"facecolor": "white", "edgecolor": "none", "pad": 0.8, "alpha": 0.85},
            )  # fmt: skip
        left.set_xlim(-6, 6)
        left.set_ylim(0, 1.1)
        left.set_xlabel("z = wx + b")
        left.set_title("The slope at the two starts")
        for cost, values in gradients.items():
            right.plot(error, values, color=scales.cost_colour(cost), linewidth=1.6)
            for start in starts:
                e = act.value(start)
                right.plot(
                    e, np.interp(e, error, values), "o", color=scales.cost_colour(cost),
                    markersize=4.5,
                )  # fmt: skip
        right.text(0.47, 0.52, "cross-entropy", color=MATCHED, ha="right")
        right.text(0.30, 0.105, "quadratic", color=quadratic, ha="right")
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


def repair(curves: Mapping[str, Sequence[Any]]) -> Figure:
    """Draw output and cost of both starts under both costs."""
    with scales.style():
        figure, panels = _axes(1, 2, (7.2, 3.2), sharex=True)
        for cost, two in curves.items():
            for curve, style in zip(two, START_STYLES, strict=True):
                for ax, values in zip(
                    panels[0], (curve.output, curve.cost / curve.cost[0]), strict=True
                ):
                    ax.plot(
                        curve.epoch[:301], values[:301], color=scales.cost_colour(cost),
                        linewidth=1.5, **style,
                    )  # fmt: skip
        for ax, name in zip(panels[0], ("output a", "cost, as a share of the first"), strict=True):
            ax.set_xlabel("epoch")
            ax.set_ylabel(name)
            ax.set_ylim(0, 1.04)
        panels[0, 0].set_xlim(0, 300)
        handles = [
            Line2D([], [], color=scales.cost_colour(c), label=scales.cost_name(c)) for c in curves
        ] + [
            Line2D([], [], color="#666666", label=n, **s)
            for n, s in zip(START_NAMES, START_STYLES, strict=True)
        ]
        panels[0, 1].legend(handles=handles, frameon=False, loc="upper right")
        figure.suptitle("Learning rate 0.15, both starts under both costs")
    return figure


def grid(cells: pd.DataFrame) -> Figure:
    """Draw epochs against the initial error for every learning rate, and the ratio of the costs."""
    rates = np.sort(cells["learning_rate"].unique())
    bins = np.linspace(-2.25, 10.05, 124)
    odds = np.log(cells["initial_error"] / (1 - cells["initial_error"]))
    cells = cells.assign(bin=np.digitize(odds, bins))[odds > bins[0]]
    middle = (bins[1:] + bins[:-1]) / 2
    with scales.style():
        figure, panels = _axes(1, 3, (9.6, 3.5), width_ratios=(1, 1, 1))
        for shade, rate in zip(np.linspace(0.35, 1.0, len(rates)), rates, strict=True):
            medians = cells[cells["learning_rate"] == rate].groupby("bin").median()
            medians = medians[medians["cross_entropy"] > 0]
            where = middle[medians.index - 1]
            for ax, cost in zip(panels[0], scales.COST_COLOURS, strict=False):
                known = np.isfinite(medians[cost])
                ax.plot(
                    where[known], medians[cost][known], color=scales.cost_colour(cost),
                    alpha=shade, linewidth=1.5,
                )  # fmt: skip
                last = medians[cost][known]
                ax.text(where[known][-1] + 0.15, last.iloc[-1], f"{rate:.2g}", va="center",
                        fontsize=7, color=scales.INK)  # fmt: skip
            ratio = medians["quadratic"] / medians["cross_entropy"]
            known = np.isfinite(ratio)
            panels[0, 2].plot(
                where[known], ratio[known], color="#4d4d4d", alpha=shade, linewidth=1.5
            )
            panels[0, 2].text(where[known][-1] + 0.15, ratio[known].iloc[-1], f"{rate:.2g}",
                              va="center", fontsize=7, color=scales.INK)  # fmt: skip
        for ax, title in zip(
            panels[0], ("quadratic", "cross-entropy", "quadratic ÷ cross-entropy"), strict=True
        ):
            ax.set_yscale("log")
            ax.set_title(title)
            ax.set_xlim(-2.4, 11.2)
            _log_error(ax, 0.1)
            ax.set_xlabel("initial error (log-odds scale)")
        for ax in panels[0, :2]:
            ax.set_ylim(0.8, 2e4)
            scales.log_ticks(ax.yaxis, 1.0, 1e4)
        panels[0, 0].set_ylabel("median epochs to converge")
        panels[0, 2].set_ylabel("ratio of the medians")
        panels[0, 2].set_ylim(0.8, 2e3)
        scales.log_ticks(panels[0, 2].yaxis, 1.0, 1e3)
        figure.suptitle("The whole grid of starts; each line is a learning rate, named at its end")
    return figure


def recipe(runs: Mapping[str, Mapping[str, Any]], matching: Mapping[str, str]) -> Figure:
    """Draw the first step and the epochs against the start, a column for each activation."""
    colours = {"quadratic": scales.cost_colour("quadratic")}
    with scales.style():
        figure, panels = _axes(2, len(runs), (8.2, 4.6), sharex="col")
        for column, (activation, both) in enumerate(runs.items()):
            top, bottom = panels[:, column]
            for cost, run in both.items():
                colour = colours.get(cost, MATCHED)
                top.plot(run["z"], run["step"], color=colour, linewidth=1.6)
                bottom.plot(run["z"], run["epochs"], color=colour, linewidth=1.6)
            top.set_title(activation)
            top.set_ylim(0, 1.08 * max(run["step"].max() for run in both.values()))
            bottom.set_yscale("log")
            bottom.set_ylim(3, 3e4)
            scales.log_ticks(bottom.yaxis, 1.0, 1e4)
            bottom.set_xlabel("start z₀")
            bottom.set_xlim(0, both["quadratic"]["z"][-1])
            bottom.legend(
                handles=[
                    Line2D([], [], color=colours["quadratic"], label="quadratic"),
                    Line2D([], [], color=MATCHED, label=matching[activation]),
                ],
                frameon=False, loc="lower right",
            )  # fmt: skip
        panels[0, 0].set_ylabel("gradient ∂C/∂b of\nthe first step")
        panels[1, 0].set_ylabel("epochs to converge")
        figure.suptitle("The matching cost of each activation against the quadratic one")
    return figure


def theory(
    starts: Mapping[str, Any], tails: Mapping[str, Any], order: Mapping[str, Any], kappa: float
) -> Figure:
    """Draw the flow's lines and asymptotes through the trained points, and the flow's error."""
    with scales.style():
        figure, panels = _axes(1, 3, (9.6, 3.4))
        first, second, third = panels[0]
        for cost in starts:
            colour = scales.cost_colour(cost)
            for ax, (where, measured, expected) in ((first, starts[cost]), (second, tails[cost])):
                some = slice(None, None, 2) if ax is first else slice(None)
                ax.plot(where, expected, color=colour, linewidth=1.3, label=scales.cost_name(cost))
                ax.plot(where[some], measured[some], "o", color=colour, markersize=3.4,
                        markerfacecolor="white", markeredgewidth=1.0)  # fmt: skip
            third.plot(*order[cost], "o", color=colour, markersize=3.8, markerfacecolor="white")
            rate, error = order[cost]
            third.plot(rate, error[-1] * rate / rate[-1], color=colour, linewidth=1.0)
        dashes: dict[str, Any] = {
            "color": "#777777",
            "linewidth": 0.9,
            "linestyle": "--",
            "zorder": 1,
        }
        z = np.array([3.2, 10.6])
        first.plot(z, np.exp(z) / kappa, **dashes)
        first.text(6.0, np.exp(6.9) / kappa, "$e^{z_0}/κ$", ha="right", color="#555555")
        eps = np.array([0.06, 0.00075])
        second.plot(eps, 1 / (2 * kappa * eps**2), **dashes)
        second.plot(eps, 1 / (kappa * eps), **dashes)
        second.text(0.009, 9e4, "1/(2κε²)", ha="right", color="#555555")
        second.text(0.004, 1.5e2, "1/(κε)", ha="center", color="#555555")
        second.invert_xaxis()
        for ax in panels[0]:
            ax.set_yscale("log")
        for ax in (second, third):
            ax.set_xscale("log")
        first.set_xlabel("start z₀")
        first.set_ylabel("epochs to an error of 0.1")
        second.set_xlabel("tolerance ε")
        second.set_ylabel("epochs from z₀ = 2")
        third.set_xlabel("learning rate η")
        third.set_ylabel("relative error of the flow")
        first.set_title("the plateau")
        second.set_title("the tails")
        third.set_title("the error is O(η)")
        handles = [
            *(Line2D([], [], color=scales.cost_colour(c), label=scales.cost_name(c)) for c in starts),
            Line2D([], [], color="#444444", marker="o", markerfacecolor="white", linestyle="",
                   markersize=4, label="trained"),
        ]  # fmt: skip
        first.legend(handles=handles, frameon=False, loc="upper left", handlelength=1.4)
    return figure


def correction(true: Sequence[Any], script: Sequence[Any]) -> Figure:
    """Draw the outputs of both starts, stepped with the gradient and with ∂C/∂a."""
    with scales.style():
        figure, panels = _axes(1, 1, (5.4, 3.4))
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
        ax.legend(handles=handles, frameon=False, loc=(0.03, 0.3))
        figure.suptitle("Cross-entropy at learning rate 0.005")
    return figure
