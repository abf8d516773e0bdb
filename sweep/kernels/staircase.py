"""The staircase: with one sample, epochs over z₀, built from one backward orbit.

With one sample a neuron's z moves by the map f(z) = z − κδ(z), whatever its w and b. Where f is
increasing, starts keep their order, so epochs is a staircase over z₀: its steps lie at T₀, where
the error meets the tolerance, and at T_{k+1} = f⁻¹(T_k). A start between T_{k−1} and T_k takes k
epochs, and where it ends follows from where it lies between them: the k-th iterate of f maps that
interval onto the first one, smoothly, so that a few orbits from inside the first interval give an
interpolating polynomial for each step.

**Which starts are certain.** `train` computes ζ_{j+1} = f(ζ_j) + e_j, with ζ_j = z₀ − κT_j for the
sum T_j that it holds, and (u = 2⁻⁵³ the unit roundoff, to first order)

    |e_j| ≤ κu [ c δ(ζ_j) + |ζ_j δ'(ζ_j)| ] + u |z₀ − ζ_{j+1}|,     c = 24 + 8 (y − low)/tolerance:

the formulas of δ round a dozen times, and a − y loses (a + y)/|a − y| of that; the argument z₀ − κT
is rounded once; the addition to T rounds by u·T. Let Δ_k bound how far the start that just takes k
epochs can lie from T_k. By the mean value theorem Δ_{k+1} = (Δ_k + |e|)/f'(T_{k+1}), and Δ₀ is how
far the test's own rounding moves T₀. Where z₀ is farther than Δ_k from every T_k, `train` counts
exactly what the staircase says. The code takes twice these bounds, which also covers its own orbit
(kept in two float64 and solved to a few u of each step) and the second order, as long as Δ_k is
below 1 % of a step: where it is not, the orbit ends, and starts beyond it are trained, as are
those within Δ_k of a step.

Starts that max_epochs = K cuts off lie above T_K. Those between T_{K+i−1} and T_{K+i} end between
T_{i−1} and T_i, so the same orbits give their polynomials too, for some thousand rows more. Above
these, the end is so smooth a function of z₀ that Chebyshev polynomials on a few pieces tell it,
through neurons that are trained for it.
"""

# compiled code: its types are Numba's
# mypy: disable-error-code="no-untyped-def, no-untyped-call"

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import cache
from itertools import pairwise

import numpy as np
from numba.core import types
from numba.extending import overload, register_jitable
from numpy.typing import NDArray

from sweep.kernels.block import trainer, untrained
from sweep.kernels.cache import compiled, once
from sweep.kernels.vectormath import bits_of, load, select, store, width_of
from sweep.neuron.activations import ACTIVATIONS
from sweep.neuron.arithmetic import exp_ratio, fma
from sweep.neuron.costs import fused
from sweep.neuron.problem import Problem

__all__ = [
    "NEAR",
    "PIECE_NODES",
    "Staircase",
    "between",
    "bins_per",
    "obstacle",
    "staircase",
    "step_size",
]

U = 2.0**-53

# Ends this close to T₀ in z are not trusted to be on their side of it: such starts are trained.
NEAR = 1e-10
WIDTH = width_of(types.float64)

MOST_ROWS = 10_000_000

# Orbits walked together, on every CPU: the points of a row's polynomial and those that check it.
ORBITS, CHECKS = 32, 5
MOST_POINTS = ORBITS - CHECKS

# δ' is looked at every STRIDE; no declared pair has |δ''| above this (a test holds that).
STRIDE, STEEPEST_BEND = 2.0**-6, 4.0

# Rows beyond those of max_epochs, for the starts that it cuts off: some times as many as take the
# end past z = 0, where it bends most. Still farther ends are a smooth function of z₀, on pieces
# with so many Chebyshev nodes.
FEWEST_CUT, CUT_TIMES, MOST_CUT = 2048, 12, 16384
PIECE_NODES = 16
MOST_HALVINGS = 6

# A search begins where z lies among so many even bins, or fewer for a short orbit.
MOST_BINS = 2**15


