"""The general kernel: lanes of neurons that walk their epochs together, leave early, refill.

A neuron has p parameters θ and n samples of p features x, so that z = θ·x; the bias is the
parameter whose feature is 1. What is kept and summed is not θ but T, the sum of all gradients so
far (times n), with θ = θ₀ − (η/n) T. A saturated neuron's steps lie far below the last digit of
its weights; in T they add up as they do in truth.

With one sample every step goes along (x, 1), so T has one number and z = z₀ − κ T with
κ = η(|x|² + 1): one parameter z₀, whose feature is 1 and whose rate is κ.

z is counted in octaves, z/ln 2 (`Activation.exp2_scale`), so that its exponential is a power of 2:
one sample's z₀ and κ are multiplied by that beforehand, of many samples the features are.

A block of neurons is trained in a few dozen lanes. All take a few epochs together; a lane whose
error has met the tolerance stands still. Of each epoch it is kept which lanes were still wrong, so
that the count of a lane that has finished is the first epoch at which it was not. Then finished
neurons hand their places to the next ones.
"""

# compiled code: its types are Numba's
# mypy: disable-error-code="no-untyped-def, no-untyped-call"

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np
from numba import typeof
from numba.core import types
from numba.extending import overload, register_jitable
from numpy.typing import NDArray

from sweep.kernels.compile import compiled, once
from sweep.kernels.simd import (
    bits_of,
    exp2_ratio,
    exp2_ratio_near,
    load,
    lowest,
    select,
    store,
    width_of,
    zero,
)
from sweep.neuron.activations import ACTIVATIONS
from sweep.neuron.arithmetic import fma
from sweep.neuron.costs import fused

__all__ = ["COLUMNS", "Kernels", "empty_lanes", "kernels"]

# Lanes in training: 64 here (1.33× the neuron-epochs of 32 on the benchmark's sweep; with 96 or
# 128 as many). In float32, 128.
VECTORS = 2

# What the number of columns of a block is a multiple of: the widest lanes.
COLUMNS = width_of(types.float32)

ONE = np.uint64(1)
CACHE_LINE = 64

# Epochs between two looks at who has finished: a 16th of what a neuron takes, within these.
SHORTEST, LONGEST = 2, 32


class LaneState(NamedTuple):
    """The state of the neurons in training.

    Attributes
    ----------
    start, total : (p, L) array
    rate : (1, L) array
    theta, gradient : (p, W) array
        Of one vector of lanes.
    neuron, began : (L,) array
        Who trains in each lane, and since which tick.
    working : (V,) uint64 array
        Bits say which lanes of a vector have work.
    wrong : (LONGEST, V) uint64 array
        Bits say whose error was above the limit in each of the last epochs.
    """

    start: NDArray[Any]
    total: NDArray[Any]
    rate: NDArray[Any]
    theta: NDArray[Any]
    gradient: NDArray[Any]
    neuron: NDArray[np.uint64]
    began: NDArray[np.int64]
    working: NDArray[np.uint64]
    wrong: NDArray[np.uint64]


def empty_lanes(parameters: int, dtype: str) -> LaneState:
    """Return places that nobody has taken."""
    width = width_of(getattr(types, dtype))
    state, one = (parameters, VECTORS * width), (parameters, width)
    return LaneState(
        *(_aligned(state, dtype), _aligned(state, dtype), _aligned((1, state[1]), dtype)),
        *(_aligned(one, dtype), _aligned(one, dtype)),
        *(np.zeros(state[1], np.uint64), np.zeros(state[1], np.int64)),
        *(np.zeros(VECTORS, np.uint64), np.zeros((LONGEST, VECTORS), np.uint64)),
    )


def _aligned(shape: tuple[int, int], dtype: str) -> NDArray[Any]:
    """Return zeros whose registers do not lie across two cache lines: 1.3× the epochs."""
    size = np.dtype(dtype).itemsize * shape[0] * shape[1]
    room = np.zeros(size + CACHE_LINE, np.uint8)
    first = -room.ctypes.data % CACHE_LINE
    return room[first : first + size].view(dtype).reshape(shape)


