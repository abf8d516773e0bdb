"""The hot loop: lanes of neurons that walk their epochs together, leave early, refill.

A neuron has p parameters θ and n samples of p features x, so that z = θ·x; the bias is the
parameter whose feature is 1. What is kept and summed is not θ but T, the sum of all gradients so
far (times n), with θ = θ₀ − (η/n) T. A saturated neuron's steps lie far below the last digit of
its weights; in T they add up as they do in truth.

With one sample every step goes along (x, 1), so T has one number and z = z₀ − κ T with
κ = η(|x|² + 1): one parameter z₀, whose feature is 1 and whose rate is κ.

z is counted in octaves, z/ln 2 (`Activation.exp2_scale`), so that its exponential is a power of 2:
one sample's z₀ and κ are multiplied by that beforehand, of many samples the features are.

A block of neurons is trained in a few dozen lanes. All take a few epochs together; a lane whose
error has met the tolerance keeps its T. Of each epoch a mask is kept, of the lanes that had not
converged, so that the count of a lane that has finished is the first epoch at which its bit is 0.
Then finished neurons hand their lanes to the next ones. The loop over epochs is in
`_overload_advance`.
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

__all__ = ["PAD_TO", "Block", "Kernels", "compile_kernels", "empty_lanes"]

# Lanes in training: 64 here (1.33× the neuron-epochs of 32 on the benchmark's sweep; with 96 or
# 128 as many). In float32, 128.
VECTORS = 2

# What the number of columns of a block is a multiple of: the widest lanes.
PAD_TO = width_of(types.float32)

ONE = np.uint64(1)
CACHE_LINE = 64

# Of many samples a tile is at work together: θ is loaded once for all of them, the gradient loaded
# and stored once. The z of a chunk come first, then all its δ, whose divisions hide one another's
# latency, then its gradients; a chunk, θ and the gradient of 31 parameters are 24 kB. All sums run
# in the order of the samples. Shares of the bound of 17 + 2p operations (Emerald Rapids, float64,
# in turns), one by one and so: n = 100, d = 10: 44 and 62 %; n = 100, d = 30: 36 and 65 %; n = 569,
# d = 30: 35 and 74 %. With one input, 53 to 56 %, the division is the limit: 16 cycles of 8 lanes.
TILE, CHUNK = 4, 32

# Epochs between two looks at who has finished: a 16th of what a neuron takes, within these.
SHORTEST, LONGEST = 2, 32


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
    epochs : (N,) int32 array
        Updates applied.
    x, y : (n, p), (n,) array
        The samples' features and targets.
    """

    start: NDArray[Any]
    total: NDArray[Any]
    rate: NDArray[Any]
    error: NDArray[Any]
    criterion: NDArray[Any]
    epochs: NDArray[np.int32]
    x: NDArray[Any]
    y: NDArray[Any]