@dataclass(frozen=True)
class Staircase:
    """Where epochs steps, on one side of the target, and where the starts between steps end.

    Attributes
    ----------
    side : float
        1 above the target, −1 below: bounds and edges hold side·z, so that they increase.
    bounds, slacks : (K + 1,) array
        T_k and Δ_k.
    rows : (K + 1, M) array
        Where a start between T_{k−1} and T_k ends: coefficients of a polynomial, highest first,
        whose argument goes from −1 to 1; NaN where it does not resolve that.
    bins : (B + 2,) uint32 array
        Of B even bins from T₀ to T_K, how many T_k lie below each.
    edges : (P + 1,) array
        Of the pieces above the last step; empty if the orbit ends before max_epochs.
    pieces : (P, PIECE_NODES) array
        Coefficients of T at the stop, as those of rows; NaN where they do not resolve it.
    """

    side: float
    bounds: NDArray[np.float64]
    slacks: NDArray[np.float64]
    rows: NDArray[np.float64]
    bins: NDArray[np.uint32]
    edges: NDArray[np.float64]
    pieces: NDArray[np.float64]


# --- conditions ------------------------------------------------------------------------------


def obstacle(ask: Problem, rate: float, dtype: str) -> str | None:
    """Return why the staircase is not proven for a problem and learning rate; None if it is."""
    if len(ask.x) != 1:
        return f"it needs one sample; there are {len(ask.x)}"
    if dtype != "float64":
        return f"its bounds are for float64; dtype is {dtype}"
    if ask.act.bend is None:
        return f"it needs a smooth activation; {ask.activation} has a corner"
    kappa = step_size(ask, rate)
    steepest = _steepest(ask.cost, ask.activation, lower_target(ask))
    if not kappa * steepest < 1.0:
        return (
            f"the map folds: learning_rate·(|x|² + 1) = {kappa:g} must be below "
            f"{1 / steepest:.4g} for {ask.cost} with {ask.activation}"
        )
    return None


@cache
def _steepest(cost: str, activation: str, y: float) -> float:
    """Return a bound of δ' over all z."""
    act, pair = ACTIVATIONS[activation], fused(cost, activation)
    assert act.bend is not None
    highest = 0.0
    for z in np.arange(-48.0, 48.0, STRIDE).tolist():
        residual, slope = act.forward(z, y, exp_ratio)
        highest = max(highest, pair.delta_slope(residual, slope, act.bend(residual + y, slope)))
    return highest + 0.5 * STRIDE * STEEPEST_BEND


def step_size(ask: Problem, rate: float) -> float:
    """Return κ = η(|x|² + 1)."""
    return float(rate * (sum(v * v for v in ask.x[0]) + 1.0))


def lower_target(ask: Problem) -> float:
    """Return the target, mirrored into the lower half of the range."""
    y = float(ask.y[0])
    return ask.act.low + ask.act.high - y if ask.act.mirrors(y) else y


# --- the backward orbit ----------------------------------------------------------------------


def _step_back(pair, side, kappa, z, guess, y):
    """Return (s, |δ'|, f') with s = κ|δ(z + side·s)| for lanes; in compiled code only."""


@overload(_step_back, prefer_literal=True)
def _overload_step_back(pair, side, kappa, z, guess, y):
    if not isinstance(pair, types.StringLiteral):
        return None
    cost, activation = pair.literal_value.split(" ")
    forward = register_jitable(ACTIVATIONS[activation].forward)
    bend = register_jitable(ACTIVATIONS[activation].bend)
    delta = register_jitable(fused(cost, activation).delta)
    delta_slope = register_jitable(fused(cost, activation).delta_slope)

    def newton(pair, side, kappa, z, guess, y):
        s, change, steepness = guess, guess * 0.0 + 1e300, guess * 0.0
        for _ in range(60):
            # A lane that is done stands still: no bit of it depends on its neighbours.
            going = abs(change) > abs(s) * 3e-9
            residual, slope = forward(z + s * side, y, exp_ratio)
            steep = delta_slope(residual, slope, bend(residual + y, slope))
            moved = delta(residual, slope) * (side * kappa)
            change = select(going, (moved - s) / (1.0 - steep * kappa), change)
            s = select(going, s + change, s)
            steepness = select(going, steep, steepness)
            # Newton doubles the digits: what is left of a change this small is below a rounding.
            if bits_of(abs(change) > abs(s) * 3e-9) == 0:
                break
        return s, abs(steepness), 1.0 - steepness * kappa

    return newton


