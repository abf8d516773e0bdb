"""Draws bench.png, how many times as long as sweep each peer takes, and bench-samples.png.

The second shows the time of an epoch of one sample against the numbers of samples and of inputs.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pandas as pd
import seaborn as sns
from matplotlib.figure import Figure

from sweep.errors import SweepError
from sweep.figures.style import styled

__all__ = ["draw"]


def draw(result: dict[str, Any], folder: Path) -> list[Path]:
    """Draw a result of `bench` into a folder and return the paths."""
    shapes = {(about["samples"], about["inputs"]) for about in result["workloads"]}
    figures = {"bench.png": _draw_ratios(result)}
    if len(shapes) > 2:  # one sample, and more than one other
        figures["bench-samples.png"] = _draw_sizes(result)
    paths = [folder / name for name in figures]
    try:
        folder.mkdir(exist_ok=True)
        for path, figure in zip(paths, figures.values(), strict=True):
            figure.savefig(path, dpi=150)
    except OSError as error:
        raise SweepError(f"cannot write {error.filename}: {error.strerror or error}") from error
    return paths


def _palette(names: Sequence[str]) -> dict[str, Any]:
    return dict(zip(names, sns.color_palette("colorblind", len(names)), strict=True))


def _draw_ratios(result: dict[str, Any]) -> Figure:
    """Draw the ratios of gradient descent's workloads that are timed in each of the dtypes."""
    reference = result["rows"][0]["row"]
    drawn = {about["workload"] for about in result["workloads"] if about["optimizer"] == "gd"}
    frame = pd.DataFrame(
        {
            "dtype": line["workload"].split()[-1],
            "workload": " ".join(line["workload"].split()[:-1]).replace("_", "-"),
            "row": line["row"].removesuffix(" + BLAS"),
            **line["ratio"],
        }
        for line in result["rows"]
        if line["row"] != reference and line["workload"] in drawn
    )
    dtypes = list(frame["dtype"].unique())
    frame = frame[frame.groupby("workload")["dtype"].transform("nunique") == len(dtypes)]
    names = list(frame["row"].unique())
    palette = _palette(names)
    with styled():
        height = 0.9 + 0.19 * len(frame) / len(dtypes)
        figure = Figure(figsize=(4.6 * len(dtypes), height), layout="constrained")
        panels = figure.subplots(1, len(dtypes), sharex=True, sharey=True, squeeze=False)[0]
        for axes, dtype in zip(panels, dtypes, strict=True):
            part = frame[frame["dtype"] == dtype]
            sns.barplot(
                part, x="median", y="workload", hue="row", palette=palette, ax=axes, legend=False
            )
            axes.set_xscale("log")
            axes.axvline(1.0, color="0.2", linewidth=1.2)
            for bars, name in zip(axes.containers, part["row"].unique(), strict=True):
                rows = part[part["row"] == name]
                for bar, (_, row) in zip(bars, rows.iterrows(), strict=True):
                    bar.set_x(1.0)  # bars start at 1, to the left or to the right
                    bar.set_width(row["median"] - 1.0)
                    middle = bar.get_y() + bar.get_height() / 2
                    axes.plot([row["min"], row["max"]], [middle] * 2, color="0.3", linewidth=0.8)
                    digits = 1 if row["median"] >= 1 else 2
                    label = f" {row['median']:.{digits}f}×"
                    axes.text(max(row["max"], 1.0), middle, label, va="center", fontsize=7)
            axes.set(title=dtype, xlabel=f"time, {reference} = 1", ylabel="")
            axes.set_xlim(min(0.7, 0.8 * frame["min"].min()), 4.0 * frame["max"].max())
            axes.grid(axis="y", visible=False)
        handles = [panels[0].bar(1, 0, color=palette[name], label=name) for name in names]
        figure.legend(handles, names, loc="outside lower center", ncols=len(names), frameon=False)
        for axes in panels:
            axes.xaxis.set_major_formatter("{x:g}")
    return figure


def _draw_sizes(result: dict[str, Any]) -> Figure:
    """Draw the time of a sample-epoch, in multiply-adds, against samples and against inputs."""
    about = pd.DataFrame(result["workloads"])[
        ["workload", "samples", "inputs", "operations", "fma_peak"]
    ]
    frame = pd.DataFrame(result["rows"]).merge(about, on="workload")
    frame = frame[(frame["samples"] > 1) & frame["workload"].str.endswith("float64")]
    frame["time"] = frame["fma_peak"] / frame["rate"]
    names = list(frame["row"].unique())
    palette = _palette(names)
    with styled():
        figure = Figure(figsize=(9.2, 3.8), layout="constrained")
        panels = figure.subplots(1, 2, sharey=True)
        for axes, along, fixed, value in (
            (panels[0], "samples", "inputs", 1),
            (panels[1], "inputs", "samples", 100),
        ):
            part = frame[frame[fixed] == value].sort_values(along)
            for name in names:
                row = part[part["row"] == name]
                color = palette[name]
                axes.plot(row[along], row["time"], "o-", color=color, label=name, markersize=4)
            bound = part.drop_duplicates(along)
            axes.plot(bound[along], bound["operations"], "--", color="0.2", label="the bound")
            axes.set(xscale="log", yscale="log", xlabel=f"number of {along}")
            axes.set_title(f"{value} {fixed if value > 1 else fixed.removesuffix('s')}")
            axes.xaxis.set_major_formatter("{x:g}")
            axes.yaxis.set_major_formatter("{x:g}")
        panels[0].set_ylabel("time of a sample-epoch\n(in multiply-adds)")
        handles, labels = panels[0].get_legend_handles_labels()
        figure.legend(handles, labels, loc="outside lower center", ncols=4, frameon=False)
    return figure
