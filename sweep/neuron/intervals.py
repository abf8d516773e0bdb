"""Bounds of a cost's gradient over all z: interval arithmetic on its formula.

The real line up to FARTHEST is cut into cells, each expression is bounded over all of them at once,
and every operation widens its bounds by more than it rounds (Moore, *Interval Analysis*, 1966).
"""

from __future__ import annotations

from functools import lru_cache
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from sweep.neuron.activations import ACTIVATIONS, Activation
from sweep.neuron.formula import CURVATURE, SLOPE, E, Expression, P, Q, nodes
from sweep.neuron.own_formulas import formulas_of

__all__ = ["FARTHEST", "Cells", "delta_bounds"]

Floats = NDArray[np.float64]

# Cells are FINE wide up to NEAR, and COARSE beyond it.
FINE, NEAR, COARSE, FARTHEST = 2.0**-6, 48.0, 4.0, 1000.0

WIDER = 1e-12


class Cells(NamedTuple):
    """Bounds of δ and dδ/dz over cells of z, from `edges[k]` to `edges[k + 1]`, (2, cells) each."""

    edges: Floats
    delta: Floats
    ddelta_dz: Floats


@lru_cache(maxsize=64)
def delta_bounds(formula: str, parameters: tuple[float, ...], activation: str, y: float) -> Cells:
    """Return the least and the largest δ and dδ/dz on cells of z, infinite where unbounded."""
    act, found = ACTIVATIONS[activation], formulas_of(formula, activation)
    near, far = np.arange(0.0, NEAR, FINE), np.arange(NEAR, FARTHEST + 1.0, COARSE)
    half = np.concatenate([near, far])
    edges = np.concatenate([-half[:0:-1], half])
    numbers = dict(zip(found.names, parameters, strict=True)) | {"y": y}
    known: dict[Expression, Floats] = _atoms(act, edges)
    known |= {name: np.full((2, 1), value) for name, value in numbers.items()}
    with np.errstate(all="ignore"):
        for each in nodes(("all", found.delta, found.ddelta_dz))[:-1]:
            if each not in known:
                low, high = _bounds(each, known)
                low, high = low - WIDER * abs(low), high + WIDER * abs(high)
                known[each] = np.array([np.where(np.isnan(low), -np.inf, low),
                                        np.where(np.isnan(high), np.inf, high)])  # fmt: skip
    delta, ddelta_dz = (np.broadcast_to(known[each], (2, len(edges) - 1))
                        for each in (found.delta, found.ddelta_dz))  # fmt: skip
    return Cells(edges, delta, ddelta_dz)


def _atoms(act: Activation, edges: Floats) -> dict[Expression, Floats]:
    """Return bounds of what expressions are made of, which grow or fall with z."""
    if act.exp2_scale == 1.0:
        size = 1.0 + abs(edges)
        p, q = (size + edges) / (2.0 * size), (size - edges) / (2.0 * size)
        log_p, log_q = np.log(p), np.log(q)
        slope = size**-2.0
        turns = np.array([slope[:-1], slope[1:]])
        crossing = (edges[:-1] < 0.0) & (edges[1:] > 0.0)
        slopes = np.array([turns.min(axis=0), np.where(crossing, 1.0, turns.max(axis=0))])
        bends = 2.0 * slopes[1] ** 1.5
        extra = {SLOPE: slopes, CURVATURE: np.array([-bends, bends])}
    else:
        t = edges * act.exp2_scale / ACTIVATIONS["sigmoid"].exp2_scale * (act.high - act.low)
        log_p, log_q = -np.logaddexp(0.0, -t), -np.logaddexp(0.0, t)
        # Numbers of lanes end there.
        p, q = (np.exp(np.maximum(each, -708.5)) for each in (log_p, log_q))
        extra = {}
    grow = {P: p, Q: q, ("log", P): log_p, ("log", Q): log_q}
    known = {}
    for name, values in grow.items():
        ends = np.array([values[:-1], values[1:]])
        low, high = ends.min(axis=0), ends.max(axis=0)
        known[name] = np.array([low - WIDER * abs(low), high + WIDER * abs(high)])
    return known | extra


def _bounds(x: Expression, known: dict[Expression, Floats]) -> tuple[Any, Any]:
    if isinstance(x, float):
        return np.full(1, x), np.full(1, x)
    if x == E:
        return np.full(1, np.e), np.full(1, np.e)
    if x[0] == "+":
        low, high = np.zeros(1), np.zeros(1)
        for term, coefficient in x[1:]:
            ends = coefficient * (known[term] if term != 1.0 else np.ones((2, 1)))
            low, high = low + ends.min(axis=0), high + ends.max(axis=0)
        return low, high
    if x[0] == "*":
        product = np.ones((2, 1))
        for base, exponent in x[1:]:
            product = _times(product, _power(base, exponent, known))
        return product[0], product[1]
    if x[0] == "where":
        condition, a, b = (known[each] for each in x[1:])
        above, below = condition[1] > 0.0, condition[0] <= 0.0
        low = np.minimum(np.where(above, a[0], np.inf), np.where(below, b[0], np.inf))
        high = np.maximum(np.where(above, a[1], -np.inf), np.where(below, b[1], -np.inf))
        return low, high
    low, high = known[x[1]]
    if x[0] in ("log", "tanh"):
        grow = np.log if x[0] == "log" else np.tanh
        return grow(np.maximum(low, 0.0) if x[0] == "log" else low), grow(high)
    least = np.where((low < 0.0) & (high > 0.0), 0.0, np.minimum(abs(low), abs(high)))
    most = np.maximum(abs(low), abs(high))
    return (least, most) if x[0] == "abs" else (np.cosh(least), np.cosh(most))


def _times(a: Floats, b: Floats) -> Floats:
    every = np.array([a[0] * b[0], a[0] * b[1], a[1] * b[0], a[1] * b[1]])
    low, high = every.min(axis=0), every.max(axis=0)
    return np.array([low - WIDER * abs(low), high + WIDER * abs(high)])


def _power(base: Expression, exponent: Expression, known: dict[Expression, Floats]) -> Floats:
    if base == E:
        return np.exp(known[exponent])
    low, high = known[base]
    if isinstance(exponent, float) and exponent.is_integer():
        ends = np.array([low**exponent, high**exponent])
        inside = (low <= 0.0) & (high >= 0.0)
        if exponent < 0.0:
            return np.array([np.where(inside, -np.inf, ends.min(axis=0)),
                             np.where(inside, np.inf, ends.max(axis=0))])  # fmt: skip
        least = np.where(inside & (exponent % 2.0 == 0.0), 0.0, ends.min(axis=0))
        return np.array([least, ends.max(axis=0)])
    # Of a base that is not negative, by its logarithm, where it is 0 by its limit.
    logs = _times(known[exponent], np.log(np.maximum(known[base], 0.0)))
    return np.exp(logs)
