"""Whether the orbit holds for a problem, checked for its numbers; the failed condition is named."""

from __future__ import annotations

from sweep.kernels.orbit.branch import UNIT_ROUNDOFF, find_branch, step_size
from sweep.kernels.profile import steepest
from sweep.neuron.problem import Problem

__all__ = ["obstacle"]

# The first step must be so many times a rounding of z.
FINEST = 2.0**10


def obstacle(problem: Problem, rate: float, dtype: str) -> str | None:
    """Return why the orbit is not proven for a problem and learning rate; None if it is.

    It needs one sample, so that z moves by a map f of z alone; float64, for which its bounds are;
    a smooth activation, of which polynomials are made; a map that is increasing, κ·δ' < 1, so that
    starts keep their order; and steps at the tolerance that float64 resolves.
    """
    if problem.rule != "error":
        return f"it looks up when an error is met; the rule is {problem.rule}"
    if not problem.declared:
        return "its bounds are not known for a cost from a formula"
    if len(problem.x) != 1:
        return f"it needs one sample; there are {len(problem.x)}"
    if dtype != "float64":
        return f"its bounds are for float64; dtype is {dtype}"
    if problem.act.pole == 0.0:
        return f"it needs a smooth activation; {problem.activation} has a corner"
    kappa = step_size(problem, rate)
    largest = steepest(problem)
    if not kappa * largest < 1.0:
        return (
            f"the map folds: learning_rate·(|x|² + 1) = {kappa:g} must be below "
            f"{1 / largest:.4g} for {problem.cost} with {problem.activation}"
        )
    for side in (1.0, -1.0):
        branch = find_branch(problem, kappa, side)
        if branch is None:
            continue
        least = FINEST * UNIT_ROUNDOFF * max(1.0, abs(branch.lowest))
        if not branch.width > least:
            return (
                f"float64 does not resolve it: with tolerance = {problem.tolerance:g} the last "
                f"step, {branch.width:.3g} in z, must be above {least:.3g}"
            )
    return None