@register_jitable
def between(low, z, high):
    """Return where z lies between low and high, from −1 to 1; the differences are exact."""
    return ((z - low) - (high - z)) / (high - low)


@register_jitable
def _fit(at, ends, goals, count, first, size, bounds, rows):
    """Set rows first … first + size − 1: polynomials through (at[m], ends[m]), m < count.

    `at`, `ends` (M + CHECKS, WIDTH) and `goals` (1, WIDTH) have a column for each row. Returns
    whether all give back the other ends within their goals.
    """
    # Lanes over the rows: 2.5× what LLVM makes of loops over them.
    f, c, span = np.empty((count, WIDTH)), np.zeros((count, WIDTH)), np.ones((2, WIDTH))
    span[0, :size], span[1, :size] = (
        bounds[first - 1 : first + size - 1],
        bounds[first : first + size],
    )
    for m in range(len(ends)):
        store(at, m, 0, between(load(span, 0, 0), load(at, m, 0), load(span, 1, 0)))
    for m in range(count):
        store(f, m, 0, load(ends, m, 0))
    for order in range(1, count):  # Newton's divided differences
        for m in range(count - 1, order - 1, -1):
            rise, run = load(f, m, 0) - load(f, m - 1, 0), load(at, m, 0) - load(at, m - order, 0)
            store(f, m, 0, rise / run)
    for m in range(count - 1, -1, -1):  # times (t − at[m]), plus f[m]
        for i in range(count - 1 - m, 0, -1):
            store(c, i, 0, load(c, i - 1, 0) - load(at, m, 0) * load(c, i, 0))
        store(c, 0, 0, load(f, m, 0) - load(at, m, 0) * load(c, 0, 0))
    unresolved = np.uint64(0)
    for m in range(count, len(ends)):
        end = load(c, count - 1, 0)
        for i in range(count - 2, -1, -1):
            end = fma(end, load(at, m, 0), load(c, i, 0))
        unresolved |= bits_of(abs(end - load(ends, m, 0)) > load(goals, 0, 0))
    here = rows[first : first + size]
    for i in range(count):
        powers = c[count - 1 - i]
        for r in range(size):
            here[r, i] = powers[r]
    for r in range(size):
        if (unresolved >> np.uint64(r)) & np.uint64(1):  # starts of this row are trained
            here[r, 0] = np.nan
    return (unresolved << np.uint64(64 - size)) == 0 if size > 0 else True


@register_jitable
def cut_rows(below):
    """Return how many rows there are beyond those of max_epochs, if so many T_k lie below 0."""
    return min(CUT_TIMES * below + FEWEST_CUT, MOST_CUT)