class LaneState(NamedTuple):
    """The neurons that L lanes train at the moment, W lanes to a vector, V vectors.

    Attributes
    ----------
    start, total : (p, L) array
    rate : (1, L) array
        As in `Block`.
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
    theta: NDArray[Any]
    gradient: NDArray[Any]
    chunk: NDArray[Any]
    neuron: NDArray[np.uint64]
    began: NDArray[np.int64]
    busy: NDArray[np.uint64]
    unconverged: NDArray[np.uint64]


def empty_lanes(parameters: int, dtype: str) -> LaneState:
    """Return lanes that train nothing yet."""
    p, width = parameters, width_of(getattr(types, dtype))
    lanes = VECTORS * width
    # Cut from one piece of memory, for 6 µs a block instead of 15; all rows are whole cache lines.
    size = (2 * p + 1) * lanes
    memory = _aligned(size + (2 * p + CHUNK) * width, dtype)
    rows, vectors = memory[:size].reshape(-1, lanes), memory[size:].reshape(-1, width)
    return LaneState(
        start=rows[:p],
        total=rows[p:-1],
        rate=rows[-1:],
        theta=vectors[:p],
        gradient=vectors[p : 2 * p],
        chunk=vectors[2 * p :],
        neuron=np.zeros(lanes, np.uint64),
        began=np.zeros(lanes, np.int64),
        busy=np.zeros(VECTORS, np.uint64),
        unconverged=np.zeros((LONGEST, VECTORS), np.uint64),
    )


def _aligned(count: int, dtype: str) -> NDArray[Any]:
    """Return zeros whose registers do not lie across two cache lines: 1.3× the epochs."""
    size = np.dtype(dtype).itemsize * count
    memory = np.zeros(size + CACHE_LINE, np.uint8)
    first = -memory.ctypes.data % CACHE_LINE
    return memory[first : first + size].view(dtype)


def _measure(cost, activation, kind, rule, lanes, block):
    """Set error and criterion of every neuron of a block; in compiled code only."""


def _advance(cost, activation, kind, rule, state, x, y, limit, epochs):
    """Walk some epochs with every neuron of the lanes; in compiled code only.

    A neuron whose criterion is at most the limit keeps its T.
    """


# Overloads and not closures over compiled functions: Numba's cache would never find those again.
# `cost`, `activation`, `kind` and `rule` are literals.


def _formulas(cost, activation, kind):
    forward = ACTIVATIONS[activation.literal_value].forward
    delta = fused(cost.literal_value, activation.literal_value).delta
    ratio = exp2_ratio_near if kind.literal_value == "near" else exp2_ratio
    return register_jitable(forward), register_jitable(delta), ratio


@overload(_advance, prefer_literal=True)
def _overload_advance(cost, activation, kind, rule, state, x, y, limit, epochs):
    if not isinstance(cost, types.StringLiteral):
        return None
    forward, delta, ratio = _formulas(cost, activation, kind)
    width, by_gradient = width_of(limit), rule.literal_value == "gradient"

    # Adding a masked δ, and keeping masks instead of counts: 1.12× the epochs.
    def one(cost, activation, kind, rule, state, x, y, limit, epochs):
        """Update z = z₀ − rate·T, in octaves: T ← T + δ(z) where |a − y| (|δ|) > limit."""
        start, total, rate = state.start, state.total, state.rate
        unconverged, target = state.unconverged, y[0]
        for epoch in range(epochs):
            for v in range(VECTORS):
                c = v * width
                t = load(total, 0, c)
                z = fma(-load(rate, 0, c), t, load(start, 0, c))
                residual, slope = forward(z, target, ratio)
                d = delta(residual, slope)
                unmet = abs(d if by_gradient else residual) > limit
                store(total, 0, c, t + select(unmet, d, zero(total)))
                unconverged[epoch, v] = bits_of(unmet)

    def two(cost, activation, kind, rule, state, x, y, limit, epochs):
        """Do what `many` does, with two parameters, in registers."""
        start, total = state.start, state.total
        for epoch in range(epochs):
            for v in range(VECTORS):
                c = v * width
                minus_rate = -load(state.rate, 0, c)
                theta0 = fma(minus_rate, load(total, 0, c), load(start, 0, c))
                theta1 = fma(minus_rate, load(total, 1, c), load(start, 1, c))
                error = gradient0 = gradient1 = zero(total)
                for i in range(len(y)):
                    z = fma(theta1, x[i, 1], fma(theta0, x[i, 0], zero(total)))
                    residual, slope = forward(z, y[i], ratio)
                    d = delta(residual, slope)
                    error = error + abs(residual)
                    gradient0 = fma(d, x[i, 0], gradient0)
                    gradient1 = fma(d, x[i, 1], gradient1)
                criterion = error
                if by_gradient:
                    criterion, other = abs(gradient0), abs(gradient1)
                    criterion = select(other > criterion, other, criterion)
                unmet = criterion > limit
                store(total, 0, c, load(total, 0, c) + select(unmet, gradient0, zero(total)))
                store(total, 1, c, load(total, 1, c) + select(unmet, gradient1, zero(total)))
                state.unconverged[epoch, v] = bits_of(unmet)

    def many(cost, activation, kind, rule, state, x, y, limit, epochs):
        """Update θ = θ₀ − rate·T, z_i = θ·x_i: T ← T + Σ_i δ_i x_i where it is > limit."""
        total, theta, gradient = state.total, state.theta, state.gradient
        chunk = state.chunk
        n, p = x.shape
        for epoch in range(epochs):
            for v in range(VECTORS):
                c = v * width
                minus_rate = -load(state.rate, 0, c)
                for j in range(p):
                    store(theta, j, 0, fma(minus_rate, load(total, j, c), load(state.start, j, c)))
                    store(gradient, j, 0, zero(total))
                error = zero(total)
                tiled = n - n % TILE
                for first in range(0, tiled, CHUNK):
                    last = first + CHUNK if first + CHUNK < tiled else tiled
                    for i in range(first, last, TILE):
                        z0 = z1 = z2 = z3 = zero(total)
                        for j in range(p):
                            t = load(theta, j, 0)
                            z0 = fma(t, x[i, j], z0)
                            z1 = fma(t, x[i + 1, j], z1)
                            z2 = fma(t, x[i + 2, j], z2)
                            z3 = fma(t, x[i + 3, j], z3)
                        s = i - first
                        store(chunk, s, 0, z0)
                        store(chunk, s + 1, 0, z1)
                        store(chunk, s + 2, 0, z2)
                        store(chunk, s + 3, 0, z3)
                    for i in range(first, last):
                        residual, slope = forward(load(chunk, i - first, 0), y[i], ratio)
                        error = error + abs(residual)
                        store(chunk, i - first, 0, delta(residual, slope))
                    for i in range(first, last, TILE):
                        s = i - first
                        d0, d1 = load(chunk, s, 0), load(chunk, s + 1, 0)
                        d2, d3 = load(chunk, s + 2, 0), load(chunk, s + 3, 0)
                        for j in range(p):
                            g = fma(d0, x[i, j], load(gradient, j, 0))
                            g = fma(d1, x[i + 1, j], g)
                            g = fma(d2, x[i + 2, j], g)
                            store(gradient, j, 0, fma(d3, x[i + 3, j], g))
                for i in range(tiled, n):
                    z = zero(total)
                    for j in range(p):
                        z = fma(load(theta, j, 0), x[i, j], z)
                    residual, slope = forward(z, y[i], ratio)
                    d = delta(residual, slope)
                    error = error + abs(residual)
                    for j in range(p):
                        store(gradient, j, 0, fma(d, x[i, j], load(gradient, j, 0)))
                criterion = largest(gradient) if by_gradient else error
                unmet = criterion > limit
                for j in range(p):
                    step = select(unmet, load(gradient, j, 0), zero(total))
                    store(total, j, c, load(total, j, c) + step)
                state.unconverged[epoch, v] = bits_of(unmet)

    return {"many": many, "two": two}.get(kind.literal_value, one)


@register_jitable
def largest(gradient):
    """Return the largest |gradient[j]| of each lane."""
    found = abs(load(gradient, 0, 0))
    for j in range(1, len(gradient)):
        size = abs(load(gradient, j, 0))
        found = select(size > found, size, found)
    return found


@overload(_measure, prefer_literal=True)
def _overload_measure(cost, activation, kind, rule, lanes, block):
    if not isinstance(cost, types.StringLiteral):
        return None
    forward, delta, ratio = _formulas(cost, activation, kind)
    width, by_gradient = width_of(block.types[0].dtype), rule.literal_value == "gradient"

    def measure(cost, activation, kind, rule, lanes, block):
        start, total, theta, x = block.start, block.total, lanes.theta, block.x
        gradient = lanes.gradient
        n, p = x.shape
        for c in range(0, block.error.shape[1], width):
            minus_rate = -load(block.rate, 0, c)
            for j in range(p):
                store(theta, j, 0, fma(minus_rate, load(total, j, c), load(start, j, c)))
                if by_gradient:
                    store(gradient, j, 0, zero(start))
            error = zero(start)
            for i in range(n):
                z = zero(start)
                for j in range(p):
                    z = fma(load(theta, j, 0), x[i, j], z)
                residual, slope = forward(z, block.y[i], ratio)
                error = error + abs(residual)
                if by_gradient:
                    d = delta(residual, slope)
                    for j in range(p):
                        store(gradient, j, 0, fma(d, x[i, j], load(gradient, j, 0)))
            store(block.error, 0, c, error)
            if by_gradient:
                store(block.criterion, 0, c, largest(gradient))

    return measure


class Kernels(NamedTuple):
    """The compiled functions of one (cost, activation, kind, dtype).

    measure(lanes, block)
        Sets the block's error and criterion.
    walk(lanes, block, queue, limit, max_epochs, stop)
        Trains the neurons in `queue`, (Q,) uint64, in that order, until their criterion is at most
        `limit`, and sets their total and epochs. Returns the number of lane-epochs walked,
        early when stop[0] becomes 1.
    """

    measure: Callable[[LaneState, Block], None]
    walk: Callable[..., int]


@once
def compile_kernels(
    cost: str, activation: str, kind: str, dtype: str, rule: str = "error"
) -> Kernels:
    """Compile the kernels of a cost with an activation, or take them from the disk.

    Parameters
    ----------
    kind : "many", "two", "one" or "near"
        Many samples; many, of two parameters; one, of a single feature whose value is 1; that,
        with z never beyond the range of exp: 1.03 to 1.08× the epochs.
    rule : "error" or "gradient"
        Of which sum the criterion is.
    """
    number, whole = getattr(types, dtype), types.int64
    matrix, vector = types.Array(number, 2, "C"), types.Array(number, 1, "C")
    epochs_type, queue_type = types.Array(types.int32, 1, "C"), types.Array(types.uint64, 1, "C")
    block_type = types.NamedTuple([matrix] * 5 + [epochs_type, matrix, vector], Block)
    lanes_type, stop_type = typeof(empty_lanes(1, dtype)), types.Array(types.uint8, 1, "C")
    width = width_of(number)
    every_lane, many = np.uint64((1 << width) - 1), kind in ("many", "two")

    @compiled(types.void(lanes_type, block_type))
    def measure(lanes, block):
        _measure(cost, activation, kind, rule, lanes, block)

    @compiled(whole(lanes_type, block_type, queue_type, number, whole, stop_type))
    def walk(lanes, block, queue, limit, max_epochs, stop):
        p = len(block.start) if many else 1
        busy, unconverged = lanes.busy, lanes.unconverged
        neuron, began = lanes.neuron, lanes.began
        waiting = len(queue)
        taken = finished = updates = tick = oldest = 0
        interval, epochs = SHORTEST, 1
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
                        unmet, size = 0, epochs  # of the last epochs, those before it converged
                        while unmet < size:
                            middle = (unmet + size) >> 1
                            if (unconverged[middle, v] >> bit) & ONE != 0:
                                unmet = middle + 1
                            else:
                                size = middle
                        counted = tick - epochs - began[lane] + unmet
                        i = neuron[lane]
                        for j in range(p):
                            block.total[j, i] = lanes.total[j, lane]
                        block.epochs[i] = counted
                        updates += counted
                        finished += 1
                        work ^= ONE << bit
                    if taken < waiting:
                        i = neuron[lane] = queue[taken]
                        taken += 1
                        for j in range(p):
                            lanes.start[j, lane] = block.start[j, i]
                            lanes.total[j, lane] = 0
                        lanes.rate[0, lane] = block.rate[0, i]
                        began[lane] = tick
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
            _advance(cost, activation, kind, rule, lanes, block.x, block.y, limit, epochs)
            tick += epochs
        for v in range(VECTORS):
            busy[v] = 0
        return tick * VECTORS * width

    return Kernels(measure, walk)
