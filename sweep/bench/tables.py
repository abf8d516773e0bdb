"""The result of the benchmark as a table for the terminal."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

__all__ = ["report"]


def _table(head: Sequence[str], body: Sequence[Sequence[str]]) -> list[str]:
    widths = [max(map(len, column)) for column in zip(head, *body, strict=True)]
    return [
        "  ".join(
            cell.ljust(width) if i == 0 else cell.rjust(width)
            for i, (cell, width) in enumerate(zip(line, widths, strict=True))
        ).rstrip()
        for line in (head, *body)
    ]


def _row(line: dict[str, Any]) -> list[str]:
    seconds, ratio = line["seconds"], line["ratio"]
    differing = f"{line['differing']}" if line["differing"] else "none"
    if line["differing"]:
        differing += f" by {line['epochs_apart']}"
    return [
        f"  {line['row']}",
        f"{seconds['median']:.4f}",
        f"{seconds['min']:.4f}–{seconds['max']:.4f}",
        f"{line['rate'] / 1e6:,.0f}",
        f"{ratio['median']:.2f}",
        differing if line["correct"] else f"WRONG: {differing}",
        f"{line['first_call']:.1f}",
    ]


HEAD = ("", "seconds", "min–max", "M epochs/s", "ratio", "cells differing", "first call")


def report(result: dict[str, Any]) -> str:
    """Format a result of `bench` for the terminal."""
    machine, settings = result["machine"], result["settings"]
    lines = [
        f"{machine['cpu']} ({machine['llvm_cpu']}), {machine['vector_bits']}-bit vectors, "
        f"{settings['threads']} threads, medians of {settings['rounds']} interleaved rounds",
        ", ".join(f"{name} {version}" for name, version in result["versions"].items()),
        "",
    ]
    # One table, so that the columns of all workloads are aligned.
    head, *rows = _table(HEAD, [_row(line) for line in result["rows"]])
    lines.append(head)
    for work in result["workloads"]:
        lines.append(
            f"{work['workload']}: {work['neurons']:,} neurons, "
            f"{work['useful']:.0%} of lane-epochs useful, "
            f"{work['share_of_bound']:.0%} of the FMA bound"
        )
        lines += [
            text
            for text, line in zip(rows, result["rows"], strict=True)
            if line["workload"] == work["workload"]
        ]
    threads = ", ".join(f"{run['threads']}: {run['speedup']:.2f}" for run in result["scaling"])
    start = result["startup"]
    blocks = ", ".join(
        f"{1e6 * of['one']:.0f} of {1e6 * of['many']:,.0f} µs in {of['dtype']} "
        f"({of['one'] / of['many']:.1%})"
        for of in result["blocks"]
    )
    lines += [
        "",
        f"speed over threads  {threads}",
        f"the interpreter     of a block of 65,536 neurons of 21 epochs: {blocks}",
        f"start-up            import sweep {start['import']:.3f} s, "
        f"Numba and kernels {start['numba']:.2f} s, first call compiled {start['compiled']:.2f} s, "
        f"from the disk {start['cached']:.3f} s",
    ]
    for what, key in (
        ("following a neuron ÷ training it, for as many epochs (goal: at most 2.5)", "following"),
        ("speed of a formula ÷ that of the built-in cross-entropy (goal: at least 0.8)", "formula"),
        ("epochs a second of an optimiser ÷ those of gradient descent", "optimizers"),
        ("training many samples ÷ looking them up, tables and all", "lookup"),
    ):
        lines += ["", what]
        lines += [
            f"  {of['workload']:<36} {of['ratio']:.2f}  ({of['least']:.2f} to {of['largest']:.2f})"
            for of in result[key]
        ]
    cpus = min(work["cpus_used"] for work in result["workloads"])
    if cpus < 0.9 * settings["threads"]:
        lines.append(
            f"The machine was busy: sweep's {settings['threads']} threads used {cpus:.1f} CPUs. "
            "Do not cite figures from this run."
        )
    if result["goals"]:
        body = [
            [
                f"  {goal['what']}",
                f"{goal['goal']:.3g}",
                f"{goal['reached']:.2f}",
                "met" if goal["reached"] >= goal["goal"] else "missed",
            ]
            for goal in result["goals"]
        ]
        lines += ["", *_table(("goals", "at least", "reached", ""), body)]
    lines += [f"{name}: {advice}" for name, advice in result["missing"].items()]
    return "\n".join(lines)
