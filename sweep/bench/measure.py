"""The benchmark itself: interleaved rounds, answers checked, everything in one dict."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from statistics import median
from typing import Any

import numpy as np
from numpy.typing import NDArray

from sweep.bench.machine import OPERATIONS, description, fma_peak, versions
from sweep.bench.rows import GOALS, ROWS, SAMPLES_OVER_RAW, Row
from sweep.bench.startup import startup
from sweep.bench.workloads import Stopped, Workload, starts, workloads
from sweep.kernels.block import trainer
from sweep.kernels.pool import LARGEST_BLOCK, blocks, check_threads
from sweep.kernels.results import empty_results
from sweep.neuron.problem import make_problem

__all__ = ["bench", "compared", "measured", "useful"]

# A timing shorter than this is taken again and again within its round.
SHORTEST = 0.05

# A row that takes longer than this sits out the other rounds.
LONGEST = 10.0

# Rounding may decide on which side of the tolerance an epoch lies, for a few cells in a million:
# an epoch more or less is then right. In float32 more of them, and more epochs where z creeps.
# (share of cells, epochs apart, epochs apart for each epoch, distance of w and b)
WITHIN_ROUNDING = {"float64": (1e-5, 1, 0.0, 1e-8), "float32": (0.05, 1, 2e-3, 0.1)}


def compared(ours: Stopped, theirs: Stopped, dtype: str) -> dict[str, Any]:
    """Say how a row's answers differ from ours, and if that is more than rounding can do."""
    apart = np.abs(theirs.epochs.astype(np.int64) - ours.epochs)
    distance = max(float(np.abs(theirs.w - ours.w).max()), float(np.abs(theirs.b - ours.b).max()))
    share, epochs, per_epoch, way = WITHIN_ROUNDING[dtype]
    few = np.count_nonzero(apart) <= max(1.0, share * len(apart))
    near = bool((apart <= epochs + per_epoch * ours.epochs).all())
    same = apart == 0
    moved = max(
        float(np.abs(theirs.w - ours.w)[same].max(initial=0.0)),
        float(np.abs(theirs.b - ours.b)[same].max(initial=0.0)),
    )
    return {
        "differing": int(np.count_nonzero(apart)),
        "epochs_apart": int(apart.max()),
        "distance": distance,
        "right": bool(few and near and moved <= way),  # NaN is wrong
    }


def _timings(run: Callable[[], object]) -> list[float]:
    taken: list[float] = []
    while sum(taken) < SHORTEST:
        began = time.perf_counter()
        run()
        taken.append(time.perf_counter() - began)
    return taken


def useful(work: Workload, w: NDArray[Any], b: NDArray[Any], threads: int) -> float:
    """Return the share of the kernel's lane-epochs that updated or tested a neuron."""
    problem = make_problem(
        x=work.x,
        y=work.y,
        cost=work.cost,
        activation="sigmoid",
        tolerance=work.tolerance,
        max_epochs=work.max_epochs,
    )
    train, walked, epochs = trainer(problem, work.dtype), 0, 0
    w, b = w.astype(np.float64), b.astype(np.float64)
    for first, last in blocks(len(b), threads, LARGEST_BLOCK):
        out = empty_results(last - first, w.shape[1], work.dtype)
        rate = np.full(last - first, work.learning_rate)
        here = slice(first, last)
        walked += train(out, w[here], b[here], rate, np.zeros(1, np.uint8))
        epochs += int(out.epochs.sum(dtype=np.int64))
    return epochs / walked


