"""The benchmark: times all rows in interleaved rounds and checks their results."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import replace
from functools import partial
from statistics import median
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from sweep.bench.lookups import lookup_ratios
from sweep.bench.machine import description, fma_peak, operations, versions
from sweep.bench.rows import FLOAT32_OVER_FLOAT64, GOALS, OVER_GD, ROWS, SHARE_OF_BOUND, Row
from sweep.bench.startup import startup
from sweep.bench.workloads import SHAPES, PeerResult, Workload, starts, workloads
from sweep.kernels.block import trainer
from sweep.kernels.pool import LARGEST_BLOCK, blocks, check_threads
from sweep.kernels.results import empty_results
from sweep.neuron.own_costs import Cost
from sweep.neuron.problem import Problem, make_problem

__all__ = ["bench", "compare", "time_workload", "useful_share"]

# A run shorter than this, in seconds, is repeated within its round.
SHORTEST = 0.05

# Before a row is timed, in seconds: OpenMP's threads spin for milliseconds after their work, and on
# two CPUs a run of sweep of 8 ms took 13 right after one of C++.
SETTLE = 0.05

# A row that takes longer than this, in seconds, is timed in one round only.
LONGEST = 10.0


class RoundingLimits(NamedTuple):
    """The largest differences from sweep's results that rounding explains.

    Rounding may decide on which side of the tolerance an epoch lies, for a few neurons in a
    million: one epoch more or less is then correct. In float32 it decides for more neurons, and by
    more epochs where z moves slowly.
    """

    share: float  # of neurons whose epochs may differ
    epochs: int
    epochs_per_epoch: float
    weights: float  # of w and b, where the epochs agree


LIMITS = {
    "float64": RoundingLimits(1e-5, 1, 0.0, 1e-8),
    "float32": RoundingLimits(0.05, 1, 2e-3, 0.1),
}


def compare(expected: PeerResult, result: PeerResult, dtype: str) -> dict[str, Any]:
    """Compare a row's result with sweep's: how far it differs, and if rounding explains that."""
    apart = np.abs(result.epochs.astype(np.int64) - expected.epochs)
    w, b = np.abs(result.w - expected.w), np.abs(result.b - expected.b)
    limits, same = LIMITS[dtype], apart == 0
    close = (w[same] <= limits.weights).all() and (b[same] <= limits.weights).all()
    few = np.count_nonzero(apart) <= max(1.0, limits.share * len(apart))
    near = (apart <= limits.epochs + limits.epochs_per_epoch * expected.epochs).all()
    return {
        "differing": int(np.count_nonzero(apart)),
        "epochs_apart": int(apart.max()),
        "distance": max(float(w.max()), float(b.max())),
        "correct": bool(few and near and close),  # False for NaN
    }


def _time_runs(run: Callable[[], object]) -> list[float]:
    """Return the seconds of each run, of as many as take `SHORTEST` together."""
    timings: list[float] = []
    while sum(timings) < SHORTEST:
        began = time.perf_counter()
        run()
        timings.append(time.perf_counter() - began)
    return timings


def _problem(work: Workload) -> Problem:
    return make_problem(
        x=work.x, y=work.y, cost=work.cost, activation="sigmoid", tolerance=work.tolerance,
        max_epochs=work.max_epochs, optimizer=work.optimizer,
    )  # fmt: skip


def useful_share(work: Workload, w: NDArray[Any], b: NDArray[Any], threads: int) -> float:
    """Return the share of the kernel's lane-epochs that updated or tested a neuron."""
    train, lane_epochs, epochs = trainer(_problem(work), work.dtype), 0, 0
    w, b = w.astype(np.float64), b.astype(np.float64)
    for first, last in blocks(len(b), threads, LARGEST_BLOCK):
        out = empty_results(last - first, w.shape[1], work.dtype)
        rate = np.array([work.learning_rate])
        block = slice(first, last)
        lane_epochs += train(out, w[block], b[block], rate, np.zeros(1, np.uint8))
        epochs += int(out.epochs.sum(dtype=np.int64))
    return epochs / lane_epochs


