"""The general kernel: lanes of neurons that walk their epochs together, leave early, refill.

A neuron has p parameters θ and n samples of p features x, so that z = θ·x; the bias is the
parameter whose feature is 1. What is kept and summed is not θ but T, the sum of all gradients so
far (times n), with θ = θ₀ − (η/n) T. A saturated neuron's steps lie far below the last digit of
its weights; in T they add up as they do in truth.

With one sample every step goes along (x, 1), so T has one number and z = z₀ − κ T with
κ = η(|x|² + 1): one parameter z₀, whose feature is 1 and whose rate is κ.

z is counted in octaves, z/ln 2 (what `Activation.octaves` says), so that its exponential is a power
of 2: one sample's z₀ and κ are multiplied by that beforehand, of many the features are.

A block of neurons is trained in a few dozen lanes. All take a few epochs together; a lane whose
error has met the tolerance stands still. Of each epoch it is kept which lanes were still wrong, so
that the count of a lane that has finished is the first epoch at which it was not. Then finished
neurons hand their places to the next ones.
"""

# compiled code: its types are Numba's
# mypy: disable-error-code="no-untyped-def, no-untyped-call"

from __future__ import annotations

import numpy as np
from numba.core import types
from numba.extending import overload, register_jitable

from sweep.kernels.vectormath import (
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

__all__ = ["COLUMNS", "measure", "walk"]

# Lanes in training: 64 here (890 million useful neuron-epochs a second on the benchmark's sweep,
# against 710 with 32 and 840 with 128). In float32, 128.
VECTORS = 2

# What the number of columns of a block is a multiple of: the widest lanes.
COLUMNS = width_of(types.float32)

ONE = np.uint64(1)

# Epochs between two looks at who has finished: a 16th of what a neuron takes, within these.
SHORTEST, LONGEST = 2, 32


def walk(pair, kind, width, start, rate, queue, total, count, x, y, limit, max_epochs, stop):
    """Train the neurons in `queue`, in that order, until their Σ|a − y| is at most `limit`.

    In compiled code only. Matrices have one column for each neuron, padded to a multiple of
    COLUMNS: start and total (p, N), rate (1, N). Sets total and count (N,), and returns the
    lane-epochs walked; early when stop[0] becomes 1.

    `pair` is "cost activation" and `kind` says what is trained: "many" samples, "one" of a single
    feature whose value is 1, or that and "near": with z that is never beyond the range of exp,
    1.04 to 1.08× the epochs.
    """


def measure(pair, kind, width, start, rate, total, x, y, error):
    """Set `error` (1, N), the sum Σ|a − y| of every neuron; in compiled code only."""


def _advance(pair, kind, width, start, rate, total, wrong, x, y, limit, epochs):
    """Walk some epochs with every neuron of the lanes; in compiled code only.

    A neuron with Σ|a − y| ≤ limit stands still. Bits of wrong[epoch, vector] say whose is larger.
    """


# Overloads and not closures over compiled functions: Numba's cache would never find those again.
# `pair` and `kind` are literals.


def _formulas(pair, kind):
    cost, activation = pair.literal_value.split(" ")
    forward, delta = ACTIVATIONS[activation].forward, fused(cost, activation).delta
    ratio = exp2_ratio_near if kind.literal_value == "near" else exp2_ratio
    return register_jitable(forward), register_jitable(delta), ratio


@overload(_advance, prefer_literal=True)
def _overload_advance(pair, kind, width, start, rate, total, wrong, x, y, limit, epochs):
    if not isinstance(pair, types.StringLiteral):
        return None
    forward, delta, ratio = _formulas(pair, kind)

    # Adding a masked δ, and keeping masks instead of counts: 1.12× the epochs.
    def one(pair, kind, width, start, rate, total, wrong, x, y, limit, epochs):
        target = y[0]
        for epoch in range(epochs):
            for v in range(wrong.shape[1]):
                c = v * width
                t = load(total, 0, c)
                z = fma(-load(rate, 0, c), t, load(start, 0, c))
                residual, slope = forward(z, target, ratio)
                more = abs(residual) > limit
                store(total, 0, c, t + select(more, delta(residual, slope), zero(total)))
                wrong[epoch, v] = bits_of(more)

    def many(pair, kind, width, start, rate, total, wrong, x, y, limit, epochs):
        n, p = x.shape
        theta, gradient = np.empty((p, width), x.dtype), np.empty((p, width), x.dtype)
        for epoch in range(epochs):
            for v in range(wrong.shape[1]):
                c = v * width
                minus_rate = -load(rate, 0, c)
                for j in range(p):
                    store(theta, j, 0, fma(minus_rate, load(total, j, c), load(start, j, c)))
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
                wrong[epoch, v] = bits_of(more)

    return many if kind.literal_value == "many" else one


@overload(measure, prefer_literal=True)
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


@overload(walk, prefer_literal=True)
def _overload_walk(
    pair, kind, width, start, rate, queue, total, count, x, y, limit, max_epochs, stop
):
    if not isinstance(pair, types.StringLiteral):
        return None
    lanes, every_lane = VECTORS * width_of(start.dtype), (1 << width_of(start.dtype)) - 1
    every_lane = np.uint64(every_lane)

    def refill(pair, kind, width, start, rate, queue, total, count, x, y, limit, max_epochs, stop):
        p = start.shape[0]
        lane_start, lane_total = np.zeros((p, lanes), x.dtype), np.zeros((p, lanes), x.dtype)
        lane_rate = np.zeros((1, lanes), x.dtype)
        # Who trains in each lane, since which tick, and which lanes of a vector have work.
        neuron, began = np.zeros(lanes, np.uint64), np.zeros(lanes, np.int64)
        working, wrong = np.zeros(VECTORS, np.uint64), np.zeros((LONGEST, VECTORS), np.uint64)
        waiting, taken, finished, updates = len(queue), 0, 0, 0
        tick = oldest = 0
        interval, epochs = SHORTEST, 1
        while finished < waiting and stop[0] == 0:
            for v in range(VECTORS):
                free = working[v] & ~wrong[epochs - 1, v]
                if tick - oldest >= max_epochs:
                    for bit in range(width):
                        if tick - began[v * width + bit] >= max_epochs:
                            free |= working[v] & (ONE << bit)
                if taken < waiting:
                    free |= every_lane & ~working[v]
                while free != 0:
                    bit = lowest(free)
                    free &= free - ONE
                    lane = v * width + bit
                    if (working[v] >> bit) & ONE != 0:
                        i = neuron[lane]
                        first, last = 0, epochs  # the first of these at which it was not wrong
                        while first < last:
                            middle = (first + last) >> 1
                            if (wrong[middle, v] >> bit) & ONE != 0:
                                first = middle + 1
                            else:
                                last = middle
                        counted = tick - began[lane] - epochs + first
                        for j in range(p):
                            total[j, i] = lane_total[j, lane]
                        count[i] = counted
                        updates += counted
                        finished += 1
                        working[v] ^= ONE << bit
                    if taken < waiting:
                        i = neuron[lane] = queue[taken]
                        taken += 1
                        for j in range(p):
                            lane_start[j, lane] = start[j, i]
                            lane_total[j, lane] = 0
                        lane_rate[0, lane] = rate[0, i]
                        began[lane] = tick
                        working[v] |= ONE << bit
            if finished > 0:
                interval = min(max(updates // (16 * finished), SHORTEST), LONGEST)
            elif interval < LONGEST:
                interval += 1
            epochs = interval
            if tick + epochs > oldest + max_epochs:
                oldest = tick
                for lane in range(lanes):
                    if (working[lane // width] >> (lane % width)) & ONE != 0:
                        oldest = min(oldest, began[lane])
                epochs = min(interval, oldest + max_epochs - tick)
            _advance(
                pair, kind, width, lane_start, lane_rate, lane_total, wrong, x, y, limit, epochs
            )
            tick += epochs
        return tick * lanes

    return refill
