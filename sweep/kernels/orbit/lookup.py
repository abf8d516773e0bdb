"""The compiled lookup: starts in, what became of them out, from the polynomials of staircases."""

# compiled code: its types are Numba's
# mypy: disable-error-code="no-untyped-def, no-untyped-call"

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

import numpy as np
from numba import typeof
from numba.core import types
from numba.extending import overload, register_jitable
from numpy.typing import NDArray

from sweep.kernels.compile import compiled, once
from sweep.kernels.formulas import residual_of
from sweep.kernels.orbit.staircase import (
    BEGIN,
    INV_HALF_GROWTH,
    INV_HALF_WIDTH,
    INVERSE_BEGIN,
    INVERSE_HEAD,
    NO_STAIRCASE,
    PIECE_HEAD,
    ROUNDING,
    WHOLE,
    bins_per_height,
)
from sweep.kernels.simd import bits_of, load, lowest, select, store, width_of
from sweep.neuron.activations import ACTIVATIONS
from sweep.neuron.arithmetic import fma
from sweep.neuron.problem import Status

__all__ = ["HIGHEST", "Outputs", "Target", "compile_lookup"]

WIDTH = width_of(types.float64)

CONVERGED, MAX_EPOCHS = float(Status.converged), float(Status.max_epochs)

# Signed indices are tested for being negative: 1.3× the time.
ZERO, ONE, EVERY_LANE = np.uint64(0), np.uint64(1), np.uint64((1 << WIDTH) - 1)
HEAD, INVERSE_FIRST = np.uint64(PIECE_HEAD), np.uint64(INVERSE_HEAD)

# Neighbouring lanes are evaluated on the same pieces if these are fewer.
MAX_TOGETHER = 8

# Cells that go through all stages together, within the first cache.
CHUNK = 2048

# Stand in for the share of an epoch, θ in (0, 1], of starts that have converged at the start, that
# max_epochs cuts off, and that are uncertain.
MET, CUT, UNCERTAIN = -1.0, -2.0, -3.0

# Starts beyond are trained: δ there is below what exp can say.
HIGHEST = 1000.0

# Adding and subtracting it rounds to a whole number.
MAGIC = 1.5 * 2.0**52


class Target(NamedTuple):
    """What all starts of a lookup share.

    Attributes
    ----------
    sign : float
        −1 where the target is mirrored, and z with it.
    y : float
        The target, in the lower half of the range.
    tolerance : float
    rounding : float
        Errors nearer to the tolerance than this are uncertain.
    max_epochs : int
    """

    sign: float
    y: float
    tolerance: float
    rounding: float
    max_epochs: int


class Outputs(NamedTuple):
    """Where a lookup writes, (N,) each but w, which is (d, N); w and b may be empty, and z_end.

    `z_end` is z at the stop; `uncertain` takes the numbers of the starts that are to be trained.
    """

    epochs: NDArray[np.int32]
    status: NDArray[np.int8]
    initial_error: NDArray[np.float64]
    final_error: NDArray[np.float64]
    w: NDArray[np.float64]
    b: NDArray[np.float64]
    z_end: NDArray[np.float64]
    uncertain: NDArray[np.int64]


class _Chunk(NamedTuple):
    """CHUNK starts in progress, (1, CHUNK) each.

    `share` is θ, or MET, CUT, UNCERTAIN; `end` is z at the stop. `single` (3, WIDTH) is for what
    lanes and single starts exchange: A, the whole epochs below, and the rounding.
    """

    z: NDArray[np.float64]
    residual: NDArray[np.float64]
    share: NDArray[np.float64]
    epochs: NDArray[np.float64]
    error: NDArray[np.float64]
    end: NDArray[np.float64]
    single: NDArray[np.float64]


@register_jitable
def _piece_at(edges, bins, per_height, height):
    """Return the piece that a height between the edges lies on."""
    inside = np.uint64(np.int64((height - edges[0]) * per_height))
    low, high = np.uint64(bins[inside]), np.uint64(bins[inside + ONE])
    while low < high:
        middle = (low + high) >> ONE
        if edges[middle] < height:
            low = middle + ONE
        else:
            high = middle
    return max(low, ONE) - ONE


@register_jitable
def _polynomial(table, row, begin, t):
    """Return the polynomial with the coefficients table[row, begin:], highest first."""
    value = t * 0.0 + table[row, begin]
    for m in range(begin + ONE, np.uint64(table.shape[1])):
        value = fma(value, t, table[row, m])
    return value


@register_jitable
def _clamp(value, low, high):
    """Return min(max(value, low), high)."""
    return (value if value < high else high) if value > low else low