def time_workload(
    work: Workload, rows: Sequence[Row], threads: int, rounds: int
) -> tuple[dict[str, Any], list[dict[str, Any]]]:
    """Time some rows on one workload, in the order A B C A B C …, and compare with the first.

    Returns
    -------
    summary : dict
        Of the workload: neurons, samples, inputs, optimizer, sample_epochs, useful, operations of a
        sample-epoch, fma_peak, share_of_bound, and cpus_used (how many of sweep's threads ran at a
        time on average, fewer where other processes use the machine). Rates are per second.
    results : list of dicts
        Of each row: seconds (median, min, max), rate, ratio (its seconds over sweep's median),
        first_call, and the result of `compare`.
    """
    w, b = starts(work)
    runs, results, first_calls = [], [], []
    for row in rows:
        began = time.perf_counter()
        runs.append(row.trainer(work, threads))
        results.append(runs[-1](w, b))
        first_calls.append(time.perf_counter() - began)
    timings: list[list[float]] = [[] for _ in rows]
    peaks, cpu = [], 0.0
    for _ in range(rounds):
        peaks.append(fma_peak(work.dtype, threads))
        for run, seconds in zip(runs, timings, strict=True):
            if seconds and seconds[0] > LONGEST:
                continue
            time.sleep(SETTLE)
            before = time.process_time()
            seconds += _time_runs(lambda run=run: run(w, b))  # type: ignore[misc]
            cpu += time.process_time() - before if run is runs[0] else 0.0
    steps = int(results[0].epochs.sum(dtype=np.int64)) * len(work.y)
    base = median(timings[0])
    lines = [
        {
            "workload": work.name,
            "row": row.name,
            "first_call": first,
            "seconds": {"median": median(t), "min": min(t), "max": max(t), "count": len(t)},
            "rate": steps / median(t),
            "ratio": {"median": median(t) / base, "min": min(t) / base, "max": max(t) / base},
            **compare(results[0], result, work.dtype),
        }
        for row, first, t, result in zip(rows, first_calls, timings, results, strict=True)
    ]
    summary: dict[str, Any] = {
        "workload": work.name,
        "neurons": len(b),
        "samples": len(work.y),
        "inputs": len(work.x[0]),
        "optimizer": work.optimizer,
        "sample_epochs": steps,
        "useful": useful_share(work, w, b, threads),
        "operations": operations(work),
        "fma_peak": max(peaks),
        "share_of_bound": steps / base * operations(work) / max(peaks),
        "cpus_used": cpu / sum(timings[0]),
    }
    return summary, lines


def block_times(rounds: int) -> list[dict[str, Any]]:
    """Time blocks of one and of 65,536 neurons of some 21 epochs on one thread, in each dtype.

    What a single neuron costs is the interpreter: the part of a block for which threads wait for
    one another.

    Returns
    -------
    list of dicts
        dtype; one and many, medians in seconds.
    """
    times = []
    for work in workloads(full=False):
        if (work.kind, work.cost) != ("sweep", "cross_entropy"):
            continue
        w, b = (array.astype(np.float64) for array in starts(work))
        rate, stop = np.array([work.learning_rate]), np.zeros(1, np.uint8)
        train = trainer(_problem(work), work.dtype)
        medians = []
        for count in (1, len(b)):
            out = empty_results(count, 1, work.dtype)
            run = partial(train, out, w[:count], b[:count], rate, stop)
            run()
            medians.append(median(t for _ in range(rounds) for t in _time_runs(run)))
        times.append({"dtype": work.dtype, "one": medians[0], "many": medians[1]})
    return times


