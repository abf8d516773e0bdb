"""The training of a block: neurons go into lanes, walk their epochs together, leave, others follow.

A block of neurons is trained in a few dozen lanes. All take a few epochs together, in the loops of
`loops.advance`; a lane whose error has met the tolerance keeps its T. Of each epoch a mask is kept,
of the lanes that had not converged, so that the epochs of a lane that has finished are counted by
its bits. Then finished neurons hand their lanes to the next ones.
"""

# compiled code: its types are Numba's
# mypy: disable-error-code="no-untyped-def, no-untyped-call"

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np
from numba import typeof
from numba.core import types
from numpy.typing import NDArray

from sweep.kernels.columns import walk_columns
from sweep.kernels.compile import compiled, once
from sweep.kernels.loops import CHUNK, VECTORS, advance
from sweep.kernels.passes import empty_queue, finish, numba_types, order
from sweep.kernels.simd import aligned_zeros, lowest, width_of

__all__ = ["LaneState", "compile_training", "empty_lanes"]

ONE = np.uint64(1)

# Epochs between two looks at who has finished: a 16th of what a neuron takes, within these.
SHORTEST, LONGEST = 2, 32


class LaneState(NamedTuple):
    """The neurons that L lanes train at the moment, W lanes to a vector, V vectors.

    Attributes
    ----------
    start, total : (p, L) array
    rate : (1, L) array
        As in `Block`.
    previous : (1, L) array
        With the rule "rise", the cost before the last update, or −∞ once it rose.
    moments : (k (p + 1), L) array
        Of the k moments that the optimiser keeps, those of each parameter, and of a gradient of 1.
    theta, gradient : (p, W) array
        Of one vector of lanes.
    chunk : (CHUNK, W) array
        z, and then δ, of one vector of lanes in a few samples.
    neuron, began : (L,) array
        Which column of the block each lane trains, and since which tick.
    busy : (V,) uint64 array
        Bits say which lanes of a vector train a neuron.
    unconverged : (LONGEST, V) uint64 array
        Bits say whose error was above the limit in each of the last epochs.
    """

    start: NDArray[Any]
    total: NDArray[Any]
    rate: NDArray[Any]
    previous: NDArray[Any]
    moments: NDArray[Any]
    theta: NDArray[Any]
    gradient: NDArray[Any]
    chunk: NDArray[Any]
    neuron: NDArray[np.uint64]
    began: NDArray[np.int64]
    busy: NDArray[np.uint64]
    unconverged: NDArray[np.uint64]


def empty_lanes(parameters: int, dtype: str, kept: int = 0) -> LaneState:
    """Return lanes that train nothing yet, with an optimiser that keeps so many moments."""
    p, width = parameters, width_of(getattr(types, dtype))
    lanes = VECTORS * width
    # Cut from one piece of memory, for 6 µs a block instead of 15; all rows are whole cache lines.
    size = (2 * p + 2 + kept * (p + 1)) * lanes
    memory = aligned_zeros(size + (2 * p + CHUNK) * width, dtype)
    rows, vectors = memory[:size].reshape(-1, lanes), memory[size:].reshape(-1, width)
    return LaneState(
        start=rows[:p],
        total=rows[p : 2 * p],
        rate=rows[2 * p : 2 * p + 1],
        previous=rows[2 * p + 1 : 2 * p + 2],
        moments=rows[2 * p + 2 :],
        theta=vectors[:p],
        gradient=vectors[p : 2 * p],
        chunk=vectors[2 * p :],
        neuron=np.zeros(lanes, np.uint64),
        began=np.zeros(lanes, np.int64),
        busy=np.zeros(VECTORS, np.uint64),
        unconverged=np.zeros((LONGEST, VECTORS), np.uint64),
    )