def _measure(pair, kind, width, start, rate, total, x, y, error):
    """Set the sum Σ|a − y| of every neuron; in compiled code only."""


def _advance(pair, kind, places, x, y, limit, epochs):
    """Walk some epochs with every neuron of the lanes; in compiled code only.

    A neuron with Σ|a − y| ≤ limit stands still.
    """


# Overloads and not closures over compiled functions: Numba's cache would never find those again.
# `pair` and `kind` are literals.


def _formulas(pair, kind):
    cost, activation = pair.literal_value.split(" ")
    forward, delta = ACTIVATIONS[activation].forward, fused(cost, activation).delta
    ratio = exp2_ratio_near if kind.literal_value == "near" else exp2_ratio
    return register_jitable(forward), register_jitable(delta), ratio


@overload(_advance, prefer_literal=True)
def _overload_advance(pair, kind, places, x, y, limit, epochs):
    if not isinstance(pair, types.StringLiteral):
        return None
    forward, delta, ratio = _formulas(pair, kind)
    width = width_of(limit)

    # Adding a masked δ, and keeping masks instead of counts: 1.12× the epochs.
    def one(pair, kind, places, x, y, limit, epochs):
        start, total, rate, wrong = places.start, places.total, places.rate, places.wrong
        target = y[0]
        for epoch in range(epochs):
            for v in range(VECTORS):
                c = v * width
                t = load(total, 0, c)
                z = fma(-load(rate, 0, c), t, load(start, 0, c))
                residual, slope = forward(z, target, ratio)
                more = abs(residual) > limit
                store(total, 0, c, t + select(more, delta(residual, slope), zero(total)))
                wrong[epoch, v] = bits_of(more)

    def many(pair, kind, places, x, y, limit, epochs):
        total, theta, gradient = places.total, places.theta, places.gradient
        n, p = x.shape
        for epoch in range(epochs):
            for v in range(VECTORS):
                c = v * width
                minus_rate = -load(places.rate, 0, c)
                for j in range(p):
                    store(theta, j, 0, fma(minus_rate, load(total, j, c), load(places.start, j, c)))
                    store(gradient, j, 0, zero(total))
                error = zero(total)
                for i in range(n):
                    z = zero(total)
                    for j in range(p):
                        z = fma(load(theta, j, 0), x[i, j], z)
                    residual, slope = forward(z, y[i], ratio)
                    d = delta(residual, slope)
                    error = error + abs(residual)
                    for j in range(p):
                        store(gradient, j, 0, fma(d, x[i, j], load(gradient, j, 0)))
                more = error > limit
                for j in range(p):
                    step = select(more, load(gradient, j, 0), zero(total))
                    store(total, j, c, load(total, j, c) + step)
                places.wrong[epoch, v] = bits_of(more)

    return many if kind.literal_value == "many" else one


@overload(_measure, prefer_literal=True)
def _overload_measure(pair, kind, width, start, rate, total, x, y, error):
    if not isinstance(pair, types.StringLiteral):
        return None
    forward, _, ratio = _formulas(pair, kind)

    def sums(pair, kind, width, start, rate, total, x, y, error):
        n, p = x.shape
        for c in range(0, error.shape[1], width):
            minus_rate = -load(rate, 0, c)
            wrongness = zero(start)
            for i in range(n):
                z = zero(start)
                for j in range(p):
                    theta = fma(minus_rate, load(total, j, c), load(start, j, c))
                    z = fma(theta, x[i, j], z)
                residual, _ = forward(z, y[i], ratio)
                wrongness = wrongness + abs(residual)
            store(error, 0, c, wrongness)

    return sums