def following_ratios(works: Sequence[Workload], rounds: int) -> list[dict[str, Any]]:
    """Time following against training for the same epochs, in turns on one thread.

    Both walk all epochs of the workloads in which no neuron converges, in one block of 8,192
    neurons at most; what a block costs without any epoch is taken off both.

    Returns
    -------
    list of dicts
        workload; ratio, the median over the rounds, least and largest.
    """
    found = []
    for work in works:
        if work.kind in ("sweep", "optimizer"):
            continue
        w, b = (array[:8192].astype(np.float64) for array in starts(work))
        rate, stop = np.array([work.learning_rate]), np.zeros(1, np.uint8)
        none = replace(_problem(work), max_epochs=0)
        problems = none, _problem(work), replace(none, follow=work.max_epochs)
        runs = []
        for problem in problems:
            out = empty_results(len(b), w.shape[1], work.dtype, follow=problem.follow > 0)
            runs.append(partial(trainer(problem, work.dtype), out, w, b, rate, stop))
            runs[-1]()
        ratios = []
        for _ in range(rounds):
            nothing, trained, followed = (min(_time_runs(run)) for run in runs)
            ratios.append((followed - nothing) / (trained - nothing))
        found.append({"workload": work.name, "ratio": median(ratios)})
        found[-1] |= {"least": min(ratios), "largest": max(ratios)}
    return found


def formula_ratios(works: Sequence[Workload], rounds: int) -> list[dict[str, Any]]:
    """Time the cross-entropy as a formula against the built-in one, in turns on one thread.

    Of one block of 8,192 neurons at most; epochs must be equal in each.

    Returns
    -------
    list of dicts
        workload; ratio, the built-in's time over the formula's, the median; least and largest.
    """
    formula, found = Cost("formula", "-y*log(a) - (1 - y)*log(1 - a)"), []
    for work in works:
        if work.cost != "cross_entropy":
            continue
        w, b = (array[:8192].astype(np.float64) for array in starts(work))
        rate, stop = np.array([work.learning_rate]), np.zeros(1, np.uint8)
        text, parameters = formula.kernel("sigmoid")
        own = replace(_problem(work), cost=text, parameters=parameters)
        outs = [empty_results(len(b), w.shape[1], work.dtype) for _ in range(2)]
        runs = [
            partial(trainer(problem, work.dtype), out, w, b, rate, stop)
            for problem, out in zip((_problem(work), own), outs, strict=True)
        ]
        for run in runs:
            run()
        if (outs[0].epochs != outs[1].epochs).any():
            raise AssertionError(f"{work.name}: the formula's epochs differ")
        ratios = []
        for _ in range(rounds):
            declared, as_formula = (min(_time_runs(run)) for run in runs)
            ratios.append(declared / as_formula)
        found.append({"workload": work.name, "ratio": median(ratios)})
        found[-1] |= {"least": min(ratios), "largest": max(ratios)}
    return found


def optimizer_ratios(works: Sequence[Workload], rounds: int) -> list[dict[str, Any]]:
    """Time other optimisers against gradient descent, in turns on one thread.

    In one block, of whose neurons none converges; and with an early exit, where an optimiser needs
    few epochs, and what a neuron costs besides them weighs more.

    Returns
    -------
    list of dicts
        workload; goal, or None; ratio, the optimiser's epochs a second over gradient descent's, the
        median; least and largest.
    """
    found = []
    others = [work for work in works if work.kind == "optimizer"]
    early = [replace(work, tolerance=0.1, max_epochs=20_000) for work in others]
    for work in (*others, *early):
        w, b = (array.astype(np.float64) for array in starts(work))
        rate, stop = np.array([work.learning_rate]), np.zeros(1, np.uint8)
        runs, epochs = [], []
        for each in (replace(work, optimizer="gd"), work):
            out = empty_results(len(b), w.shape[1], work.dtype)
            runs.append(partial(trainer(_problem(each), work.dtype), out, w, b, rate, stop))
            runs[-1]()
            epochs.append(int(out.epochs.sum()))
        ratios = []
        for _ in range(rounds):
            descent, other = (min(_time_runs(run)) for run in runs)
            ratios.append(descent / other * epochs[1] / epochs[0])
        means = " and ".join(f"{count / len(b):,.0f}" for count in epochs[::-1])
        name = f"{work.name}, early exit, {means} epochs" if work in early else work.name
        goal = None if work in early else OVER_GD[work.optimizer]
        found.append({"workload": name, "goal": goal})
        found[-1] |= {"ratio": median(ratios), "least": min(ratios), "largest": max(ratios)}
    return found


