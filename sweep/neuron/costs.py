"""The costs, each one declaration: add an entry to `COSTS` and all floors know it."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from math import exp, log, log1p
from types import MappingProxyType

from sweep.errors import SpecError

__all__ = ["COSTS", "Cost", "Fused", "fused"]


@dataclass(frozen=True)
class Fused:
    """A cost joined with one activation, so that what cancels is never computed.

    `delta(residual, slope)` is ∂C/∂z of one sample from residual = a − y and slope = da/dz; the
    kernels compile it as it stands, and `delta_slope(residual, slope, bend)`, its derivative in z,
    too (bend = d²a/dz²). `value(z, residual, y)` is the cost of one sample, finite for every
    finite z.
    """

    delta: Callable[[float, float], float]
    delta_slope: Callable[[float, float, float], float]
    value: Callable[[float, float, float], float]


@dataclass(frozen=True)
class Cost:
    """The cost of one sample with output a and target y; `pairs` says what it goes with."""

    name: str
    value: Callable[[float, float], float]
    derivative: Callable[[float, float], float]
    pairs: Mapping[str, Fused]
    needs: str


def _quadratic(a: float, y: float) -> float:
    return 0.5 * (a - y) ** 2


def _quadratic_derivative(a: float, y: float) -> float:
    return a - y


def _half_square(z: float, residual: float, y: float) -> float:
    return 0.5 * residual * residual


def _residual_times_slope(residual: float, slope: float) -> float:
    return residual * slope


def _residual_times_slope_slope(residual: float, slope: float, bend: float) -> float:
    return slope * slope + residual * bend


def _cross_entropy(a: float, y: float) -> float:
    return -sum(p * log(q) for p, q in ((y, a), (1.0 - y, 1.0 - a)) if p != 0.0)


def _cross_entropy_derivative(a: float, y: float) -> float:
    return (a - y) / (a * (1.0 - a))


def _softplus_minus_yz(z: float, residual: float, y: float) -> float:
    # −y ln σ(z) − (1−y) ln(1−σ(z)) = ln(1 + e^z) − y·z, which takes no logarithm of 0; the
    # larger of the two terms is taken out first: each is of the size of z, their difference
    # may be 0.
    return log1p(exp(-abs(z))) + (max(z, 0.0) - y * z)


def _residual(residual: float, slope: float) -> float:
    return residual  # σ'(z) of the chain rule cancels against ∂C/∂a's denominator a(1−a)


def _slope(residual: float, slope: float, bend: float) -> float:
    return slope


_square = Fused(
    delta=_residual_times_slope, delta_slope=_residual_times_slope_slope, value=_half_square
)

COSTS: Mapping[str, Cost] = MappingProxyType(
    {
        cost.name: cost
        for cost in (
            Cost(
                name="quadratic",
                value=_quadratic,
                derivative=_quadratic_derivative,
                pairs={"sigmoid": _square, "tanh": _square},
                needs="any output",
            ),
            Cost(
                name="cross_entropy",
                value=_cross_entropy,
                derivative=_cross_entropy_derivative,
                pairs={
                    "sigmoid": Fused(delta=_residual, delta_slope=_slope, value=_softplus_minus_yz)
                },
                needs="outputs between 0 and 1, for it takes ln a and ln(1 - a)",
            ),
        )
    }
)


def fused(cost: str, activation: str) -> Fused:
    """Return the formulas of a cost with an activation.

    Raises
    ------
    SpecError
        The two do not go together; the message says why.
    """
    declared = COSTS[cost]
    if activation not in declared.pairs:
        raise SpecError(
            f"cost = {cost!r} with activation = {activation!r}: {cost} needs {declared.needs}; "
            f"it goes with {', '.join(declared.pairs)}"
        )
    return declared.pairs[activation]
