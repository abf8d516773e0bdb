"""The article's figures over many starts; each function takes numbers and returns a figure."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from sweep.article.two_starts_figures import MATCHED, open_axes
from sweep.experiment.labels import cost_name, option_name
from sweep.figures import scales
from sweep.figures.style import COST_COLOURS, INK, cost_colour, styled


def _error_ticks(ax: Axes, low: float = 0.02, high: float = 0.9999) -> None:
    """Label an axis of log-odds with errors."""
    ticks = [e for e in (0.001, 0.01, 0.1, 0.5, 0.9, 0.99, 0.999, 0.9999) if low <= e <= high]
    ax.set_xticks([np.log(e / (1 - e)) for e in ticks], [f"{e:g}" for e in ticks])


def draw_epochs_by_error(cells: pd.DataFrame, max_epochs: int) -> Figure:
    """Draw epochs against the initial error for every learning rate, and the ratio of the costs."""
    rates = np.sort(cells["learning_rate"].unique())
    bins = np.linspace(-2.25, 10.05, 124)
    odds = np.log(cells["initial_error"] / (1 - cells["initial_error"]))
    cells = cells.assign(bin=np.digitize(odds, bins))[odds > bins[0]]
    middle = (bins[1:] + bins[:-1]) / 2
    with styled():
        figure, panels = open_axes(1, 3, (9.6, 3.5), width_ratios=(1, 1, 1))
        for shade, rate in zip(np.linspace(0.35, 1.0, len(rates)), rates, strict=True):
            medians = cells[cells["learning_rate"] == rate].groupby("bin").median()
            medians = medians[medians["cross_entropy"] > 0]
            log_odds = middle[medians.index - 1]
            for ax, cost in zip(panels[0], COST_COLOURS, strict=False):
                finite = np.isfinite(medians[cost])
                ax.plot(
                    log_odds[finite], medians[cost][finite], color=cost_colour(cost),
                    alpha=shade, linewidth=1.5,
                )  # fmt: skip
                at = int(np.abs(log_odds - (1.6 if cost == "quadratic" else 8.0)).argmin())
                ax.annotate(
                    f"η = {rate:.2g}", (log_odds[at], medians[cost].iloc[at]), xytext=(0, 3),
                    textcoords="offset points", ha="right", fontsize=7.5, color=INK,
                )  # fmt: skip
            ratio = medians["quadratic"] / medians["cross_entropy"]
            finite = np.isfinite(ratio)
            panels[0, 2].plot(log_odds[finite], ratio[finite], color="#4d4d4d", alpha=shade,
                              linewidth=1.5)  # fmt: skip
            panels[0, 2].plot(log_odds[finite][-1], ratio[finite].iloc[-1], "o", color="#4d4d4d",
                              alpha=shade, markersize=3.5)  # fmt: skip
            panels[0, 2].annotate(
                f"η = {rate:.2g}", (log_odds[finite][-1], ratio[finite].iloc[-1]), xytext=(-5, 3),
                textcoords="offset points", ha="right", fontsize=7.5, color=INK,
            )  # fmt: skip
        for ax, title in zip(
            panels[0], ("quadratic", "cross-entropy", "quadratic ÷ cross-entropy"), strict=True
        ):
            ax.set_yscale("log")
            ax.set_title(title)
            ax.set_xlim(-2.4, 10.4)
            _error_ticks(ax, 0.1)
            ax.set_xlabel("initial error (log-odds scale)")
        for ax in panels[0, :2]:
            ax.set_ylim(0.8, 2e4)
            scales.log_ticks(ax.yaxis, 1.0, 1e4)
        panels[0, 0].set_ylabel("median epochs to converge")
        panels[0, 2].set_ylabel("ratio of the medians")
        panels[0, 2].set_ylim(0.8, 2e3)
        scales.log_ticks(panels[0, 2].yaxis, 1.0, 1e3)
        figure.suptitle(
            f"Every start of the grid; a line ends where {max_epochs:,} epochs are not enough"
        )
    return figure


def draw_matching_costs(runs: Mapping[str, Any], matching: Mapping[str, str]) -> Figure:
    """Draw the first step and the epochs against the start, a column for each activation."""
    colours = {"quadratic": cost_colour("quadratic")}
    with styled():
        figure, panels = open_axes(2, len(runs), (8.2, 4.6), sharex="col")
        for column, (activation, by_cost) in enumerate(runs.items()):
            top, bottom = panels[:, column]
            for cost, run in by_cost.items():
                colour = colours.get(cost, MATCHED)
                top.plot(run["z"], run["step"], color=colour, linewidth=1.6)
                bottom.plot(run["z"], run["epochs"], color=colour, linewidth=1.6)
            top.set_title(activation)
            top.set_ylim(0, 1.08 * max(run["step"].max() for run in by_cost.values()))
            bottom.set_yscale("log")
            bottom.set_ylim(3, 3e4)
            scales.log_ticks(bottom.yaxis, 1.0, 1e4)
            bottom.set_xlabel("start z₀")
            bottom.set_xlim(0, by_cost["quadratic"]["z"][-1])
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


def draw_gradient_flow(
    starts: Mapping[str, Any], tails: Mapping[str, Any], order: Mapping[str, Any], kappa: float
) -> Figure:
    """Draw the flow's lines and asymptotes through the trained points, and the flow's error."""
    with styled():
        figure, panels = open_axes(1, 3, (9.6, 3.4))
        first, second, third = panels[0]
        for cost in starts:
            colour = cost_colour(cost)
            for ax, series in ((first, starts[cost]), (second, tails[cost])):
                shown = slice(None, None, 2) if ax is first else slice(None)
                label = cost_name(cost)
                ax.plot(series.at, series.flow, color=colour, linewidth=1.3, label=label)
                ax.plot(series.at[shown], series.trained[shown], "o", color=colour, markersize=3.4,
                        markerfacecolor="white", markeredgewidth=1.0)  # fmt: skip
            rate, error = order[cost]
            third.plot(rate, error[2] * rate / rate[2], color=colour, linewidth=1.3)
            third.plot(rate, error, "o", color=colour, markersize=3.4, markerfacecolor="white",
                       markeredgewidth=1.0)  # fmt: skip
        dashes: Any = {"color": "#777777", "linewidth": 0.9, "linestyle": "--", "zorder": 1}
        z = np.array([3.2, 10.6])
        first.plot(z, np.exp(z) / kappa, **dashes)
        first.text(5.2, np.exp(3.9) / kappa, "exp(z₀)/κ", ha="left", color="#555555")
        eps = np.array([0.06, 0.00075])
        second.plot(eps, 1 / (2 * kappa * eps**2), **dashes)
        second.plot(eps, 1 / (kappa * eps), **dashes)
        second.text(0.009, 9e4, "1/(2κε²)", ha="right", color="#555555")
        second.text(0.006, 1.2e2, "1/(κε)", ha="left", color="#555555")
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
        third.set_ylabel("share by which the flow is slower")
        first.set_title("the plateau")
        second.set_title("the tails")
        third.set_title("the error is O(η)")
        handles = [
            *(
                Line2D([], [], color=cost_colour(c), label=cost_name(c))
                for c in starts
            ),
            Line2D([], [], color="#444444", marker="o", markerfacecolor="white", linestyle="",
                   markersize=4, label="trained"),
        ]  # fmt: skip
        first.legend(handles=handles, frameon=False, loc="upper left", handlelength=1.4)
    return figure


def draw_optimizers(z: Any, curves: Mapping[tuple[str, str], Any]) -> Figure:
    """Draw the epochs against the start, a line for each cost and optimiser."""
    dashes: dict[str, Any] = {"gd": "-", "momentum": (0, (5, 1.6)), "adam": (0, (1, 1.2))}
    with styled():
        figure, panels = open_axes(1, 1, (6.4, 4.2))
        ax = panels[0, 0]
        for (cost, name), epochs in curves.items():
            ax.plot(
                z, epochs, color=cost_colour(cost), linestyle=dashes[name],
                linewidth=2.2 if name == "adam" else 1.6,
            )  # fmt: skip
        ax.set_yscale("log")
        ax.set_ylim(2, 1e6)
        ax.set_xlim(z[0], z[-1])
        scales.log_ticks(ax.yaxis, 2, 1e6)
        ax.set_xlabel("start z₀")
        ax.set_ylabel("epochs to an output of 0.1")
        costs, names = (dict.fromkeys(key[k] for key in curves) for k in (0, 1))
        handles = [Line2D([], [], color=cost_colour(c), label=cost_name(c)) for c in costs] + [
            Line2D([], [], color="#444444", linestyle=dashes[n], label=option_name(n),
                   linewidth=2.2 if n == "adam" else 1.6)
            for n in names
        ]  # fmt: skip
        figure.legend(handles=handles, frameon=False, loc="outside lower center", ncols=5)
        figure.suptitle("The plateau under three optimisers, with both costs")
    return figure
