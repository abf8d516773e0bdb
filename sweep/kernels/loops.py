"""The hot loops: some epochs of all lanes, with one sample, two parameters, or many of both.

A neuron has p parameters θ and n samples of p features x, so that z = θ·x; the bias is the
parameter whose feature is 1. What is kept and summed is not θ but T, the sum of all gradients so
far (times n), with θ = θ₀ − (η/n) T. A saturated neuron's steps lie far below the last digit of
its weights; in T they add up as they do in truth.

With one sample every step goes along (x, 1), so T has one number and z = z₀ − κ T with
κ = η(|x|² + 1): one parameter z₀, whose feature is 1 and whose rate is κ.

z is counted in octaves, z/ln 2 (`Activation.exp2_scale`), so that its exponential is a power of 2:
one sample's z₀ and κ are multiplied by that beforehand, of many samples the features are.

With another optimiser than gradient descent T is the sum of its steps. Where those are linear in
the gradients, all else is the same; where not, one sample has w and b, too, and gradients are the
means themselves.
"""

# compiled code: its types are Numba's
# mypy: disable-error-code="no-untyped-def, no-untyped-call"

from __future__ import annotations

import numpy as np
from numba import njit
from numba.core import types
from numba.extending import overload, register_jitable

from sweep.kernels.formulas import sample_of, value_of
from sweep.kernels.simd import (
    bits_of,
    load,
    load_like,
    register_of,
    select,
    store,
    width_of,
    zero,
)
from sweep.neuron.activations import ACTIVATIONS
from sweep.neuron.arithmetic import fma, sqrt
from sweep.neuron.optimizers import OPTIMIZERS

__all__ = [
    "CHUNK",
    "TILE",
    "VECTORS",
    "add_products",
    "advance",
    "largest",
    "measure",
    "products",
]

# Lanes in training: 64 here (1.33× the neuron-epochs of 32 on the benchmark's sweep; with 96 or
# 128 as many). In float32, 128.
VECTORS = 2

# Of many samples a tile is at work together: θ is loaded once for all of them, the gradient loaded
# and stored once. The z of a chunk come first, then all its δ, whose divisions hide one another's
# latency, then its gradients; a chunk, θ and the gradient of 31 parameters are 24 kB. All sums run
# in the order of the samples. Shares of the bound of 17 + 2p operations (Emerald Rapids, float64,
# in turns), one by one and so: n = 100, d = 10: 44 and 62 %; n = 100, d = 30: 36 and 65 %; n = 569,
# d = 30: 35 and 74 %. With one input, 53 to 56 %, the division is the limit there: 16 cycles of 8
# lanes. On Zen 5 it is not: `sweep bench --full` prints 80 to 89 % for all of these.
TILE, CHUNK = 4, 32

# Registers in a vector. Of a few neurons with two parameters those are walked one by one, and only
# those that have neurons: an epoch of 569 samples takes 4.4 µs for each, and 12.8 µs for all four
# together, which hide one another's latency.
REGISTERS = 4


def measure(cost, activation, kind, rule, lanes, block):
    """Set error and criterion of every neuron of a block; in compiled code only."""


def advance(cost, activation, kind, rule, optimizer, state, block, limit, epochs):
    """Walk some epochs with every neuron of the lanes; in compiled code only.

    A neuron whose criterion is at most the limit keeps its T.
    """


def of_ones(optimizer, state, lane, k):
    """Move on m and v of a gradient of 1, and return m and √v; in compiled code only."""


def moved(optimizer, state, j, lane, gradient, k):
    """Move on m and v of a parameter, and return g, m and √v; in compiled code only."""


def step_of(optimizer, g, m, root, m1, root1, k):
    """Return the step of a parameter; in compiled code only."""


# Overloads and not closures over compiled functions: Numba's cache would never find those again.
# `cost`, `activation`, `kind`, `rule` and `optimizer` are literals; `c` has the values of a cost's
# parameters, `k` those of the optimiser's.


@overload(of_ones, prefer_literal=True)
def _overload_of_ones(optimizer, state, lane, k):
    if not isinstance(optimizer, types.StringLiteral):
        return None
    update = OPTIMIZERS[optimizer.literal_value]
    if update.kept < 2:  # what has no mean square is not divided
        return lambda optimizer, state, lane, k: (zero(state.total), zero(state.total))
    next_moments = register_jitable(update.moments)

    def ones(optimizer, state, lane, k):
        moments, p = state.moments, len(state.total)
        one = zero(moments) + 1.0
        m, v = next_moments(one, load(moments, p, lane), load(moments, 2 * p + 1, lane), k[0], k[1])
        store(moments, p, lane, m)
        store(moments, 2 * p + 1, lane, v)
        return m, sqrt(v)

    return ones


