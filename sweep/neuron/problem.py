"""What one neuron is asked to learn, and when it may stop: checked once, then passed around."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from difflib import get_close_matches
from enum import IntEnum
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from sweep.errors import SpecError
from sweep.neuron.activations import ACTIVATIONS, Activation
from sweep.neuron.costs import COSTS, Fused, fused

__all__ = [
    "DTYPES",
    "METHODS",
    "Problem",
    "Status",
    "check_choice",
    "check_step",
    "check_targets",
    "problem",
]

DTYPES = ("float64", "float32")
METHODS = ("auto", "train", "orbit")


MAX_EPOCHS = int(np.iinfo(np.int32).max)

# With steps no larger, κ·epochs and so z and the weights stay finite for every finite start.
LARGEST_STEP = 1e290


class Status(IntEnum):
    """How a neuron's training ended."""

    converged = 0
    max_epochs = 1
    non_finite = 2


@dataclass(frozen=True)
class Problem:
    """n samples of d inputs with their targets, a cost, and when to stop.

    Attributes
    ----------
    x : (n, d) float64 array
    y : (n,) float64 array
    cost, activation : str
    tolerance : float
        A neuron has converged when the mean of |y − a| over the samples is at most this.
    max_epochs : int
    """

    x: NDArray[np.float64]
    y: NDArray[np.float64]
    cost: str
    activation: str
    tolerance: float
    max_epochs: int

    @property
    def act(self) -> Activation:
        """The declaration of the activation."""
        return ACTIVATIONS[self.activation]

    @property
    def fused(self) -> Fused:
        """The formulas of the cost joined with the activation."""
        return fused(self.cost, self.activation)


def check_choice(field: str, value: object, allowed: Iterable[str]) -> None:
    """Raise SpecError unless value is one of the allowed names; suggest the nearest."""
    names = list(allowed)
    if value in names:
        return
    near = get_close_matches(str(value), names, n=1)
    hint = f" (did you mean {near[0]!r}?)" if near else ""
    raise SpecError(f"{field} = {value!r}: must be one of {', '.join(names)}{hint}")


def check_targets(y: ArrayLike, activation: str) -> None:
    """Raise SpecError unless every target lies in the closed range of the activation."""
    act = ACTIVATIONS[activation]
    for value in np.ravel(y):
        if not act.low <= value <= act.high:
            raise SpecError(
                f"y = {value:g}: must lie in [{act.low:g}, {act.high:g}], the range of {activation}"
            )


def _floats(field: str, value: Any, dimensions: int) -> NDArray[np.float64]:
    try:
        array = np.asarray(value, dtype=np.float64)
    except (TypeError, ValueError):
        raise SpecError(f"{field} = {value!r}: must be a number or an array of numbers") from None
    if array.ndim > dimensions:
        raise SpecError(f"{field}: has {array.ndim} dimensions; at most {dimensions} are allowed")
    if not np.isfinite(array).all():
        raise SpecError(f"{field}: holds NaN or infinity; every value must be finite")
    return array


def problem(
    *,
    x: ArrayLike,
    y: ArrayLike,
    cost: str,
    activation: str = "sigmoid",
    tolerance: float,
    max_epochs: int,
) -> Problem:
    """Check what a neuron is asked and bring it into one form.

    Parameters
    ----------
    x : scalar, (n,) or (n, d)
        A scalar is one sample of one input, (n,) is n samples of one input.
    y : scalar or (n,)

    Raises
    ------
    SpecError
        Names the field, its value and what is allowed.
    """
    check_choice("activation", activation, ACTIVATIONS)
    check_choice("cost", cost, COSTS)
    fused(cost, activation)
    inputs = _floats("x", x, 2)
    inputs = inputs.reshape(-1, 1) if inputs.ndim < 2 else inputs
    targets = np.atleast_1d(_floats("y", y, 1))
    if inputs.size == 0:
        raise SpecError(f"x: has shape {np.shape(x)}; at least one sample of one input is needed")
    if len(targets) != len(inputs):
        raise SpecError(
            f"y: {len(targets)} targets for {len(inputs)} samples of x; must be as many"
        )
    check_targets(targets, activation)
    limit = _floats("tolerance", tolerance, 0)
    if not limit > 0:
        raise SpecError(f"tolerance = {tolerance!r}: must be greater than 0")
    whole = isinstance(max_epochs, (int, np.integer)) and not isinstance(max_epochs, bool)
    if not whole or not 0 <= max_epochs <= MAX_EPOCHS:
        raise SpecError(
            f"max_epochs = {max_epochs!r}: must be a whole number from 0 to {MAX_EPOCHS}"
        )
    return Problem(
        x=np.ascontiguousarray(inputs),
        y=np.ascontiguousarray(targets),
        cost=cost,
        activation=activation,
        tolerance=float(limit),
        max_epochs=int(max_epochs),
    )


def check_step(learning_rate: NDArray[np.float64], x: NDArray[np.float64]) -> None:
    """Raise SpecError unless learning rates are positive and no step can overflow."""
    wrong = learning_rate[~(np.isfinite(learning_rate) & (learning_rate > 0))]
    if wrong.size:
        raise SpecError(f"learning_rate = {wrong[0]:g}: must be finite and greater than 0")
    with np.errstate(over="ignore"):
        largest = np.max(learning_rate, initial=0.0) * ((x * x).sum(axis=1).max() + 1.0)
    if not largest <= LARGEST_STEP:
        raise SpecError(
            f"learning_rate and x: learning_rate·(|x|² + 1) = {largest:g} overflows in training; "
            f"must be at most {LARGEST_STEP:g}"
        )
