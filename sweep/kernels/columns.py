"""The first epochs of neurons with one sample, in the order of a block's columns.

Neighbours on a grid of starts need nearly the same epochs. Two vectors of columns at a time walk
until all in them have converged, without a queue and without handing over a lane; what takes longer
than `FIRST_EPOCHS` is queued with its T so far.
"""

# compiled code: its types are Numba's
# mypy: disable-error-code="no-untyped-def, no-untyped-call"

from __future__ import annotations

import numpy as np
from numba.core import types
from numba.extending import overload

from sweep.kernels.formulas import sample_of
from sweep.kernels.loops import measure
from sweep.kernels.simd import bits_of, load, select, store, width_of, zero
from sweep.neuron.arithmetic import fma

__all__ = ["FIRST_EPOCHS", "walk_columns"]

# The benchmark's sweep with cross-entropy, 21 epochs on average, takes 0.72 of the time that it
# takes with a queue alone, 0.62 in float32 (Zen 5, blocks of 32,768 on one thread); with 32 epochs
# here 0.94 and 0.89, with 128 the same. With the quadratic cost, 1,146 epochs, it takes 1.0.
FIRST_EPOCHS = 64

# Starts in no order waste epochs, for a vector walks as long as its last neuron. The rest of a
# block is queued once that costs more than queueing would, half a vector-epoch a neuron, but for
# the first few. Shuffled, that sweep takes 1.1 times as long as with a queue alone; without this,
# 1.4 times.
FEW = 512


def walk_columns(
    cost, activation, kind, rule, optimizer, lanes, block, limit, epochs, initial_error
):
    """Set initial errors, and walk at most so many epochs, of all neurons; in compiled code only.

    It sets block.error and criterion, moves on block.total, and returns the vector-epochs walked,
    0 but for one sample and gradient descent. With no `initial_error` no block.epochs is set.
    """


@overload(walk_columns, prefer_literal=True)
def _overload_walk_columns(
    cost, activation, kind, rule, optimizer, lanes, block, limit, epochs, initial_error
):
    if not isinstance(cost, types.StringLiteral):
        return None
    fits = kind.literal_value in ("near", "one") and optimizer.literal_value == "gd"
    width, by_gradient = width_of(limit), rule.literal_value == "gradient"

    def only_measure(
        cost, activation, kind, rule, optimizer, lanes, block, limit, epochs, initial_error
    ):
        measure(cost, activation, kind, rule, lanes, block)
        n = block.x.dtype.type(len(block.x))
        for i in range(len(initial_error)):
            initial_error[i] = block.error[0, i] / n
            block.epochs[i] = 0
        return 0

    if not fits or rule.literal_value == "rise":
        return only_measure
    sample = sample_of(cost, activation, kind)

    # Two vectors, whose operations hide one another's latency: 1.4 times the epochs of one.
    def walk(cost, activation, kind, rule, optimizer, lanes, block, limit, epochs, initial_error):
        start, total, rate = block.start, block.total, block.rate
        error, criterion = block.error, block.criterion
        counts, before = lanes.start, lanes.previous
        target, c = block.y[0], block.parameters
        size, walked, saved, none = len(initial_error), 0, FEW * width, zero(total)
        for first in range(0, total.shape[1], 2 * width):
            if saved < walked * width:
                epochs = 0
            second = first + width
            start0, start1 = load(start, 0, first), load(start, 0, second)
            rate0, rate1 = -load(rate, 0, first), -load(rate, 0, second)
            t0, t1 = load(total, 0, first), load(total, 0, second)
            count0 = count1 = residual0 = residual1 = d0 = d1 = none
            for epoch in range(epochs + 1):
                residual0, d0 = sample(fma(rate0, t0, start0), target, c)
                residual1, d1 = sample(fma(rate1, t1, start1), target, c)
                if epoch == 0:
                    store(before, 0, 0, abs(residual0))
                    store(before, 0, width, abs(residual1))
                unmet0 = abs(d0 if by_gradient else residual0) > limit
                unmet1 = abs(d1 if by_gradient else residual1) > limit
                if epoch == epochs or bits_of(unmet0) | bits_of(unmet1) == 0:
                    walked += 2 * epoch
                    break
                t0, t1 = t0 + select(unmet0, d0, none), t1 + select(unmet1, d1, none)
                count0 = count0 + select(unmet0, none + 1.0, none)
                count1 = count1 + select(unmet1, none + 1.0, none)
            store(total, 0, first, t0)
            store(total, 0, second, t1)
            store(error, 0, first, abs(residual0))
            store(error, 0, second, abs(residual1))
            if by_gradient:
                store(criterion, 0, first, abs(d0))
                store(criterion, 0, second, abs(d1))
            store(counts, 0, 0, count0)
            store(counts, 0, width, count1)
            last = first + 2 * width
            for k in range((size if size < last else last) - first):
                initial_error[first + k] = before[0, k]
                block.epochs[first + k] = np.int32(counts[0, k])
                saved += int(counts[0, k] + (width // 2) * (counts[0, k] > 0))
        return walked

    return walk
