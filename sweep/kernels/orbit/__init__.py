"""The orbit: one sample's starts answered from their staircase, where that is proven."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from sweep.errors import SpecError
from sweep.kernels.block import trainer
from sweep.kernels.orbit.branch import lower_target, obstacle, tolerance_rounding
from sweep.kernels.orbit.lookup import HIGHEST, compile_lookup
from sweep.kernels.orbit.staircase import Staircase, build_staircase
from sweep.kernels.results import TrainResult, empty_results
from sweep.neuron.problem import Problem

__all__ = ["build_staircases", "choose_orbit", "lookup_into"]

# An orbit takes 0.5 to 15 ms to build. Time of training over that of the orbit, the median of six
# learning rates and costs: 1.0 with 4,000 neurons (0.2 to 5), 2.2 with 16,000 (0.3 to 14), 3.4 with
# 32,000 (1.1 to 38).
FEWEST_STARTS = 16_384

NOWHERE = (
    *(np.empty(0), np.empty((0, 1)), np.empty(0, np.uint32), np.empty((0, 1)), np.empty(0)),
    *(np.empty((0, 1)), np.inf),
)


def lookup_into(
    out: TrainResult,
    w: NDArray[np.float64],
    b: NDArray[np.float64],
    rate: float,
    problem: Problem,
    stop: NDArray[np.uint8],
    stairs: list[Staircase],
) -> None:
    """Write the results of a block of starts into `out`; those not certain are trained for it.

    As `trainer` does, for the one learning rate that the staircases were made for.
    """
    sides = {
        s.side: (s.edges, s.pieces, s.bins, s.first, s.counts, s.inverses, s.still) for s in stairs
    }
    sign = -1.0 if problem.act.mirrors(float(problem.y[0])) else 1.0
    undecided = np.empty(len(b), np.int64)
    final_w = np.ascontiguousarray(out.w.T)
    left = compile_lookup(problem.activation)(
        *(np.ascontiguousarray(w.T), b, problem.x[0], sign),
        *(sides.get(1.0, NOWHERE), sides.get(-1.0, NOWHERE)),
        *(
            lower_target(problem),
            problem.tolerance,
            2.0 * tolerance_rounding(problem),
            problem.max_epochs,
        ),
        *(out.epochs, out.status, out.initial_error, out.final_error, final_w, out.b, undecided),
    )
    if not np.shares_memory(final_w, out.w):
        out.w[:] = final_w.T
    here = undecided[:left]
    if left:
        rest = empty_results(left, w.shape[1], weights=len(out.b) > 0)
        trainer(problem, "float64")(rest, w[here], b[here], np.full(left, rate), stop)
        for name, values in vars(rest).items():
            if len(values):
                getattr(out, name)[here] = values


def build_staircases(
    problem: Problem, rate: float, lowest: float, highest: float
) -> list[Staircase]:
    """Return the staircases above and below the target, for starts z from lowest to highest."""
    mirrored = problem.act.mirrors(float(problem.y[0]))
    tops = (-lowest, highest) if mirrored else (highest, -lowest)
    found = (
        build_staircase(problem, rate, side, min(top, HIGHEST))
        for side, top in zip((1.0, -1.0), tops, strict=True)
    )
    return [stairs for stairs in found if stairs is not None]


def choose_orbit(
    method: str, problem: Problem, rates: NDArray[np.float64], starts: int, dtype: str
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
        else obstacle(problem, float(rates[0]), dtype)
    )
    if reason and method == "orbit":
        raise SpecError(f"method = 'orbit': {reason}; method = 'train' always applies")
    return reason is None
