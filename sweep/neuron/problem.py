"""The problem that a neuron learns: samples, cost, when to stop; checked once, then passed on."""

from __future__ import annotations

import operator
from dataclasses import dataclass
from decimal import Decimal
from enum import IntEnum
from numbers import Real
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from sweep.errors import SpecError, check_choice, short
from sweep.neuron.activations import ACTIVATIONS, Activation
from sweep.neuron.arithmetic import exp_ratio
from sweep.neuron.costs import COSTS, Fused, fused
from sweep.neuron.optimizers import GD, LEAST_EPSILON, Optimizer
from sweep.neuron.own_costs import Cost
from sweep.neuron.own_formulas import formulas_of, parameters_of

__all__ = [
    "DTYPES",
    "MAX_EPOCHS",
    "METHODS",
    "RULES",
    "UNIT",
    "Code",
    "Problem",
    "Status",
    "check_dtype",
    "check_step",
    "check_targets",
    "finite",
    "make_problem",
    "numbers",
    "whole_number",
]

DTYPES = ("float64", "float32")
METHODS = ("auto", "train", "orbit")
RULES = ("error", "gradient")
"""What is compared with the tolerance: the mean of |y − a|, or the largest |∂C/∂w_j| or |∂C/∂b|."""

UNIT = 2.0**-52

MAX_EPOCHS = int(np.iinfo(np.int32).max)

# With steps no larger, κ·epochs and so z and the weights stay finite for every finite start; with
# inputs no larger, so do the sums of gradients.
LARGEST_STEP = {"float64": 1e290, "float32": 1e28}


class Code(IntEnum):
    """Named codes of a column: equal to the number in an array and to the name in pandas."""

    __pandas_priority__ = 10_000  # comparisons with pandas' columns come here

    def __eq__(self, other: object) -> Any:
        if type(other).__module__.partition(".")[0] == "pandas":
            coded = getattr(other.dtype, "kind", "O") in "iuf"  # type: ignore[attr-defined]
            return other == (int(self) if coded else self.name)
        return int.__eq__(self, other)

    def __ne__(self, other: object) -> Any:
        return ~(self == other) if hasattr(other, "dtype") else int.__ne__(self, other)

    __hash__ = int.__hash__


class Status(Code):
    """How a neuron's training ended.

    A number in `train` and `load_grid`, a name in the tables of `load`; it equals both there.

    Examples
    --------
    >>> import sweep
    >>> result = sweep.train(
    ...     [0.6, np.inf], [0.9, 0.9], learning_rate=0.15, cost="quadratic", x=1.0, y=0.0,
    ...     tolerance=0.1, max_epochs=1000,
    ... )
    >>> (result.status == sweep.Status.converged).tolist()
    [True, False]
    >>> sweep.Status(result.status[1]).name
    'non_finite'
    """

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
        A neuron has converged when what the rule says is at most this.
    max_epochs : int
    rule : "error" or "gradient"
        The mean of |y − a| over the samples, or the largest component of the gradient of C in
        (w, b), by its size.
    follow : int
        Epochs that each neuron is followed after its training; 0 for none.
    parameters : tuple of float
        Of a cost of one's own, in the order of `parameters_of`; `cost` is its formula then.
    optimizer : Optimizer
    """

    x: NDArray[np.float64]
    y: NDArray[np.float64]
    cost: str
    activation: str
    tolerance: float
    max_epochs: int
    rule: str = "error"
    follow: int = 0
    parameters: tuple[float, ...] = ()
    optimizer: Optimizer = GD

    @property
    def act(self) -> Activation:
        """The declaration of the activation."""
        return ACTIVATIONS[self.activation]

    @property
    def declared(self) -> bool:
        """Whether the cost is one of `COSTS`, and no formula of one's own."""
        return self.cost in COSTS

    @property
    def given_cost(self) -> str | Cost:
        """The cost as `train` takes it."""
        if self.declared:
            return self.cost
        names = parameters_of(self.cost)
        given = dict(zip(names, self.parameters, strict=True))
        return Cost.known("own", self.cost, given, self.activation)

    @property
    def fused(self) -> Fused:
        """The formulas of a declared cost joined with the activation."""
        return fused(self.cost, self.activation)

    @property
    def constants(self) -> NDArray[np.float64]:
        """The values of the parameters, as kernels take them."""
        return np.array(self.parameters, np.float64)

    def mirrors(self, y: float) -> bool:
        """Say whether a target is mirrored, and z with it; a formula is exact at both ends."""
        return self.declared and self.act.mirrors(y)

    @property
    def mirrored(self) -> NDArray[np.bool_]:
        """Which targets are mirrored, (n,)."""
        mirrored: NDArray[np.bool_] = self.act.mirrors(self.y) & self.declared
        return mirrored

    def at(self, z: float, y: float) -> tuple[float, float, float, float]:
        """Return a − y, da/dz, δ and dδ/dz of one sample."""
        if not self.declared:
            own = formulas_of(self.cost, self.activation)
            return own.at(z, y, self.parameters, exp_ratio, 1.0)
        residual, slope = self.act.residual_and_slope(z, y)
        second = self.act.second_derivative(self.act.value(z), slope)
        pair = self.fused
        return residual, slope, pair.delta(residual, slope), pair.ddelta_dz(residual, slope, second)

    def rounding_of_output(self, residual: Any, slope: Any, ddelta_dz: Any, y: float) -> Any:
        """Return by how much a rounding of a moves δ; of a target in the lower half, if mirrored.

        The rounding is u (|a − y| + 2 |y − end|), for the end of the range that is nearer to y.
        """
        act = self.act
        if self.declared:
            return self.fused.delta(UNIT * (residual + 2.0 * (y - act.low)), slope)
        rounding = UNIT * (abs(residual) + 2.0 * min(y - act.low, act.high - y))
        return rounding * ddelta_dz / slope

    def value(self, z: float, residual: float, y: float) -> float:
        """Return the cost of one sample."""
        if self.declared:
            return self.fused.value(z, residual, y)
        own = formulas_of(self.cost, self.activation)
        return float(own.cost(z, y, self.parameters, exp_ratio, 1.0)[0])