@overload(moved, prefer_literal=True)
def _overload_moved(optimizer, state, j, lane, gradient, k):
    if not isinstance(optimizer, types.StringLiteral):
        return None
    update = OPTIMIZERS[optimizer.literal_value]
    if update.name == "gd":  # 0.1 s less to compile
        return lambda optimizer, state, j, lane, gradient, k: (gradient, gradient, gradient)
    kept, linear, next_moments = update.kept, update.linear, register_jitable(update.moments)

    def move(optimizer, state, j, lane, gradient, k):
        moments, second = state.moments, len(state.total) + 1 + j
        g = gradient if linear else gradient * k[3]
        m = load(moments, j, lane) if kept else zero(moments)
        v = load(moments, second, lane) if kept > 1 else zero(moments)
        m, v = next_moments(g, m, v, k[0], k[1])
        if kept:
            store(moments, j, lane, m)
        if kept > 1:
            store(moments, second, lane, v)
            v = sqrt(v)
        return g, m, v

    return move


@overload(step_of, prefer_literal=True)
def _overload_step_of(optimizer, g, m, root, m1, root1, k):
    if not isinstance(optimizer, types.StringLiteral):
        return None
    update = OPTIMIZERS[optimizer.literal_value]
    if update.name == "gd":
        return lambda optimizer, g, m, root, m1, root1, k: g
    step = register_jitable(update.step)
    return lambda optimizer, g, m, root, m1, root1, k: step(g, m, root, m1, root1, k[0], k[1], k[2])


