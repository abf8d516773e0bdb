"""Sections 1 and 2: the article's two experiments, and why the worse start learns slowly."""

from __future__ import annotations

import numpy as np

import sweep
from sweep.article import two_starts_figures
from sweep.article.content import (
    RATE,
    STARTS,
    CaptionedFigure,
    Section,
    claim,
    digits_claim,
    number,
)
from sweep.article.derivation import peak
from sweep.neuron.activations import ACTIVATIONS

__all__ = ["curves", "two_experiments", "vanishing_gradient"]

_PRINTED = (("0.82", "0.09", "0.093752"), ("0.98", "0.20", "0.201262"))


def curves(cost: str, learning_rate: float = RATE, epochs: int = 301) -> list[sweep.Trace]:
    """Follow the article's two neurons (x = 1, y = 0, sigmoid) under a cost."""
    return [
        sweep.trace(w, b, learning_rate=learning_rate, cost=cost, x=1.0, y=0.0, epochs=epochs)
        for w, b in STARTS
    ]


def two_experiments() -> Section:
    """Section 1: the quadratic cost from a bad and from a worse start."""
    traces = curves("quadratic")
    claims = []
    early = [(c.output[0] - c.output[100]) / (c.output[0] - c.output[300]) for c in traces]
    wording = (
        ("falls at once", "more than 1/3", early[0] > 1 / 3),
        ("drops very slowly at first", "less than 1/3", early[1] < 1 / 3),
    )
    for (w, b), (first, last, digits), curve, share, (word, expected, holds) in zip(
        STARTS, _PRINTED, traces, early, wording, strict=True
    ):
        start = f"From w = {w:g}, b = {b:g}:"
        claims += [
            digits_claim(f"{start} first output", first, curve.output[0]),
            claim(
                f"{start} it {word}: share of its fall in the first 100 of 300 epochs",
                expected, f"{share:.3f}", holds,
            ),
            digits_claim(f"{start} output after 300 iterations", last, curve.output[300]),
            digits_claim(f"{start} output after 301 updates, six digits", digits,
                         curve.output[301]),
        ]  # fmt: skip
    text = (
        "One sigmoid neuron, one sample: input x = 1, target y = 0, quadratic cost, learning rate "
        f"η = {RATE:g}, 300 iterations. The output should become 0. It starts once bad, at "
        f"{traces[0].output[0]:.2f}, and once worse, at {traces[1].output[0]:.2f}. The bad start "
        f"is at {traces[0].output[300]:.2f} after 300 iterations, the worse one only at "
        f"{traces[1].output[300]:.2f}: after 100 iterations it still gives "
        f"{traces[1].output[100]:.2f}. The neuron that is most wrong learns least."
    )
    flat = int(np.flatnonzero(traces[1].output > 0.9)[-1])
    caption = (
        "Output and cost over 300 epochs of the quadratic cost: from w = 0.6, b = 0.9 both fall at "
        f"once, from w = b = 2 they lie flat: after {flat} epochs the output is still above 0.9."
    )
    drawing = two_starts_figures.draw_quadratic_curves(traces)
    return Section(
        "Two experiments", [text, CaptionedFigure("experiments", drawing, caption)], claims
    )


def vanishing_gradient() -> Section:
    """Section 2: the slope of the sigmoid, and the gradient as a function of the initial error."""
    act = ACTIVATIONS["sigmoid"]
    starts = np.array([w + b for w, b in STARTS])
    slopes = [act.derivative(z) for z in starts]
    gradients = {
        cost: [c.b[0] - c.b[1] for c in curves(cost, learning_rate=1.0, epochs=1)]
        for cost in ("quadratic", "cross_entropy")
    }
    # One update with η = 1 moves b by the gradient: measured, not taken from a formula.
    error = np.linspace(0.0005, 0.9995, 1999)
    z = np.log(error / (1 - error))
    measured = {}
    for cost in gradients:
        trained = sweep.train(
            np.zeros_like(z), z, learning_rate=1.0, cost=cost, x=0.0, y=0.0,
            tolerance=1e-12, max_epochs=1,
        )  # fmt: skip
        measured[cost] = z - trained.b
    at, top, step = peak("sigmoid")
    best = int(measured["quadratic"].argmax())
    rises = np.diff(measured["quadratic"]) > 0
    claims = [
        claim(
            "At the output 0.98 the sigmoid's slope is smaller than at 0.82",
            "smaller", f"{slopes[1]:.4f} < {slopes[0]:.4f}", slopes[1] < slopes[0],
        ),
        claim(
            "With the quadratic cost the worse start has the smaller gradient ∂C/∂b",
            "smaller", f"{gradients['quadratic'][1]:.4f} < {gradients['quadratic'][0]:.4f}",
            gradients["quadratic"][1] < gradients["quadratic"][0],
        ),
        claim(
            "Quadratic: the gradient rises with the error up to one peak and then falls",
            "one peak", f"{int(np.abs(np.diff(rises.astype(int))).sum())} turning point",
            rises[0] and not rises[-1] and np.abs(np.diff(rises.astype(int))).sum() == 1,
        ),
        claim(
            "Quadratic: the peak lies at the error 2/3, and is 4/27 (by SymPy and measured)",
            f"{at:.4f}, {top:.6f}", f"{error[best]:.4f}, {measured['quadratic'][best]:.6f}",
            step.proven and abs(error[best] - at) <= 0.0005
            and abs(measured["quadratic"][best] - top) < 1e-6,
        ),
        claim(
            "Quadratic: the gradient falls to 0 as the error goes to 1",
            "to 0", f"{measured['quadratic'][-1]:.6f} at the error {error[-1]:g}",
            measured["quadratic"][-1] < 0.001,
        ),
        claim(
            "Cross-entropy: the gradient is the error itself, largest where the error is",
            "equal", f"differs by at most {np.abs(measured['cross_entropy'] - error).max():.1e}",
            np.abs(measured["cross_entropy"] - error).max() < 1e-12,
        ),
    ]  # fmt: skip
    text = (
        "The quadratic cost's gradient is (a − y)σ′(z): the error times the slope of the sigmoid. "
        f"At the output {act.value(starts[0]):.2f} the slope is {slopes[0]:.3f}, at "
        f"{act.value(starts[1]):.2f} only {slopes[1]:.3f}, so the gradient is "
        f"{gradients['quadratic'][0] / gradients['quadratic'][1]:.1f} times smaller where the "
        "error is larger. As a function of the initial error e (target 0) it is e²(1 − e), whose "
        "peak follows from its derivative:"
    )
    after = (
        f"From the error {number(at)} on, more error means less learning. With cross-entropy the "
        "slope cancels, and the gradient is the error."
    )
    caption = (
        "The slope of the sigmoid at the two starts, and the gradient ∂C/∂b against the initial "
        "error: the quadratic cost's rises to its peak at "
        f"{at:.3f} and falls to 0, cross-entropy's keeps rising."
    )
    drawing = two_starts_figures.draw_slope_and_gradient(starts, error, measured, (at, top))
    return Section("Why", [text, step, after, CaptionedFigure("why", drawing, caption)], claims)
