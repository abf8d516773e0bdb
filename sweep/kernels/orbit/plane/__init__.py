"""The orbit for many samples of one input: epochs looked up over the plane of (w, b).

**The idea.** With one input the state of a neuron is a point θ = (w, b) of a plane, and an epoch is
a map F of it, whatever the number of samples. Let A(θ) be the time, a real number, at which the
error crosses the tolerance: the error is interpolated in the epoch, through the states before and
after. θ and F(θ) have the same states there, so that

    A(F(θ)) = A(θ) − 1,    epochs = ⌈A(θ)⌉.

Where a training ends follows from the place where it crosses the curve {error = tolerance} and from
the share of an epoch, ⌈A⌉ − A, that it goes on from there. A and the place are smooth functions of
(w, b), polynomials on squares that are halved where they need it, and a start is one evaluation,
for many samples and epochs as for few. The points that make a square's polynomials are walked until
they come to a square that is known already, where A is that of the square, plus the epochs walked.
Most of the way they go in jumps, polynomials of F^k. Squares are halved as long as many starts lie
on each. A start on no square is walked in the same way, itself: to a known square, or to the
crossing. Starts that max_epochs = K cuts off are looked up in polynomials of F^K where those are so
many that this takes less time than walking them for K epochs.

**Read in this order.** `falling` proves that an error within the tolerance stays there. `epoch` is
what an epoch does in lanes, and `stencil` finds a crossing. `coefficients` and `tables` make
polynomials on squares, and look them up. `survey` trains a few starts to see which squares come
first. `walking` walks points, `jumps` builds F^k, F^2k, … for it, `ends` says where starts end,
`squares` builds A from the curve outwards, and `cut` builds F^K. `lookup` takes starts, and hands
those on no square to `rest`.

**Which starts are certain.** F must be one to one, ηL < 1 for the largest curvature L of the cost,
so that each state has one past, and the error must fall through the tolerance (`falling`). A start
is looked up if A is farther from every whole number than twice the sum of

    4 · miss        of the polynomial, as seen between the points that made it and on its edges, of
                    each square on the way (`squares.SAFETY`)
    k · |∇A| · 2e   what `train` rounds in the k epochs to the next known square, and jumps miss,
                    with the greatest |∂A/∂w| + |∂A/∂b| of both squares
    r / fall        what the last test rounds, over how much the error falls in an epoch there

and trained otherwise. A start that is walked itself has no square: |∇A| is then taken between it
and two starts beside it, and where it crosses from the slope of the error. It is walked to squares
on whose way the polynomials missed so little that w, b and the error hold 1e-9 (`ANSWERED`). By the
mean value theorem an error e of a state moves A by at most |∇A|·e, and A of the state after it is
one less: no error grows on the way. With u = 2⁻⁵³, n samples, X = 1 + max|x|, and θ within the box
of the orbits,

    e = u (4 |θ| + η X (32 (1 + |θ| X L) + n R)),    r = u (32 + n) (R + 1):

`train` rounds T in θ₀ − ηT and z in its sums, the formulas of δ a dozen times each, and sums of n
terms n times at most, which are no larger than n R X, R the activation's range. Where E after K
epochs is looked up, it must be above the tolerance by what its polynomial misses, by what rounds in
K epochs and by what jumps miss. `./scripts/hunt --samples` looks for a start where the two methods
disagree.
"""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray

from sweep.kernels.orbit.branch import UNIT_ROUNDOFF
from sweep.kernels.orbit.plane.cut import build_cut
from sweep.kernels.orbit.plane.falling import largest_curvature, rises_at
from sweep.kernels.orbit.plane.jumps import build_jumps
from sweep.kernels.orbit.plane.lookup import Plane, lookup_plane_into
from sweep.kernels.orbit.plane.squares import (
    ANSWERED,
    BOUND,
    FALL,
    TOTAL,
    build_squares,
    error_rounding,
    measure_of,
    some_of,
)
from sweep.kernels.orbit.plane.survey import Survey, Task, survey
from sweep.kernels.orbit.plane.tables import DEEPEST, Lattice, Square, lattice
from sweep.neuron.problem import MAX_EPOCHS, Problem

__all__ = ["Plane", "build_plane", "forget", "lookup_plane_into", "plane_obstacle", "worth"]

Floats = NDArray[np.float64]

# Building takes about as long as training so many starts, and so many updates by single samples: as
# long as 53,000 starts of 16 samples with cross-entropy (508 epochs), 22,000 of them with the
# quadratic cost (4,723), 24,000 of 569 samples with cross-entropy (107), 5,000 with the quadratic
# cost (1,455), and 4,000 (quadratic) and 19,000 of 569 patients.
# With fewer epochs, on average, states are too far apart to say when the error crosses.
TABLES, BUILDING, FEWEST = 20_000, 0.25e9, 48.0

# Starts beyond are trained.
FARTHEST = 1000.0

# Squares are halved while so many starts lie on each: to make one takes as long as to walk some
# hundred of them.
LEAST_STARTS = 100.0

# Roots in each direction, about: see `tables.lattice`.
ROOTS = 16

# What is remembered of problems and boxes of starts: a plan and a run need the same.
_SURVEYS: dict[tuple[object, ...], tuple[Survey, str | None]] = {}
MOST_SURVEYS = 256