@overload(advance, prefer_literal=True)
def _overload_advance(cost, activation, kind, rule, optimizer, state, block, limit, epochs):
    if not isinstance(cost, types.StringLiteral):
        return None
    sample, value = sample_of(cost, activation, kind), value_of(cost, activation)
    width, by_gradient = width_of(limit), rule.literal_value == "gradient"
    by_rise, plain = rule.literal_value == "rise", optimizer.literal_value == "gd"
    per_octave = 1.0 / ACTIVATIONS[activation.literal_value].exp2_scale

    # Adding a masked δ, and keeping masks instead of counts: 1.12× the epochs.
    def one(cost, activation, kind, rule, optimizer, state, block, limit, epochs):
        """Update z = z₀ − rate·T, in octaves: T ← T + δ(z) where |a − y| (|δ|) > limit."""
        start, total, rate = state.start, state.total, state.rate
        unconverged, target, previous = state.unconverged, block.y[0], state.previous
        c = block.parameters
        if not plain:  # each function that is called takes 20 ms to compile
            k = values_of(block.constants)
        for epoch in range(epochs):
            for v in range(VECTORS):
                lane = v * width
                t = load(total, 0, lane)
                z = fma(-load(rate, 0, lane), t, load(start, 0, lane))
                residual, d = sample(z, target, c)
                criterion = abs(d if by_gradient else residual)
                if by_rise:
                    total_cost = value(z * per_octave, residual, target, c)
                    criterion = unless_risen(previous, lane, total_cost, abs(z), criterion, 1)
                unmet = criterion > limit
                step = d
                if not plain:
                    g, m, root = moved(optimizer, state, 0, lane, d, k)
                    # What is linear in the gradients has no mean square: no moments of 1.
                    step = step_of(optimizer, g, m, root, zero(total), zero(total), k)
                store(total, 0, lane, t + select(unmet, step, zero(total)))
                unconverged[epoch, v] = bits_of(unmet)

    def pair(cost, activation, kind, rule, optimizer, state, block, limit, epochs):
        """Do what `many` does, with one sample and two parameters, in registers."""
        start, total = state.start, state.total
        x0, x1, target = block.x[0, 0], block.x[0, 1], block.y[0]
        largest = max(abs(x0), abs(x1))
        c, k = block.parameters, values_of(block.constants)
        for epoch in range(epochs):
            for v in range(VECTORS):
                lane = v * width
                minus_rate = -load(state.rate, 0, lane)
                theta0 = fma(minus_rate, load(total, 0, lane), load(start, 0, lane))
                theta1 = fma(minus_rate, load(total, 1, lane), load(start, 1, lane))
                residual, d = sample(fma(theta1, x1, theta0 * x0), target, c)
                unmet = abs(d) * largest > limit if by_gradient else abs(residual) > limit
                state.unconverged[epoch, v] = bits_of(unmet)
                m1, root1 = of_ones(optimizer, state, lane, k)
                g, m, root = moved(optimizer, state, 0, lane, d, k)
                step = step_of(optimizer, g * x0, m * x0, root * abs(x0), m1, root1, k)
                store(total, 0, lane, load(total, 0, lane) + select(unmet, step, zero(total)))
                step = step_of(optimizer, g * x1, m * x1, root * abs(x1), m1, root1, k)
                store(total, 1, lane, load(total, 1, lane) + select(unmet, step, zero(total)))

    def epoch_of_two(zeros):
        def epoch(optimizer, state, block, limit, lane, c, k):
            """Move on T in the lanes from `lane` on, and return whose criterion is unmet."""
            start, total, x, y = state.start, state.total, block.x, block.y
            none = zeros(total)
            minus_rate = -load_like(none, state.rate, 0, lane)
            theta0 = fma(
                minus_rate, load_like(none, total, 0, lane), load_like(none, start, 0, lane)
            )
            theta1 = fma(
                minus_rate, load_like(none, total, 1, lane), load_like(none, start, 1, lane)
            )
            error = gradient0 = gradient1 = total_cost = size = none
            for i in range(len(y)):
                z = fma(theta1, x[i, 1], fma(theta0, x[i, 0], none))
                residual, d = sample(z, y[i], c)
                error = error + abs(residual)
                gradient0 = fma(d, x[i, 0], gradient0)
                gradient1 = fma(d, x[i, 1], gradient1)
                if by_rise:
                    total_cost = total_cost + value(z * per_octave, residual, y[i], c)
                    size = size + abs(z)
            criterion = error
            if by_rise:
                criterion = unless_risen(state.previous, lane, total_cost, size, error, len(y))
            if by_gradient:
                criterion, other = abs(gradient0), abs(gradient1)
                criterion = select(other > criterion, other, criterion)
            unmet = criterion > limit
            m1, root1 = of_ones(optimizer, state, lane, k)
            g, m, root = moved(optimizer, state, 0, lane, gradient0, k)
            step = step_of(optimizer, g, m, root, m1, root1, k)
            t = load_like(none, total, 0, lane)
            store(total, 0, lane, t + select(unmet, step, none))
            g, m, root = moved(optimizer, state, 1, lane, gradient1, k)
            step = step_of(optimizer, g, m, root, m1, root1, k)
            t = load_like(none, total, 1, lane)
            store(total, 1, lane, t + select(unmet, step, none))
            return bits_of(unmet)

        return njit(inline="always")(epoch)

    of_lanes, of_register = epoch_of_two(zero), epoch_of_two(register_of)

    def two(cost, activation, kind, rule, optimizer, state, block, limit, epochs):
        """Do what `many` does, with two parameters, in registers."""
        c, k = block.parameters, values_of(block.constants)
        for epoch in range(epochs):
            for v in range(VECTORS):
                if state.busy[v] != 0:
                    bits = of_lanes(optimizer, state, block, limit, v * width, c, k)
                    state.unconverged[epoch, v] = bits

    register = width // REGISTERS
    every = np.uint64((1 << register) - 1)

    def few(cost, activation, kind, rule, optimizer, state, block, limit, epochs):
        """Do what `two` does, in those registers of a vector that have neurons."""
        c, k = block.parameters, values_of(block.constants)
        state.unconverged[:epochs] = 0
        for v in range(VECTORS):
            for first in range(0, width, register):
                if (state.busy[v] >> first) & every != 0:
                    for epoch in range(epochs):
                        lane = v * width + first
                        bits = of_register(optimizer, state, block, limit, lane, c, k)
                        state.unconverged[epoch, v] |= bits << first

    def many(cost, activation, kind, rule, optimizer, state, block, limit, epochs):
        """Update θ = θ₀ − rate·T, z_i = θ·x_i: T ← T + Σ_i δ_i x_i where it is > limit."""
        total, theta, gradient = state.total, state.theta, state.gradient
        chunk, x, y = state.chunk, block.x, block.y
        c, k = block.parameters, values_of(block.constants)
        n, p = x.shape
        for epoch in range(epochs):
            for v in range(VECTORS):
                if state.busy[v] == 0:
                    continue
                lane = v * width
                minus_rate = -load(state.rate, 0, lane)
                for j in range(p):
                    store(
                        theta,
                        j,
                        0,
                        fma(minus_rate, load(total, j, lane), load(state.start, j, lane)),
                    )
                    store(gradient, j, 0, zero(total))
                error = total_cost = size = zero(total)
                tiled = n - n % TILE
                for first in range(0, tiled, CHUNK):
                    last = first + CHUNK if first + CHUNK < tiled else tiled
                    for i in range(first, last, TILE):
                        products(theta, x, i, chunk, i - first)
                    for i in range(first, last):
                        z = load(chunk, i - first, 0)
                        residual, d = sample(z, y[i], c)
                        error = error + abs(residual)
                        if by_rise:
                            total_cost = total_cost + value(z * per_octave, residual, y[i], c)
                            size = size + abs(z)
                        store(chunk, i - first, 0, d)
                    for i in range(first, last, TILE):
                        add_products(chunk, i - first, x, i, gradient)
                for i in range(tiled, n):
                    z = zero(total)
                    for j in range(p):
                        z = fma(load(theta, j, 0), x[i, j], z)
                    residual, d = sample(z, y[i], c)
                    error = error + abs(residual)
                    if by_rise:
                        total_cost = total_cost + value(z * per_octave, residual, y[i], c)
                        size = size + abs(z)
                    for j in range(p):
                        store(gradient, j, 0, fma(d, x[i, j], load(gradient, j, 0)))
                criterion = largest(gradient) if by_gradient else error
                if by_rise:
                    criterion = unless_risen(state.previous, lane, total_cost, size, error, n)
                unmet = criterion > limit
                m1, root1 = of_ones(optimizer, state, lane, k)
                for j in range(p):
                    g, m, root = moved(optimizer, state, j, lane, load(gradient, j, 0), k)
                    step = step_of(optimizer, g, m, root, m1, root1, k)
                    store(total, j, lane, load(total, j, lane) + select(unmet, step, zero(total)))
                state.unconverged[epoch, v] = bits_of(unmet)

    of_kind = {"many": many, "two": two, "few": few, "pair": pair}
    return of_kind.get(kind.literal_value, one)


