"""What becomes of a neuron after its training: the definitions, and the obvious slow loop.

A neuron is followed for E more epochs, whether it converged or not. The E states from which the
updates are made, the first of them that at the end of the training, are the followed states. With
them a tangent vector v is carried, v ← v − ηHv, H the second derivative of C in (w, b), from
v = (1, …, 1).

With one sample the state is z = w·x + b, for no update moves it otherwise; with several it is
θ = (w, b). The two ends of a comparison are *the same* if each number differs by at most
NEAR √u (r + |θ₀| + |θ|), and the same *up to rounding* if by at most EXACT u (r + |θ₀| + |θ|); u
is the rounding unit of the arithmetic, θ₀ the start of the training and r the change that moves z by
about one: 1/max|x_j|, 1 for z and b. The last half are the last ⌊E/2⌋ followed states.

`period`
    Of the last half, and the last 1,025 followed states, the first is compared with those after
    it: the least p after which the state is the same, if it then is so up to rounding, after p or
    2p epochs (the latter where v shrinks: so near a flip that rounding keeps the state apart). For
    p = 1 that does not do, for a plateau moves as little: `rests` is needed.
`outcome`
    - rests: the state is the same after one epoch, and either no component of the gradient
      is larger than the rounding of its terms, or the state is the same up to rounding after two
      epochs, v shrank, and steps changed their direction. A rest that is not stable is one, too,
      where a start hits it exactly; its Lyapunov exponent is above 0.
    - cycle: period is 2 or more.
    - irregular: neither; v grew by more than GROWTH in the last half, and in both halves of that
      half a step turned against the one before it.
    - creeps: all else, what is still on its way.
`lyapunov`
    ln(|v| at the end ÷ |v| at the start) / E.

The tangent is Benettin's (Meccanica 15, 1980), with one vector.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from enum import IntEnum
from itertools import islice, pairwise
from math import inf, isfinite, log, nan, sqrt

from sweep.neuron.problem import Problem
from sweep.neuron.reference import descend

__all__ = ["EXACT", "GROWTH", "LONGEST_PERIOD", "NEAR", "Followed", "Outcome", "follow_one"]

LONGEST_PERIOD = 1024
NEAR, EXACT, GROWTH = 1.0, 64.0, 0.01

UNIT = 2.0**-52


class Outcome(IntEnum):
    """What becomes of a neuron that is followed after its training.

    A number in `train` and `load_grid`, a name in the tables of `load`; −1 (none) for a start that
    is not finite.
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
    """Follow a neuron from its start (w0, b0) that took `trained` epochs, for problem.follow more."""
    count, xs, n = problem.follow, problem.x.tolist(), len(problem.x)
    act, pair = problem.act, problem.fused
    states = list(islice(descend(w0, b0, learning_rate, problem), trained + count + 1))
    margin = 1.0 + (8 + n) * UNIT
    first_rise = next(
        (
            k
            for k, (a, b) in enumerate(pairwise(states[: trained + 1]), 1)
            if b.cost > a.cost * margin
        ),
        0,
    )
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
            residual, slope = act.residual_and_slope(z, y)
            bend = act.second_derivative(act.value(z), slope)
            along = pair.ddelta_dz(residual, slope, bend) * sum(map(float.__mul__, x, v)) / n
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

    near, exact = NEAR * sqrt(UNIT), EXACT * UNIT
    period = next((k - first for k in range(first + 1, count) if same(first, k, near)), 0)
    again = first + 2 * period
    shrank = growth[-1] < growth[half]
    settled = period > 0 and (
        same(first, first + period, exact)
        or (shrank and again < count and same(first, again, exact))
    )
    steps = [[b - a for a, b in zip(*pair, strict=True)] for pair in pairwise(thetas)]
    turned = [sum(map(float.__mul__, a, b)) < 0 for a, b in pairwise(steps)]
    late = count - count // 4
    turned_early, turned_late = (
        any(turned[half : late - 1]),
        any(turned[max(late - 1, half) : count - 1]),
    )
    if period == 1:
        stalled = again < count and same(first, again, exact) and shrank and turned_late
        settled = stalled or _at_rest(
            features, states[-1].z, thetas[-1], origin, learning_rate, problem
        )
    finite = all(map(isfinite, states[-1].z))
    if settled:
        outcome = Outcome.rests if period == 1 else Outcome.cycle
    elif growth[-1] - growth[half] > GROWTH and turned_early and turned_late:
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
    zs: list[float],
    theta: list[float],
    origin: list[float],
    rate: float,
    problem: Problem,
) -> bool:
    """Whether no component of the gradient is larger than the rounding of its terms."""
    n, act, pair = len(features), problem.act, problem.fused
    for j in range(len(theta)):
        total = rounding = 0.0
        for x, z, y in zip(features, zs, problem.y.tolist(), strict=True):
            residual, slope = act.residual_and_slope(z, y)
            a = residual + y
            bend = act.second_derivative(act.value(z), slope)
            ends = min(abs(a - act.low) + abs(y - act.low), abs(act.high - a) + abs(act.high - y))
            of_output = pair.delta(UNIT * ends, slope)
            of_z = UNIT * abs(z * pair.ddelta_dz(residual, slope, bend))
            total += pair.delta(residual, slope) * x[j]
            rounding += abs(x[j]) * (abs(of_output) + of_z)
        moved = n * (origin[j] - theta[j]) / rate  # the sum of all gradients
        if not abs(total) <= (16 + sqrt(n)) * rounding + UNIT * abs(moved):
            return False
    return True