@register_jitable
def _lookup_side(staircase, chunk, least, max_epochs):
    """Look up the starts on one side of the target, lanes at a time.

    Sets share and epochs of those whose error is above `least`, and end and error of those that
    converge.
    """
    side, edges, pieces, bins = staircase.side, staircase.edges, staircase.pieces, staircase.bins
    counts, inverses, single = staircase.counts, staircase.inverses, chunk.single
    if len(edges) == 0:
        return
    last = np.uint64(len(pieces) - 1)
    low_edge, high_edge = edges[0], edges[last + ONE]
    per_height = bins_per_height(edges, len(bins) - 2)
    for c in range(0, chunk.z.shape[1], WIDTH):
        unmet = load(chunk.residual, 0, c) * side > least
        if bits_of(unmet) == 0:
            continue
        height = load(chunk.z, 0, c) * side
        zero = height * 0.0
        # Neighbours on a grid lie on a few pieces, from that of the first to that of the last:
        # 2.2× the speed of a search for each.
        one = _clamp(side * chunk.z[0, c], low_edge, high_edge)
        other = _clamp(side * chunk.z[0, c + WIDTH - 1], low_edge, high_edge)
        low = _piece_at(edges, bins, per_height, min(one, other))
        high = _piece_at(edges, bins, per_height, max(one, other))
        below = ~bits_of(select(unmet, height, zero + high_edge) > edges[low]) & EVERY_LANE
        above = bits_of(select(unmet, height, zero + low_edge) > edges[high + ONE])
        together = high - low < np.uint64(MAX_TOGETHER)
        if together and (low == 0 or below == 0) and (high == last or above == 0):
            a, whole, rounding = zero, zero, zero + np.inf
            for p in range(low, high + ONE):
                on = height > edges[p]
                t = (height - pieces[p, BEGIN]) * pieces[p, INV_HALF_WIDTH] - 1.0
                a = select(on, _polynomial(pieces, p, HEAD, t), a)
                whole = select(on, zero + pieces[p, WHOLE], whole)
                rounding = select(on, zero + pieces[p, ROUNDING], rounding)
            rounding = select(height > high_edge, zero + np.inf, rounding)
        else:
            for i in range(WIDTH):
                here = side * chunk.z[0, c + i]
                single[2, i] = np.inf
                if low_edge < here <= high_edge:
                    p = _piece_at(edges, bins, per_height, here)
                    t = (here - pieces[p, BEGIN]) * pieces[p, INV_HALF_WIDTH] - 1.0
                    single[0, i] = _polynomial(pieces, p, HEAD, t)
                    single[1, i], single[2, i] = pieces[p, WHOLE], pieces[p, ROUNDING]
            a, whole, rounding = load(single, 0, 0), load(single, 1, 0), load(single, 2, 0)
        nearest = (a + MAGIC) - MAGIC
        off = a - nearest
        theta = select(off > 0.0, off, off + 1.0)
        epochs = whole + select(off > 0.0, nearest + 1.0, nearest)
        beyond = (whole - max_epochs) + a
        theta = select(abs(off) > rounding, theta, zero + UNCERTAIN)
        theta = select(beyond > 0.0, zero + UNCERTAIN, theta)
        theta = select(height > staircase.frozen_from, zero + CUT, theta)
        epochs = select(height > staircase.frozen_from, zero + max_epochs, epochs)
        converges = select(unmet, theta, zero) > 0.0
        t = theta * 2.0 - 1.0
        store(chunk.share, 0, c, select(unmet, theta, load(chunk.share, 0, c)))
        store(chunk.epochs, 0, c, select(unmet, epochs, load(chunk.epochs, 0, c)))
        error = _polynomial(staircase.first, ZERO, ZERO, t)
        store(chunk.error, 0, c, select(converges, error, load(chunk.error, 0, c)))
        end = _polynomial(staircase.first, ONE, ZERO, t) * side
        store(chunk.end, 0, c, select(converges, end, load(chunk.end, 0, c)))
        cut = bits_of(select(unmet, beyond - rounding, zero) > 0.0)
        if cut != 0:
            store(single, 0, 0, a)
            store(single, 1, 0, whole)
        while cut != 0:
            i = lowest(cut)
            cut &= cut - ONE
            rest, base = single[0, i] - max_epochs, single[1, i]
            q = max(np.uint64(np.searchsorted(counts, rest + base)), ONE) - ONE
            # Whole epochs first: A itself may have more digits than a float64.
            passed = (rest + (base - pieces[q, WHOLE])) - inverses[q, INVERSE_BEGIN]
            u = passed * inverses[q, INV_HALF_GROWTH] - 1.0
            t = _polynomial(inverses, q, INVERSE_FIRST, u)
            end_height = edges[q] + (t + 1.0) / pieces[q, INV_HALF_WIDTH]
            if end_height == end_height:
                chunk.end[0, c + i] = side * end_height
                chunk.share[0, c + i] = CUT
                chunk.epochs[0, c + i] = max_epochs


def _residual(activation, source, z, y):
    """Return a − y of lanes, to the bit what training takes it for; in compiled code only."""


@overload(_residual, prefer_literal=True)
def _overload_residual(activation, source, z, y):
    if not isinstance(activation, types.StringLiteral):
        return None
    residual, exp2_scale = (
        residual_of(activation, source),
        ACTIVATIONS[activation.literal_value].exp2_scale,
    )
    return lambda activation, source, z, y: residual(z * exp2_scale, y)


