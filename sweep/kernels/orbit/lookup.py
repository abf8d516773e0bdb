"""The compiled answer: starts in, what became of them out, from the polynomials of a staircase."""

# compiled code: its types are Numba's
# mypy: disable-error-code="no-untyped-def, no-untyped-call"

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from numba.core import types
from numba.extending import overload, register_jitable

from sweep.kernels.compile import compiled, once
from sweep.kernels.orbit.staircase import HEAD, bins_per
from sweep.kernels.simd import bits_of, exp2_ratio, load, lowest, select, store, width_of
from sweep.neuron.activations import ACTIVATIONS
from sweep.neuron.arithmetic import fma
from sweep.neuron.problem import Status

__all__ = ["HIGHEST", "compile_lookup"]

WIDTH = width_of(types.float64)

CONVERGED, MAX_EPOCHS = float(Status.converged), float(Status.max_epochs)

# Signed indices are tested for being negative: 1.3× the time.
ZERO, ONE, EVERY = np.uint64(0), np.uint64(1), np.uint64((1 << WIDTH) - 1)

# Pieces that neighbours are tried on.
MOST_TOGETHER = 8

# Cells that go through all stages together, within the first cache.
CHUNK = 2048

# The share of an epoch of those that are not to be told from it.
MET, CUT, UNSURE = -1.0, -2.0, -3.0

# Starts beyond are trained: δ there is below what exp can say.
HIGHEST = 1000.0

# Adding and subtracting it rounds to a whole number.
MAGIC = 1.5 * 2.0**52


@register_jitable
def _piece(edges, bins, per, here):
    """Return the piece that a height between the edges lies on."""
    inside = np.uint64(np.int64((here - edges[0]) * per))
    low, high = np.uint64(bins[inside]), np.uint64(bins[inside + ONE])
    while low < high:
        middle = (low + high) >> ONE
        if edges[middle] < here:
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
def _find(side, stairs, z, residual, least, max_epochs, share, count, error, end, room):
    """Answer those on one side of the target, lanes at a time.

    The share is θ of those that converge, whose ends and errors are set, and CUT or UNSURE of the
    others. `room` (3, WIDTH) is for what lanes and single starts tell one another.
    """
    edges, pieces, bins, first, counts, inverses, still = stairs
    if len(edges) == 0:
        return
    begin, last = np.uint64(HEAD), np.uint64(len(pieces) - 1)
    lowest_, highest, per = edges[0], edges[last + ONE], bins_per(edges, len(bins) - 2)
    for c in range(0, z.shape[1], WIDTH):
        wrong = load(residual, 0, c) * side > least
        if bits_of(wrong) == 0:
            continue
        here = load(z, 0, c) * side
        zero = here * 0.0
        # Neighbours on a grid lie on a few pieces, from that of the first to that of the last:
        # 2.2× the speed of a search for each.
        one, other = side * z[0, c], side * z[0, c + WIDTH - 1]
        one = (one if one < highest else highest) if one > lowest_ else lowest_
        other = (other if other < highest else highest) if other > lowest_ else lowest_
        low = _piece(edges, bins, per, min(one, other))
        high = _piece(edges, bins, per, max(one, other))
        under = ~bits_of(select(wrong, here, zero + highest) > edges[low]) & EVERY
        above = bits_of(select(wrong, here, zero + lowest_) > edges[high + ONE])
        together = high - low < np.uint64(MOST_TOGETHER)
        if together and (low == 0 or under == 0) and (high == last or above == 0):
            passed, base, band = zero, zero, zero + np.inf
            for p in range(low, high + ONE):
                on = here > edges[p]
                t = (here - pieces[p, 0]) * pieces[p, 1] - 1.0
                passed = select(on, _polynomial(pieces, p, begin, t), passed)
                base = select(on, zero + pieces[p, 2], base)
                band = select(on, zero + pieces[p, 3], band)
            band = select(here > highest, zero + np.inf, band)
        else:
            for i in range(WIDTH):
                single = side * z[0, c + i]
                room[2, i] = np.inf
                if lowest_ < single <= highest:
                    p = _piece(edges, bins, per, single)
                    t = (single - pieces[p, 0]) * pieces[p, 1] - 1.0
                    room[0, i] = _polynomial(pieces, p, begin, t)
                    room[1, i], room[2, i] = pieces[p, 2], pieces[p, 3]
            passed, base, band = load(room, 0, 0), load(room, 1, 0), load(room, 2, 0)
        whole = (passed + MAGIC) - MAGIC
        off = passed - whole
        theta = select(off > 0.0, off, off + 1.0)
        number = base + select(off > 0.0, whole + 1.0, whole)
        over = (base - max_epochs) + passed
        theta = select(abs(off) > band, theta, zero + UNSURE)
        theta = select(over > 0.0, zero + UNSURE, theta)
        theta = select(here > still, zero + CUT, theta)
        number = select(here > still, zero + max_epochs, number)
        told = select(wrong, theta, zero) > 0.0
        t = theta * 2.0 - 1.0
        store(share, 0, c, select(wrong, theta, load(share, 0, c)))
        store(count, 0, c, select(wrong, number, load(count, 0, c)))
        store(error, 0, c, select(told, _polynomial(first, ZERO, ZERO, t), load(error, 0, c)))
        value = _polynomial(first, ONE, ZERO, t) * side
        store(end, 0, c, select(told, value, load(end, 0, c)))
        cut = bits_of(select(wrong, over - band, zero) > 0.0)
        if cut != 0:
            store(room, 0, 0, passed)
            store(room, 1, 0, base)
        while cut != 0:
            i = lowest(cut)
            cut &= cut - ONE
            rest, below = room[0, i] - max_epochs, room[1, i]
            q = max(np.uint64(np.searchsorted(counts, rest + below)), ONE) - ONE
            # Whole epochs first: A itself may have more digits than a float64.
            u = ((rest + (below - pieces[q, 2])) - inverses[q, 0]) * inverses[q, 1] - 1.0
            height = edges[q] + (_polynomial(inverses, q, np.uint64(2), u) + 1.0) / pieces[q, 1]
            if height == height:
                end[0, c + i] = side * height
                share[0, c + i] = CUT
                count[0, c + i] = max_epochs


