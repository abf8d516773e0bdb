"""Sections 3 and 6: the gradients of both costs, and the appendix on the sigmoid's slope."""

from __future__ import annotations

import numpy as np

from sweep.article import derivation
from sweep.article.content import Section, claim, proof_claim
from sweep.neuron.activations import ACTIVATIONS
from sweep.neuron.problem import make_problem
from sweep.neuron.reference import descend

__all__ = ["gradients", "sigmoid_slope"]


def gradients() -> Section:
    """Section 3: ∂C/∂w and ∂C/∂b by SymPy and by finite differences."""
    steps = derivation.gradients()
    claims = []
    for name, cost, cost_steps in (
        ("quadratic cost", "quadratic", steps[:3]),
        ("cross-entropy", "cross_entropy", steps[3:]),
    ):
        claims.append(
            proof_claim(f"The {name}'s gradients, over n samples of three inputs", cost_steps)
        )
        worst, count = _finite_differences(cost)
        claims.append(
            claim(
                f"The same by central differences: {count} partial derivatives of random neurons "
                "with 1 to 7 samples of 1 to 4 inputs",
                "differ by < 1e-8", f"at most {worst:.1e}", worst < 1e-8,
            )
        )  # fmt: skip
    text = (
        "With a = σ(z) and z = Σⱼ wⱼxⱼ + b, differentiate both costs. The quadratic cost keeps the "
        "factor σ′(z); in the cross-entropy it cancels, and only the error is left:"
    )
    return Section("The gradients", [text, *steps], claims)


def _finite_differences(cost: str, neurons: int = 100) -> tuple[float, int]:
    """Return the largest deviation of an update from the cost's central differences."""
    rng = np.random.default_rng(3)
    worst, count, h = 0.0, 0, 1e-5
    for _ in range(neurons):
        n, d = rng.integers(1, 8), rng.integers(1, 5)
        problem = make_problem(
            x=rng.normal(0, 1, (n, d)), y=rng.uniform(0, 1, n), cost=cost, tolerance=1.0,
            max_epochs=1,
        )  # fmt: skip
        theta = rng.normal(0, 1, d + 1)
        states = descend(theta[:-1].tolist(), float(theta[-1]), 1.0, problem)
        before, after = next(states), next(states)
        update = [v - u for u, v in zip([*after.w, after.b], [*before.w, before.b], strict=True)]
        for k in range(d + 1):
            costs = []
            for sign in (1, -1):
                shifted = theta.copy()
                shifted[k] += sign * h
                costs.append(
                    next(descend(shifted[:-1].tolist(), float(shifted[-1]), 1.0, problem)).cost
                )
            worst = max(worst, abs(update[k] - (costs[0] - costs[1]) / (2 * h)))
            count += 1
    return worst, count


def sigmoid_slope() -> Section:
    """Section 6: σ′ = σ(1 − σ), and whether the slowdown depends on its maximum being below 1."""
    steps = derivation.slope()
    z = np.linspace(-8, 8, 16001)
    slopes = {
        name: np.array([ACTIVATIONS[name].derivative(v) for v in z]) for name in ("sigmoid", "tanh")
    }
    best = int(slopes["sigmoid"].argmax())
    tanh_top, tanh_far = slopes["tanh"].max(), slopes["tanh"][-1]
    claims = [
        proof_claim("σ′ = σ(1 − σ), and its maximum", steps),
        claim(
            "A reader's remark: the maximum of σ′ is below 1; it is 1/4",
            "0.25 at z = 0", f"{slopes['sigmoid'][best]:g} at z = {abs(z[best]):g}",
            slopes["sigmoid"][best] == 0.25 and abs(z[best]) < 1e-12,
        ),
        claim(
            "But the slowdown does not depend on that: the slope of tanh reaches 1, and vanishes "
            "for saturated outputs as well",
            "1, then 0", f"{tanh_top:g} at z = 0, {tanh_far:.1e} at z = {z[-1]:g}",
            tanh_top == 1.0 and tanh_far < 1e-6,
        ),
    ]  # fmt: skip
    text = "The slope of the sigmoid can be had from its output alone:"
    remark = (
        "A reader remarks under the article that all depends on the maximum of σ′ being below 1. "
        f"It is {slopes['sigmoid'][best]:g}, so with the quadratic cost no neuron ever learns at "
        "more than a quarter of cross-entropy's speed. But that is a constant factor, which a "
        "larger learning rate makes up for. What slows the worst neurons down is that σ′ goes to "
        f"0: tanh, whose slope reaches {tanh_top:g}, freezes in the same way (section 5)."
    )
    return Section("The appendix: the sigmoid's slope", [text, *steps, remark], claims)
