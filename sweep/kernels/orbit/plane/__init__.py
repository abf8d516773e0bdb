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
Starts that max_epochs = K cuts off are looked up in polynomials of F^K.

**Read in this order.** `falling` proves that an error within the tolerance stays there. `stencil`
finds a crossing. `tables` holds polynomials on squares, and looks them up. `survey` trains a few
starts to see which squares come first. `ends` says where starts end, `squares` builds A from the
curve outwards, with `jumps` of many epochs for many samples, and `cut` builds F^K.

**Which starts are certain.** F must be one to one, ηL < 1 for the largest curvature L of the cost,
so that each state has one past, and the error must fall through the tolerance (`falling`). A start
is looked up if A is farther from every whole number than twice the sum of

    4 · miss        of the polynomial, as seen between the points that made it and on its edges, of
                    each square on the way (`squares.SAFETY`)
    k · |∇A| · e    what `train` rounds in the k epochs to the next known square, with the greatest
                    |∂A/∂w| + |∂A/∂b| of both squares
    r / fall        what the last test rounds, over how much the error falls in an epoch there

and trained otherwise; as are starts on squares that stay uneven when they are halved six times, or
on whose way the polynomials missed too much for w, b and the error to hold 1e-9 (`ANSWERED`). By
the mean value theorem an error e of a state moves A by at most |∇A|·e, and A of the state after it
is one less: no error grows on the way. With u = 2⁻⁵³, n samples, X = 1 + max|x|, and θ within the
box of the orbits,

    e = u (4 |θ| + η (32 + n) X (1 + |θ| X L)),    r = u (32 + n) (range + 1):