def _task(
    problem: Problem,
    rate: float,
    roots: Lattice,
    theta: float,
    deepest: int,
    threads: int,
    stop: NDArray[np.uint8],
) -> Task:
    """Return the task of building what starts are looked up in; |w| and |b| are at most theta."""
    reach, span = 1.0 + float(abs(problem.x).max()), problem.act.high - problem.act.low
    terms = 32.0 * (1.0 + theta * reach * largest_curvature(problem))
    gradient = reach * (terms + len(problem.x) * span)
    return Task(
        problem=problem,
        rate=rate,
        roots=roots,
        longest=min(problem.max_epochs + problem.max_epochs // 4 + 64, MAX_EPOCHS),
        rounding=UNIT_ROUNDOFF * (4.0 * theta + rate * gradient),
        deepest=deepest,
        threads=threads,
        stop=stop,
    )


def _deepest(roots: Lattice, low: Floats, high: Floats, count: int) -> int:
    """Return how often squares are halved, for so many starts in a box."""
    across = ((high - low) / np.array(roots.side)).tolist()
    level = 0
    while level < DEEPEST:
        squares = math.prod(max(each * 2.0 ** (level + 1), 1.0) for each in across)
        if count < LEAST_STARTS * squares:
            break
        level += 1
    return level


def _lattice(problem: Problem, low: Floats, high: Floats) -> Lattice:
    """Return the roots of starts in a box, by the root of the mean x²."""
    x = problem.x[:, 0].tolist()
    return lattice(low, high, ROOTS, math.sqrt(math.fsum(v * v for v in x) / len(x)) or 1.0)


def _surveyed(
    problem: Problem, rate: float, low: Floats, high: Floats, threads: int = 1
) -> tuple[Survey, str | None]:
    """Return what a few starts do, and why an error is not proven to stay low; remembered."""
    low, high = np.maximum(low, -FARTHEST), np.minimum(high, FARTHEST)
    given = (
        problem.x.tobytes(), problem.y.tobytes(), problem.cost, problem.activation,
        problem.tolerance, problem.max_epochs, rate, *low.tolist(), *high.tolist(),
    )  # fmt: skip
    if given not in _SURVEYS:
        stop, roots = np.zeros(1, np.uint8), _lattice(problem, low, high)
        found = survey(_task(problem, rate, roots, 0.0, 0, threads, stop))
        # What is passed between the surveyed starts, and an epoch's step: |δ| is at most the range.
        span = problem.act.high - problem.act.low
        step = rate * span * np.array([float(abs(problem.x).max()), 1.0])
        margin = np.array(roots.side) + step
        place = rises_at(problem, rate, found.low - margin, found.high + margin, stop)
        reason = place and (
            f"once below tolerance = {problem.tolerance:g} the error is not proven to stay there, "
            f"near w = {place[0]:.3g}, b = {place[1]:.3g}"
        )
        while len(_SURVEYS) >= MOST_SURVEYS:
            _SURVEYS.pop(next(iter(_SURVEYS)))
        _SURVEYS[given] = found, reason
    return _SURVEYS[given]


def forget() -> None:
    """Forget what is remembered of problems, as a benchmark must."""
    _SURVEYS.clear()


def worth(problem: Problem, rate: float, low: Floats, high: Floats, starts: int) -> bool:
    """Say whether looking up so many starts, tables and all, takes less time than training them."""
    found, _ = _surveyed(problem, rate, low, high)
    epochs = np.where(np.isnan(found.epochs), problem.max_epochs, found.epochs)
    mean = math.fsum(epochs.tolist()) / len(epochs)
    return mean >= FEWEST and (starts - TABLES) * mean * len(problem.x) > BUILDING


def plane_obstacle(
    problem: Problem, rate: float, low: Floats, high: Floats, threads: int = 1
) -> str | None:
    """Return why starts in a box cannot be looked up; None if they can.

    low, high : (2,) arrays
        The least and the greatest (w, b) of the starts.
    """
    if problem.x.shape[1] != 1:
        return f"of several samples it needs one input; there are {problem.x.shape[1]}"
    if problem.follow:
        return "of several samples it does not follow neurons after their training"
    if not problem.declared:
        return "of several samples it needs a declared cost, and no formula"
    largest = largest_curvature(problem)
    if not rate * largest < 1.0:
        return (
            f"the map folds: learning_rate = {rate:g} must be below {1 / largest:.4g} for "
            f"{problem.cost} with {problem.activation} and these samples"
        )
    return _surveyed(problem, rate, low, high, threads)[1]


def build_plane(
    problem: Problem,
    rate: float,
    low: Floats,
    high: Floats,
    count: int,
    threads: int,
    stop: NDArray[np.uint8],
) -> Plane:
    """Return the tables for `count` starts in a box; not to be used if stop[0] became 1."""
    found, _ = _surveyed(problem, rate, low, high)
    low, high = np.maximum(low, -FARTHEST), np.minimum(high, FARTHEST)
    theta = float(max(abs(found.low).max(), abs(found.high).max()))
    deepest = _deepest(found.roots, low, high, count)
    task = _task(problem, rate, found.roots, theta, deepest, threads, stop)
    jumps = build_jumps(task, found)
    known, late, smooth = build_squares(task, found, jumps)
    known = some_of(task.roots, known, measure_of(known, TOTAL) <= ANSWERED)
    starts = _lattice(problem, low, high)
    late = [square for square in late if _is_within(square, found.roots, starts)]
    of_test = error_rounding(problem) / measure_of(known, FALL)
    bound = 2.0 * (measure_of(known, BOUND) + of_test)
    # NaN is not at most max_epochs either.
    cut_off = count * (1.0 - float((found.epochs <= problem.max_epochs).mean()))
    cut = build_cut(task, late, jumps, cut_off)
    return Plane(known, bound, cut, task, jumps, smooth)


def _is_within(square: Square, roots: Lattice, starts: Lattice) -> bool:
    """Say whether a square of a lattice lies on another one, of equal roots."""
    level, *place = square
    return all(
        0 <= (at >> level) + begin - first < count
        for at, begin, first, count in zip(
            place, roots.first, starts.first, starts.shape, strict=True
        )
    )
