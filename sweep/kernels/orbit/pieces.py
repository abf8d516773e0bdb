"""The way down to the target, from T₀ upwards: rows where steps are broad, pieces where narrow."""

from __future__ import annotations

import math
from functools import cache
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from sweep.kernels.orbit.abel import (
    MEASURES,
    ORDERS,
    compile_abel,
    cosines,
    fitter,
    powers_of_chebyshev,
)
from sweep.kernels.orbit.backward import ORBITS, compile_backward_orbit
from sweep.kernels.orbit.branch import HIGH, Branch, log, look

__all__ = ["MOST_POINTS", "Section", "fewest_points", "goal", "sections"]

Floats = NDArray[np.float64]

# Of the orbits, the last ones check the polynomials through the others.
CHECKS = 5
MOST_POINTS = ORBITS - CHECKS - 1

# What there is room for: more is needed for z₀ beyond 1000 only.
MOST_ROWS, MOST_PIECES = 2**16, 2**14

# Ends are asked to be right to GOAL, relative to the error there.
GOAL = 1e-11

# Starts are said to stand still if they move by less in all epochs.
STILL = 1e-15


class Section(NamedTuple):
    """Neighbouring rows or pieces: their MEASURES, A on each, and its inverse.

    A row more of `told` says where the last one ends.
    """

    told: Floats
    grown: Floats
    inverses: Floats


def goal(way: Branch, low: Floats | float) -> Floats:
    """Return how exact ends in z must be from a height on."""
    return np.maximum(GOAL * np.minimum(1.0, low - way.star), 1e-14 * (1.0 + np.abs(low)))


def fewest_points(way: Branch) -> int:
    """Return how many points resolve the rows, if nothing but poles is near."""
    # On the widest row polynomials converge at the rate ρ; cut off, starts may end there.
    reach = 2 * way.pole / way.longest
    digits = log(1.0 + way.longest / float(goal(way, way.lowest - way.width)))
    return int(
        np.clip(np.ceil(digits / log(reach + math.sqrt(reach * reach + 1.0))) + 2, 4, MOST_POINTS)
    )


@cache
def _shares(points: int) -> Floats:
    """Return Chebyshev points from 0 to 1, CHECKS from between them, then 1 up to ORBITS."""
    share = 0.5 - 0.5 * cosines(np.arange(points) / (points - 1))
    gaps = np.linspace(0, points - 2, CHECKS).round().astype(int)
    checks = 0.5 * (share[gaps] + share[gaps + 1])
    return np.array([*share, *checks, *[1.0] * (ORBITS - points - CHECKS)])


@cache
def _powers(points: int) -> Floats:
    return powers_of_chebyshev(points)


def sections(
    way: Branch, top: float, points: int, epochs: int
) -> tuple[Floats, Floats, list[Section], float]:
    """Return all up to the top.

    First come errors and heights over the share θ of an epoch from f(T₀) to T₀, as polynomials
    of 2θ − 1, and how far they are off; then the sections, rows and pieces in turn; then from where
    on starts stand still.
    """
    even, found = _shares(points), list[Section]()
    row = way.lowest - way.width * (1.0 - even)
    shares: Floats | None = None
    rates, first = np.full(ORBITS, 1.0 / way.width), None
    whole, rest, still = 0.0, 0.0, np.inf
    while True:
        # Whether pieces follow decides what the share of an epoch is: that must not depend on
        # the top.
        bound = max(top, HIGH) if shares is not None or way.calm == np.inf else np.inf
        heights, falls, narrow = _climb(way, row, bound)
        last = len(heights) - 1 - narrow
        begun = heights[last, -1]
        if narrow:
            told, grown, inverses, still, on = _grow(way, begun, whole + last, rest, top, epochs)
            per = 2.0 / (told[1, 0] - begun)
            at = (heights[-1] - begun) * per - 1.0
            there = np.polyval(grown[0], at) - rest
            if shares is None:
                shares = there
                slopes = np.polyval(np.polyder(grown[0]), at) * per
                rates = slopes / np.prod(falls[1:], axis=0)
            else:
                told[0, 5] += abs(there - shares).max()
        if shares is None:
            shares = even
        if first is None:
            errors = abs(look(way.pair, way.side * heights[0], way.y)[0])
            first = _fit(2.0 * shares - 1.0, np.array([errors, heights[0]]), points)
        found.append(
            _rows(heights[: last + 1], falls[: last + 1], shares, rates, whole, rest, points)
        )
        if not narrow:
            break
        found.append(Section(told, grown, inverses))
        if not on:
            break
        # The first row of those that follow ends where the pieces do.
        low, end = told[-2, 0], told[-1, 0]
        whole, rest = told[-1, 1], told[-1, 2]
        row = end - told[-1, 7] * (1.0 - even)
        per = 2.0 / (end - low)
        at = (row - low) * per - 1.0
        shares = np.polyval(grown[-1], at) - (np.polyval(grown[-1], 1.0) - 1.0)
        rates = np.polyval(np.polyder(grown[-1]), at) * per
    return *first, found, still


