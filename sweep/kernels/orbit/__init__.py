"""The orbit in one page: with one sample, epochs is a staircase over z₀, looked up and not walked.

**The idea.** With one sample every update moves (w, b) along (x, 1), so a neuron's z moves by the
map f(z) = z − κδ(z), κ = η(|x|² + 1), whatever its w and b. Where f is increasing, starts keep
their order, so epochs is a staircase over z₀: its steps lie at T₀, where the error meets the
tolerance, and at T_{k+1} = f⁻¹(T_k). Between the steps there is a count too: a function A with
A(T₀) = 0 that grows from 0 to 1 between T₀ and T₁, and by one with each epoch,

    A(f(z)) = A(z) − 1   (Abel's equation).

A start takes ⌈A(z₀)⌉ epochs, and where it ends follows from the share θ of A above the last whole
number alone; one that max_epochs = K cuts off ends where A is A(z₀) − K. A is a polynomial on each
of some hundred pieces of z, and a start is one evaluation, for ten million epochs as for ten.

**Read in this order.** `applicability` says for which problems this is proven. `branch` describes
one side of the target: the map, T₀, where its steps become narrow. Where steps are wide or uneven,
a piece is a row: one step, from T_{k−1} to T_k, through the points of a few backward orbits
(`backward`). From where steps are narrow, thousands of them lie on a piece that solves Abel's
equation (`abel`).
`pieces` puts rows and Abel's pieces together, from T₀ upwards; `staircase` makes tables of them
and bounds how far rounding moves each step; `lookup` answers starts from the tables; `following`
says what becomes of those that are followed after their training. Below is what the rest of the
package calls.

**Which starts are certain.** A start is looked up if A(z₀) is farther from every whole number than
the sum of (the names are variables of `staircase._build`; u = 2⁻⁵³ is the unit roundoff; ζ_j is z
after j epochs as `train` has it, and e_j what it rounds in the next)

    2 Σ_j A'(ζ_j) |e_j|         of_training
    4u |z₀| A'(z₀)              of_start: two roundings of z₀, to octaves and back, doubled
    2 A'(T₀) · of_test          of_test: how far the rounding of the last test moves T₀
    of_a + fit_error            what A is off: four times what a polynomial was seen to miss between
                                the points that made it, in each epoch on it, and its rounding

and trained otherwise; so are starts on pieces whose polynomial is too coarse for their ends. Where
it comes from: `train` computes ζ_{j+1} = f(ζ_j) + e_j, with ζ_j = z₀ − κG_j for the sum G_j of δ
that it holds, and to first order

    |e_j| ≤ κu [ c δ(ζ_j) + 2 |ζ_j δ'(ζ_j)| ] + u |z₀ − ζ_{j+1}|,   c = 24 + 8 (y − low)/tolerance

for a target y in the lower half of the activation's range, which begins at `low`: the formulas of δ
round a dozen times, and a − y loses (a + y)/|a − y| of that; the argument z₀ − κG in octaves is
rounded once, and so is their number in a unit of z; the addition to G rounds by u·G. By the mean
value theorem A(ζ_{j+1}) is A(ζ_j) − 1 + A'(ξ)·e_j: no error grows on the way, and after k epochs
`train` is at most Σ A'|e_j| from A(z₀) − k. That is doubled for the second order and for the
orbit's own points (kept in two float64 and solved to a few u of each step); A', δ and |zδ'| are the
greatest of each row or piece. `./scripts/hunt` looks for a start where the two methods disagree.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from sweep.errors import SpecError
from sweep.kernels.block import trainer
from sweep.kernels.orbit.applicability import obstacle, obstacle_of_all
from sweep.kernels.orbit.branch import tolerance_rounding
from sweep.kernels.orbit.following import FollowTable, build_follow_table, follow_into
from sweep.kernels.orbit.lookup import HIGHEST, Outputs, Target, compile_lookup
from sweep.kernels.orbit.plane import (
    Plane,
    build_plane,
    lookup_plane_into,
    plane_obstacle,
    worth,
)
from sweep.kernels.orbit.staircase import NO_STAIRCASE, Staircase, build_staircase
from sweep.kernels.profile import lower_target
from sweep.kernels.results import COLUMNS, FollowResult, TrainResult, empty_results
from sweep.neuron.problem import Problem

__all__ = ["Orbit", "Plane", "build_orbit", "choose_orbit", "lookup_into", "why_trained"]

Floats = NDArray[np.float64]

# An orbit takes 0.5 to 15 ms to build. Time of training over that of the orbit, the median of six
# learning rates and costs: 1.0 with 4,000 neurons (0.2 to 5), 2.2 with 16,000 (0.3 to 14), 3.4 with
# 32,000 (1.1 to 38).
MIN_STARTS = 16_384

# What is followed takes a table, too: 6 to 11 ms for 200 or 2,000 epochs, and up to 160 ms where
# hundreds of pieces are halved to the last, as for soft targets and wide steps. Following 65,536
# neurons for 2,000 epochs takes 95 ms on a core.
MIN_FOLLOWED = 65_536

# Tables of many samples take as long as training 20,000 neurons or more: `plane.worth` says when.
MIN_OF_MANY = 65_536


def why_trained(
    method: str,
    problem: Problem,
    rates: Floats,
    starts: int,
    dtype: str,
    low: Floats | None = None,
    high: Floats | None = None,
    threads: int = 1,
) -> str | None:
    """Return why `starts` neurons of one problem are trained; None if they are looked up.

    low, high : (d + 1,) arrays, optional
        The least and the greatest of each weight and of b; not needed with one sample.
    threads : int
        On which to see what a few starts do.
    """
    if method == "train":
        return "the method asked for"
    many = len(problem.x) > 1
    least = MIN_OF_MANY if many else MIN_FOLLOWED if problem.follow else MIN_STARTS
    if method == "auto" and starts < least:
        return f"{starts:,} starts; the orbit pays from {least:,} on"
    if rates.min(initial=np.inf) < rates.max(initial=-np.inf):
        return "it needs one learning rate for all neurons"
    rate = float(rates[0])
    if not many or low is None or high is None:
        return obstacle(problem, rate, dtype)
    reason = obstacle_of_all(problem, dtype) or plane_obstacle(problem, rate, low, high, threads)
    if not reason and method == "auto" and not worth(problem, rate, low, high, starts):
        return f"{starts:,} starts of so few epochs; building the tables would take longer"
    return reason


def choose_orbit(
    method: str,
    problem: Problem,
    rates: Floats,
    starts: int,
    dtype: str,
    low: Floats | None = None,
    high: Floats | None = None,
    threads: int = 1,
) -> bool:
    """Say whether `starts` neurons of one problem are looked up, and not trained.

    The arguments are those of `why_trained`.

    Raises
    ------
    SpecError
        method is "orbit" and it does not apply; says which condition failed.
    """
    reason = why_trained(method, problem, rates, starts, dtype, low, high, threads)
    if reason and method == "orbit":
        raise SpecError(f"method = 'orbit': {reason}; method = 'train' always applies")
    return reason is None


class Orbit(NamedTuple):
    """What starts of one problem and learning rate are looked up in.

    Attributes
    ----------
    above, below : Staircase
        The two sides of the target.
    following : FollowTable or None
        What becomes of neurons after their training, if they are followed.
    """

    above: Staircase
    below: Staircase
    following: FollowTable | None


def build_orbit(
    problem: Problem,
    rate: float,
    low: Floats,
    high: Floats,
    count: int,
    threads: int = 1,
    stop: NDArray[np.uint8] | None = None,
) -> Orbit | Plane:
    """Return what `count` starts are looked up in; not to be used if stop[0] became 1.

    low, high : (d + 1,) arrays
        The least and the greatest of each weight and of b.
    """
    stop = np.zeros(1, np.uint8) if stop is None else stop
    if len(problem.x) > 1:
        return build_plane(problem, rate, low, high, count, threads, stop)
    factors = [*problem.x[0].tolist(), 1.0]
    sides = [(f * a, f * b) for f, a, b in zip(factors, low.tolist(), high.tolist(), strict=True)]
    lowest, highest = sum(min(ends) for ends in sides), sum(max(ends) for ends in sides)
    mirrored = problem.mirrors(float(problem.y[0]))
    tops = (-lowest, highest) if mirrored else (highest, -lowest)
    above, below = (
        build_staircase(problem, rate, side, min(top, HIGHEST)) or NO_STAIRCASE
        for side, top in zip((1.0, -1.0), tops, strict=True)
    )
    return Orbit(above, below, build_follow_table(problem, rate, lowest, highest, stop))


def lookup_into(
    out: TrainResult,
    w: Floats,
    b: Floats,
    rate: float,
    problem: Problem,
    stop: NDArray[np.uint8],
    orbit: Orbit | Plane,
) -> None:
    """Write the results of a block of starts into `out`; uncertain ones are trained for it.

    As the function that `trainer` returns, for the one learning rate of the orbit.
    """
    if isinstance(orbit, Plane):
        lookup_plane_into(out, w, b, rate, problem, stop, orbit)
        return
    target = Target(
        sign=-1.0 if problem.mirrors(float(problem.y[0])) else 1.0,
        y=lower_target(problem),
        tolerance=problem.tolerance,
        rounding=2.0 * tolerance_rounding(problem),
        max_epochs=problem.max_epochs,
    )
    outputs = Outputs(
        **{name: getattr(out, name) for name in COLUMNS},
        w=np.ascontiguousarray(out.w.T),
        b=out.b,
        z_end=np.empty(len(b) if orbit.following else 0),
        uncertain=np.empty(len(b), np.int64),
    )
    lookup = compile_lookup(problem.activation, "declared" if problem.declared else "formula")
    inputs = np.ascontiguousarray(w.T)
    count = lookup(inputs, b, problem.x[0], target, orbit.above, orbit.below, outputs)
    if not np.shares_memory(outputs.w, out.w):
        out.w[:] = outputs.w.T
    uncertain = outputs.uncertain[:count]
    if orbit.following and isinstance(out, FollowResult):
        with np.errstate(over="ignore", invalid="ignore"):  # those are uncertain
            start = b.copy()
            for weights, x in zip(inputs, problem.x[0], strict=True):
                start += weights * x
            walked = follow_into(out, start, outputs.z_end, rate, problem, orbit.following)
        walked[uncertain] = True
        uncertain = np.flatnonzero(walked)
    if len(uncertain):
        follow = problem.follow > 0
        trained = empty_results(len(uncertain), w.shape[1], weights=len(out.b) > 0, follow=follow)
        rates = np.array([rate])
        trainer(problem, "float64")(trained, w[uncertain], b[uncertain], rates, stop)
        for name, values in vars(trained).items():
            if len(values):
                getattr(out, name)[uncertain] = values