@once
def _climb(pair: str) -> Callable[..., int]:
    """Compile the backward orbit of a (cost, activation)."""
    matrix, vector = types.Array(types.float64, 2, "C"), types.Array(types.float64, 1, "C")
    number, whole, flags = types.float64, types.int64, types.Array(types.boolean, 1, "C")

    @compiled(
        whole(
            *(vector, vector, matrix, vector),
            *(number, number, number, number, number, number, number, number, whole, whole, flags),
        )
    )
    def climb(
        bounds, slacks, rows, nodes, first_slack, side, kappa, y,
        roundings, goal, cut_goal, top, most, max_epochs, resolved,
    ):  # fmt: skip
        """Fill rows 1 … and return the last.

        `nodes` (M + CHECKS,) lie in the first interval: M points, T₀ the last of them, then
        others whose ends the polynomials must give back within a goal; resolved[0] says
        whether they do.
        Starts of row max_epochs + i end in the i-th interval.
        """
        count = len(nodes) - CHECKS
        last = count - 1
        resolved[0] = True
        at, ends = np.empty((len(nodes), WIDTH)), np.empty((len(nodes), WIDTH))
        passed, goals = np.empty((MOST_CUT, len(nodes))), np.full((1, WIDTH), goal)
        for m in range(len(nodes)):
            ends[m, :] = side * nodes[m]
        z, low = np.zeros((1, ORBITS)), np.zeros((1, ORBITS))
        step, before, earlier = np.zeros((1, ORBITS)), np.zeros((1, ORBITS)), np.zeros((1, ORBITS))
        for m in range(ORBITS):
            z[0, m] = nodes[min(m, len(nodes) - 1)]
        bounds[0], slacks[0] = side * nodes[last], first_slack
        slack, sum_gain, sum_gain_z = first_slack, 0.0, 0.0
        steep, rise = np.zeros((1, ORBITS)), np.zeros((1, ORBITS))
        k = filled = below = 0
        noisy = False
        while k < most and k < max_epochs + cut_rows(below) and bounds[k] < top:
            for c in range(0, ORBITS, WIDTH):
                lately, then = load(step, 0, c), load(before, 0, c)
                guess = lately
                if k > 2:  # extrapolated: one Newton step is enough for most rows
                    guess = (
                        guess + (lately - then) + ((lately - then) - (then - load(earlier, 0, c)))
                    )
                s, slope, fall = _step_back(pair, side, kappa, load(z, 0, c), guess, y)
                # z + low + side·s, kept in two numbers (Knuth's two-sum)
                a, b = load(z, 0, c), s * side + load(low, 0, c)
                total = a + b
                part = total - a
                store(low, 0, c, (a - (total - part)) + (b - part))
                store(z, 0, c, total)
                store(earlier, 0, c, then)
                store(before, 0, c, lately)
                store(step, 0, c, s)
                store(steep, 0, c, slope)
                store(rise, 0, c, fall)
            column = k - filled
            for m in range(len(nodes)):
                at[m, column] = side * z[0, m]
            if k < MOST_CUT:
                passed[k] = at[:, column]
            here, moved = z[0, last], step[0, last]
            goals[0, column] = goal
            if k >= max_epochs:
                ends[:, column], goals[0, column] = passed[k - max_epochs], cut_goal
            # Between two steps so close, z₀ itself has few digits; they count for this much.
            noise = 8.0 * U * abs(here) * (ends[last, column] - ends[0, column]) / moved
            goals[0, column] = max(goals[0, column], min(noise, 0.5 * NEAR))
            noisy |= noise > 0.5 * NEAR
            local = U * (roundings * moved + kappa * abs(here) * steep[0, last])
            # Σ over the steps j of u|z₀ − ζ_j|, each magnified on the way up to here, z₀ = here
            gain = 1.0 / rise[0, last]
            slack = (slack + 2.0 * local) * gain
            sum_gain_z = (sum_gain_z + (here - side * moved)) * gain
            sum_gain = (sum_gain + 1.0) * gain
            k += 1
            bounds[k] = side * here
            if bounds[k] < 0.0:
                below = k
            slacks[k] = slack + 2.0 * U * abs(here * sum_gain - sum_gain_z) + 4.0 * U * abs(here)
            if not slacks[k] < 0.01 * moved:
                k -= 1
                break
            if k - filled == WIDTH:
                fine = _fit(at, ends, goals, count, filled + 1, WIDTH, bounds, rows)
                resolved[0] &= fine or noisy
                filled, noisy = k, False
        fine = _fit(at, ends, goals, count, filled + 1, k - filled, bounds, rows)
        resolved[0] &= fine or noisy
        return k

    return climb


def _threshold(ask: Problem, y: float, side: float) -> tuple[float, float] | None:
    """Return T₀, where a = y + side·tolerance, and Δ₀; None if a does not get there."""
    act, goal = ask.act, side * ask.tolerance
    if not act.low < y + goal < act.high:
        return None
    low, high = -700.0, 700.0
    for _ in range(80):
        middle = 0.5 * (low + high)
        if act.forward(middle, y, exp_ratio)[0] < goal:
            low = middle
        else:
            high = middle
    z = high
    slope = act.forward(z, y, exp_ratio)[1]
    blur = 8 * U * (abs(y - act.low) + 2 * ask.tolerance) / slope + 4 * U * abs(z)
    return z, 2 * blur


