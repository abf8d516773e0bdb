"""The orbit: one sample's starts answered from their staircase, where that is proven."""

# compiled code: its types are Numba's
# mypy: disable-error-code="no-untyped-def, no-untyped-call"

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
from numba.core import types
from numba.extending import register_jitable
from numpy.typing import NDArray

from sweep.errors import SpecError
from sweep.kernels.cache import compiled, once
from sweep.kernels.staircase import (
    BOUND,
    PIECE_NODES,
    POINTS,
    SLACK,
    Staircase,
    newton_form,
    obstacle,
    staircase,
)
from sweep.neuron.problem import Problem

__all__ = ["answer", "both_sides", "choose_orbit"]

# Ends this close to T₀ in z are not trusted to be on their side of it: such starts are trained.
NEAR = 1e-11

# Starts beyond are trained: δ there is below what exp can say.
HIGHEST = 1000.0

# An orbit takes 3 to 30 ms to build. Time of training over that of the orbit, the median of six
# learning rates and costs: 0.39 with 1,000 neurons (0.09 to 0.65), 0.77 with 32,000 (0.35 to 4.3),
# 0.99 with 64,000 (0.44 to 6.6).
FEWEST_STARTS = 32_768


@register_jitable
def _position(rows, column, z, hint):
    """Return the smallest k with z ≤ rows[k, column], len(rows) if there is none.

    Looks around the last answer in growing leaps: neighbours in a grid row are neighbours here.
    """
    low, high, leap = hint, hint, 1
    size = rows.shape[0]
    while high < size and rows[high, column] < z:
        low = high + 1
        high += leap
        leap *= 2
    high = min(high, size)
    leap = 1
    while low > 0 and (low >= size or rows[low - 1, column] >= z):
        high = min(high, low)
        low = max(0, low - leap)
        leap *= 2
    while low < high:
        middle = (low + high) // 2
        if rows[middle, column] < z:
            low = middle + 1
        else:
            high = middle
    return low


@once
def _answerer() -> Callable[..., int]:
    matrix = types.Array(types.float64, 2, "C")
    counts, queue_type = types.Array(types.int64, 2, "C"), types.Array(types.uint64, 1, "C")

    @compiled(
        types.int64(
            *(matrix, queue_type, matrix, counts),
            *(types.float64, matrix, matrix, matrix, types.float64, types.int64),
        )
    )
    def look_up(start, queue, total, count, side, rows, edges, pieces, kappa, max_epochs):
        """Answer the starts of one side; move the others to the front of the queue."""
        points = (rows.shape[1] - POINTS) // 2
        last = rows.shape[0] - 1
        left = hint = piece_hint = 0
        for q in range(len(queue)):
            i = queue[q]
            z = side * start[0, i]
            k = hint = _position(rows, BOUND, z, hint)
            end = np.nan
            if 0 < k <= last:
                row = rows[k]
                if rows[k, BOUND] - z > rows[k, SLACK] and (
                    z - rows[k - 1, BOUND] > rows[k - 1, SLACK]
                ):
                    end = newton_form(row, points, z)
                    # So near the tolerance the interpolated error could fall on its other side.
                    if not rows[0, BOUND] - end > NEAR:
                        end = np.nan
                    total[0, i] = side * (z - end) / kappa
                    count[0, i] = k
            elif k > last and edges.shape[0] > 0 and z - rows[last, BOUND] > rows[last, SLACK]:
                p = piece_hint = _position(edges, 0, z, piece_hint)
                if p < edges.shape[0]:
                    low, high = edges[p - 1, 0], edges[p, 0]
                    t = (2.0 * z - (low + high)) / (high - low)
                    after = following = 0.0  # Clenshaw
                    for m in range(PIECE_NODES - 1, 0, -1):
                        after, following = 2.0 * t * after - following + pieces[p - 1, m], after
                    moved = t * after - following + pieces[p - 1, 0]
                    end = z - side * kappa * moved
                    if not end - rows[0, BOUND] > NEAR:
                        end = np.nan
                    total[0, i] = moved
                    count[0, i] = max_epochs
            if np.isnan(end):
                total[0, i] = 0.0
                count[0, i] = 0
                queue[left] = i
                left += 1
        return left

    return look_up


def answer(
    stairs: list[Staircase],
    start: NDArray[np.float64],
    queue: NDArray[np.uint64],
    total: NDArray[np.float64],
    count: NDArray[Any],
    kappa: float,
    max_epochs: int,
) -> NDArray[np.uint64]:
    """Set total and count of the queue's neurons that the staircases decide; return the others.

    Parameters are those of the lanes' `train`.
    """
    look_up = _answerer()
    for side in stairs:
        left = look_up(
            *(start, queue, total, count, side.side, side.rows, side.edges[:, None], side.pieces),
            *(kappa, max_epochs),
        )
        queue = queue[:left]
    return queue


def both_sides(ask: Problem, rate: float, lowest: float, highest: float) -> list[Staircase]:
    """Return the staircases above and below the target, for starts z from lowest to highest."""
    mirrored = ask.act.mirrors(float(ask.y[0]))
    tops = (-lowest, highest) if mirrored else (highest, -lowest)
    found = (
        staircase(ask, rate, side, min(top, HIGHEST))
        for side, top in zip((1.0, -1.0), tops, strict=True)
    )
    return [stairs for stairs in found if stairs is not None]


def choose_orbit(
    method: str, ask: Problem, rates: NDArray[np.float64], starts: int, dtype: str
) -> bool:
    """Say whether the orbit answers `starts` neurons of one problem.

    Raises
    ------
    SpecError
        It was asked for by name and does not apply; says which condition failed.
    """
    if method == "train" or (method == "auto" and starts < FEWEST_STARTS):
        return False
    several = rates.min(initial=np.inf) < rates.max(initial=-np.inf)
    reason = (
        "it needs one learning rate for all neurons"
        if several
        else obstacle(ask, float(rates[0]), dtype)
    )
    if reason and method == "orbit":
        raise SpecError(f"method = 'orbit': {reason}; method = 'train' always applies")
    return reason is None
