"""The activations, each one declaration: add an entry to `ACTIVATIONS` and all floors know it."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from math import tanh
from types import MappingProxyType

from sweep.neuron.arithmetic import clamp, exp, fma

__all__ = ["ACTIVATIONS", "Activation"]


@dataclass(frozen=True)
class Activation:
    """An output function a = act(z).

    `forward(z, y)` returns the pair (a − y, da/dz), both to full relative precision also where
    the neuron is saturated; it may use only arithmetic and the functions of
    `sweep.neuron.arithmetic`, since the kernels compile it for SIMD lanes as it stands.
    """

    name: str
    low: float
    high: float
    value: Callable[[float], float]
    derivative: Callable[[float], float]
    forward: Callable[[float, float], tuple[float, float]]


# With E = e^(−z): a = 1/(1+E), 1−a = E·a, σ'(z) = E·a². The textbook a·(1−a) is exactly 0 in
# float64 from z = 36.8 on, where the neuron is slow but does learn.


def _sigmoid(z: float) -> float:
    return 1.0 / (1.0 + exp(-clamp(z)))


def _sigmoid_derivative(z: float) -> float:
    return _sigmoid_forward(z, 0.0)[1]


def _sigmoid_forward(z: float, y: float) -> tuple[float, float]:
    e = exp(-clamp(z))
    a = 1.0 / (1.0 + e)
    return a * fma(-y, e, 1.0 - y), e * a * a


# tanh z = (1−E)/(1+E) with E = e^(−2z), so tanh'(z) = 4E/(1+E)².


def _tanh_derivative(z: float) -> float:
    return _tanh_forward(z, 0.0)[1]


def _tanh_forward(z: float, y: float) -> tuple[float, float]:
    e = exp(-clamp(2.0 * z))
    r = 1.0 / (1.0 + e)
    return r * fma(-1.0 - y, e, 1.0 - y), 4.0 * e * r * r


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
            ),
            Activation(
                name="tanh",
                low=-1.0,
                high=1.0,
                value=tanh,
                derivative=_tanh_derivative,
                forward=_tanh_forward,
            ),
        )
    }
)
