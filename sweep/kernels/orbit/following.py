"""Neurons that are looked up, and followed: what becomes of them, from where their training ends.

With one sample z moves by a map f of z alone, so that what is followed for E epochs is a function
of z at the stop. Where f is increasing these functions are smooth, and z goes towards the target
and never beyond it: a neuron rests or creeps; it stays if it converged; the outputs at the first
and the last followed state are the least and the largest, and the cost never rises. The state after
some epochs, the Lyapunov exponent and the mean output are walked at a few hundred points, and are
polynomials on pieces of z between them, checked at points that did not make them. Pieces whose
polynomial misses by more than FIT are halved; a start on one that still misses is walked.

Whether a neuron rests is whether its last gradient is within its rounding. As each step is the
difference of two states, that gradient is δ(z)·(f^(E−1))'(ζ) with ζ between f(z) and z: known to a
small factor from the Lyapunov exponent, also far below what a polynomial of z could say. A start
nearer than SAFETY to what decides is walked, too.
"""

# compiled code: its types are Numba's
# mypy: disable-error-code="no-untyped-def, no-untyped-call"

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import NamedTuple

import numpy as np
from numba.core import types
from numpy.typing import NDArray

from sweep.kernels.block import trainer
from sweep.kernels.compile import compiled, once
from sweep.kernels.orbit.abel import cosines, interpolation, polynomial
from sweep.kernels.orbit.branch import find_branch, step_size
from sweep.kernels.orbit.lookup import HIGHEST
from sweep.kernels.profile import DDELTA_DZ, DELTA, RESIDUAL, SLOPE, evaluate, lower_target
from sweep.kernels.results import FollowResult, TrainResult, empty_results
from sweep.neuron.arithmetic import EXP2_SCALE
from sweep.neuron.following import LONGEST_PERIOD, Outcome
from sweep.neuron.problem import UNIT, Problem, Status

__all__ = ["FollowTable", "build_follow_table", "follow_into"]

Floats = NDArray[np.float64]

# What a table holds: z at the first state that others are compared with, and at the last one; the
# Lyapunov exponent; the mean output.
FIRST, LAST, LYAPUNOV, MEAN = range(4)

# Points of a polynomial, the width of the widest pieces, and how often one may be halved.
ORDERS, WIDEST, HALVINGS = 16, 2.0, 10

# A polynomial may miss by this: in z absolutely, and relative to the exponent and to the output.
FIT = 1e-11

# What decides whether a neuron rests is to be that many powers of 2 away from its limit.
SAFETY = 6

NODES, INTERPOLATION = interpolation(ORDERS)
# Between some of them it is checked.
NODES = np.concatenate([NODES, cosines((np.arange(ORDERS - 1) + 1.0)[::3] / ORDERS)])


class FollowTable(NamedTuple):
    """Polynomials of z at the stop, on P pieces.

    Attributes
    ----------
    edges : (P + 1,) array
        Where pieces begin, the last one's end after them.
    pieces : (P, 4, ORDERS) array
        Coefficients, highest first, for an argument from −1 to 1 over the piece; NaN where they do
        not resolve it.
    """

    edges: Floats
    pieces: Floats


def build_follow_table(
    problem: Problem, rate: float, lowest: float, highest: float, stop: NDArray[np.uint8]
) -> FollowTable | None:
    """Return the table for starts z from lowest to highest; None if neurons are not followed.

    A piece does not depend on this range, only which pieces there are. The table is not to be used
    if stop[0] became 1.
    """
    if not problem.follow:
        return None
    kappa = step_size(problem, rate)
    sign = -1.0 if problem.mirrors(float(problem.y[0])) else 1.0
    for side in (1.0, -1.0):
        branch = find_branch(problem, kappa, side)
        if branch is not None:
            ends = sign * side * np.array([branch.lowest - branch.width, branch.lowest])
            lowest, highest = min(lowest, *ends), max(highest, *ends)
    lowest, highest = max(lowest, -HIGHEST), min(highest, HIGHEST)
    begin = np.arange(np.floor(lowest / WIDEST), np.floor(highest / WIDEST) + 1.0) * WIDEST
    half, begins, pieces = 0.5 * WIDEST, list[Floats](), list[Floats]()
    for halving in range(HALVINGS + 1):
        z = begin[:, None] + half * (1.0 + NODES)
        values = _walked(problem, kappa, z.ravel(), stop).reshape(4, *z.shape)
        fitted = sum(values[:, :, k, None] * INTERPOLATION[k] for k in range(ORDERS))
        fits = np.ones(len(begin), np.bool_)
        for k in range(ORDERS, len(NODES)):
            missed = abs(_polynomials(fitted, NODES[k]) - values[:, :, k])
            fits &= (missed <= _allowed(problem, values[:, :, k])).all(axis=0)
        if halving == HALVINGS:
            fitted[:, ~fits] = np.nan
            fits[:] = True
        begins.append(begin[fits])
        pieces.append(np.moveaxis(fitted[:, fits], 0, 1))
        half *= 0.5
        begin = np.concatenate([begin[~fits], begin[~fits] + 2.0 * half])
    edges, coefficients = np.concatenate(begins), np.concatenate(pieces)
    order = np.argsort(edges)
    end = (np.floor(highest / WIDEST) + 1.0) * WIDEST
    return FollowTable(np.append(edges[order], end), np.ascontiguousarray(coefficients[order]))