_MATRIX, _VECTOR = types.Array(types.float64, 2, "C"), types.Array(types.float64, 1, "C")
_OUTPUTS = types.NamedTuple(
    [
        types.Array(types.int32, 1, "C"),
        types.Array(types.int8, 1, "C"),
        _VECTOR,
        _VECTOR,
        _MATRIX,
        _VECTOR,
        _VECTOR,
        types.Array(types.int64, 1, "C"),
    ],
    Outputs,
)


@once
def compile_lookup(activation: str, source: str) -> Callable[..., int]:
    """Compile the lookup for an activation, of a cost whose source is "declared" or "formula".

    Returns ``lookup(w, b, x, target, above, below, out) -> count`` for weights (d, N), biases (N,)
    and the sample's inputs (d,): looks the starts up in the staircases above and below the target,
    writes into `out`, and returns how many starts are uncertain.
    """
    w_type, b_type = (types.Array(types.float64, ndim, "C", readonly=True) for ndim in (2, 1))
    staircase = typeof(NO_STAIRCASE)
    target_type = typeof(Target(1.0, 0.0, 0.1, 0.0, 1))

    @compiled(types.int64(w_type, b_type, _VECTOR, target_type, staircase, staircase, _OUTPUTS))
    def lookup(w, b, x, target, above, below, out):
        chunk = _Chunk(
            np.zeros((1, CHUNK)),
            np.zeros((1, CHUNK)),
            np.zeros((1, CHUNK)),
            np.zeros((1, CHUNK)),
            np.zeros((1, CHUNK)),
            np.zeros((1, CHUNK)),
            np.zeros((3, WIDTH)),
        )
        z, share, error, end = chunk.z, chunk.share, chunk.error, chunk.end
        y, sign, limit, max_epochs = target.y, target.sign, target.tolerance, target.max_epochs
        least, most = limit - target.rounding, limit + target.rounding
        d, uncertain, next_above = len(x), 0, np.nextafter(limit, np.inf)
        size_of_x = 1.0
        for j in range(d):
            size_of_x += x[j] * x[j]
        for begin in range(0, len(b), CHUNK):
            size = min(CHUNK, len(b) - begin)
            here = slice(begin, begin + size)
            biases, weights = b[here], w[0, here]
            for i in range(size):
                z[0, i] = weights[i] * x[0]
            for j in range(1, d):
                weights = w[j, here]
                for i in range(size):
                    z[0, i] += weights[i] * x[j]
            for i in range(size):
                z[0, i] = sign * (z[0, i] + biases[i])
            for c in range(0, CHUNK, WIDTH):
                start = load(z, 0, c)
                residual = _residual(activation, source, start, y)
                start_error = abs(residual)
                zero = residual * 0.0
                store(chunk.residual, 0, c, residual)
                store(error, 0, c, start_error)
                store(end, 0, c, start)
                store(chunk.epochs, 0, c, zero)
                theta = select(start_error > most, zero + CUT, zero + UNCERTAIN)
                store(share, 0, c, select(start_error > least, theta, zero + MET))
            values = out.initial_error[here]
            for i in range(size):
                values[i] = error[0, i]
            _lookup_side(above, chunk, least, max_epochs)
            _lookup_side(below, chunk, least, max_epochs)
            for c in range(0, CHUNK, WIDTH):
                theta, end_error = load(share, 0, c), load(error, 0, c)
                zero = theta * 0.0
                cut = -theta > 1.5  # CUT, or UNCERTAIN
                if bits_of(cut) != 0:
                    ends = abs(_residual(activation, source, load(end, 0, c), y))
                    # An end may lie so near to T₀ that its error rounds to the tolerance's other
                    # side.
                    ends = select(ends > limit, ends, zero + next_above)
                    end_error = select(cut, ends, end_error)
                met = select(end_error > limit, zero + limit, end_error)
                store(error, 0, c, select(cut, end_error, met))
                store(share, 0, c, select(cut, zero + MAX_EPOCHS, zero + CONVERGED))
                near = bits_of(zero + HIGHEST > abs(load(z, 0, c)))
                to_train = (bits_of(-theta > 2.5) | ~near) & EVERY_LANE  # UNCERTAIN
                while to_train != 0:
                    i = c + lowest(to_train)
                    to_train &= to_train - ONE
                    if i < size:
                        out.uncertain[uncertain] = begin + i
                        uncertain += 1
            values, epochs, status = out.final_error[here], out.epochs[here], out.status[here]
            for i in range(size):
                values[i] = error[0, i]
            for i in range(size):
                epochs[i] = np.int32(chunk.epochs[0, i])
            for i in range(size):
                status[i] = np.int8(share[0, i])
            if len(out.z_end) > 0:
                values = out.z_end[here]
                for i in range(size):
                    values[i] = sign * end[0, i]
            if len(out.b) > 0:
                values = out.b[here]
                for i in range(size):
                    end[0, i] = (z[0, i] - end[0, i]) * (sign / size_of_x)
                    values[i] = biases[i] - end[0, i]
                for j in range(d):
                    weights, values = w[j, here], out.w[j, here]
                    for i in range(size):
                        values[i] = weights[i] - end[0, i] * x[j]
        return uncertain

    return lookup