@register_jitable
def values_of(k):
    """Return the four constants; of an array they would be loaded again after each store."""
    return k[0], k[1], k[2], k[3]


@register_jitable
def products(theta, x, i, chunk, s):
    """Set chunk[s : s + TILE] to the products of θ with a tile of samples, from i on."""
    z0 = z1 = z2 = z3 = zero(theta)
    for j in range(len(theta)):
        t = load(theta, j, 0)
        z0 = fma(t, x[i, j], z0)
        z1 = fma(t, x[i + 1, j], z1)
        z2 = fma(t, x[i + 2, j], z2)
        z3 = fma(t, x[i + 3, j], z3)
    store(chunk, s, 0, z0)
    store(chunk, s + 1, 0, z1)
    store(chunk, s + 2, 0, z2)
    store(chunk, s + 3, 0, z3)


@register_jitable
def add_products(chunk, s, x, i, gradient):
    """Add to the gradient Σ d x over a tile of samples, from i on; their d are chunk[s :]."""
    d0, d1, d2, d3 = (
        load(chunk, s, 0), load(chunk, s + 1, 0), load(chunk, s + 2, 0), load(chunk, s + 3, 0)
    )  # fmt: skip
    for j in range(len(gradient)):
        g = fma(d0, x[i, j], load(gradient, j, 0))
        g = fma(d1, x[i + 1, j], g)
        g = fma(d2, x[i + 2, j], g)
        store(gradient, j, 0, fma(d3, x[i + 3, j], g))


@register_jitable
def unless_risen(previous, c, cost, size, error, n):
    """Return the error, or −∞ for lanes whose cost rose, which `previous` then marks by a −∞.

    `size` is Σ|z|: n terms of the cost round by some n units of it, and of the cost, at most.
    """
    before = load(previous, 0, c)
    rounding = (abs(cost) + size) * ((8 + n) * np.finfo(previous.dtype).eps)
    rose = cost > before + rounding
    store(previous, 0, c, select(rose, zero(previous) - np.inf, cost))
    return select(rose, zero(previous) - np.inf, error)


@register_jitable
def largest(gradient):
    """Return the largest |gradient[j]| of each lane."""
    found = abs(load(gradient, 0, 0))
    for j in range(1, len(gradient)):
        size = abs(load(gradient, j, 0))
        found = select(size > found, size, found)
    return found


@overload(measure, prefer_literal=True)
def _overload_measure(cost, activation, kind, rule, lanes, block):
    if not isinstance(cost, types.StringLiteral):
        return None
    sample = sample_of(cost, activation, kind)
    width, by_gradient = width_of(block.types[0].dtype), rule.literal_value == "gradient"

    def measure_one(cost, activation, kind, rule, lanes, block):
        for c in range(0, block.error.shape[1], width):
            minus_rate = -load(block.rate, 0, c)
            z = fma(minus_rate, load(block.total, 0, c), load(block.start, 0, c))
            residual, d = sample(z, block.y[0], block.parameters)
            store(block.error, 0, c, abs(residual))
            if by_gradient:
                store(block.criterion, 0, c, abs(d))

    def measure_many(cost, activation, kind, rule, lanes, block):
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
                residual, d = sample(z, block.y[i], block.parameters)
                error = error + abs(residual)
                if by_gradient:
                    for j in range(p):
                        store(gradient, j, 0, fma(d, x[i, j], load(gradient, j, 0)))
            store(block.error, 0, c, error)
            if by_gradient:
                store(block.criterion, 0, c, largest(gradient))

    return measure_one if kind.literal_value in ("one", "near") else measure_many