def check_dtype(dtype: object) -> str:
    """Return the name of a dtype, which may be given as NumPy has it."""
    name = np.dtype(dtype).name if isinstance(dtype, (type, np.dtype)) else dtype
    check_choice("dtype", name, DTYPES)
    return str(name)


def whole_number(field: str, value: Any, low: int, high: int) -> int:
    """Return a whole number, NumPy's too, within low to high; raise SpecError if it is none."""
    try:
        number = None if isinstance(value, (bool, np.bool_)) else operator.index(value)
    except TypeError:
        number = None
    if number is None or not low <= number <= high:
        raise SpecError(f"{field} = {short(value)}: must be a whole number from {low} to {high}")
    return number


def numbers(field: str, value: Any) -> NDArray[Any]:
    """Return real numbers as an array; None is NaN.

    Raises
    ------
    SpecError
        Something is no real number, or is masked: a mask would be dropped silently.
    """
    if np.ma.is_masked(value):
        raise SpecError(f"{field}: holds masked values; fill them, or leave them out")
    try:
        array = np.asarray(value)
        if array.dtype.kind in "fiub":
            return array
        if array.dtype.kind == "O" and all(isinstance(v, _REAL) for v in array.flat):
            return array.astype(np.float64)
    except (TypeError, ValueError, OverflowError, Warning):
        pass
    raise SpecError(f"{field} = {short(value)}: must be a number or an array of numbers")


_REAL = (Real, Decimal, type(None))


def check_targets(y: ArrayLike, activation: str) -> None:
    """Raise SpecError unless every target lies in the closed range of the activation."""
    act = ACTIVATIONS[activation]
    for value in np.ravel(y):
        if not act.low <= value <= act.high:
            raise SpecError(
                f"y = {value:g}: must lie in [{act.low:g}, {act.high:g}], the range of {activation}"
            )


def finite(field: str, value: Any, dimensions: int) -> NDArray[np.float64]:
    """Return finite numbers as an array of float64 with at most so many dimensions."""
    with np.errstate(over="ignore"):  # of a longdouble
        array = numbers(field, value).astype(np.float64)
    if array.ndim > dimensions:
        allowed = f"at most {dimensions} are allowed" if dimensions else "it must be a number"
        raise SpecError(f"{field}: has {array.ndim} dimensions; {allowed}")
    if not np.isfinite(array).all():
        raise SpecError(f"{field}: holds NaN or infinity; every value must be finite")
    return array


