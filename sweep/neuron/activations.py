"""The activations, each one declaration: add an entry to `ACTIVATIONS` and all floors know it."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from math import exp, pi, tanh
from types import MappingProxyType
from typing import Any, TypeAlias

from sweep.neuron.arithmetic import EXP2_SCALE, EXP_LIMIT, exp_ratio, fma

__all__ = ["ACTIVATIONS", "Activation"]

Ratio: TypeAlias = Callable[[float], tuple[float, float]]


@dataclass(frozen=True)
class Activation:
    """An output function a = act(z), symmetric about z = 0: act(−z) = low + high − act(z).

    `forward(z, y)` returns the pair (a − y, da/dz) for targets in the lower half of the range,
    both to full relative precision also where the neuron is saturated. It may use only arithmetic,
    the functions of `sweep.neuron.arithmetic`, and for exponentials its third argument: kernels
    compile it for SIMD lanes unchanged, and give it powers of 2 there, for z times `exp2_scale`.
    Targets in the upper half are mirrored, see `residual_and_slope`.
    `second_derivative(a, slope)` is d²a/dz², from a and da/dz, under the same rules. `pole` is how
    far from the real axis act(z) first ceases to be analytic; 0 where it has a corner.
    """

    name: str
    low: float
    high: float
    value: Callable[[float], float]
    derivative: Callable[[float], float]
    forward: Callable[[float, float, Ratio], tuple[float, float]]
    exp2_scale: float
    second_derivative: Callable[[float, float], float]
    pole: float

    def mirrors(self, y: Any) -> Any:
        """Say whether −z and the mirrored target replace z and y, a number or an array."""
        return y > (self.low + self.high) / 2

    def residual_and_slope(self, z: float, y: float) -> tuple[float, float]:
        """Return (a − y, da/dz) for any target."""
        if not self.mirrors(y):
            return self.forward(z, y, exp_ratio)
        residual, slope = self.forward(-z, self.low + self.high - y, exp_ratio)
        return -residual, slope


# With E = e^z: a = E/(1+E), 1−a = 1/(1+E), σ'(z) = a(1−a) from these two. The textbook a·(1−a) is
# exactly 0 in float64 from z = 36.8 on, where the neuron is slow but does learn; so is a − y for
# y = 1, which is why targets above ½ are mirrored.


def _sigmoid(z: float) -> float:
    """σ(z) = 1/(1 + e^(−z))."""
    return 1.0 / (1.0 + exp(-max(z, -EXP_LIMIT)))


def _sigmoid_derivative(z: float) -> float:
    """σ'(z) = σ(z)(1 − σ(z)), from its stable form."""
    return _sigmoid_forward(z, 0.0, exp_ratio)[1]


def _sigmoid_forward(z: float, y: float, exp_ratio: Ratio) -> tuple[float, float]:
    """Return (a − y, da/dz) with E = e^z: a = E/(1 + E), da/dz = E/(1 + E)²."""
    e, one = exp_ratio(z)
    r = 1.0 / (one + e)
    a = e * r
    return a - y, a * (one * r)


def _sigmoid_second_derivative(a: float, slope: float) -> float:
    """σ'' = σ'(1 − 2σ)."""
    return slope * (1.0 - 2.0 * a)


# tanh z = (E−1)/(E+1) = 2E/(1+E) − 1 with E = e^(2z), so tanh'(z) = 4E/(1+E)².


def _tanh_derivative(z: float) -> float:
    """tanh'(z) = 1 − tanh²(z), from its stable form."""
    return _tanh_forward(z, -1.0, exp_ratio)[1]


def _tanh_forward(z: float, y: float, exp_ratio: Ratio) -> tuple[float, float]:
    """Return (a − y, da/dz) with E = e^(2z): a = 2E/(1 + E) − 1, da/dz = 4E/(1 + E)²."""
    e, one = exp_ratio(z + z)
    r = 2.0 / (one + e)
    h = e * r
    return h - (1.0 + y), h * (one * r)


def _tanh_second_derivative(a: float, slope: float) -> float:
    """Return tanh'' = −2 tanh·tanh'."""
    return -2.0 * a * slope


# softsign z = z/(1+|z|), so that its slope is 1/(1+|z|)²: tails that fall as a power of z, not
# exponentially. For y = ±1 the larger terms of z − y|z| − y cancel exactly, whatever z is.


def _softsign(z: float) -> float:
    """softsign(z) = z/(1 + |z|)."""
    return z / (1.0 + abs(z))


def _softsign_derivative(z: float) -> float:
    """softsign'(z) = 1/(1 + |z|)²."""
    return _softsign_forward(z, 0.0, exp_ratio)[1]


def _softsign_forward(z: float, y: float, exp_ratio: Ratio) -> tuple[float, float]:
    """Return (a − y, da/dz): a − y = (z − y|z| − y)/(1 + |z|), da/dz = 1/(1 + |z|)²."""
    half, size = 0.5 * z, abs(0.5 * z)  # halves: 2z overflows
    r = 1.0 / (0.5 + size)
    slope = 0.5 * r
    return r * (fma(-y, size, half) - 0.5 * y), slope * slope


def _softsign_second_derivative(a: float, slope: float) -> float:
    """Softsign'' = −2 sign(a)(1 − |a|)³ = −2 slope·(sign(a) − a), and 0 at the corner."""
    return -2.0 * slope * (a / (abs(a) + 1e-30) - a)


ACTIVATIONS: Mapping[str, Activation] = MappingProxyType(
    {
        activation.name: activation
        for activation in (
            Activation(
                name="sigmoid",
                low=0.0,
                high=1.0,
                value=_sigmoid,
                derivative=_sigmoid_derivative,
                forward=_sigmoid_forward,
                exp2_scale=EXP2_SCALE,
                second_derivative=_sigmoid_second_derivative,
                pole=pi,
            ),
            Activation(
                name="tanh",
                low=-1.0,
                high=1.0,
                value=tanh,
                derivative=_tanh_derivative,
                forward=_tanh_forward,
                exp2_scale=EXP2_SCALE,
                second_derivative=_tanh_second_derivative,
                pole=pi / 2,
            ),
            Activation(
                name="softsign",
                low=-1.0,
                high=1.0,
                value=_softsign,
                derivative=_softsign_derivative,
                forward=_softsign_forward,
                exp2_scale=1.0,
                second_derivative=_softsign_second_derivative,
                pole=0.0,
            ),
        )
    }
)
