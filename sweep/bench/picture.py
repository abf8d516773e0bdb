"""Draws bench.png: how many times as long as sweep each peer takes."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pandas as pd
import seaborn as sns
from matplotlib.figure import Figure

from sweep.errors import SweepError
from sweep.figures.style import styled

__all__ = ["draw_ratios"]


def draw_ratios(result: dict[str, Any], folder: Path) -> Path:
    """Draw the ratios of a result of `bench` into folder/bench.png and return the path."""
    reference = result["rows"][0]["row"]
    frame = pd.DataFrame(
        {
            "dtype": line["workload"].split()[-1],
            "workload": " ".join(line["workload"].split()[:-1]).replace("_", "-"),
            "row": line["row"],
            **line["ratio"],
        }
        for line in result["rows"]
        if line["row"] != reference
    )
    dtypes, names = list(frame["dtype"].unique()), list(frame["row"].unique())
    palette = dict(zip(names, sns.color_palette("colorblind", len(names)), strict=True))
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
            axes.set_xlim(min(0.7, 0.8 * frame["min"].min()), 3.0 * frame["max"].max())
            axes.grid(axis="y", visible=False)
        handles = [panels[0].bar(1, 0, color=palette[name], label=name) for name in names]
        figure.legend(handles, names, loc="outside lower center", ncols=len(names), frameon=False)
        for axes in panels:
            axes.xaxis.set_major_formatter("{x:g}")
        path = folder / "bench.png"
        try:
            folder.mkdir(exist_ok=True)
            figure.savefig(path, dpi=150)
        except OSError as error:
            raise SweepError(f"cannot write {path}: {error.strerror or error}") from error
    return path