def _walked(problem: Problem, kappa: float, z: Floats, stop: NDArray[np.uint8]) -> Floats:
    """Walk neurons from z, and return the rows FIRST, LAST, LYAPUNOV and MEAN."""
    epochs = problem.follow
    rows, rates = np.empty((4, len(z))), np.array([kappa])

    def train(max_epochs: int, follow: int) -> TrainResult:
        # A sample x = 0, so that z is b and κ the learning rate; no error is below 0.
        alone = replace(
            problem, x=np.zeros((1, 1)), tolerance=0.0, max_epochs=max_epochs, follow=follow
        )
        out = empty_results(len(z), 1, follow=follow > 0)
        trainer(alone, "float64")(out, np.zeros((len(z), 1)), z, rates, stop)
        return out

    rows[FIRST] = train(_first(epochs), 0).b
    rows[LAST] = train(epochs - 1, 0).b
    followed = train(0, epochs)
    assert isinstance(followed, FollowResult)
    rows[LYAPUNOV], rows[MEAN] = followed.lyapunov, followed.mean_output
    return rows


def _first(epochs: int) -> int:
    """Return the number of the first state that later ones are compared with."""
    return epochs - 1 - min(LONGEST_PERIOD, epochs // 2)


def _polynomials(coefficients: Floats, t: float) -> Floats:
    value = coefficients[..., 0]
    for m in range(1, ORDERS):
        value = value * t + coefficients[..., m]
    return value


def _allowed(problem: Problem, values: Floats) -> Floats:
    """Return by how much polynomials may miss, for the rows of `_walked`."""
    ends = max(abs(problem.act.low), abs(float(problem.y[0])))
    allowed = FIT * abs(values)
    allowed[[FIRST, LAST]] += FIT
    allowed[LYAPUNOV] += 1e-15
    allowed[MEAN] += 1e-2 * FIT * ends
    return allowed


@once
def _compile_lookup() -> Callable[[Floats, Floats, Floats, Floats], None]:
    """Compile lookup(edges, pieces, z (N,), out (4, N)); NaN for z outside."""
    vector = types.Array(types.float64, 1, "C")
    table = types.Array(types.float64, 3, "C")

    @compiled(types.void(vector, table, vector, types.Array(types.float64, 2, "C")))
    def lookup(edges, pieces, z, out):
        for i in range(len(z)):
            if edges[0] <= z[i] < edges[-1]:
                k = np.searchsorted(edges, z[i], "right") - 1
                t = 2.0 * (z[i] - edges[k]) / (edges[k + 1] - edges[k]) - 1.0
                for row in range(4):
                    out[row, i] = polynomial(pieces[k, row], t)
            else:
                out[:, i] = np.nan

    return lookup


def follow_into(
    out: FollowResult, start: Floats, end: Floats, rate: float, problem: Problem, table: FollowTable
) -> NDArray[np.bool_]:
    """Write what becomes of neurons into `out`; return which ones are to be walked.

    start, end : (N,) arrays
        z at the start, of which only the size matters, and at the stop of the training.
    """
    epochs, kappa, y = problem.follow, step_size(problem, rate), lower_target(problem)
    sign = -1.0 if problem.mirrors(float(problem.y[0])) else 1.0
    rows = np.empty((4, len(end)))
    _compile_lookup()(table.edges, table.pieces, end, rows)
    at_end, first, last = (evaluate(problem, sign * z, y) for z in (end, *rows[[FIRST, LAST]]))
    outputs = problem.y[0] + sign * np.array([at_end[RESIDUAL], last[RESIDUAL]])
    out.lyapunov[:], out.mean_output[:] = rows[LYAPUNOV], rows[MEAN]
    out.lowest[:], out.highest[:] = outputs.min(axis=0), outputs.max(axis=0)
    out.stays[:], out.first_rise[:] = out.status == int(Status.converged), 0

    # As `sweep.neuron.following` defines a rest.
    sizes = 1.0 + abs(start) + abs(rows[FIRST])
    moved = kappa * abs(first[DELTA]) / (np.sqrt(UNIT) * sizes)
    of_output = problem.rounding_of_output(last[RESIDUAL], last[SLOPE], last[DDELTA_DZ], y)
    of_z = UNIT * (abs(rows[LAST]) + abs(start)) * last[DDELTA_DZ]
    # Of T = (z₀ − z)/κ, which a difference of nearly equal z does not say; but then T is at most
    # the epochs times δ, and its rounding far below δ.
    apart = abs(start - rows[LAST])
    of_total = UNIT * np.where(apart > 1e-6, apart, 0.0) / kappa
    rounding = 17.0 * (abs(of_output) + abs(of_z)) + of_total
    # Powers of 2, for NumPy's logarithms depend on the CPU: of δ times the tangent's growth, or of
    # the last δ, where a polynomial says it.
    delta = np.frexp(at_end[DELTA])[1] + rows[LYAPUNOV] * epochs * EXP2_SCALE
    exact = abs(last[DELTA]) > 1e-6 * abs(last[DDELTA_DZ])
    delta = np.where(exact, np.frexp(last[DELTA])[1], delta) - np.frexp(rounding)[1]
    rests = (moved < 0.5) & (delta < -SAFETY)
    creeps = (moved > 2.0) | (delta > SAFETY) if epochs > 1 else np.ones(len(end), np.bool_)
    out.outcome[:] = np.where(rests, int(Outcome.rests), int(Outcome.creeps))
    out.period[:] = rests & ~creeps
    walked: NDArray[np.bool_] = np.isnan(rows).any(axis=0) | (rests == creeps)
    return walked
