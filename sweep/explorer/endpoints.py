"""What the page gets: epochs of a rectangle of cells, curves of one start, contours, a spec.

All numbers come from the engine: no formula is written again, here or in the page's code.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import replace
from threading import Timer
from time import perf_counter, process_time
from typing import Any, TypeAlias

import numpy as np
from numpy.typing import NDArray

from sweep.errors import SpecError, SweepError
from sweep.experiment.grid import Grid
from sweep.experiment.spec import Spec
from sweep.explorer.query import Cells, Point, View, held_optimizer, own_cost, parsed
from sweep.explorer.stored import UNCONVERGED, stored_cells
from sweep.kernels.compile import watchers
from sweep.kernels.orbit import why_trained
from sweep.kernels.results import TrainResult
from sweep.kernels.tracing import trace
from sweep.kernels.training import train_starts
from sweep.neuron.optimizers import GD
from sweep.neuron.problem import Problem, Status
from sweep.resources import usable_cpus
from sweep.result import Result

__all__ = ["ENDPOINTS", "SECONDS", "compile_ahead", "fixed_weights", "respond"]

# From a spec, a query, and a flag that ends the work when it becomes 1.
Endpoint: TypeAlias = Callable[[Spec, Any, NDArray[np.uint8]], "NDArray[np.int32] | dict[str, Any]"]

# Lines of equal initial error, as shares of the largest |y − a|.
SHARES = (0.1, 0.3, 0.5, 0.7, 0.9, 0.98)

SECONDS = 4.0  # the longest that a response is computed

BINS = 24  # of the histogram, in each direction
POINTS = 240  # of a curve
UPDATES = 15_000_000  # of a curve, over all samples: a second
STEPS = 60  # epochs of a cobweb


def fixed_weights(spec: Spec) -> dict[str, float]:
    """Return the weights that the page does not vary, w2 … wd: of each axis the value nearest 0."""
    grid = Grid(spec)
    found = {}
    for name in grid.start_names[1:-1]:
        values = grid.values.get(name, np.zeros(1))
        found[name] = float(values[np.argmin(abs(values))])
    return found


def _starts(
    spec: Spec, w: NDArray[np.float64], b: NDArray[np.float64]
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Return (w, b) of every pair, (N, d) and (N,), b running slowest."""
    first, biases = (values.ravel() for values in np.meshgrid(w, b))
    others = [np.full(len(biases), value) for value in fixed_weights(spec).values()]
    return np.column_stack([first, *others]), np.ascontiguousarray(biases)


def _trained(
    problem: Problem,
    rate: float,
    w: NDArray[np.float64],
    b: NDArray[np.float64],
    stop: NDArray[np.uint8],
) -> TrainResult:
    """Train starts by the quickest way that is exact, until stop[0] becomes 1."""
    rates = np.array([rate])
    # A staircase pays for few starts too: the next tiles need it again, and it takes milliseconds.
    method = "auto"
    if len(problem.x) == 1 and why_trained("orbit", problem, rates, len(b), "float64") is None:
        method = "orbit"
    return train_starts(problem, w, b, rates, method=method, threads=usable_cpus(), stop=stop)


def _codes(result: TrainResult) -> NDArray[np.int32]:
    met = result.status == int(Status.converged)
    return np.where(met, result.epochs, UNCONVERGED).astype(np.int32)


def cells(spec: Spec, query: Cells, stop: NDArray[np.uint8]) -> NDArray[np.int32]:
    """Return the epochs of each cell, or a negative code, (rows, columns)."""
    w, b = _starts(spec, *query.centres())
    result = _trained(query.problem(spec), query.learning_rate, w, b, stop)
    return _codes(result).reshape(query.rows, query.columns)


def histogram(spec: Spec, query: Cells, stop: NDArray[np.uint8]) -> dict[str, Any]:
    """Count the cells by initial error and by the logarithm of epochs.

    Returns
    -------
    dict
        `counts`, of BINS initial errors by BINS of epochs; `unconverged` of each initial error;
        the largest `error` and the `epochs` at the edges.
    """
    problem = query.problem(spec)
    w, b = _starts(spec, *query.centres())
    result = _trained(problem, query.learning_rate, w, b, stop)
    codes, largest = _codes(result), problem.act.high - problem.act.low
    met = codes >= 0
    top = max(float(codes.max(initial=0)), 1.0) + 1.0
    edges = np.linspace(0, np.log10(top), BINS + 1)
    errors = np.linspace(0, largest, BINS + 1)
    counts, _, _ = np.histogram2d(
        result.initial_error[met], np.log10(codes[met] + 1.0), bins=[errors, edges]
    )
    given_up, _ = np.histogram(result.initial_error[~met], bins=errors)
    return {
        "counts": counts.astype(int).tolist(),
        "unconverged": given_up.tolist(),
        "error": largest,
        "epochs": (10**edges - 1.0).tolist(),
    }


