"""Section 7: measured epochs against the closed-form gradient flow."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

import sweep
from sweep.article import many_starts_figures
from sweep.article.content import RATE, CaptionedFigure, Section, claim, number
from sweep.experiment.labels import cost_name
from sweep.neuron import flow

__all__ = ["gradient_flow"]

_COSTS = ("quadratic", "cross_entropy")


class Series(NamedTuple):
    """Epochs of trained neurons and of the flow, at some starts or tolerances."""

    at: np.ndarray
    trained: np.ndarray
    flow: np.ndarray


def _train_epochs(
    cost: str, z: np.ndarray | float, rate: np.ndarray | float, tolerance: float
) -> np.ndarray:
    """Train neurons (x = 1, y = 0) that start at z and return their epochs."""
    z, rate = np.broadcast_arrays(np.atleast_1d(z), rate)
    trained = sweep.train(
        0 * z, z, learning_rate=rate, cost=cost, x=1.0, y=0.0, tolerance=tolerance,
        max_epochs=50_000_000,
    )  # fmt: skip
    assert (trained.status == sweep.Status.converged).all()
    return trained.epochs.astype(float)


def gradient_flow() -> Section:
    """Section 7: plateau e^(z₀)/κ, tails 1/(κε) and 1/(2κε²), and an error of order η."""
    kappa = 2 * RATE  # x = 1
    z = np.linspace(-2, 10, 49)
    starts = {
        c: Series(z, _train_epochs(c, z, RATE, 0.1), flow.epochs(c, z, 0.1, kappa)) for c in _COSTS
    }
    tolerances = np.geomspace(0.3, 1e-3, 16)
    tails = {
        c: Series(
            tolerances,
            np.concatenate([_train_epochs(c, 2.0, RATE, t) for t in tolerances]),
            flow.epochs(c, 2.0, tolerances, kappa),
        )
        for c in _COSTS
    }
    rates = np.geomspace(0.32, 0.0025, 8)  # each half of the one before
    # A mean over many starts, less half an epoch: one neuron's epochs are rounded up, by as much as
    # the error that is measured here.
    many = np.linspace(1, 5, 400)
    order = {
        c: (
            rates,
            np.array([
                np.mean(flow.epochs(c, many, 0.1, 2 * r) - _train_epochs(c, many, r, 0.1) + 0.5)
                / np.mean(flow.epochs(c, many, 0.1, 2 * r))
                for r in rates
            ]),
        )
        for c in _COSTS
    }  # fmt: skip
    worst = {c: float(np.abs(m / t - 1)[t > 20].max()) for c, (_, m, t) in starts.items()}
    plateau = starts["quadratic"].trained[-1] * kappa / np.exp(z[-1])
    far = {
        "cross_entropy": tails["cross_entropy"].trained[-1] * kappa * tolerances[-1],
        "quadratic": tails["quadratic"].trained[-1] * 2 * kappa * tolerances[-1] ** 2,
    }
    halved = {c: order[c][1][:-1] / order[c][1][1:] for c in _COSTS}
    slope = np.polyfit(z[z > 4], starts["cross_entropy"].trained[z > 4], 1)[0]
    claims = [
        *(
            claim(
                f"{cost_name(c).capitalize()}: epochs trained agree with the flow's, η = {RATE:g}, "
                "where they are more than 20",
                "within 5 %", f"within {100 * worst[c]:.1f} %", worst[c] < 0.05,
            )
            for c in _COSTS
        ),
        claim(
            f"Quadratic: the plateau lasts exp(z₀)/κ epochs; κ·epochs/exp(z₀) at z₀ = {z[-1]:g}",
            "1, within 1 %", f"{plateau:.4f}", abs(plateau - 1) < 0.01,
        ),
        claim(
            "Cross-entropy: no plateau; κ·epochs grow as z₀ does",
            "1 for each unit of z₀, within 1 %", f"{slope * kappa:.4f}",
            abs(slope * kappa - 1) < 0.01,
        ),
        claim(
            f"Cross-entropy: tail 1/(κε); κε·epochs at ε = {tolerances[-1]:g}",
            "1, within 2 %", f"{far['cross_entropy']:.4f}", abs(far["cross_entropy"] - 1) < 0.02,
        ),
        claim(
            f"Quadratic: tail 1/(2κε²); 2κε²·epochs at ε = {tolerances[-1]:g}",
            "1, within 2 %", f"{far['quadratic']:.4f}", abs(far["quadratic"] - 1) < 0.02,
        ),
        *(
            claim(
                f"{cost_name(c).capitalize()}: the flow's relative error is O(η): halving η "
                "divides it by",
                "2, within 10 %", f"{halved[c][2:].min():.3f} … {halved[c][2:].max():.3f}",
                (np.abs(halved[c][2:] - 2) < 0.2).all(),
            )
            for c in _COSTS
        ),
    ]  # fmt: skip
    text = (
        "For small learning rates training is a flow, dz/dt = −κδ(z) with κ = η(x² + 1), and its "
        "time from z₀ to z₁ is (F(z₀) − F(z₁))/κ with F(z) = z − e^(−z) for cross-entropy and "
        "F(z) = e^z + 3z − 3e^(−z) − ½e^(−2z) for the quadratic cost. The one term e^z is the "
        f"slowdown: from z₀ = {z[-1]:g} the quadratic cost needs "
        f"{number(starts['quadratic'][1][-1])} epochs, cross-entropy "
        f"{number(starts['cross_entropy'][1][-1])}. At the other end, towards a small tolerance ε, "
        f"the epochs grow like 1/(2κε²) and 1/(κε): at ε = {tolerances[-1]:g} they are "
        f"{number(tails['quadratic'][1][-1])} and {number(tails['cross_entropy'][1][-1])}. The "
        f"flow is slower than training by a share that halves with the learning rate: "
        f"{100 * order['cross_entropy'][1][0]:.1f} % of cross-entropy's epochs at "
        f"η = {rates[0]:g}, {100 * order['cross_entropy'][1][-1]:.2f} % at η = {rates[-1]:g}."
    )
    picture = CaptionedFigure(
        "theory", many_starts_figures.draw_gradient_flow(starts, tails, order, kappa),
        "Theory's lines run through the trained points: epochs against the start, epochs against "
        "the tolerance, and the flow's relative error, which is proportional to η.",
    )  # fmt: skip
    return Section("Beyond the article: theory", [text, picture], claims)