def staircase(ask: Problem, rate: float, side: float, top: float) -> Staircase | None:
    """Build the staircase on one side of the target, up to side·z = top.

    None if there is no such side, where every start has converged, or no epoch to train.

    What is built does not depend on `top`, only how much of it.
    """
    y, kappa = lower_target(ask), step_size(ask, rate)
    found = _threshold(ask, y, side)
    if found is None or ask.max_epochs == 0:
        return None
    z, slack = found
    residual, slope = ask.act.forward(z, y, exp_ratio)
    width = abs(kappa * ask.fused.delta(residual, slope))
    climb = _climb(f"{ask.cost} {ask.activation}")
    roundings = 2 * (24 + 8 * abs(y - ask.act.low) / ask.tolerance)
    least, resolved = 1e-14 * (1.0 + abs(z)), np.zeros(1, np.bool_)
    goal = max(1e-11 * ask.tolerance, least)
    cut_goal = max(1e-11 * (ask.tolerance if y > ask.act.low else 1.0), least)
    most = min(ask.max_epochs + MOST_CUT, MOST_ROWS)
    room, points = min(most, 1 << 15), _fewest_points(ask, y, kappa, width, goal, cut_goal)
    while True:
        nodes = _first_interval(z, side * width, points)
        bounds, slacks, rows = np.empty(room + 1), np.empty(room + 1), np.empty((room + 1, points))
        last = climb(
            *(bounds, slacks, rows, nodes, slack, side, kappa, y),
            *(roundings, goal, cut_goal, top, room, ask.max_epochs, resolved),
        )
        if last == room < most:  # there are more rows to come
            room = min(most, 4 * room)
        elif not resolved[0] and points < MOST_POINTS:
            points = MOST_POINTS
        else:
            break
    bounds, slacks, rows = bounds[: last + 1], slacks[: last + 1], rows[: last + 1]
    edges, pieces = np.empty(0), np.empty((0, PIECE_NODES))
    if last >= ask.max_epochs and bounds[-1] < top:
        below = min(int(np.searchsorted(bounds, 0.0)), (last - ask.max_epochs) * 3 // 4)
        reach = bounds[-1] - bounds[min(ask.max_epochs + below, last - 1)]
        edges, pieces = _cut_off(ask, y, side, kappa, bounds[-1], reach, top)
    return Staircase(side, bounds, slacks, rows, _bins(bounds), edges, pieces)


def _bins(bounds: NDArray[np.float64]) -> NDArray[np.uint32]:
    """Return how many bounds lie below each of B even bins."""
    size = min(max(2 * len(bounds), 4096), MOST_BINS)
    per = bins_per(bounds, size)
    bins = ((bounds - bounds[0]) * per).astype(np.int64)
    counts = np.bincount(bins, minlength=size + 1)
    return np.concatenate([[0], np.cumsum(counts)]).astype(np.uint32)


@register_jitable
def bins_per(bounds, size):
    """Return bins per unit of z."""
    return size / max(bounds[-1] - bounds[0], 1e-300)


def _fewest_points(
    ask: Problem, y: float, kappa: float, width: float, goal: float, cut_goal: float
) -> int:
    """Return how many points resolve the orbit's intervals, if nothing but poles is near."""
    heights = (
        abs(ask.fused.delta(*ask.act.forward(v, y, exp_ratio)))
        for v in np.arange(-40.0, 40.0, 0.25)
    )
    widest = max(kappa * max(heights), 1e-12)
    # On the widest interval polynomials converge at the rate ρ; cut off, starts may end there.
    reach = 2 * ask.act.pole / widest
    rho = reach + np.hypot(reach, 1.0)
    digits = np.log(1.0 + max(width / goal, widest / cut_goal))
    return int(np.clip(np.ceil(digits / np.log(rho)) + 2, 4, MOST_POINTS))


def _first_interval(z: float, width: float, points: int) -> NDArray[np.float64]:
    """Return Chebyshev points from z − width to z, in an order that keeps Newton's form stable.

    The last of them is z; after it come CHECKS others from between.
    """
    share = 0.5 - 0.5 * np.cos(np.pi * np.arange(points) / (points - 1))
    order = [points - 1, 0]  # Leja's: each next point is the farthest from all before
    while len(order) < points:
        rest = [i for i in range(points) if i not in order]
        order.append(max(rest, key=lambda i: float(np.prod(abs(share[i] - share[order])))))
    gaps = np.linspace(0, points - 2, CHECKS).round().astype(int)
    checks = 0.5 * (share[gaps] + share[gaps + 1])
    return np.asarray(z - width * (1.0 - np.array([*share[order[1:]], share[order[0]], *checks])))


def _cut_off(
    ask: Problem, y: float, side: float, kappa: float, low: float, reach: float, top: float
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Return edges and coefficients of T after max_epochs, from `low` to `top`.

    Pieces are as wide as it is to what bends them, which lies `reach` below the first, but for the
    poles of the activation.
    """
    cuts = [low]
    while cuts[-1] < top:
        cuts.append(cuts[-1] + min(cuts[-1] - low + reach, 0.6 * ask.act.pole))
    asked = list(pairwise(cuts))
    found: dict[float, tuple[float, NDArray[np.float64]]] = {}
    for _ in range(MOST_HALVINGS):
        spans = np.array(asked)
        coefficients = _trained_pieces(ask, y, side, kappa, spans)
        # The last coefficients are what is left out, roughly; less than 1e-11 in z is asked (of
        # the tolerance, for a target inside the range), but no less than training's own noise.
        noise = 1e-15 * np.sqrt(ask.max_epochs) * (1.0 + abs(spans[:, 1]))
        goal = np.maximum(1e-11 * (1.0 if y == ask.act.low else ask.tolerance), noise)
        resolved = abs(coefficients[:, -2:]).sum(axis=1) * kappa < goal
        asked = []
        for (low, high), piece, fine in zip(spans, coefficients, resolved, strict=True):
            found[low] = (high, piece if fine else np.full(PIECE_NODES, np.nan))
            if not fine:
                middle = 0.5 * (low + high)
                asked += [(low, middle), (middle, high)]
        if not asked:
            break
    lows = sorted(found)
    edges = np.array([*lows, max(high for high, _ in found.values())])
    return edges, np.array([found[low][1] for low in lows]) @ _powers_of_chebyshev()


def _trained_pieces(
    ask: Problem, y: float, side: float, kappa: float, spans: NDArray[np.float64]
) -> NDArray[np.float64]:
    """Return (P, PIECE_NODES) Chebyshev coefficients of T after max_epochs over P spans."""
    angles = np.pi * (np.arange(PIECE_NODES) + 0.5) / PIECE_NODES
    middle, half = spans.mean(axis=1), 0.5 * (spans[:, 1] - spans[:, 0])
    z = side * (middle[:, None] + half[:, None] * np.cos(angles)).ravel()
    # with x = 0 the bias alone is z, and κ the rate
    neurons = replace(ask, x=np.zeros((1, 1)), y=np.array([y]))
    out = untrained(len(z), 1)
    trainer(neurons, "float64")(
        out, np.zeros((len(z), 1)), z, np.full(len(z), kappa), np.zeros(1, np.uint8)
    )
    total = (z - out.b) / kappa
    basis = np.cos(np.arange(PIECE_NODES)[:, None] * angles) * (2.0 / PIECE_NODES)
    basis[0] *= 0.5
    return np.asarray(total.reshape(-1, PIECE_NODES) @ basis.T)


@cache
def _powers_of_chebyshev() -> NDArray[np.float64]:
    """Return the matrix that makes Chebyshev coefficients those of powers, highest first."""
    powers = np.zeros((PIECE_NODES, PIECE_NODES))
    for order, unit in enumerate(np.eye(PIECE_NODES)):
        powers[order, : order + 1] = np.polynomial.chebyshev.cheb2poly(unit)
    return powers[:, ::-1]
