"""The general kernel: lanes of neurons that walk their epochs together, leave early, refill.

A neuron has p parameters θ and n samples of p features x, so that z = θ·x; the bias is the
parameter whose feature is 1. What is kept and summed is not θ but T, the sum of all gradients so
far (times n), with θ = θ₀ − (η/n) T. A saturated neuron's steps lie far below the last digit of
its weights; in T they add up as they do in truth.

With one sample every step goes along (x, 1), so T has one number and z = z₀ − κ T with
κ = η(|x|² + 1): one parameter z₀, whose feature is 1 and whose rate is κ.

A block of neurons is trained in a few dozen lanes. All take a few epochs together; a lane whose
error has met the tolerance stands still, so its state and count remain those of the first epoch
at which that held. Then finished neurons hand their places to the next ones.
"""

# compiled code: its types are Numba's
# mypy: disable-error-code="no-untyped-def, no-untyped-call"

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

import numpy as np
from numba.core import types
from numba.extending import overload, register_jitable

from sweep.kernels.cache import compiled, once
from sweep.kernels.vectormath import (
    bits_of,
    count_up,
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

__all__ = ["COLUMNS", "Kernels", "kernels"]

# Lanes in training: 64 here (890 million useful neuron-epochs a second on the benchmark's sweep,
# against 710 with 32 and 840 with 128). In float32, 128.
VECTORS = 2

# What the number of columns of a block is a multiple of: the widest lanes.
COLUMNS = width_of(types.float32)

ONE = np.uint64(1)

# Epochs between two looks at who has finished: a 16th of what a neuron takes, within these.
SHORTEST, LONGEST = 2, 32


def _advance(pair, samples, width, start, rate, total, count, x, y, limit, epochs):
    """Walk some epochs with every neuron of the lanes; in compiled code only.

    A neuron with Σ|a − y| ≤ limit stands still and its count too.
    """


def _measure(pair, width, start, rate, total, x, y, error):
    """Set the sum Σ|a − y| of every neuron; in compiled code only."""


# Overloads and not closures over compiled functions: Numba's cache would never find those again.
# `pair` and `samples` are literals.


def _formulas(pair):
    cost, activation = pair.literal_value.split(" ")
    forward, delta = ACTIVATIONS[activation].forward, fused(cost, activation).delta
    return register_jitable(forward), register_jitable(delta)


@overload(_advance, prefer_literal=True)
def _overload_advance(pair, samples, width, start, rate, total, count, x, y, limit, epochs):
    if not isinstance(pair, types.StringLiteral):
        return None
    forward, delta = _formulas(pair)

    def one(pair, samples, width, start, rate, total, count, x, y, limit, epochs):
        target = y[0]
        for _ in range(epochs):
            for c in range(0, count.shape[1], width):
                t = load(total, 0, c)
                z = fma(-load(rate, 0, c), t, load(start, 0, c))
                residual, slope = forward(z, target)
                wrong = abs(residual) > limit
                store(total, 0, c, select(wrong, t + delta(residual, slope), t))
                store(count, 0, c, count_up(load(count, 0, c), wrong))

    def many(pair, samples, width, start, rate, total, count, x, y, limit, epochs):
        n, p = x.shape
        theta, gradient = np.empty((p, width), x.dtype), np.empty((p, width), x.dtype)
        for _ in range(epochs):
            for c in range(0, count.shape[1], width):
                minus_rate = -load(rate, 0, c)
                for j in range(p):
                    store(theta, j, 0, fma(minus_rate, load(total, j, c), load(start, j, c)))
                    store(gradient, j, 0, load(total, j, c))
                error = zero(start)
                for i in range(n):
                    z = zero(start)
                    for j in range(p):
                        z = fma(load(theta, j, 0), x[i, j], z)
                    residual, slope = forward(z, y[i])
                    d = delta(residual, slope)
                    error = error + abs(residual)
                    for j in range(p):
                        store(gradient, j, 0, fma(d, x[i, j], load(gradient, j, 0)))
                wrong = error > limit
                for j in range(p):
                    store(total, j, c, select(wrong, load(gradient, j, 0), load(total, j, c)))
                store(count, 0, c, count_up(load(count, 0, c), wrong))

    return one if samples.literal_value == "one" else many


@overload(_measure, prefer_literal=True)
def _overload_measure(pair, width, start, rate, total, x, y, error):
    if not isinstance(pair, types.StringLiteral):
        return None
    forward, _ = _formulas(pair)

    def measure(pair, width, start, rate, total, x, y, error):
        n, p = x.shape
        for c in range(0, error.shape[1], width):
            minus_rate = -load(rate, 0, c)
            wrongness = zero(start)
            for i in range(n):
                z = zero(start)
                for j in range(p):
                    theta = fma(minus_rate, load(total, j, c), load(start, j, c))
                    z = fma(theta, x[i, j], z)
                residual, _ = forward(z, y[i])
                wrongness = wrongness + abs(residual)
            store(error, 0, c, wrongness)

    return measure


class Kernels(NamedTuple):
    """The compiled functions of one (cost, activation, samples, dtype).

    Their matrices have one column for each neuron, padded to a multiple of COLUMNS: start and total
    (p, N), rate, count and error (1, N).

    measure(start, rate, total, x, y, error)
        Sets error, the sum of |a − y| over the samples.
    train(start, rate, queue, total, count, x, y, limit, max_epochs, stop)
        Trains the neurons in `queue`, in that order, until their sum of |a − y| is at most
        `limit`, and sets their total and count. Returns the number of lane-epochs walked, early
        when stop[0] becomes 1.
    """

    measure: Callable[..., None]
    train: Callable[..., int]


@once
def kernels(cost: str, activation: str, samples: str, dtype: str) -> Kernels:
    """Compile the kernels of a cost with an activation, or take them from the disk.

    Parameters
    ----------
    samples : "one" or "many"
        "one" takes a single feature, of value 1.
    """
    pair = f"{cost} {activation}"
    number = getattr(types, dtype)
    integer = types.int64 if number.bitwidth == 64 else types.int32
    matrix, vector = types.Array(number, 2, "C"), types.Array(number, 1, "C")
    counts, queue_type = types.Array(integer, 2, "C"), types.Array(types.uint64, 1, "C")
    flags = types.Array(types.uint8, 1, "C")
    width = width_of(number)
    lanes = VECTORS * width
    every_lane = np.uint64((1 << width) - 1)

    @compiled(types.void(matrix, matrix, matrix, matrix, vector, matrix))
    def measure(start, rate, total, x, y, error):
        _measure(pair, width, start, rate, total, x, y, error)

    @compiled(
        types.int64(
            *(matrix, matrix, queue_type, matrix, counts, matrix, vector),
            *(number, types.int64, flags),
        )
    )
    def train(start, rate, queue, total, count, x, y, limit, max_epochs, stop):
        p = start.shape[0]
        lane_start, lane_total = np.zeros((p, lanes), number), np.zeros((p, lanes), number)
        lane_rate, lane_count = np.zeros((1, lanes), number), np.zeros((1, lanes), integer)
        # Who trains in each lane, since which tick, and which lanes of a vector have work.
        neuron = np.zeros(lanes, np.uint64)
        began = np.zeros((1, lanes), integer)
        working = np.zeros(lanes // width, np.uint64)
        waiting, taken, finished, updates = len(queue), 0, 0, 0
        tick = oldest = 0
        interval = SHORTEST
        while finished < waiting and stop[0] == 0:
            for c in range(0, lanes, width):
                # A lane that did not count every tick since it began has converged.
                counted = load(lane_count, 0, c)
                free = bits_of(load(began, 0, c) + counted != tick)
                if tick - oldest >= max_epochs:
                    free |= ~bits_of(counted != max_epochs)
                free |= ~working[c // width]
                free &= every_lane if taken < waiting else working[c // width]
                while free != 0:
                    bit = lowest(free)
                    free &= free - ONE
                    lane = c + bit
                    if (working[c // width] >> bit) & ONE != 0:
                        i = neuron[lane]
                        for j in range(p):
                            total[j, i] = lane_total[j, lane]
                        count[0, i] = lane_count[0, lane]
                        updates += lane_count[0, lane]
                        finished += 1
                        working[c // width] ^= ONE << bit
                    if taken < waiting:
                        i = neuron[lane] = queue[taken]
                        taken += 1
                        for j in range(p):
                            lane_start[j, lane] = start[j, i]
                            lane_total[j, lane] = 0
                        lane_rate[0, lane] = rate[0, i]
                        lane_count[0, lane] = 0
                        began[0, lane] = tick
                        working[c // width] |= ONE << bit
            if finished > 0:
                interval = min(max(updates // (16 * finished), SHORTEST), LONGEST)
            elif interval < LONGEST:
                interval += 1
            epochs = interval
            if tick + epochs > oldest + max_epochs:
                oldest = tick
                for lane in range(lanes):
                    if (working[lane // width] >> (lane % width)) & ONE != 0:
                        oldest = min(oldest, tick - lane_count[0, lane])
                epochs = min(interval, oldest + max_epochs - tick)
            _advance(
                pair,
                samples,
                width,
                lane_start,
                lane_rate,
                lane_total,
                lane_count,
                x,
                y,
                limit,
                epochs,
            )
            tick += epochs
        return tick * lanes

    return Kernels(measure, train)
