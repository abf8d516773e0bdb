"""The general kernel: lanes of neurons that walk their epochs together, leave early, refill.

A neuron has p parameters θ and n samples of p features x, so that z = θ·x; the bias is the
parameter whose feature is 1. What is kept and summed is not θ but T, the sum of all gradients so
far (times n), with θ = θ₀ − (η/n) T. A saturated neuron's steps lie far below the last digit of
its weights; in T they add up as they do in truth.

With one sample every step goes along (x, 1), so T has one number and z = z₀ − κ T with
κ = η(|x|² + 1): one parameter z₀, whose feature is 1 and whose rate is κ.

A block of neurons is trained `LANES` at a time. All lanes take up to `INTERVAL` epochs together;
a lane whose error has met the tolerance stands still, so its state and count remain those of the
first epoch at which that held. Then finished neurons hand their places to the next ones.
"""

# compiled code: its types are Numba's
# mypy: disable-error-code="no-untyped-def, no-untyped-call"

from __future__ import annotations

from collections.abc import Callable
from functools import cache

import numpy as np
from numba.core import types
from numba.extending import overload, register_jitable

from sweep.kernels.cache import compiled
from sweep.kernels.vectormath import WIDTH, bits_of, count_up, load, select, store, zero
from sweep.neuron.activations import ACTIVATIONS
from sweep.neuron.arithmetic import fma
from sweep.neuron.costs import fused

__all__ = ["WIDTH", "block_kernel"]

LANES = 64
INTERVAL = 16
EVERY_LANE = np.uint64((1 << WIDTH) - 1)


def _advance(pair, samples, start, rate, total, count, error, x, y, limit, columns, epochs):
    """Walk some epochs with the neurons in the first columns; in compiled code only.

    Sets `error` to Σ|a − y| before the last of them. A neuron with Σ|a − y| ≤ limit stands still.
    """


# An overload and not a closure over compiled functions: Numba's cache would never find that
# again. `pair` and `samples` are literals.
@overload(_advance, prefer_literal=True)
def _overload_advance(
    pair, samples, start, rate, total, count, error, x, y, limit, columns, epochs
):
    if not isinstance(pair, types.StringLiteral):
        return None
    cost, activation = pair.literal_value.split(" ")
    forward = register_jitable(ACTIVATIONS[activation].forward)
    delta = register_jitable(fused(cost, activation).delta)

    def one(pair, samples, start, rate, total, count, error, x, y, limit, columns, epochs):
        for _ in range(epochs):
            for c in range(0, columns, WIDTH):
                t = load(total, 0, c)
                z = fma(-load(rate, 0, c), t, load(start, 0, c))
                residual, slope = forward(z, y[0])
                wrong = abs(residual) > limit
                store(total, 0, c, select(wrong, t + delta(residual, slope), t))
                store(count, 0, c, count_up(load(count, 0, c), wrong))
                store(error, 0, c, abs(residual))

    def many(pair, samples, start, rate, total, count, error, x, y, limit, columns, epochs):
        n, p = x.shape
        theta, gradient = np.empty((p, WIDTH)), np.empty((p, WIDTH))
        for _ in range(epochs):
            for c in range(0, columns, WIDTH):
                minus_rate = -load(rate, 0, c)
                for j in range(p):
                    store(theta, j, 0, fma(minus_rate, load(total, j, c), load(start, j, c)))
                    store(gradient, j, 0, load(total, j, c))
                wrongness = zero(error)
                for i in range(n):
                    z = load(theta, p - 1, 0)
                    for j in range(p - 1):
                        z = fma(load(theta, j, 0), x[i, j], z)
                    residual, slope = forward(z, y[i])
                    d = delta(residual, slope)
                    wrongness = wrongness + abs(residual)
                    for j in range(p):
                        store(gradient, j, 0, fma(d, x[i, j], load(gradient, j, 0)))
                wrong = wrongness > limit
                for j in range(p):
                    store(total, j, c, select(wrong, load(gradient, j, 0), load(total, j, c)))
                store(count, 0, c, count_up(load(count, 0, c), wrong))
                store(error, 0, c, wrongness)

    return one if samples.literal_value == "one" else many


