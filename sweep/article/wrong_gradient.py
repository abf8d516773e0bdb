"""Section 8: interactive figures in the literature that step with ∂C/∂a in place of ∂C/∂z."""

from __future__ import annotations

from math import exp

from sweep.article import two_starts_figures
from sweep.article.content import STARTS, CaptionedFigure, Section, Table, claim, digits_claim
from sweep.article.slowdown import curves
from sweep.neuron.costs import COSTS

__all__ = ["wrong_gradient"]

_RATE = 0.005
_TRUE = ("0.416664", "0.778245")
_STEPPED = ("0.039964", "0.047400")
_PUBLISHED = ("0.04", "0.05")


def wrong_gradient() -> Section:
    """Section 8: both numbers, and which of them is the cross-entropy gradient."""
    true = [curve.output for curve in curves("cross_entropy", _RATE)]
    script = [stepped_with_da(w, b, _RATE, 301) for w, b in STARTS]
    claims, rows = [], []
    for (w, b), by_dz, by_da, expected, stepped, published in zip(
        STARTS, true, script, _TRUE, _STEPPED, _PUBLISHED, strict=True
    ):
        start = f"From w = {w:g}, b = {b:g}, η = {_RATE:g}, 301 updates:"
        claims += [
            digits_claim(f"{start} stepping with ∂C/∂z, the gradient", expected, by_dz[301]),
            digits_claim(f"{start} stepping with ∂C/∂a, as the script does", stepped, by_da[301]),
            digits_claim(f"{start} the published figure shows what ∂C/∂a gives", published,
                         by_da[301]),
        ]  # fmt: skip
        rows.append([f"w = {w:g}, b = {b:g}", f"{by_dz[301]:.6f}", f"{by_da[301]:.6f}", published])
    z = sum(STARTS[1])
    h = 1e-6
    measured = (_cost(z + h) - _cost(z - h)) / (2 * h)
    by_z, by_a = 1 / (1 + exp(-z)), 1 + exp(z)
    claims.append(
        claim(
            "∂C/∂b measured on the cost by differences is ∂C/∂z = a, not ∂C/∂a = 1/(1 − a)",
            f"{by_z:.6f}, not {by_a:.2f}", f"{measured:.6f}",
            abs(measured - by_z) < 1e-8 and abs(measured - by_a) > 1,
        )
    )  # fmt: skip
    text = (
        "The chapter's interactive figures show cross-entropy going from 0.82 and from 0.98 "
        f"to 0.04 and 0.05, at η = {_RATE:g}. Gradient descent does not do that: it ends at "
        f"{true[0][301]:.2f} and {true[1][301]:.2f}. The figures' script steps w and b with "
        "∂C/∂a = 1/(1 − a), the derivative by the output; that gives "
        f"{script[0][301]:.2f} and {script[1][301]:.2f}, as published. What w and b have to step "
        "with is ∂C/∂w = ∂C/∂z·x, and ∂C/∂z = ∂C/∂a·σ′(z) = a: the slope must be multiplied in "
        "before it can cancel. At the output 0.98 the script's step is "
        f"{by_a / by_z:.0f} times too long, which hides how slow η = {_RATE:g} is. The "
        "chapter's text and its Python code have the right gradient."
    )
    picture = CaptionedFigure(
        "correction", two_starts_figures.draw_wrong_gradient(true, script, _RATE),
        f"Cross-entropy at η = {_RATE:g}: by its gradient the outputs are still far from 0 after "
        "300 epochs; stepped with ∂C/∂a, as the published figures are, they plunge.",
    )  # fmt: skip
    head = ["start", "∂C/∂z: cross-entropy", "∂C/∂a: the script", "published"]
    return Section("A correction to the literature", [text, Table(head, rows), picture], claims)


def stepped_with_da(w: float, b: float, learning_rate: float, epochs: int) -> list[float]:
    """Step w and b (x = 1, y = 0) with ∂C/∂a = 1/(1 − a) = 1 + e^z; return the outputs."""
    outputs = []
    for _ in range(epochs + 1):
        z = w + b
        outputs.append(1 / (1 + exp(-z)))
        w -= learning_rate * (1 + exp(z))
        b -= learning_rate * (1 + exp(z))
    return outputs


def _cost(z: float) -> float:
    return COSTS["cross_entropy"].value(1 / (1 + exp(-z)), 0.0)
