"""The passes over a block of neurons before and after its epochs, compiled: they hold no lock.

In NumPy each of two dozen calls holds the interpreter's lock for a moment, and threads wait for one
another there: a third of the time of a block whose neurons take 21 epochs.
"""

# compiled code: its types are Numba's
# mypy: disable-error-code="no-untyped-def, no-untyped-call"

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any, NamedTuple

import numpy as np
from numba import njit
from numba.core import types
from numba.extending import register_jitable
from numpy.typing import NDArray

from sweep.kernels.compile import compiled, once
from sweep.kernels.simd import width_of
from sweep.neuron.problem import Status

__all__ = [
    "Block",
    "Results",
    "Scales",
    "compile_mark",
    "compile_prepare",
    "empty_block",
    "empty_queue",
    "finish",
    "numba_types",
    "order",
]

# What the number of columns of a block is a multiple of: two vectors of the widest lanes.
PAD_TO = 2 * width_of(types.float32)

# While the last of a block train, lanes are empty, so the queue goes by falling distance,
# roughly: those in the same of so many bins as they come. Useful lane-epochs on 65,536 neurons of
# the benchmark's sweep: 91 % in the grid's order, 99 % in this one (float32: 84 % and 99 %).
DISTANCES = 256

CONVERGED, MAX_EPOCHS, NON_FINITE = (np.int8(int(status)) for status in Status)


class Block(NamedTuple):
    """Neurons to be trained, one in each of N columns, padded to a multiple of PAD_TO.

    Attributes
    ----------
    start, total : (p, N) array
        θ₀, and T, which is 0 before any update.
    rate : (1, N) array
        What T is multiplied by: η/n, or κ.
    error : (1, N) array
        Σ|a − y| over the samples.
    criterion : (1, N) array
        What is compared with the limit: `error` itself, or the largest |Σ δ x_j|.
    epochs : (size,) int32 array
        Updates applied.
    x, y : (n, p), (n,) array
        The samples' features and targets.
    parameters : (k,) float64 array
        Of the cost, if it is a formula.
    constants : (4,) float64 array
        The optimiser's parameters, and what makes Σ δ x_j the gradient.
    """

    start: NDArray[Any]
    total: NDArray[Any]
    rate: NDArray[Any]
    error: NDArray[Any]
    criterion: NDArray[Any]
    epochs: NDArray[np.int32]
    x: NDArray[Any]
    y: NDArray[Any]
    parameters: NDArray[np.float64]
    constants: NDArray[np.float64]


class Scales(NamedTuple):
    """How (w, b) become θ₀, and T becomes a change of (w, b).

    Attributes
    ----------
    x : (d,) array
        Of one sample, so that θ₀ = z (x·w + b); else none: θ₀ = (w, b).
    z, rate, back : float
        What x·w + b and the learning rate are multiplied by, and what T times the learning rate is.
    """

    x: NDArray[np.float64]
    z: float
    rate: float
    back: float


class Results(NamedTuple):
    """What is written of each neuron, as in `TrainResult`; w and b may be empty."""

    initial_error: NDArray[Any]
    status: NDArray[np.int8]
    final_error: NDArray[Any]
    w: NDArray[Any]
    b: NDArray[Any]


