"""The obvious slow training loop, one neuron at a time: the oracle of every test."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from math import isfinite, nan, sqrt

from sweep.neuron.problem import Problem, Status

__all__ = ["State", "Trained", "descend", "train_one"]


@dataclass(frozen=True)
class State:
    """One neuron after some number of updates."""

    w: list[float]
    b: float
    z: list[float]
    error: float
    cost: float
    gradient: float  # the largest |∂C/∂w_j| or |∂C/∂b|


@dataclass(frozen=True)
class Trained:
    """How the training of one neuron ended."""

    epochs: int
    status: Status
    initial_error: float
    final_error: float
    w: list[float]
    b: float


def descend(
    w0: Sequence[float], b0: float, learning_rate: float, problem: Problem
) -> Iterator[State]:
    """Yield the neuron before the first update, after one, after two, and so on, without end."""
    xs, ys = problem.x.tolist(), problem.y.tolist()
    n, inputs = len(xs), range(len(xs[0]))
    w, b = list(w0), b0
    p, q, r = problem.optimizer.constants
    moments, step = problem.optimizer.update.moments, problem.optimizer.update.step
    kept = [(0.0, 0.0) for _ in [*w, b]]
    of_ones = 0.0, 0.0  # the moments of a gradient that is 1 in every epoch
    while True:
        z = [sum(w[j] * x[j] for j in inputs) + b for x in xs]
        error, cost, grad_w, grad_b = 0.0, 0.0, [0.0 for _ in inputs], 0.0
        for x, y, z_i in zip(xs, ys, z, strict=True):
            residual, _, delta, _ = problem.at(z_i, y)
            error += abs(residual)
            cost += problem.value(z_i, residual, y)
            for j in inputs:
                grad_w[j] += delta * x[j] / n
            grad_b += delta / n
        gradient = max(map(abs, [*grad_w, grad_b]))
        yield State(list(w), b, z, error / n, cost / n, gradient)
        of_ones, steps = moments(1.0, *of_ones, p, q), []
        for j, g in enumerate([*grad_w, grad_b]):
            kept[j] = m, v = moments(g, *kept[j], p, q)
            steps.append(step(g, m, sqrt(v), of_ones[0], sqrt(of_ones[1]), p, q, r))
        for j in inputs:
            w[j] -= learning_rate * steps[j]
        b -= learning_rate * steps[-1]


def train_one(w0: Sequence[float], b0: float, learning_rate: float, problem: Problem) -> Trained:
    """Train one neuron until its rule is met, or for max_epochs updates."""
    initial_error = nan
    for epochs, state in enumerate(descend(w0, b0, learning_rate, problem)):
        if not all(map(isfinite, state.z)):
            return Trained(epochs, Status.non_finite, initial_error, nan, state.w, state.b)
        if epochs == 0:
            initial_error = state.error
        met = state.gradient if problem.rule == "gradient" else state.error
        if met <= problem.tolerance:
            status = Status.converged
        elif epochs == problem.max_epochs:
            status = Status.max_epochs
        else:
            continue
        return Trained(epochs, status, initial_error, state.error, state.w, state.b)
    raise AssertionError("descend never ends")