def make_problem(
    *,
    x: ArrayLike,
    y: ArrayLike,
    cost: str | Cost,
    activation: str = "sigmoid",
    tolerance: float,
    max_epochs: int,
    rule: str = "error",
    follow: int | None = None,
    optimizer: str | Optimizer = GD,
) -> Problem:
    """Check samples, cost, stopping rule and optimiser, and bring them into one form.

    Parameters
    ----------
    x : scalar, (n,) or (n, d)
        A scalar is one sample of one input, (n,) is n samples of one input.
    y : scalar or (n,)
    follow : int, optional
        Epochs to follow each neuron after its training.

    Raises
    ------
    SpecError
        Names the field, its value and what is allowed.
    """
    check_choice("activation", activation, ACTIVATIONS)
    check_choice("rule", rule, RULES)
    optimizer = optimizer if isinstance(optimizer, Optimizer) else Optimizer(optimizer)
    if follow is not None and optimizer != GD:
        raise SpecError(
            f"follow = {short(follow)}: goes with gradient descent alone, and the optimizer is "
            f"{optimizer.name}: what is followed is a map of w and b, without moments"
        )
    parameters: tuple[float, ...] = ()
    if isinstance(cost, Cost):
        cost, parameters = cost.kernel(activation)
    else:
        check_choice("cost", cost, COSTS)
        fused(cost, activation)
    inputs = finite("x", x, 2)
    inputs = inputs.reshape(-1, 1) if inputs.ndim < 2 else inputs
    targets = np.atleast_1d(finite("y", y, 1))
    if inputs.size == 0:
        raise SpecError(f"x: has shape {np.shape(x)}; at least one sample of one input is needed")
    if len(targets) != len(inputs):
        raise SpecError(
            f"y: {len(targets)} targets for {len(inputs)} samples of x; must be as many"
        )
    check_targets(targets, activation)
    limit = finite("tolerance", tolerance, 0)
    if not limit > 0:
        raise SpecError(f"tolerance = {short(tolerance)}: must be greater than 0")
    return Problem(
        x=np.ascontiguousarray(inputs),
        y=np.ascontiguousarray(targets),
        cost=str(cost),  # literals of kernels: no str of NumPy's
        activation=str(activation),
        tolerance=float(limit),
        max_epochs=whole_number("max_epochs", max_epochs, 0, MAX_EPOCHS),
        rule=str(rule),
        follow=0 if follow is None else whole_number("follow", follow, 1, MAX_EPOCHS),
        parameters=parameters,
        optimizer=optimizer,
    )


def check_step(
    learning_rate: NDArray[np.float64],
    x: NDArray[np.float64],
    dtype: str = "float64",
    optimizer: Optimizer = GD,
) -> None:
    """Raise SpecError unless learning rates are positive and nothing overflows in training."""
    invalid = learning_rate[~(np.isfinite(learning_rate) & (learning_rate > 0))]
    if invalid.size:
        raise SpecError(f"learning_rate = {invalid[0]:g}: must be finite and greater than 0")
    limit, least = LARGEST_STEP[dtype], LEAST_EPSILON[dtype]
    epsilon = optimizer.given.get("epsilon", np.inf)
    if epsilon < least:
        raise SpecError(
            f"optimizer.epsilon = {epsilon:g}: must be at least {least:g} with dtype = {dtype}"
        )
    with np.errstate(over="ignore"):
        largest = np.max(learning_rate, initial=0.0) * ((x * x).sum(axis=1).max() + 1.0)
        inputs = abs(x).sum(axis=0).max()
        # So much larger than all gradients a step may be.
        gain = "" if optimizer == GD else f", times {optimizer.gain:g} with {optimizer.name},"
        values = {f"learning_rate·(|x|² + 1){gain}": largest * optimizer.gain,
                  f"the sum of |x|{gain}": inputs * optimizer.gain}  # fmt: skip
        if not optimizer.update.linear:
            values["the sum of |x|, squared,"] = inputs * inputs
    for name, value in values.items():
        if not value <= limit:
            raise SpecError(
                f"learning_rate and x: {name} = {value:g} overflows in training; "
                f"must be at most {limit:g} with dtype = {dtype}"
            )
