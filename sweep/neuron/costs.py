"""The costs, each one declaration: add an entry to `COSTS` and all floors know it."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from math import exp, log, log1p
from types import MappingProxyType

from sweep.errors import SpecError

__all__ = ["COSTS", "Cost", "Fused", "default_costs", "fused"]


@dataclass(frozen=True)
class Fused:
    """A cost joined with one activation, so that what cancels is never computed.

    `delta(residual, slope)` is ∂C/∂z of one sample from residual = a − y and slope = da/dz; the
    kernels compile it unchanged, and `ddelta_dz(residual, slope, second_derivative)`, its
    derivative in z, too (second_derivative = d²a/dz²). `value(z, residual, y)` is the cost of one
    sample, finite for every finite z.
    """

    delta: Callable[[float, float], float]
    ddelta_dz: Callable[[float, float, float], float]
    value: Callable[[float, float, float], float]

    @property
    def matches(self) -> bool:
        """Whether δ = a − y: the cost's derivative cancels the activation's."""
        return self.delta is _residual


@dataclass(frozen=True)
class Cost:
    """The cost of one sample with output a and target y; `pairs` says what it goes with."""

    name: str
    value: Callable[[float, float], float]
    derivative: Callable[[float, float], float]
    pairs: Mapping[str, Fused]
    needs: str


def _quadratic(a: float, y: float) -> float:
    """C = (a − y)²/2."""
    return 0.5 * (a - y) ** 2


def _quadratic_derivative(a: float, y: float) -> float:
    """∂C/∂a = a − y."""
    return a - y


def _half_square(z: float, residual: float, y: float) -> float:
    """C = (a − y)²/2, from the residual a − y."""
    return 0.5 * residual * residual


def _residual_times_slope(residual: float, slope: float) -> float:
    """δ = (a − y)·act'(z), the chain rule."""
    return residual * slope


def _residual_times_slope_slope(residual: float, slope: float, second_derivative: float) -> float:
    """∂δ/∂z = act'(z)² + (a − y)·act''(z)."""
    return slope * slope + residual * second_derivative


def _cross_entropy(a: float, y: float) -> float:
    """C = −y ln a − (1 − y) ln(1 − a), with 0·ln 0 = 0."""
    return -sum(p * log(q) for p, q in ((y, a), (1.0 - y, 1.0 - a)) if p != 0.0)


def _cross_entropy_derivative(a: float, y: float) -> float:
    """∂C/∂a = (a − y)/(a(1 − a))."""
    return (a - y) / (a * (1.0 - a))


def _softplus_minus_yz(z: float, residual: float, y: float) -> float:
    """C = ln(1 + e^z) − y·z, cross-entropy as a function of z."""
    # −y ln σ(z) − (1−y) ln(1−σ(z)) = ln(1 + e^z) − y·z, which takes no logarithm of 0; the
    # larger of the two terms is taken out first: each is of the size of z, their difference
    # may be 0.
    return log1p(exp(-abs(z))) + (max(z, 0.0) - y * z)


def _residual(residual: float, slope: float) -> float:
    """δ = a − y: act'(z) of the chain rule cancels against ∂C/∂a's denominator."""
    return residual


# Cross-entropy is the cost whose ∂C/∂a = (a−y)/σ'(z) undoes the sigmoid's slope. The costs below
# do the same for other activations: integrals of (a−y) da / act'(z), which are the matching
# losses of Auer, Herbster and Warmuth (NIPS 1995); `derivation` finds them with SymPy. In z such
# a cost is ∫ act(z) dz − y·z.


def _tanh_cross_entropy(a: float, y: float) -> float:
    """C = cross-entropy of (1 + a)/2 and (1 + y)/2."""
    return _cross_entropy((1.0 + a) / 2.0, (1.0 + y) / 2.0)


def _tanh_cross_entropy_derivative(a: float, y: float) -> float:
    """∂C/∂a = (a − y)/(1 − a²)."""
    return (a - y) / ((1.0 - a) * (1.0 + a))


def _log_2_cosh_minus_yz(z: float, residual: float, y: float) -> float:
    """C = ln(2 cosh z) − y·z, the cost above as a function of z."""
    return log1p(exp(-2.0 * abs(z))) + (abs(z) - y * z)


def _softsign_matching(a: float, y: float) -> float:
    """C = (|a| − a·y)/(1 − |a|) + ln(1 − |a|)."""
    return (abs(a) - a * y) / (1.0 - abs(a)) + log1p(-abs(a))


def _softsign_matching_derivative(a: float, y: float) -> float:
    """∂C/∂a = (a − y)/(1 − |a|)²."""
    return (a - y) / (1.0 - abs(a)) ** 2


def _abs_minus_log_minus_yz(z: float, residual: float, y: float) -> float:
    """C = |z| − ln(1 + |z|) − y·z, the cost above as a function of z."""
    return (abs(z) - y * z) - log1p(abs(z))


def _slope(residual: float, slope: float, second_derivative: float) -> float:
    """∂δ/∂z = act'(z), of δ = a − y."""
    return slope


def _matching(value: Callable[[float, float, float], float]) -> Fused:
    """Join a cost with the activation whose slope it cancels."""
    return Fused(delta=_residual, ddelta_dz=_slope, value=value)


_square = Fused(
    delta=_residual_times_slope, ddelta_dz=_residual_times_slope_slope, value=_half_square
)

COSTS: Mapping[str, Cost] = MappingProxyType(
    {
        cost.name: cost
        for cost in (
            Cost(
                name="quadratic",
                value=_quadratic,
                derivative=_quadratic_derivative,
                pairs={"sigmoid": _square, "tanh": _square, "softsign": _square},
                needs="any output",
            ),
            Cost(
                name="cross_entropy",
                value=_cross_entropy,
                derivative=_cross_entropy_derivative,
                pairs={"sigmoid": _matching(_softplus_minus_yz)},
                needs="outputs between 0 and 1, for it takes ln a and ln(1 - a)",
            ),
            Cost(
                name="tanh_cross_entropy",
                value=_tanh_cross_entropy,
                derivative=_tanh_cross_entropy_derivative,
                pairs={"tanh": _matching(_log_2_cosh_minus_yz)},
                needs="the slope 1 - a² of tanh, against which it cancels",
            ),
            Cost(
                name="softsign_matching",
                value=_softsign_matching,
                derivative=_softsign_matching_derivative,
                pairs={"softsign": _matching(_abs_minus_log_minus_yz)},
                needs="the slope (1 - |a|)² of softsign, against which it cancels",
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


def default_costs(activation: object) -> list[str]:
    """Return what a spec without costs compares: quadratic, and the activation's matching cost.

    Costs that are declared later do not change it, for they would change the spec's id.
    """
    pairs = ((name, cost.pairs) for name, cost in COSTS.items())
    matching = [
        name for name, of in pairs if activation in list(of) and of[str(activation)].matches
    ]
    return ["quadratic", *matching]