def contours(spec: Spec, query: Cells, stop: NDArray[np.uint8]) -> dict[str, Any]:
    """Return the lines of equal initial error: a level and its lines, each [[w, b], …]."""
    from contourpy import contour_generator

    problem = replace(query.problem(spec), max_epochs=0)
    columns, rows_ = query.centres()
    w, b = _starts(spec, columns, rows_)
    out = _trained(problem, query.learning_rate, w, b, stop)
    errors = out.initial_error.reshape(query.rows, query.columns)
    generator = contour_generator(columns, rows_, np.ma.masked_invalid(errors))
    largest = problem.act.high - problem.act.low
    levels = [share * largest for share in SHARES]
    lines = [[np.asarray(line).tolist() for line in generator.lines(level)] for level in levels]
    return {"levels": levels, "lines": lines}


def curves(spec: Spec, query: Point, stop: NDArray[np.uint8]) -> dict[str, Any]:
    """Return the learning curve of a start, its numbers and, with one sample, its z by the map.

    Returns
    -------
    dict
        epoch, error and cost, at some POINTS epochs up to twice those it takes; output, with one
        sample; epochs (a code if negative), initial_error, final_error; `cut`, whether the curve
        ends before that because it would take too long. With one sample and gradient descent `z`,
        of the first epochs, and `map`: [[z, f(z)], …].
    """
    problem = query.problem(spec)
    w, b = _starts(spec, np.array([query.w]), np.array([query.b]))
    result = _trained(problem, query.learning_rate, w, b, stop)
    code = int(_codes(result)[0])
    given: dict[str, Any] = {
        "learning_rate": query.learning_rate, "cost": problem.given_cost, "x": problem.x,
        "y": problem.y, "activation": problem.activation, "optimizer": problem.optimizer,
    }  # fmt: skip
    data: dict[str, Any] = {
        "epochs": code,
        "initial_error": float(result.initial_error[0]),
        "final_error": float(result.final_error[0]),
    }
    wished = min(2 * code + 10, problem.max_epochs) if code >= 0 else problem.max_epochs
    last = min(wished, UPDATES // len(problem.y))
    epochs = np.unique(np.linspace(0, last, POINTS).astype(np.int64))
    curve = trace(w, b, epochs=epochs, **given)
    data |= {name: _list(getattr(curve, name)[0]) for name in ("error", "cost")}
    data |= {"epoch": epochs.tolist(), "cut": last < wished}
    if len(problem.y) == 1:
        data["output"] = _list(curve.output[0])
    if len(problem.y) == 1 and problem.optimizer == GD:  # with others z has more of a past
        first = trace(w, b, epochs=np.arange(min(STEPS, problem.max_epochs) + 1), **given)
        z = first.w[0].reshape(-1, w.shape[1]) @ problem.x[0] + first.b[0]
        low, high = min(z.min(), -1.0), max(z.max(), 1.0)
        along = np.linspace(low - 0.05 * (high - low), high + 0.05 * (high - low), 161)
        after = trace(np.zeros((161, w.shape[1])), along, epochs=[1], **given)
        image = after.w.reshape(161, w.shape[1]) @ problem.x[0] + after.b.reshape(161)
        data |= {"z": z.tolist(), "map": np.column_stack([along, image]).tolist()}
    return data


def _list(values: NDArray[np.float64]) -> list[float | None]:
    return [float(v) if np.isfinite(v) else None for v in values]


def copied(spec: Spec, query: View, stop: NDArray[np.uint8]) -> dict[str, Any]:
    """Return the spec of what is in view, as TOML and as Python."""
    made = spec_of(spec, query)
    fields = "".join(f"    {name}={value!r},\n" for name, value in made.fields().items())
    python = f"import sweep\n\nspec = sweep.Spec(\n{fields})\nresult = sweep.run(spec).open()\n"
    return {"toml": made.toml(), "python": python}


def spec_of(spec: Spec, query: View) -> Spec:
    """Return the spec whose cells are those in view, with the costs and learning rates shown."""
    columns, rows_ = query.centres()
    panels = query.panels()
    if min(len(columns), len(rows_)) < 2:
        raise SpecError("the view: holds a single row or column of cells; zoom out")

    def span(values: NDArray[np.float64]) -> dict[str, Any]:
        return {"start": float(values[0]), "stop": float(values[-1]), "num": len(values)}

    name, *others, bias = Grid(spec).start_names
    axes: dict[str, Any] = {name: span(columns)}
    axes |= {other: [fixed_weights(spec)[other]] for other in others}
    axes |= {
        bias: span(rows_),
        "learning_rate": sorted({panel.learning_rate for panel in panels}),
        "cost": list(dict.fromkeys(panel.cost for panel in panels)),
        **held_optimizer(spec),
    }
    problem, _ = (panel.problem(spec) for panel in panels)
    x, y = problem.x, problem.y
    one = problem.x.size == 1
    task = {
        "x": float(x[0, 0]) if one else x.tolist() if x.shape[1] > 1 else x[:, 0].tolist(),
        "y": float(y[0]) if one else y.tolist(),
        "activation": problem.activation,
    }
    stop = {
        "tolerance": problem.tolerance, "max_epochs": problem.max_epochs, "rule": problem.rule
    }  # fmt: skip
    costs = {cost: own_cost(spec, cost) for cost in axes["cost"] if cost in spec.costs}
    given = problem.optimizer.given if "optimizer" in axes else {}
    return Spec(name="explored", axes=axes, task=task, stop=stop, costs=costs, optimizer=given)


def compile_ahead(spec: Spec) -> None:
    """Compile what the first requests need, so that none of them takes seconds."""
    grid = Grid(spec)
    for cost in grid.values["cost"]:
        query: dict[str, Any] = {
            "cost": str(cost), "activation": spec.task.activation, "w": 0.0, "b": 0.0, "cell": 1.0,
            "learning_rate": float(grid.values["learning_rate"][0]), "tolerance": 0.5,
            "max_epochs": 1, "columns": 1, "rows": 1,
        }  # fmt: skip
        stop = np.zeros(1, np.uint8)
        cells(spec, Cells(**query), stop)
        start = {key: value for key, value in query.items() if key in Point.model_fields}
        curves(spec, Point(**start), stop)


# What a query is made of, and what responds to it.
ENDPOINTS: Mapping[str, tuple[type[Any], Endpoint]] = {
    "cells": (Cells, cells),
    "contours": (Cells, contours),
    "histogram": (Cells, histogram),
    "curves": (Point, curves),
    "spec": (View, copied),
}


@contextmanager
def _limited(stop: NDArray[np.uint8]) -> Iterator[Callable[[], float]]:
    """Set stop[0] to 1 after SECONDS, which begin again when a kernel has been compiled.

    Yields a function that returns how many of them have passed; what other processes took of the
    CPUs does not count.
    """
    timers: list[Timer] = []
    began = [0.0, 0.0]

    def watch(compiling: bool) -> None:
        while timers:
            timers.pop().cancel()
        if not compiling:
            timers.append(Timer(SECONDS, lambda: stop.fill(1)))
            timers[-1].start()
            began[:] = perf_counter(), process_time()

    watchers.append(watch)
    watch(compiling=False)
    try:
        yield lambda: min(perf_counter() - began[0], process_time() - began[1])
    finally:
        watchers.remove(watch)
        watch(compiling=True)


def respond(
    spec: Spec,
    name: str,
    text: Mapping[str, str],
    stop: NDArray[np.uint8],
    result: Result | None = None,
) -> tuple[NDArray[np.int32] | dict[str, Any], float]:
    """Return what the page requests, and the seconds that took, without compiling: at most SECONDS.

    `stop` ends the work when it becomes 1.

    `result` has the cells that are stored.

    Raises
    ------
    SpecError
        Names the field, its value and what is allowed.
    SweepError
        It takes too long.
    """
    kind, function = ENDPOINTS[name]
    query = parsed(kind, text)
    if name == "cells" and query.stored:
        if result is None:
            raise SpecError("stored cells: sweep explore was started without a result's folder")
        return stored_cells(result, query), 0.0
    with _limited(stop) as passed:
        response = function(spec, query, stop)
        took = passed()
    if stop[0]:
        raise SweepError(
            f"this takes more than {SECONDS:g} s: lower max_epochs, or raise the learning rate or "
            "the tolerance"
        )
    return response, took
