"""The loops that follow neurons after their training: each epoch's update, and what is noted.

As in `loops.py` T is summed, with θ = θ₀ − (η/n) T; beside it goes a tangent vector v. What is
noted, and what an outcome is, `sweep.neuron.following` defines.
"""

# compiled code: its types are Numba's
# mypy: disable-error-code="no-untyped-def, no-untyped-call"

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
from numba.core import types
from numba.extending import overload, register_jitable
from numpy.typing import NDArray

from sweep.kernels.formulas import at_of, rounding_of
from sweep.kernels.loops import CHUNK, TILE, add_products, largest, products
from sweep.kernels.simd import (
    binary_exponent,
    bits_of,
    load,
    lowest,
    select,
    store,
    width_of,
    zero,
)
from sweep.neuron.arithmetic import fma
from sweep.neuron.following import EXACT, LONGEST_PERIOD

__all__ = ["Walk", "at_rest", "empty_walk", "walk"]

# Masks of lanes: whose criterion was above the limit, whose step turned, whose state was the same
# as the first one, up to rounding, after one period, after two; whose period is not known yet.
ABOVE, TURNED, SAME, SAME_LATER, OPEN = range(5)

# What is noted of each lane over a stretch of epochs.
EXPONENT, LOWEST, HIGHEST, TOTAL = range(4)


class Walk(NamedTuple):
    """One vector of W lanes on their way, a neuron each.

    Attributes
    ----------
    theta, gradient, before : (p, W) arrays
        θ, the gradient there, and that of the epoch before.
    tangent, bent : (p, W) arrays
        v, and H v.
    first, reach : (p, W) arrays
        The state that later ones are compared with, and what makes a difference relative.
    chunk, bent_chunk : (CHUNK, W) arrays
        z, then δ, of a few samples; and what each adds to H v.
    noted : (4, W) array
        Rows EXPONENT (of |v|, a power of 2), LOWEST, HIGHEST and TOTAL (Σ of outputs, less the
        targets).
    masks : (5,) uint64 array
        ABOVE and so on.
    period : (W,) int64 array
        Epochs after which the state came close to the first one, 0 if not yet.
    due : (2 LONGEST_PERIOD + 2,) uint64 array
        Lanes to be compared once more, by the epoch.
    signs : (n,) array
        −1 for samples whose target, and z, is mirrored.
    """

    theta: NDArray[Any]
    gradient: NDArray[Any]
    before: NDArray[Any]
    tangent: NDArray[Any]
    bent: NDArray[Any]
    first: NDArray[Any]
    reach: NDArray[Any]
    chunk: NDArray[Any]
    bent_chunk: NDArray[Any]
    noted: NDArray[Any]
    masks: NDArray[np.uint64]
    period: NDArray[np.int64]
    due: NDArray[np.uint64]
    signs: NDArray[Any]


def empty_walk(parameters: int, dtype: str, signs: NDArray[Any]) -> Walk:
    """Return memory for a walk."""
    width = width_of(getattr(types, dtype))
    rows, chunks = (
        iter(np.zeros((count, size, width), dtype)) for count, size in ((7, parameters), (2, CHUNK))
    )
    return Walk(
        theta=next(rows),
        gradient=next(rows),
        before=next(rows),
        tangent=next(rows),
        bent=next(rows),
        first=next(rows),
        reach=next(rows),
        chunk=next(chunks),
        bent_chunk=next(chunks),
        noted=np.zeros((4, width), dtype),
        masks=np.zeros(5, np.uint64),
        period=np.zeros(width, np.int64),
        due=np.zeros(2 * LONGEST_PERIOD + 2, np.uint64),
        signs=np.ascontiguousarray(signs, dtype),
    )


def walk(cost, activation, kind, rule, state, block, c, limit, inverse_scale, epochs, since):
    """Walk one vector of lanes some epochs; in compiled code only.

    `since` is the number of epochs since the first state of the comparison; negative before it.
    """


def at_rest(cost, activation, kind, state, block, c, inverse_scale, unit):
    """Return which lanes have a gradient within its rounding, as bits; in compiled code only."""


@register_jitable
def _compare(state, near, same, since):
    """Note which lanes are close to the first state, and whether they are the same later on."""
    masks, due = state.masks, state.due
    new = near & masks[OPEN]
    masks[OPEN] ^= new
    masks[SAME] |= new & same
    masks[SAME_LATER] |= due[since] & same
    due[2 * since] |= new
    while new != 0:
        state.period[lowest(new)] = since
        new &= new - np.uint64(1)