class Kernels(NamedTuple):
    """The compiled functions of one (cost, activation, kind, dtype).

    Their matrices have one column for each neuron, padded to a multiple of COLUMNS: start and total
    (p, N), rate and error (1, N).

    measure(start, rate, total, x, y, error)
        Sets error, the sum of |a − y| over the samples.
    train(places, start, rate, queue, total, count, x, y, limit, max_epochs, stop)
        Trains the neurons in `queue`, in that order, until their sum of |a − y| is at most
        `limit`, and sets their total and count (N,). Returns the number of lane-epochs walked,
        early when stop[0] becomes 1.
    """

    measure: Callable[..., None]
    train: Callable[..., int]


@once
def kernels(cost: str, activation: str, kind: str, dtype: str) -> Kernels:
    """Compile the kernels of a cost with an activation, or take them from the disk.

    Parameters
    ----------
    kind : "many", "one" or "near"
        Many samples; one, of a single feature whose value is 1; that, with z never beyond the
        range of exp: 1.03 to 1.08× the epochs.
    """
    pair = f"{cost} {activation}"
    number, whole = getattr(types, dtype), types.int64
    matrix, vector = types.Array(number, 2, "C"), types.Array(number, 1, "C")
    queue_type, counts = types.Array(types.uint64, 1, "C"), types.Array(types.int32, 1, "C")
    width = width_of(number)
    every_lane, many = np.uint64((1 << width) - 1), kind == "many"

    @compiled(types.void(matrix, matrix, matrix, matrix, vector, matrix))
    def measure(start, rate, total, x, y, error):
        _measure(pair, kind, width, start, rate, total, x, y, error)

    @compiled(
        whole(
            *(typeof(empty_lanes(1, dtype)), matrix, matrix, queue_type, matrix, counts),
            *(matrix, vector, number, whole, types.Array(types.uint8, 1, "C")),
        )
    )
    def train(places, start, rate, queue, total, count, x, y, limit, max_epochs, stop):
        p = len(start) if many else 1
        working, wrong, neuron, began = places.working, places.wrong, places.neuron, places.began
        waiting = len(queue)
        taken = finished = updates = tick = oldest = 0
        interval, epochs = SHORTEST, 1
        while finished < waiting and stop[0] == 0:
            for v in range(VECTORS):
                work = working[v]
                free = work & ~wrong[epochs - 1, v]
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
                        more, size = 0, epochs  # of the last epochs, those at which it was wrong
                        while more < size:
                            middle = (more + size) >> 1
                            if (wrong[middle, v] >> bit) & ONE != 0:
                                more = middle + 1
                            else:
                                size = middle
                        counted = tick - epochs - began[lane] + more
                        i = neuron[lane]
                        for j in range(p):
                            total[j, i] = places.total[j, lane]
                        count[i] = counted
                        updates += counted
                        finished += 1
                        work ^= ONE << bit
                    if taken < waiting:
                        i = neuron[lane] = queue[taken]
                        taken += 1
                        for j in range(p):
                            places.start[j, lane] = start[j, i]
                            places.total[j, lane] = 0
                        places.rate[0, lane] = rate[0, i]
                        began[lane] = tick
                        work |= ONE << bit
                working[v] = work
            if finished > 0:
                interval = updates // (16 * finished)
                interval = SHORTEST if interval < SHORTEST else interval
            else:
                interval += 1
            epochs = interval = LONGEST if interval > LONGEST else interval
            if tick + epochs > oldest + max_epochs:
                oldest = tick
                for lane in range(VECTORS * width):
                    if (working[lane // width] >> (lane % width)) & ONE != 0:
                        oldest = began[lane] if began[lane] < oldest else oldest
                left = oldest + max_epochs - tick
                epochs = left if left < interval else interval
            _advance(pair, kind, places, x, y, limit, epochs)
            tick += epochs
        for v in range(VECTORS):
            working[v] = 0
        return tick * VECTORS * width

    return Kernels(measure, train)