def _fit(at: Floats, values: Floats, points: int) -> tuple[Floats, Floats]:
    """Return polynomials through values (n, ORBITS), at (ORBITS,) or (n, ORBITS); how far off."""
    values = np.array(values[:, : points + CHECKS], order="C")
    at = np.array(np.broadcast_to(at[..., : points + CHECKS], values.shape), order="C")
    fitted, off = np.empty((len(values), points)), np.empty(len(values))
    fitter()(at, values, _powers(points), fitted, off)
    return fitted, off


def _rows(
    heights: Floats,
    falls: Floats,
    shares: Floats,
    rates: Floats,
    whole: float,
    rest: float,
    points: int,
) -> Section:
    """Return rows 1 …, in which each orbit is at its share of an epoch; `rates` is A' in row 0."""
    count = len(heights) - 1
    told = np.zeros((count + 1, len(MEASURES)))
    told[:, 0], told[:, 1], told[:, 2], told[:, 3] = (
        heights[:, -1],
        whole + np.arange(count + 1),
        rest,
        1.0,
    )
    if count == 0:
        return Section(told, np.empty((0, points)), np.empty((0, points)))
    per = 2.0 / np.diff(heights[:, -1])
    at = (heights[1:] - heights[:-1, -1:]) * per[:, None] - 1.0
    grown, told[:-1, 10] = _fit(at, np.broadcast_to(shares, at.shape), points)
    grown[:, -1] += rest
    inverses, off = _fit(2.0 * shares - 1.0, at, points)
    rates = rates * np.cumprod(np.vstack([np.ones(ORBITS), falls[1:]]), axis=0)
    told[:-1, 6] = np.maximum(rates[1:], rates[:-1]).max(axis=1)
    told[:-1, 7] = np.diff(heights, axis=0).max(axis=1)
    told[:-1, 8] = abs((1.0 - falls[1:]) * heights[1:]).max(axis=1)
    told[:-1, 9] = off / per
    return Section(told, grown, inverses)


def _climb(way: Branch, first: Floats, top: float) -> tuple[Floats, Floats, bool]:
    """Return rows of orbits up from the first, f' there, and whether pieces may begin there."""
    room = 128
    while True:
        heights, falls = np.empty((2, room + 1, ORBITS))
        heights[0] = first
        last = compile_backward_orbit(way.pair)(
            *(heights, falls, way.side, way.kappa, way.y),
            *(top, way.calm, way.star, way.widest),
        )
        if abs(last) < room or room >= MOST_ROWS:
            return heights[: abs(last) + 1], falls[: abs(last) + 1], last < 0
        room *= 8


def _grow(
    way: Branch, begun: float, whole: float, rest: float, top: float, epochs: int
) -> tuple[Floats, Floats, Floats, float, bool]:
    """Return pieces from there: what is told of them, A, its inverse.

    Then from where on starts stand still, and whether rows are to follow.
    """
    room = 256
    while True:
        told = np.empty((room + 1, len(MEASURES)))
        grown, inverses = np.empty((2, room, ORDERS))
        count = compile_abel(way.pair)(
            *(told, grown, inverses, way.side, way.kappa, way.y, begun, whole, rest),
            *(max(top, begun + 1e-9), way.star, way.widest, float(epochs), STILL),
        )
        if count < room or room >= MOST_PIECES:
            break
        room *= 8
    end, still = told[count, 0], np.inf
    on = count < room and end < top and told[count - 1, 3] > 0.0
    if on and epochs * told[count, 7] < STILL:
        on, still = False, float(end)
    return told[: count + 1], grown[:count], inverses[:count], still, bool(on)