def _closeness(number):
    unit = 2.0**-52 if number is types.float64 else 2.0**-23
    return unit**0.5, EXACT * unit


@overload(walk, prefer_literal=True)
def _overload_walk(
    cost, activation, kind, rule, state, block, c, limit, inverse_scale, epochs, since
):
    if not isinstance(cost, types.StringLiteral):
        return None
    at = at_of(cost, activation, octaves=True)
    by_gradient = rule.literal_value == "gradient"
    close, exact = _closeness(limit)
    every = np.uint64((1 << width_of(limit)) - 1)

    def one(cost, activation, kind, rule, state, block, c, limit, inverse_scale, epochs, since):
        noted, masks, target = state.noted, state.masks, block.y[0]
        start, minus_rate = load(block.start, 0, c), -load(block.rate, 0, c)
        minus_kappa = minus_rate * inverse_scale
        t, v = load(block.total, 0, c), load(state.tangent, 0, 0)
        before, exponent = load(state.before, 0, 0), load(noted, EXPONENT, 0)
        least, most = load(noted, LOWEST, 0), load(noted, HIGHEST, 0)
        total, nothing = load(noted, TOTAL, 0), zero(noted)
        above = turned = np.uint64(0)
        for epoch in range(since, since + epochs):
            z = fma(minus_rate, t, start)
            if epoch == 0:
                store(state.first, 0, 0, z)
                store(state.reach, 0, 0, load(state.reach, 0, 0) + abs(z))
            elif epoch > 0 and masks[OPEN] | state.due[epoch] != 0:
                apart, reach = abs(z - load(state.first, 0, 0)), load(state.reach, 0, 0)
                near, same = bits_of(apart > reach * close), bits_of(apart > reach * exact)
                _compare(state, ~near & every, ~same & every, epoch)
            residual, _, d, bend = at(z, target, block.parameters)
            v = v * fma(minus_kappa, bend, 1.0)
            scale, e = binary_exponent(v)
            v, exponent = v * scale, exponent + e
            above |= bits_of(abs(d if by_gradient else residual) > limit)
            turned |= bits_of(nothing > before * d)
            least = select(least > residual, residual, least)
            most = select(residual > most, residual, most)
            total, before, t = total + residual, d, t + d
        masks[ABOVE] |= above
        masks[TURNED] |= turned
        store(block.total, 0, c, t)
        store(state.tangent, 0, 0, v)
        store(state.before, 0, 0, before)
        store(noted, EXPONENT, 0, exponent)
        store(noted, LOWEST, 0, least)
        store(noted, HIGHEST, 0, most)
        store(noted, TOTAL, 0, total)

    def many(cost, activation, kind, rule, state, block, c, limit, inverse_scale, epochs, since):
        noted, masks, total = state.noted, state.masks, block.total
        theta, gradient, before = state.theta, state.gradient, state.before
        tangent, bent, chunk, bent_chunk = state.tangent, state.bent, state.chunk, state.bent_chunk
        x, y, signs = block.x, block.y, state.signs
        n, p = x.shape
        minus_rate = -load(block.rate, 0, c)
        minus_kappa = minus_rate * inverse_scale
        scale, e, nothing = zero(total) + 1.0, zero(total), zero(total)
        least, most = load(noted, LOWEST, 0), load(noted, HIGHEST, 0)
        outputs, exponent = load(noted, TOTAL, 0), load(noted, EXPONENT, 0)
        above = turned = np.uint64(0)
        for epoch in range(since, since + epochs):
            for j in range(p):
                store(theta, j, 0, fma(minus_rate, load(total, j, c), load(block.start, j, c)))
                store(gradient, j, 0, zero(total))
                store(bent, j, 0, zero(total))
            if epoch == 0:
                for j in range(p):
                    store(state.first, j, 0, load(theta, j, 0))
                    store(state.reach, j, 0, load(state.reach, j, 0) + abs(load(theta, j, 0)))
            elif epoch > 0 and masks[OPEN] | state.due[epoch] != 0:
                near = same = np.uint64(0)
                for j in range(p):
                    apart = abs(load(theta, j, 0) - load(state.first, j, 0))
                    reach = load(state.reach, j, 0)
                    near |= bits_of(apart > reach * close)
                    same |= bits_of(apart > reach * exact)
                _compare(state, ~near & every, ~same & every, epoch)
            error = output = zero(total)
            tiled = n - n % TILE
            for low in range(0, tiled, CHUNK):
                high = low + CHUNK if low + CHUNK < tiled else tiled
                for i in range(low, high, TILE):
                    products(theta, x, i, chunk, i - low)
                    products(tangent, x, i, bent_chunk, i - low)
                for i in range(low, high):
                    s = i - low
                    residual, _, d, bend = at(load(chunk, s, 0), y[i], block.parameters)
                    error, output = error + abs(residual), fma(residual, signs[i], output)
                    store(chunk, s, 0, d)
                    store(bent_chunk, s, 0, bend * load(bent_chunk, s, 0))
                for i in range(low, high, TILE):
                    s = i - low
                    add_products(chunk, s, x, i, gradient)
                    add_products(bent_chunk, s, x, i, bent)
            for i in range(tiled, n):
                z = u = zero(total)
                for j in range(p):
                    z = fma(load(theta, j, 0), x[i, j], z)
                    u = fma(load(tangent, j, 0), x[i, j], u)
                residual, _, d, bend = at(z, y[i], block.parameters)
                error, output = error + abs(residual), fma(residual, signs[i], output)
                bend = u * bend
                for j in range(p):
                    store(gradient, j, 0, fma(d, x[i, j], load(gradient, j, 0)))
                    store(bent, j, 0, fma(bend, x[i, j], load(bent, j, 0)))
            criterion = largest(gradient) if by_gradient else error
            above |= bits_of(criterion > limit)
            # |v| is brought back to about 1 in the next epoch, with no pass of its own.
            turn = size = zero(total)
            minus_bent = minus_kappa * scale
            for j in range(p):
                g = load(gradient, j, 0)
                turn = fma(g, load(before, j, 0), turn)
                store(before, j, 0, g)
                store(total, j, c, load(total, j, c) + g)
                v = fma(minus_bent, load(bent, j, 0), load(tangent, j, 0) * scale)
                store(tangent, j, 0, v)
                size = select(abs(v) > size, abs(v), size)
            turned |= bits_of(nothing > turn)
            exponent = exponent + e
            scale, e = binary_exponent(size)
            least = select(least > output, output, least)
            most = select(output > most, output, most)
            outputs = outputs + output
        masks[ABOVE] |= above
        masks[TURNED] |= turned
        store(noted, EXPONENT, 0, exponent)
        store(noted, LOWEST, 0, least)
        store(noted, HIGHEST, 0, most)
        store(noted, TOTAL, 0, outputs)

    return many if kind.literal_value == "many" else one