def empty_block(
    size: int,
    x: NDArray[Any],
    y: NDArray[Any],
    parameters: NDArray[np.float64],
    constants: NDArray[np.float64],
    epochs: NDArray[np.int32],
    by_gradient: bool,
) -> Block:
    """Return a block of `size` neurons, to be prepared."""
    p, columns = x.shape[1], -(-size // PAD_TO) * PAD_TO
    rows = np.empty((2 * p + 2 + by_gradient, columns), x.dtype)
    error = rows[2 * p + 1 : 2 * p + 2]
    return Block(
        rows[:p], rows[p : 2 * p], rows[2 * p : 2 * p + 1], error,
        rows[2 * p + 2 :] if by_gradient else error, epochs, x, y, parameters, constants,
    )  # fmt: skip


class Queue(NamedTuple):
    """The columns to be trained, in that order, and memory to sort them in.

    Attributes
    ----------
    columns : (size,) uint64 array
        The first of them, as many as `order` returns.
    bins : (size,) int16 array
    places : (2 DISTANCES + 2,) int64 array
    """

    columns: NDArray[np.uint64]
    bins: NDArray[np.int16]
    places: NDArray[np.int64]


def empty_queue(size: int) -> Queue:
    """Return memory for the queue of a block."""
    places = np.empty(2 * DISTANCES + 2, np.int64)
    return Queue(np.empty(size, np.uint64), np.empty(size, np.int16), places)


class NumbaTypes(NamedTuple):
    """Of the arguments (block, w, b, learning_rate, scales), and of results."""

    start: tuple[types.Type, ...]
    results: types.Type


def numba_types(dtype: str, given: str) -> NumbaTypes:
    """Return the Numba types of what describes a block, and of starts `given` as such floats."""
    number = getattr(types, dtype)
    matrix, vector = types.Array(number, 2, "C"), types.Array(number, 1, "C")
    epochs, status = types.Array(types.int32, 1, "C"), types.Array(types.int8, 1, "C")
    double = types.float64
    start = partial(types.Array, getattr(types, given), layout="C", readonly=True)
    return NumbaTypes(
        start=(
            types.NamedTuple(
                [matrix] * 5 + [epochs, matrix, vector] + [types.Array(double, 1, "C")] * 2, Block
            ),
            start(2),
            start(1),
            types.Array(double, 1, "C", readonly=True),
            types.NamedTuple([types.Array(double, 1, "C"), double, double, double], Scales),
        ),
        results=types.NamedTuple([vector, status, vector, matrix, vector], Results),
    )


# Loops of one line each, and those of one input apart: so they become vectors, and compile fast.


@once
def compile_prepare(dtype: str, given: str, one_sample: bool) -> Callable[..., float]:
    """Compile a function (block, w, b, learning_rate, scales) that prepares a block.

    It sets start, total and rate from w (size, d), b (size,) and learning_rate, (size,) or (1,) for
    all, and returns the largest |θ₀|, infinite if one is not finite.
    """

    @compiled(types.float64(*numba_types(dtype, given).start))
    def prepare(block, w, b, learning_rate, scales):
        start, total, rate, x = block.start, block.total, block.rate, scales.x
        size, d, columns = len(b), w.shape[1], start.shape[1]
        farthest = 0.0
        if not one_sample:
            for i in range(size):
                start[d, i] = b[i]
            for j in range(d):
                for i in range(size):
                    start[j, i] = w[i, j]
        elif d == 1:
            for i in range(size):
                start[0, i] = (w[i, 0] * x[0] + b[i]) * scales.z
        else:
            for i in range(size):
                z = w[i, 0] * x[0]
                for j in range(1, d):
                    z += w[i, j] * x[j]
                start[0, i] = (z + b[i]) * scales.z
        for j in range(len(start)):
            for i in range(size, columns):
                start[j, i] = 0.0
            for i in range(columns):
                total[j, i] = 0.0
            for i in range(size):
                distance = abs(start[j, i])
                if not distance <= farthest:
                    farthest = distance if distance < np.inf else np.inf
        last = len(learning_rate) - 1
        for i in range(columns):
            rate[0, i] = learning_rate[i if i < last else last] * scales.rate
        return farthest

    return prepare


@once
def compile_mark(dtype: str) -> Callable[..., float]:
    """Compile a function (block, status) for blocks whose starts may be beyond all bounds.

    It sets the status of those whose z is not finite for some sample to non_finite, and their
    starts to a placeholder that can be trained, and returns the largest |θ₀| that is left.
    """
    block_type = numba_types(dtype, dtype).start[0]

    @compiled(types.float64(block_type, types.Array(types.int8, 1, "C")))
    def mark(block, status):
        start, x, farthest = block.start, block.x, 0.0
        for i in range(len(status)):
            for s in range(len(x)):
                z = start[0, i] * x[s, 0]
                for j in range(1, len(start)):
                    z += start[j, i] * x[s, j]
                if not abs(z) < np.inf:
                    status[i] = NON_FINITE
            for j in range(len(start)):
                start[j, i] = 0.0 if status[i] == NON_FINITE else start[j, i]
                farthest = max(farthest, abs(start[j, i]))
        return farthest

    return mark


# Put into its caller before types are inferred: 0.07 s less to compile. `finish` there makes
# float32's short trainings 3 % slower, `advance` takes longer to compile.
@njit(inline="always")
def order(block, limit, distance, widest, max_epochs, results, queue):
    """Set queue.columns[:waiting] to the columns to be trained further, and return `waiting`.

    Those come first whose distance (1, N) is largest; none is above `widest` or below −`widest`.
    """
    criterion, status, epochs = block.criterion, results.status, block.epochs
    number, size = block.x.dtype.type, len(status)
    widest = number(1) if widest == 0 else widest
    bins, places, columns = queue.bins, queue.places, queue.columns
    waiting = 0  # of trainings that take few epochs: nothing is left to be sorted
    for i in range(size):
        waiting += (criterion[0, i] > limit) & (epochs[i] < max_epochs)
    if waiting == 0:
        return 0
    for k in range(len(places)):
        places[k] = 0
    # Those not to be trained come last, in a bin of their own. A bin has two counters, for
    # neighbours are often in the same bin, and one would wait for the other.
    for i in range(size):
        train = (criterion[0, i] > limit) & (epochs[i] < max_epochs) & (status[i] != NON_FINITE)
        share = (number(1) - distance[0, i] / widest) / number(2)
        bins[i] = np.int16(share * number(DISTANCES - 1)) if train else np.int16(DISTANCES)
    for i in range(size):
        places[2 * bins[i] + (i & 1)] += 1
    first = 0
    for k in range(len(places)):
        count = places[k]
        places[k] = first
        first += count
    waiting = places[2 * DISTANCES]
    for i in range(size):
        k = 2 * bins[i] + (i & 1)
        columns[places[k]] = i
        places[k] += 1
    return waiting


@register_jitable
def finish(block, w, b, learning_rate, scales, limit, results):
    """Set the status, the final error, w and b."""
    error, criterion, status = block.error, block.criterion, results.status
    total, x, back = block.total, scales.x, scales.back
    n, size, last = block.x.dtype.type(len(block.x)), len(status), len(total) - 1
    for i in range(size):
        results.final_error[i] = error[0, i] / n
        if status[i] != NON_FINITE and error[0, i] < np.inf:
            status[i] = MAX_EPOCHS if criterion[0, i] > limit else CONVERGED
        else:
            status[i] = NON_FINITE
            results.initial_error[i] = results.final_error[i] = np.nan
    if len(results.b) > 0:
        each = 1 if len(learning_rate) > 1 else 0
        for i in range(size):
            results.b[i] = b[i] - total[last, i] * learning_rate[i * each] * back
        for j in range(w.shape[1]):
            row, factor = (j, 1.0) if len(x) == 0 else (0, x[j])
            for i in range(size):
                moved = total[row, i] * learning_rate[i * each] * back * factor
                results.w[i, j] = w[i, j] - moved