@register_jitable
def _copy_column(source, i, target, k):
    for j in range(source.shape[0]):
        target[j, k] = source[j, i]


@register_jitable
def _all_wrong(error, limit, columns):
    wrong = EVERY_LANE
    for c in range(0, columns, WIDTH):
        wrong &= bits_of(load(error, 0, c) > limit)
    return wrong == EVERY_LANE


@cache
def block_kernel(cost: str, activation: str, samples: str, dtype: str) -> Callable[..., None]:
    """Compile the kernel of a cost with an activation, or take it from the disk.

    Parameters
    ----------
    samples : "one" or "many"
        "one" takes a single feature, of value 1.

    Returns
    -------
    train(start, rate, total, count, initial, final, skip, x, y, limit, max_epochs, size, stop)
        Trains a block of `size` neurons, its matrices' columns padded to a multiple of WIDTH:
        start (p, N) and rate (1, N) are given, total (p, N), count (1, N), initial and final
        (1, N), the sums of |a − y| at the start and the stop, are set. Neurons in `skip` are
        left alone. Returns early, its work undone, when stop[0] becomes 1.
    """
    pair = f"{cost} {activation}"
    number = getattr(types, dtype)
    integer = types.int64 if number.bitwidth == 64 else types.int32
    matrix, counts = types.Array(number, 2, "C"), types.Array(integer, 2, "C")
    flags = types.Array(types.uint8, 1, "C")

    @compiled(
        types.void(
            *(matrix, matrix, matrix, counts, matrix, matrix, flags),
            *(matrix, types.Array(number, 1, "C"), number, types.int64, types.int64, flags),
        )
    )
    def train(start, rate, total, count, initial, final, skip, x, y, limit, max_epochs, size, stop):
        p, columns = start.shape
        # With no bound on the error nobody moves: this only measures.
        _advance(pair, samples, start, rate, total, count, initial, x, y, np.inf, columns, 1)
        lane_start, lane_total = np.zeros((p, LANES), number), np.zeros((p, LANES), number)
        lane_rate, lane_error = np.zeros((1, LANES), number), np.zeros((1, LANES), number)
        lane_count = np.zeros((1, LANES), integer)
        neuron = np.zeros(LANES, np.int64)  # who trains in each lane,
        ends = np.zeros(LANES, np.int64)  # and at which tick its epochs are used up
        busy = following = tick = 0
        while stop[0] == 0:
            while busy < LANES and following < size:
                if initial[0, following] > limit and skip[following] == 0 and max_epochs > 0:
                    _copy_column(start, following, lane_start, busy)
                    lane_rate[0, busy] = rate[0, following]
                    lane_total[:, busy] = 0
                    lane_count[0, busy] = 0
                    neuron[busy], ends[busy] = following, tick + max_epochs
                    busy += 1
                following += 1
            if busy == 0:
                break
            next_end = ends[:busy].min()
            while True:
                epochs = min(INTERVAL, next_end - tick)
                _advance(
                    pair, samples, lane_start, lane_rate, lane_total, lane_count, lane_error,
                    x, y, limit, busy, epochs,
                )  # fmt: skip
                tick += epochs
                if tick == next_end or stop[0] != 0 or not _all_wrong(lane_error, limit, busy):
                    break
            # Downwards: the last lane, which moves into a gap, has then been looked at.
            for lane in range(busy - 1, -1, -1):
                if lane_error[0, lane] > limit and ends[lane] > tick:
                    continue
                _copy_column(lane_total, lane, total, neuron[lane])
                count[0, neuron[lane]] = lane_count[0, lane]
                busy -= 1
                _copy_column(lane_start, busy, lane_start, lane)
                _copy_column(lane_total, busy, lane_total, lane)
                lane_rate[0, lane] = lane_rate[0, busy]
                lane_count[0, lane] = lane_count[0, busy]
                neuron[lane], ends[lane] = neuron[busy], ends[busy]
        _advance(pair, samples, start, rate, total, count, final, x, y, np.inf, columns, 1)

    return train