def _error(activation, z, y):
    """Return a − y of lanes, to the bit what training takes it for; in compiled code only."""


@overload(_error, prefer_literal=True)
def _overload_error(activation, z, y):
    if not isinstance(activation, types.StringLiteral):
        return None
    act = ACTIVATIONS[activation.literal_value]
    forward, exp2_scale = register_jitable(act.forward), act.exp2_scale
    return lambda activation, z, y: forward(z * exp2_scale, y, exp2_ratio)[0]


@once
def compile_lookup(activation: str) -> Callable[..., int]:
    """Compile the answer for an activation."""
    number, whole = types.float64, types.int64
    matrix, vector = types.Array(number, 2, "C"), types.Array(number, 1, "C")
    weights, biases = (types.Array(number, ndim, "C", readonly=True) for ndim in (2, 1))
    epochs_type, status_type = types.Array(types.int32, 1, "C"), types.Array(types.int8, 1, "C")
    stairs = types.Tuple(
        [vector, matrix, types.Array(types.uint32, 1, "C"), matrix, vector, matrix, number]
    )

    @compiled(
        whole(
            *(weights, biases, vector, number, stairs, stairs, number, number, number, whole),
            *(epochs_type, status_type, vector, vector, matrix, vector),
            types.Array(whole, 1, "C"),
        )
    )
    def answer(
        w, b, x, sign, above, below, y, limit, blur, max_epochs,
        epochs, status, initial_error, final_error, final_w, final_b, undecided,
    ):  # fmt: skip
        """Answer the starts; return how many are not certain, and their numbers in `undecided`.

        The weights are (d, N). Errors nearer to the limit than the blur are not told apart.
        """
        z, end, share = np.zeros((1, CHUNK)), np.zeros((1, CHUNK)), np.zeros((1, CHUNK))
        residual, error, count = np.zeros((1, CHUNK)), np.zeros((1, CHUNK)), np.zeros((1, CHUNK))
        room = np.zeros((3, WIDTH))
        d, left, beyond = len(x), 0, np.nextafter(limit, np.inf)
        size_of_x = 1.0
        for j in range(d):
            size_of_x += x[j] * x[j]
        for begin in range(0, len(b), CHUNK):
            size = min(CHUNK, len(b) - begin)
            here = slice(begin, begin + size)
            biases, inputs = b[here], w[0, here]
            for i in range(size):
                z[0, i] = inputs[i] * x[0]
            for j in range(1, d):
                inputs = w[j, here]
                for i in range(size):
                    z[0, i] += inputs[i] * x[j]
            for i in range(size):
                z[0, i] = sign * (z[0, i] + biases[i])
            for c in range(0, CHUNK, WIDTH):
                start = load(z, 0, c)
                wrong = _error(activation, start, y)
                size_of = abs(wrong)
                zero = wrong * 0.0
                store(residual, 0, c, wrong)
                store(error, 0, c, size_of)
                store(end, 0, c, start)
                store(count, 0, c, zero)
                told = select(size_of > limit + blur, zero + CUT, zero + UNSURE)
                store(share, 0, c, select(size_of > limit - blur, told, zero + MET))
            out = initial_error[here]
            for i in range(size):
                out[i] = error[0, i]
            _find(1.0, above, z, residual, limit - blur, max_epochs, share, count, error, end, room)
            _find(
                -1.0, below, z, residual, limit - blur, max_epochs, share, count, error, end, room
            )
            for c in range(0, CHUNK, WIDTH):
                told, wrong = load(share, 0, c), load(error, 0, c)
                zero = told * 0.0
                cut = -told > 1.5
                if bits_of(cut) != 0:
                    ends = abs(_error(activation, load(end, 0, c), y))
                    # An end may lie so near to T₀ that its error rounds to the tolerance's other
                    # side.
                    wrong = select(cut, select(ends > limit, ends, zero + beyond), wrong)
                store(error, 0, c, select(cut, wrong, select(wrong > limit, zero + limit, wrong)))
                store(share, 0, c, select(cut, zero + MAX_EPOCHS, zero + CONVERGED))
                near = bits_of(zero + HIGHEST > abs(load(z, 0, c)))
                open_ = (bits_of(-told > 2.5) | ~near) & EVERY
                while open_ != 0:
                    i = c + lowest(open_)
                    open_ &= open_ - ONE
                    if i < size:
                        undecided[left] = begin + i
                        left += 1
            out, number, state = final_error[here], epochs[here], status[here]
            for i in range(size):
                out[i] = error[0, i]
            for i in range(size):
                number[i] = np.int32(count[0, i])
            for i in range(size):
                state[i] = np.int8(share[0, i])
            if len(final_b) > 0:
                out = final_b[here]
                for i in range(size):
                    end[0, i] = (z[0, i] - end[0, i]) * (sign / size_of_x)
                    out[i] = biases[i] - end[0, i]
                for j in range(d):
                    inputs, out = w[j, here], final_w[j, here]
                    for i in range(size):
                        out[i] = inputs[i] - end[0, i] * x[j]
        return left

    return answer