def measured(
    work: Workload, rows: Sequence[Row], threads: int, rounds: int
) -> tuple[dict[str, Any], list[dict[str, Any]]]:
    """Time some rows on one workload, A B C A B C …; the first row is what others are held to.

    Returns
    -------
    of the workload : dict
        neurons, sample_epochs, useful, fma_peak, bound, share_of_bound (of one sample), and
        cpus_had: how many of its threads ran at a time, fewer where others use the machine
    of each row : list of dicts
        seconds, rate and ratio (median, fastest, slowest), first_call, and what `compared` says
    """
    w, b = starts(work)
    runs, answers, first_calls = [], [], []
    for row in rows:
        began = time.perf_counter()
        runs.append(row.trainer(work, threads))
        answers.append(runs[-1](w, b))
        first_calls.append(time.perf_counter() - began)
    taken: list[list[float]] = [[] for _ in rows]
    peaks, cpu = [], 0.0
    for _ in range(rounds):
        peaks.append(fma_peak(work.dtype, threads))
        for run, seconds in zip(runs, taken, strict=True):
            if seconds and seconds[0] > LONGEST:
                continue
            used = time.process_time()
            seconds += _timings(lambda run=run: run(w, b))  # type: ignore[misc]
            cpu += time.process_time() - used if run is runs[0] else 0.0
    steps = int(answers[0].epochs.sum(dtype=np.int64)) * len(work.y)
    ours = median(taken[0])
    lines = [
        {
            "workload": work.name,
            "row": row.name,
            "first_call": first,
            "seconds": {"median": median(t), "min": min(t), "max": max(t), "count": len(t)},
            "rate": steps / median(t),
            "ratio": {"median": median(t) / ours, "min": min(t) / ours, "max": max(t) / ours},
            **compared(answers[0], answer, work.dtype),
        }
        for row, first, t, answer in zip(rows, first_calls, taken, answers, strict=True)
    ]
    about: dict[str, Any] = {
        "workload": work.name,
        "neurons": len(b),
        "sample_epochs": steps,
        "useful": useful(work, w, b, threads),
        "fma_peak": max(peaks),
        "cpus_had": cpu / sum(taken[0]),
    }
    if len(work.y) == 1:
        about["bound"] = max(peaks) / OPERATIONS[work.cost, work.dtype]
        about["share_of_bound"] = steps / ours / about["bound"]
    return about, lines


def scaling(work: Workload, threads: int, rounds: int) -> list[dict[str, float]]:
    """Time the kernel on 1, 2, 4, … threads, interleaved."""
    w, b = starts(work)
    numbers = sorted({1, threads} | {2**k for k in range(1, threads.bit_length())})
    runs = {n: ROWS[0].trainer(work, n) for n in numbers}
    taken: dict[int, list[float]] = {n: [] for n in numbers}
    for _ in range(rounds):
        for n, run in runs.items():
            taken[n] += _timings(lambda run=run: run(w, b))  # type: ignore[misc]
    return [
        {"threads": n, "seconds": median(t), "speedup": median(taken[1]) / median(t)}
        for n, t in taken.items()
    ]


def _goals(lines: Sequence[dict[str, Any]]) -> list[dict[str, Any]]:
    found = {(line["workload"], line["row"]): line for line in lines}
    goals = []
    for goal in GOALS:
        workload = f"{goal.kind} {goal.cost} {goal.dtype}"
        if line := found.get((workload, goal.row)):
            what = f"{workload}, {goal.row}"
            goals.append({"what": what, "goal": goal.ratio, "reached": line["ratio"]["median"]})
    ours = ROWS[0].name
    one, many = (found.get((f"{kind} quadratic float64", ours)) for kind in ("raw", "samples"))
    if one and many:
        what = "sample-epochs of samples over neuron-epochs of raw, float64"
        goals.append(
            {"what": what, "goal": SAMPLES_OVER_RAW, "reached": many["rate"] / one["rate"]}
        )
    return goals


def bench(
    *,
    full: bool = False,
    threads: int | None = None,
    works: Sequence[Workload] | None = None,
    rows: Sequence[Row] = ROWS,
    rounds: int | None = None,
    say: Callable[[str], None] = lambda line: None,
) -> dict[str, Any]:
    """Measure everything and return it as one dict, made for JSON.

    Parameters
    ----------
    say : callable
        Is told what goes on.
    """
    threads = check_threads(threads)
    works = workloads(full) if works is None else works
    rounds = rounds or (5 if full else 3)
    missing = {row.name: row.missing() for row in rows}
    there = [row for row in rows if missing[row.name] is None and (full or not row.full_only)]
    abouts, lines = [], []
    for work in works:
        say(work.name)
        about, timed = measured(
            work,
            [r for r in there if work.kind in r.kinds and work.dtype in r.dtypes],
            threads,
            rounds,
        )
        abouts.append(about)
        lines += timed
    say("threads and start-up")
    sweeps = [work for work in works if work.kind == "sweep"] or works
    return {
        "machine": description(),
        "versions": versions(),
        "settings": {"full": full, "threads": threads, "rounds": rounds},
        "missing": {name: advice for name, advice in missing.items() if advice},
        "workloads": abouts,
        "rows": lines,
        "scaling": scaling(sweeps[0], threads, rounds),
        "startup": startup(rounds),
        "goals": _goals(lines),
    }