`train` rounds T in θ₀ − ηT and z in its sums, the formulas of δ a dozen times each, and sums of n
terms n times at most. Where E after K epochs is looked up, it must be above the tolerance by what
its polynomial misses and by what rounds in K epochs. `./scripts/hunt --samples` looks for a start
where the two methods disagree.
"""

from __future__ import annotations

import math
from dataclasses import replace
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from sweep.kernels.block import trainer
from sweep.kernels.orbit.branch import UNIT_ROUNDOFF
from sweep.kernels.orbit.plane.cut import CutOff, build_cut
from sweep.kernels.orbit.plane.ends import evaluate_ends
from sweep.kernels.orbit.plane.falling import largest_curvature, rises_at
from sweep.kernels.orbit.plane.squares import (
    ANSWERED,
    BOUND,
    FALL,
    TOTAL,
    Known,
    build_squares,
)
from sweep.kernels.orbit.plane.survey import Survey, Task, parallel_trainer, survey
from sweep.kernels.orbit.plane.tables import (
    NOTHING,
    Lattice,
    Square,
    Table,
    evaluate_on,
    find_squares,
    lattice,
)
from sweep.kernels.results import TrainResult, empty_results
from sweep.neuron.problem import MAX_EPOCHS, Problem, Status

__all__ = ["Plane", "build_plane", "forget", "lookup_plane_into", "plane_obstacle", "worth"]

Floats = NDArray[np.float64]

# Building takes about as long as training so many starts, and so many updates by single samples: as
# long as 100,000 starts of 16 samples with cross-entropy (500 epochs), 80,000 of them with the
# quadratic cost (5,000), and 60,000 to 90,000 of 569 samples with cross-entropy (200).
TABLES, BUILDING = 80_000, 0.5e9

# Starts beyond are trained.
FARTHEST = 1000.0

# Roots in each direction, about: see `tables.lattice`.
ROOTS = 16


class Plane(NamedTuple):
    """What starts of one problem and learning rate are looked up in.

    Attributes
    ----------
    known : Known
        A, and where starts end.
    bound : (P,) array
        A nearer to a whole number than this is uncertain.
    cut : CutOff
        Where starts are that max_epochs cuts off.
    """

    known: Known
    bound: Floats
    cut: CutOff


# What is remembered of problems and boxes of starts: a plan and a run need the same.
_SURVEYS: dict[tuple[object, ...], tuple[Survey, str | None]] = {}
MOST_SURVEYS = 256


def _task(
    problem: Problem,
    rate: float,
    roots: Lattice,
    theta: float,
    threads: int,
    stop: NDArray[np.uint8],
) -> Task:
    """Return the task of building what starts are looked up in; |w| and |b| are at most theta."""
    n, reach = len(problem.x), 1.0 + float(abs(problem.x).max())
    gradient = (32 + n) * reach * (1.0 + theta * reach * largest_curvature(problem))
    return Task(
        problem=problem,
        rate=rate,
        roots=roots,
        longest=min(problem.max_epochs + problem.max_epochs // 4 + 64, MAX_EPOCHS),
        rounding=UNIT_ROUNDOFF * (4.0 * theta + rate * gradient),
        train=parallel_trainer(rate, threads, stop),
        threads=threads,
        stop=stop,
    )


def _surveyed(
    problem: Problem, rate: float, low: Floats, high: Floats
) -> tuple[Survey, str | None]:
    """Return what a few starts do, and why an error is not proven to stay low; remembered."""
    low, high = np.maximum(low, -FARTHEST), np.minimum(high, FARTHEST)
    given = (
        problem.x.tobytes(), problem.y.tobytes(), problem.cost, problem.activation,
        problem.tolerance, problem.max_epochs, rate, *low.tolist(), *high.tolist(),
    )  # fmt: skip
    if given not in _SURVEYS:
        stop, roots = np.zeros(1, np.uint8), lattice(low, high, ROOTS)
        found = survey(_task(problem, rate, roots, 0.0, 1, stop))
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
    return (starts - TABLES) * math.fsum(epochs.tolist()) / len(epochs) * len(problem.x) > BUILDING


def plane_obstacle(problem: Problem, rate: float, low: Floats, high: Floats) -> str | None:
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
    return _surveyed(problem, rate, low, high)[1]


def build_plane(
    problem: Problem,
    rate: float,
    low: Floats,
    high: Floats,
    threads: int,
    stop: NDArray[np.uint8],
) -> Plane:
    """Return the tables for starts in a box; not to be used if stop[0] became 1."""
    found, _ = _surveyed(problem, rate, low, high)
    theta = float(max(abs(found.low).max(), abs(found.high).max()))
    task = _task(problem, rate, found.roots, theta, threads, stop)
    known, late = build_squares(task, found)
    starts = lattice(np.maximum(low, -FARTHEST), np.minimum(high, FARTHEST), ROOTS)
    late = [square for square in late if _is_within(square, found.roots, starts)]
    span = problem.act.high - problem.act.low
    of_test = UNIT_ROUNDOFF * (32 + len(problem.x)) * (span + 1.0)
    bound, fall, total = (known.measures[:, row - BOUND] for row in (BOUND, FALL, TOTAL))
    bound = np.where(total <= ANSWERED, 2.0 * (bound + of_test / fall), np.inf)
    return Plane(known, bound, build_cut(task, late))


def _is_within(square: Square, roots: Lattice, starts: Lattice) -> bool:
    """Say whether a square of a lattice lies on another one, of equal roots."""
    level, *place = square
    return all(
        0 <= (at >> level) + begin - first < count
        for at, begin, first, count in zip(
            place, roots.first, starts.first, starts.shape, strict=True
        )
    )


def lookup_plane_into(
    out: TrainResult,
    w: Floats,
    b: Floats,
    rate: float,
    problem: Problem,
    stop: NDArray[np.uint8],
    plane: Plane,
) -> None:
    """Write the results of a block of starts w (N, 1), b into `out`; the uncertain are trained."""
    rates, most = np.array([rate]), problem.max_epochs
    trainer(replace(problem, max_epochs=0), "float64")(out, w, b, rates, stop)
    unmet = np.flatnonzero(out.status == Status.max_epochs)
    if not most or not len(unmet):
        return
    w, b, known = w[:, 0], b, plane.known

    def write(here: NDArray[np.int64], ends: Floats, epochs: Floats | int, error: Floats) -> None:
        out.epochs[here], out.final_error[here] = epochs, error
        if len(out.b):
            out.w[here, 0], out.b[here] = ends[0], ends[1]

    here, square, (times, place) = _looked_up(known.table, unmet, w, b)
    bound, whole = plane.bound[square], np.ceil(times)
    certain = (abs(times - np.rint(times)) > bound) & (times > 0.0)
    met = certain & (whole <= most)
    done = here[met]
    ends = evaluate_ends(known.ends, square[met], place[met], 2.0 * (whole[met] - times[met]) - 1.0)
    write(done, ends, whole[met], np.minimum(ends[2], problem.tolerance))
    out.status[done] = Status.converged

    left = np.ones(len(b), np.bool_)
    left[done] = False
    here, square, ends = _looked_up(plane.cut.table, unmet[left[unmet]], w, b)
    cut = ends[2] - plane.cut.bound[square] > problem.tolerance
    done = here[cut]
    least = np.nextafter(problem.tolerance, np.inf)
    write(done, ends[:, cut], most, np.maximum(ends[2, cut], least))
    left[done] = False

    uncertain = unmet[left[unmet]]
    if len(uncertain):
        trained = empty_results(len(uncertain), 1, weights=len(out.b) > 0)
        starts = np.ascontiguousarray(w[uncertain])[:, None], b[uncertain]
        trainer(problem, "float64")(trained, *starts, rates, stop)
        for name, values in vars(trained).items():
            if len(values):
                getattr(out, name)[uncertain] = values


def _looked_up(
    table: Table, starts: NDArray[np.int64], w: Floats, b: Floats
) -> tuple[NDArray[np.int64], NDArray[np.int64], Floats]:
    """Return those of some starts that lie on squares of a table, the squares, and its values."""
    square = find_squares(table, w[starts], b[starts])
    on = square != NOTHING
    here, square = starts[on], square[on]
    return here, square, evaluate_on(table, square, w[here], b[here])