def scaling(work: Workload, threads: int, rounds: int) -> list[dict[str, float]]:
    """Time the kernel on 1, 2, 4, … threads, interleaved."""
    w, b = starts(work)
    numbers = sorted({1, threads} | {2**k for k in range(1, threads.bit_length())})
    runs = {n: ROWS[0].trainer(work, n) for n in numbers}
    timings: dict[int, list[float]] = {n: [] for n in numbers}
    for _ in range(rounds):
        for n, run in runs.items():
            timings[n] += _time_runs(lambda run=run: run(w, b))  # type: ignore[misc]
    return [
        {"threads": n, "seconds": median(t), "speedup": median(timings[1]) / median(t)}
        for n, t in timings.items()
    ]


def _goals(
    summaries: Sequence[dict[str, Any]],
    lines: Sequence[dict[str, Any]],
    optimizers: Sequence[dict[str, Any]],
) -> list[dict[str, Any]]:
    by_row = {(line["workload"], line["row"]): line for line in lines}
    share = {about["workload"]: about["share_of_bound"] for about in summaries}
    goals = []
    for goal in GOALS:
        workload = f"{goal.what} {goal.cost} {goal.dtype}"
        if line := by_row.get((workload, goal.row)):
            goals.append((f"{workload}, {goal.row}", goal.ratio, line["ratio"]["median"]))
    for n, d in SHAPES:
        what = f"{n} × {d} cross_entropy"
        double, single = (by_row.get((f"{what} float{bits}", ROWS[0].name)) for bits in (64, 32))
        if double:
            reached = share[double["workload"]]
            goals.append((f"{what} float64, share of the FMA bound", SHARE_OF_BOUND, reached))
        if double and single:
            reached = single["rate"] / double["rate"]
            goals.append((f"{what}, float32 over float64", FLOAT32_OVER_FLOAT64, reached))
    held = [of for of in optimizers if of["goal"]]
    goals += [(f"{of['workload']} over gd", of["goal"], of["ratio"]) for of in held]
    return [{"what": what, "goal": goal, "reached": reached} for what, goal, reached in goals]


def bench(
    *,
    full: bool = False,
    threads: int | None = None,
    works: Sequence[Workload] | None = None,
    rows: Sequence[Row] = ROWS,
    rounds: int | None = None,
    progress: Callable[[str], None] = lambda line: None,
) -> dict[str, Any]:
    """Run the benchmark and return all that was measured as one dict that JSON can hold.

    Parameters
    ----------
    progress : callable
        Called with a line of text before each step.
    """
    threads = check_threads(threads)
    works = workloads(full) if works is None else works
    rounds = rounds or (5 if full else 3)
    missing = {row.name: row.missing() for row in rows}
    available = [row for row in rows if missing[row.name] is None and (full or not row.full_only)]
    summaries, lines = [], []
    for work in works:
        progress(work.name)
        chosen = [r for r in available if work.kind in r.kinds and work.dtype in r.dtypes]
        summary, timed = time_workload(work, chosen, threads, rounds)
        summaries.append(summary)
        lines += timed
    progress("threads and start-up")
    optimizers = optimizer_ratios(works, rounds)
    sweep_works = [work for work in works if work.kind == "sweep"] or works
    return {
        "machine": description(),
        "versions": versions(),
        "settings": {"full": full, "threads": threads, "rounds": rounds},
        "missing": {name: advice for name, advice in missing.items() if advice},
        "workloads": summaries,
        "rows": lines,
        "scaling": scaling(sweep_works[0], threads, rounds),
        "blocks": block_times(rounds),
        "following": following_ratios(works, rounds),
        "formula": formula_ratios(works, rounds),
        "optimizers": optimizers,
        "lookup": lookup_ratios(threads, min(rounds, 3), full=full),
        "startup": startup(rounds),
        "goals": _goals(summaries, lines, optimizers),
    }
