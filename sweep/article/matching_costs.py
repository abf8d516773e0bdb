"""Section 5: where cross-entropy comes from, and what its recipe makes of other activations."""

from __future__ import annotations

from typing import Any

import numpy as np

import sweep
from sweep.article import derivation, many_starts_figures
from sweep.article.content import (
    RATE,
    Block,
    CaptionedFigure,
    Claim,
    Section,
    Table,
    claim,
    number,
    proof_claim,
)
from sweep.neuron.activations import ACTIVATIONS
from sweep.neuron.costs import COSTS, fused

__all__ = ["matching_costs"]

MATCHING = {
    "sigmoid": "cross_entropy",
    "tanh": "tanh_cross_entropy",
    "softsign": "softsign_matching",
}
_MAX_EPOCHS = 20_000
_TOLERANCE = 0.1  # a share of the range of the outputs, so that activations can be compared


def matching_costs() -> Section:
    """Section 5: from the wish ∂C/∂b = a − y to a cost, for three activations."""
    steps = derivation.cross_entropy()
    claims = [proof_claim("From the wish ∂C/∂b = a − y to the cross-entropy", steps)]
    blocks: list[Block] = [
        "Cross-entropy does not fall from the sky. Wish that a neuron learns the faster the larger "
        "its error is, ∂C/∂b = a − y, and ask which cost does that:",
        *steps,
        "The recipe is a function of the activation: divide the wish by the slope, written as a "
        "function of the output, and integrate. Such costs are known as matching losses (Auer, "
        "Herbster and Warmuth, NIPS 1995). For tanh:",
    ]
    runs = {}
    for activation, cost in MATCHING.items():
        matching = derivation.matching(activation)
        if activation == "tanh":
            blocks += matching.steps
            blocks.append(
                "It is registered as the cost tanh_cross_entropy, with the constant ln 2, so that "
                "it is 0 where a = y = ±1: the cross-entropy of the probability (1 + a)/2. And "
                "for softsign, whose tails fall off as a power of z:"
            )
        elif activation == "softsign":
            blocks += matching.steps
        claims += _derivation_claims(activation, cost, matching)
        runs[activation] = _train_both(activation, cost)
        claims += _speed_claims(activation, cost, runs[activation])
        claims.append(_formula_claim(activation, matching.formula, runs[activation][cost]))
    claims += _trouble_claims(runs)
    blocks += [
        _consequence(runs),
        _table(runs),
        CaptionedFigure(
            "recipe", many_starts_figures.draw_matching_costs(runs, MATCHING),
            "First step and epochs to converge against the start z₀ for three activations: with "
            "the quadratic cost (orange) the first step vanishes far out and the epochs explode, "
            "with the matching cost (blue) neither happens.",
        ),
        _warning(),
    ]  # fmt: skip
    return Section("Where cross-entropy comes from", blocks, claims)


def _derivation_claims(activation: str, cost: str, matching: derivation.Matching) -> list[Claim]:
    """Claim what SymPy derives, and that the registered cost is that."""
    act = ACTIVATIONS[activation]
    a = np.linspace(act.low, act.high, 201)[1:-1]
    worst = 0.0
    for y in np.linspace(act.low, act.high, 5):
        gap = [matching.cost(v, y) - COSTS[cost].value(v, y) for v in a]
        worst = max(worst, np.ptp(gap))
    z = np.linspace(-6, 6, 241)
    slope_error = max(abs(matching.slope(act.value(v)) - act.derivative(v)) for v in z)
    deviation = max(worst, slope_error)
    return [
        proof_claim(f"The recipe for {activation}", matching.steps),
        claim(
            f"{cost}, as it is registered, is that cost up to a constant, and its slope the "
            f"derivative of {activation}",
            "equal", f"differ by at most {deviation:.1e}", deviation < 1e-12,
        ),
    ]  # fmt: skip


Run = dict[str, np.ndarray]


def _train_both(activation: str, cost: str) -> dict[str, Run]:
    """Train from many starts towards the lowest target, with the quadratic and the other cost."""
    act = ACTIVATIONS[activation]
    z = np.linspace(0, 12 if activation == "sigmoid" else 6 if activation == "tanh" else 60, 241)
    runs = {}
    for name in ("quadratic", cost):
        kwargs: Any = {"x": 0.0, "y": act.low, "cost": name, "activation": activation}
        once = sweep.train(0 * z, z, learning_rate=1.0, tolerance=1e-12, max_epochs=1, **kwargs)
        end = _trained(activation, name, z)
        epochs = np.where(end.status == sweep.Status.converged, end.epochs, np.inf)
        runs[name] = {"z": z, "error": end.initial_error, "step": z - once.b, "epochs": epochs}
    return runs


def _trained(activation: str, cost: str | sweep.Cost, z: np.ndarray) -> sweep.TrainResult:
    """Train neurons from z towards the lowest target."""
    act = ACTIVATIONS[activation]
    return sweep.train(
        0 * z, z, learning_rate=RATE, tolerance=_TOLERANCE * (act.high - act.low), x=0.0,
        y=act.low, max_epochs=_MAX_EPOCHS, cost=cost, activation=activation,
    )  # fmt: skip


