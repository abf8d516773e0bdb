"""What becomes of a neuron after its training: the definitions, and the obvious slow loop.

A neuron is followed for E more epochs, whether it converged or not. The E states from which the
updates are made, the first of them that at the end of the training, are the followed states. With
them goes a tangent vector v, v ← v − ηHv, H the second derivative of C in (w, b), from (1, …, 1).

With one sample the state is z = w·x + b, for no update moves it otherwise; with several it is
θ = (w, b). Two states are *near* if each number differs by at most √u (r + |θ₀| + |θ|), and *the
same* if by at most EXACT u (r + |θ₀| + |θ|), where u is the rounding unit of the arithmetic, θ₀ the
start of the training, and r the change that moves z by about one: 1/max|x_j|, and 1 for z and b.

`outcome` and `period` come from the last half of the followed states, at most 1,025 of them for the
period p: the least number of epochs after which the state is near the first of them.

- rests: p is 1, and the gradient is zero up to the rounding of its terms; or, so near a flip that
  rounding keeps the state from it, the state is the same after two epochs, v shrank, and steps
  turn. A rest that is not stable is one, too, if a start hits it exactly; its Lyapunov exponent is
  then above 0.
- cycle: p is 2 or more, the state is the same after p epochs, or after 2p where v shrank, and in
  the last half ln |v| did not grow by more than GROWTH.
- irregular: neither; it grew by more than that, and in both halves of the last half some step
  turned against the one before it.
- creeps: all else. It is still on its way: on a plateau, towards a target at the end of the range,
  or to a rest or cycle that more epochs would show.

`first_rise` is the first epoch of the training after which the cost C was larger than before, by
more than its rounding, (8 + n) u (|C| + mean |z|) for n samples.

The tangent is that of Benettin et al. (Meccanica 15, 1980).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import islice, pairwise
from math import inf, isfinite, log, nan, sqrt

from sweep.neuron.problem import UNIT, Code, Problem
from sweep.neuron.reference import descend

__all__ = ["EXACT", "GROWTH", "LONGEST_PERIOD", "Followed", "Outcome", "follow_one"]

LONGEST_PERIOD = 1024
EXACT, GROWTH = 64.0, 0.01


class Outcome(Code):
    """What becomes of a neuron that is followed after its training.

    A number in `train` and `load_grid`, a name in the tables of `load`; −1 (none) for a start that
    is not finite.

    Examples
    --------
    >>> import sweep
    >>> result = sweep.train(
    ...     [0.0, 0.5], [1.0, 1.0], learning_rate=6.0, cost="cross_entropy", x=1.0, y=0.75,
    ...     tolerance=0.01, max_epochs=1000, follow=100,
    ... )
    >>> (result.outcome == sweep.Outcome.cycle).tolist()
    [True, True]
    """

    rests = 0
    cycle = 1
    irregular = 2
    creeps = 3


@dataclass(frozen=True)
class Followed:
    """What became of one neuron; period and first_rise are 0 where there is none."""

    outcome: Outcome
    period: int
    lyapunov: float
    stays: bool
    lowest: float
    highest: float
    mean_output: float
    first_rise: int


def follow_one(
    w0: Sequence[float], b0: float, learning_rate: float, problem: Problem, trained: int
) -> Followed:
    """Train a neuron for `trained` epochs from (w0, b0), and follow it for problem.follow more."""
    count, xs, n = problem.follow, problem.x.tolist(), len(problem.x)
    act = problem.act
    states = list(islice(descend(w0, b0, learning_rate, problem), trained + count + 1))
    first_rise = 0
    for k, (before, after) in enumerate(pairwise(states[: trained + 1]), 1):
        rounding = (8 + n) * UNIT * (abs(after.cost) + sum(map(abs, after.z)) / n)
        if after.cost - before.cost > rounding:
            first_rise = k
            break
    features = [[*x, 1.0] for x in xs]
    scale = [1 / max(1e-300, max(abs(x[j]) for x in features)) for j in range(len(features[0]))]
    thetas = [[*state.w, state.b] for state in states]
    if n == 1:
        thetas, scale = [state.z for state in states], [1.0]
        kappa = learning_rate * sum(v * v for v in features[0])
        features, learning_rate = [[1.0]], kappa
    origin, states, thetas = thetas[0], states[trained:], thetas[trained:]

    v, growth, outputs, criteria = [1.0] * len(scale), [0.0], [], []
    for state in states[:-1]:
        curvature = [0.0] * len(v)
        for x, z, y in zip(features, state.z, problem.y.tolist(), strict=True):
            along = problem.at(z, y)[-1] * sum(map(float.__mul__, x, v)) / n
            curvature = [c + along * value for c, value in zip(curvature, x, strict=True)]
        v = [a - learning_rate * c for a, c in zip(v, curvature, strict=True)]
        size = sqrt(sum(a * a for a in v))
        growth.append(
            growth[-1] + (log(size / (sqrt(len(v)) if len(growth) == 1 else 1)) if size else -inf)
        )
        v = [a / size for a in v] if size else v
        outputs.append(sum(map(act.value, state.z)) / n)
        criteria.append(state.gradient if problem.rule == "gradient" else state.error)

    half = count - count // 2
    first = count - 1 - min(LONGEST_PERIOD, count // 2)

    def same(k: int, other: int, share: float) -> bool:
        numbers = zip(thetas[k], thetas[other], origin, scale, strict=True)
        return all(abs(a - b) <= share * (r + abs(o) + abs(a)) for a, b, o, r in numbers)

    near, exact = sqrt(UNIT), EXACT * UNIT
    period = next((k - first for k in range(first + 1, count) if same(first, k, near)), 0)
    again = first + 2 * period
    shrank = growth[-1] < growth[half]
    grew = growth[-1] - growth[half] > GROWTH
    settled = (
        period > 0
        and not grew
        and (
            same(first, first + period, exact)
            or (shrank and again < count and same(first, again, exact))
        )
    )
    steps = [[b - a for a, b in zip(*pair, strict=True)] for pair in pairwise(thetas)]
    turned = [sum(map(float.__mul__, a, b)) < 0 for a, b in pairwise(steps)]
    late = count - count // 4
    # turned[k - 1]: the step from state k, against the one before.
    turned_early = any(turned[max(half, 1) - 1 : late - 1])
    turned_late = any(turned[max(late, 1) - 1 : count - 1])
    if period == 1:
        stalled = again < count and same(first, again, exact) and shrank and turned_late
        settled = stalled or _at_rest(features, thetas[-1], origin, learning_rate, problem)
    finite = all(map(isfinite, states[-1].z))
    if settled:
        outcome = Outcome.rests if period == 1 else Outcome.cycle
    elif grew and turned_early and turned_late:
        outcome = Outcome.irregular
    else:
        outcome = Outcome.creeps
    return Followed(
        outcome=outcome,
        period=period if settled else 0,
        lyapunov=growth[-1] / count if finite else nan,
        stays=all(value <= problem.tolerance for value in criteria),
        lowest=min(outputs),
        highest=max(outputs),
        mean_output=sum(outputs) / count,
        first_rise=first_rise,
    )


def _at_rest(
    features: list[list[float]],
    theta: list[float],
    origin: list[float],
    rate: float,
    problem: Problem,
) -> bool:
    """Whether each component of the gradient, times n, is within the rounding of its terms.

    A term δ x rounds with the output, by u (|a| + |y|) counted from the end of the range that is
    nearer to y, and with z, by u Σ |x_j| (|θ_j| + |θ₀_j|); the sum of all gradients so far, which
    the kernels keep, by u times itself.
    """
    n, act = len(features), problem.act
    for j in range(len(theta)):
        total = rounding = 0.0
        for x, y in zip(features, problem.y.tolist(), strict=True):
            z = sum(map(float.__mul__, theta, x))
            size = sum(abs(v) * (abs(t) + abs(o)) for v, t, o in zip(x, theta, origin, strict=True))
            residual, slope, delta, ddelta_dz = problem.at(z, y)
            side, target = (-1.0, act.low + act.high - y) if problem.mirrors(y) else (1.0, y)
            of_output = problem.rounding_of_output(side * residual, slope, ddelta_dz, target)
            of_z = UNIT * size * ddelta_dz
            total += delta * x[j]
            rounding += abs(x[j]) * (abs(of_output) + abs(of_z))
        moved = n * (origin[j] - theta[j]) / rate
        if not abs(total) <= (16.0 + sqrt(n)) * rounding + UNIT * abs(moved):
            return False
    return True
