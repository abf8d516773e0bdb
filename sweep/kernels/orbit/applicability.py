"""Whether the orbit holds for a problem, checked for its numbers; the failed condition is named."""

from __future__ import annotations

from sweep.errors import SpecError
from sweep.kernels.orbit.branch import UNIT_ROUNDOFF, Branch, find_branch, step_size
from sweep.kernels.profile import steepest
from sweep.neuron.formula_check import check_formula
from sweep.neuron.intervals import delta_bounds
from sweep.neuron.optimizers import GD
from sweep.neuron.own_formulas import formulas_of
from sweep.neuron.problem import Problem

__all__ = ["obstacle", "obstacle_of_all"]

# The first step must be so many times a rounding of z.
FINEST = 2.0**10


def leads_to_target(problem: Problem, branch: Branch) -> bool:
    """Return whether δ is proven to have the sign of a − y at all heights from T₀ on."""
    y = float(problem.y[0])
    cells = delta_bounds(problem.cost, problem.parameters, problem.activation, y)
    if branch.side > 0.0:
        return bool((cells.delta[0] > 0.0)[cells.edges[1:] > branch.lowest].all())
    return bool((cells.delta[1] < 0.0)[-cells.edges[:-1] > branch.lowest].all())


def obstacle_of_all(problem: Problem, dtype: str) -> str | None:
    """Return why nothing is looked up for a problem, with one sample or many; None if it may be.

    It needs gradient descent, whose next state follows from w and b alone; float64, for which the
    bounds are; and a smooth activation, of which polynomials are made.
    """
    if problem.optimizer != GD:
        return f"it is of gradient descent; the optimizer is {problem.optimizer.name}"
    if problem.rule != "error":
        return f"it looks up when an error is met; the rule is {problem.rule}"
    if dtype != "float64":
        return f"its bounds are for float64; dtype is {dtype}"
    if problem.act.pole == 0.0:
        return f"it needs a smooth activation; {problem.activation} has a corner"
    return None


def obstacle(problem: Problem, rate: float, dtype: str) -> str | None:
    """Return why the orbit of one sample is not proven for a learning rate; None if it is.

    Of one sample z moves by a map f of z alone. It must be increasing, κ·δ' < 1, so that starts
    keep their order, and float64 must resolve the steps at the tolerance.
    """
    reason = obstacle_of_all(problem, dtype)
    if reason:
        return reason
    if not problem.declared:
        if not formulas_of(problem.cost, problem.activation).smooth:
            return "it needs a smooth cost; abs, minimum and maximum have corners"
        act = problem.act
        share = (float(problem.y[0]) - act.low) / (act.high - act.low)
        try:
            check_formula(problem.cost, problem.parameters, problem.activation, (share,))
        except SpecError as error:
            return f"the formula of the cost {error}"
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
        if not problem.declared and not leads_to_target(problem, branch):
            return (
                "the gradient of this cost is not proven to lead to the target, until the error "
                f"is {problem.tolerance:g}"
            )
        least = FINEST * UNIT_ROUNDOFF * max(1.0, abs(branch.lowest))
        if not branch.width > least:
            return (
                f"float64 does not resolve it: with tolerance = {problem.tolerance:g} the last "
                f"step, {branch.width:.3g} in z, must be above {least:.3g}"
            )
    return None