def _formula_claim(activation: str, formula: str, run: Run) -> Claim:
    """Claim that the cost that SymPy finds, given as a formula, is the registered one."""
    epochs = _trained(activation, sweep.Cost("recipe", formula, activation), run["z"]).epochs
    equal = int((epochs == run["epochs"]).sum())
    return claim(
        f"what the recipe finds for {activation}, given to sweep as the formula {formula}: starts "
        "that take the same epochs",
        f"{len(run['z'])}", f"{equal}", equal == len(run["z"]),
    )  # fmt: skip


def _speed_claims(activation: str, cost: str, runs: dict[str, Run]) -> list[Claim]:
    """Claim that with the matching cost the first step grows with the error, to the end."""
    matched, quadratic = runs[cost], runs["quadratic"]
    return [
        claim(
            f"{activation} with {cost}: the first step grows with the initial error throughout",
            "grows", f"from {matched['step'][0]:.3f} to {matched['step'][-1]:.3f}",
            (np.diff(matched["step"]) >= 0).all() and matched["step"][-1] > matched["step"][0],
        ),
        claim(
            f"{activation} with {cost}: the epochs grow no faster than the distance: those for the "
            "outer half of the way ÷ those for the inner half",
            "at most 1.05", f"{_outer_over_inner(matched):.2f}", _outer_over_inner(matched) <= 1.05,
        ),
        claim(
            f"{activation} with the quadratic cost: the first step falls to nothing, and from "
            f"z₀ = {matched['z'][-1]:g} not even 50 times those epochs are enough",
            f"> {50 * matched['epochs'][-1]:,.0f}",
            f"> {_MAX_EPOCHS:,} against {matched['epochs'][-1]:,.0f}",
            quadratic["step"][-1] < quadratic["step"].max() / 1000
            and np.isinf(quadratic["epochs"][-1])
            and 50 * matched["epochs"][-1] < _MAX_EPOCHS,
        ),
    ]  # fmt: skip


def _outer_over_inner(run: Run) -> float:
    """Return how many times as many epochs the outer half of the starts' range takes."""
    first, middle, last = run["epochs"][[0, len(run["z"]) // 2, -1]]
    return float((last - middle) / (middle - first))


def _trouble_claims(runs: dict[str, dict[str, Run]]) -> list[Claim]:
    """Claim what replacing the activation does to the quadratic cost, and to hard targets."""
    at, top, step = derivation.peak("tanh")
    run = runs["tanh"]["quadratic"]
    peak_error, last_step = run["error"][run["step"].argmax()], run["step"][-1]
    z = np.array([1e2, 1e4, 1e6])
    pair = fused("softsign_matching", "softsign")
    cost = [pair.value(v, ACTIVATIONS["softsign"].residual_and_slope(v, 1.0)[0], 1.0) for v in z]
    return [
        claim(
            "tanh with the quadratic cost: the gradient peaks at the error 4/3 with 32/27, and "
            "falls to 0 beyond",
            f"{at:.2f}, {top:.4f}, to 0",
            f"{peak_error:.2f}, {run['step'].max():.4f}, to {last_step:.1e}",
            step.proven and abs(peak_error - at) < 0.02 and abs(run["step"].max() - top) < 1e-3
            and last_step < 1e-3,
        ),
        claim(
            "softsign_matching has no least value for a hard target: at a → y = 1 it falls like "
            "−ln z",
            ", ".join(f"{-np.log1p(v):.2f}" for v in z), ", ".join(f"{c:.2f}" for c in cost),
            np.allclose(cost, -np.log1p(z)),
        ),
    ]  # fmt: skip


def _table(runs: dict[str, dict[str, Run]]) -> Table:
    rows = []
    for activation, by_cost in runs.items():
        for cost, run in by_cost.items():
            ends = [run["epochs"][k] for k in (60, 120, 240)]
            rows.append([
                activation, cost,
                *(
                    f"z₀ = {run['z'][k]:g}: {number(e) if np.isfinite(e) else f'> {_MAX_EPOCHS:,}'}"
                    for k, e in zip((60, 120, 240), ends, strict=True)
                ),
            ])  # fmt: skip
    return Table(["activation", "cost", "epochs from near", "from far", "from very far"], rows)


def _consequence(runs: dict[str, dict[str, Run]]) -> str:
    tanh = runs["tanh"]
    middle = len(tanh["quadratic"]["z"]) // 2
    quadratic, matched = (tanh[c]["epochs"][middle] for c in ("quadratic", "tanh_cross_entropy"))
    return (
        "Trained, both do what was wished. Each neuron has to go from an output near the top of "
        f"its range to within {100 * _TOLERANCE:g} % of the bottom, with η = {RATE:g}: tanh from "
        f"z₀ = {tanh['quadratic']['z'][middle]:g} takes {number(matched)} epochs with its own "
        f"cost and {number(quadratic)} with the quadratic one."
    )


def _warning() -> str:
    at, top, _ = derivation.peak("tanh")
    small = derivation.peak("sigmoid")[1]
    return (
        "The article warns that replacing the activation “may cause other troubles”. With the "
        "quadratic cost tanh has the same trouble: its gradient (a − y)(1 − a²) is largest at the "
        f"error {number(at)} of 2 and falls to 0 beyond. Its peak is {top:.4f}, "
        f"{top / small:.0f} times the sigmoid's, so that a learning rate that suits the one is too "
        "large or too small for the other. And the recipe has a trouble of its own: softsign "
        "nears its hard targets so slowly that the matching cost has no least value there. The "
        "gradient is still a − y, and training ends; only the cost's own number means nothing."
    )