@once
def compile_training(
    cost: str,
    activation: str,
    kind: str,
    dtype: str,
    rule: str = "error",
    given: str = "float64",
    optimizer: str = "gd",
) -> Callable[..., int]:
    """Compile the training of a block that is prepared, or take it from the disk.

    Parameters
    ----------
    kind : "many", "two", "few", "pair", "one" or "near"
        Many samples; many, of two parameters; that, for few neurons and gradient descent; one, of
        two parameters; one, of a single feature whose value is 1; that, with z never beyond the
        range of exp: 1.03 to 1.08× the epochs.
    rule : "error", "gradient" or "rise"
        Of which sum the criterion is. With "rise" a neuron is trained as with "error", but no
        further than until its cost rises: the number of those epochs is then written as negative.
    given : "float64" or "float32"
        What the starts are given as.
    optimizer : str
        A key of `OPTIMIZERS`; "near" goes with gradient descent alone.

    Returns
    -------
    train : callable
        train(block, w, b, learning_rate, scales, results, lanes, queue, limit, widest, max_epochs,
        first, stop) trains each neuron until its criterion is at most `limit`, and sets `results`
        and the block's epochs. At most `first` epochs are walked in the order of the columns.
        `queue`, (size,) uint64, and `lanes` are memory to work in. It returns the number of
        lane-epochs walked, early when stop[0] becomes 1.
    """
    number, whole = getattr(types, dtype), types.int64
    types_of = numba_types(dtype, given)
    queue_type, stop_type = typeof(empty_queue(1)), types.Array(types.uint8, 1, "C")
    width = width_of(number)
    every_lane, many = np.uint64((1 << width) - 1), kind not in ("one", "near")

    # One call: between two, threads would wait for one another at the interpreter's lock.
    @compiled(
        whole(
            *types_of.start, types_of.results, typeof(empty_lanes(1, dtype)), queue_type, number,
            number, whole, whole, stop_type,
        )
    )  # fmt: skip
    def train(
        block, w, b, learning_rate, scales, results, lanes, queue, limit, widest, max_epochs, first,
        stop,
    ):  # fmt: skip
        walked = walk_columns(
            cost, activation, kind, rule, optimizer, lanes, block, limit, first,
            results.initial_error,
        )  # fmt: skip
        distance = block.error if many else block.start
        waiting = order(block, limit, distance, widest, max_epochs, results, queue)
        p = len(block.start) if many else 1
        busy, unconverged = lanes.busy, lanes.unconverged
        neuron, began = lanes.neuron, lanes.began
        taken = finished = updates = oldest = 0
        tick, interval, epochs = first, SHORTEST, 1
        while finished < waiting and stop[0] == 0:
            for v in range(VECTORS):
                work = busy[v]
                free = work & ~unconverged[epochs - 1, v]
                if tick - oldest >= max_epochs:
                    for bit in range(width):
                        if tick - began[v * width + bit] >= max_epochs:
                            free |= work & (ONE << bit)
                if taken < waiting:
                    free |= every_lane & ~work
                while free != 0:
                    bit = lowest(free)
                    free &= free - ONE
                    lane = v * width + bit
                    if (work >> bit) & ONE != 0:
                        counted = tick - epochs - began[lane]
                        for epoch in range(epochs):  # those before it converged
                            counted += np.int64((unconverged[epoch, v] >> bit) & ONE)
                        i = neuron[lane]
                        for j in range(p):
                            block.total[j, i] = lanes.total[j, lane]
                        rose = lanes.previous[0, lane] == -np.inf
                        block.epochs[i] = -counted if rose else counted
                        updates += counted
                        finished += 1
                        work ^= ONE << bit
                    if taken < waiting:
                        i = neuron[lane] = queue.columns[taken]
                        taken += 1
                        for j in range(p):
                            lanes.start[j, lane] = block.start[j, i]
                            lanes.total[j, lane] = block.total[j, i]
                        lanes.rate[0, lane] = block.rate[0, i]
                        lanes.previous[0, lane] = np.inf
                        for j in range(len(lanes.moments)):
                            lanes.moments[j, lane] = 0
                        began[lane] = tick - block.epochs[i]
                        oldest = began[lane] if began[lane] < oldest else oldest
                        work |= ONE << bit
                busy[v] = work
            if finished > 0:
                interval = updates // (16 * finished)
                interval = SHORTEST if interval < SHORTEST else interval
            else:
                interval += 1
            epochs = interval = LONGEST if interval > LONGEST else interval
            if tick + epochs > oldest + max_epochs:
                oldest = tick
                for lane in range(VECTORS * width):
                    if (busy[lane // width] >> (lane % width)) & ONE != 0:
                        oldest = began[lane] if began[lane] < oldest else oldest
                left = oldest + max_epochs - tick
                epochs = left if left < interval else interval
            advance(cost, activation, kind, rule, optimizer, lanes, block, limit, epochs)
            tick += epochs
        for v in range(VECTORS):
            busy[v] = 0
        if tick > first:
            walk_columns(
                cost, activation, kind, rule, optimizer, lanes, block, limit, whole(0),
                results.initial_error[:0],
            )  # fmt: skip
        finish(block, w, b, learning_rate, scales, limit, results)
        return ((tick - first) * VECTORS + walked) * width

    return train