@overload(at_rest, prefer_literal=True)
def _overload_at_rest(cost, activation, kind, state, block, c, inverse_scale, unit):
    if not isinstance(cost, types.StringLiteral):
        return None
    at, of_output = at_of(cost, activation, octaves=True), rounding_of(cost, activation)
    every = np.uint64((1 << width_of(block.types[0].dtype)) - 1)

    def rests(cost, activation, kind, state, block, c, inverse_scale, unit):
        theta, gradient, rounding = state.theta, state.gradient, state.bent
        total, start, x = block.total, block.start, block.x
        n, p = x.shape
        minus_rate = -load(block.rate, 0, c)
        for j in range(p):
            store(theta, j, 0, fma(minus_rate, load(total, j, c), load(start, j, c)))
            store(gradient, j, 0, zero(total))
            store(rounding, j, 0, zero(total))
        for i in range(n):
            z = size = zero(total)
            for j in range(p):
                t = load(theta, j, 0)
                z = fma(t, x[i, j], z)
                size = fma(abs(t) + abs(load(start, j, c)), abs(x[i, j]), size)
            target = block.y[i]
            residual, slope, d, bend = at(z, target, block.parameters)
            rounded = of_output(residual, slope, bend, target, unit)
            rounded = rounded + abs(bend * size) * (unit * inverse_scale)
            for j in range(p):
                store(gradient, j, 0, fma(d, x[i, j], load(gradient, j, 0)))
                store(rounding, j, 0, fma(rounded, abs(x[i, j]), load(rounding, j, 0)))
        moves, most = np.uint64(0), 16.0 + np.sqrt(np.float64(n))
        for j in range(p):
            room = load(rounding, j, 0) * most + abs(load(total, j, c)) * unit
            moves |= bits_of(abs(load(gradient, j, 0)) > room)
        return ~moves & every

    return rests
