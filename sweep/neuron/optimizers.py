"""The optimisers, each one declaration: add an entry to `OPTIMIZERS` and all floors know it."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from numbers import Real
from types import MappingProxyType

from sweep.errors import SpecError, check_choice, printable, short
from sweep.neuron.arithmetic import fma

__all__ = ["GD", "LEAST_EPSILON", "OPTIMIZERS", "Optimizer", "Update"]


@dataclass(frozen=True)
class Update:
    """How gradients become steps, for each of w and b alone: θ ← θ − η·step.

    Two moments m and v of each neuron's w and b, 0 at first, are all that is known of gradients of
    epochs before: of gradients c times as large they are cm and c²v. Kernels compile both functions
    unchanged; p, q and r are the values of the parameters, in the order of `parameters`.

    Attributes
    ----------
    moments : callable
        (g, m, v, p, q) → m and v of this epoch, whose gradient ∂C/∂θ is g.
    step : callable
        (g, m, √v, m₁, √v₁, p, q, r) → the step. m₁ and v₁ are the moments of a gradient that is 1
        in every epoch: what to divide by, where a moment of few epochs is too small. They are known
        where both moments are kept.
    parameters : mapping
        Names and defaults, three at the most.
    kept : 0, 1 or 2
        Moments that are in use: none, m, both.
    linear : bool
        Whether a step is linear in the gradients. If so, w and b of one sample move along (x, 1),
        and that neuron is one number, z.
    gain : callable
        (p, q, r) → by how much a step may exceed the largest gradient that there was.
    flip : callable or None
        (p, q, r) → the η times curvature, κδ' of one sample, above which a minimum repels. Where
        steps do not vanish with the gradient there is none.
    """

    name: str
    moments: Callable[[float, float, float, float, float], tuple[float, float]]
    step: Callable[[float, float, float, float, float, float, float, float], float]
    parameters: Mapping[str, float]
    kept: int
    linear: bool
    gain: Callable[[float, float, float], float]
    flip: Callable[[float, float, float], float] | None


def _no_moments(g: float, m: float, v: float, p: float, q: float) -> tuple[float, float]:
    return m, v


def _gradient(
    g: float, m: float, root: float, m1: float, root1: float, p: float, q: float, r: float
) -> float:
    """Return the gradient itself: gradient descent."""
    return g


def _velocity(g: float, m: float, v: float, p: float, q: float) -> tuple[float, float]:
    """Return m ← β m + g, of which Polyak (1964) has the step −η m as βΔθ − η g."""
    return fma(p, m, g), v


def _heavy_ball(
    g: float, m: float, root: float, m1: float, root1: float, p: float, q: float, r: float
) -> float:
    """Polyak's heavy ball: the velocity m.

    Polyak, "Some methods of speeding up the convergence of iteration methods", USSR Computational
    Mathematics and Mathematical Physics 4(5), 1964.
    """
    return m


def _nesterov(
    g: float, m: float, root: float, m1: float, root1: float, p: float, q: float, r: float
) -> float:
    """Nesterov's accelerated gradient: g + β m, θ being where the gradient is taken.

    Sutskever, Martens, Dahl and Hinton, "On the importance of initialization and momentum in deep
    learning", ICML 2013, equations 3 and 4: with η constant, their θ + μv is this θ, and their
    v is −η m.
    """
    return fma(p, m, g)


def _two_means(g: float, m: float, v: float, p: float, q: float) -> tuple[float, float]:
    """Return m ← β₁ m + (1 − β₁) g and v ← β₂ v + (1 − β₂) g²."""
    return fma(p, m, (1.0 - p) * g), fma(q, v, (1.0 - q) * g * g)


def _adam(
    g: float, m: float, root: float, m1: float, root1: float, p: float, q: float, r: float
) -> float:
    """Adam: m̂/(√v̂ + ε) with m̂ = m/(1 − β₁ᵗ), v̂ = v/(1 − β₂ᵗ) after t epochs.

    Kingma and Ba, "Adam: a method for stochastic optimization", ICLR 2015, algorithm 1; 1 − β₁ᵗ and
    1 − β₂ᵗ are the moments m₁ and v₁. Multiplied out, so that it divides once.
    """
    return (m * root1) / fma(m1, root, m1 * (r * root1))


def _over_one_minus_beta(p: float, q: float, r: float) -> float:
    """Return 1 + β + β² + … of a velocity that only grows."""
    return 1.0 / (1.0 - p)


# Beside a minimum of curvature c, of which h = ηc, gradients are cθ. θ and m of the next epoch are
# linear in those of this one, with a matrix of which an eigenvalue reaches −1 where 1 + trace +
# determinant = 0: trace = 1 + β − h and determinant β for the heavy ball, 1 + β − (1 + β)h and
# β(1 − h) for Nesterov's. At that h it flips over (Polyak 1964 has the first).


def _flip(p: float, q: float, r: float) -> float:
    """Return where 2 + 2β − h = 0."""
    return 2.0 * (1.0 + p)


def _nesterov_flip(p: float, q: float, r: float) -> float:
    """Return where 2 + 2β − (1 + 2β)h = 0."""
    return 2.0 * (1.0 + p) / (1.0 + 2.0 * p)


OPTIMIZERS: Mapping[str, Update] = MappingProxyType(
    {
        update.name: update
        for update in (
            Update(
                name="gd",
                moments=_no_moments,
                step=_gradient,
                parameters={},
                kept=0,
                linear=True,
                gain=lambda p, q, r: 1.0,
                flip=lambda p, q, r: 2.0,
            ),
            Update(
                name="momentum",
                moments=_velocity,
                step=_heavy_ball,
                parameters={"beta": 0.9},
                kept=1,
                linear=True,
                gain=_over_one_minus_beta,
                flip=_flip,
            ),
            Update(
                name="nesterov",
                moments=_velocity,
                step=_nesterov,
                parameters={"beta": 0.9},
                kept=1,
                linear=True,
                gain=_over_one_minus_beta,
                flip=_nesterov_flip,
            ),
            Update(
                name="adam",
                moments=_two_means,
                step=_adam,
                parameters={"beta1": 0.9, "beta2": 0.999, "epsilon": 1e-8},
                kept=2,
                linear=False,
                gain=lambda p, q, r: 1.0 / r,  # m may be of a gradient that v has forgotten
                flip=None,
            ),
        )
    }
)

# Below it, squares of gradients that are not negligible beside ε could underflow.
LEAST_EPSILON = {"float64": 1e-140, "float32": 1e-15}


@dataclass(frozen=True, init=False, repr=False)
class Optimizer:
    """An optimiser with the values of its parameters.

    "gd" is gradient descent, which has none. With "momentum" (Polyak's heavy ball) and "nesterov",
    `beta` is the share of the velocity that is kept in an epoch; with "adam", `beta1` and `beta2`
    are those of the means of g and g², and `epsilon` is added to the root of the latter.

    Parameters
    ----------
    name : "gd", "momentum", "nesterov" or "adam"
    **parameters : float
        Default: beta = 0.9; beta1 = 0.9, beta2 = 0.999, epsilon = 1e-8.

    Raises
    ------
    SpecError
        The name or a parameter is not known, or a value is not allowed.

    Examples
    --------
    The article's saturated start, which takes gradient descent 469 epochs:

    >>> import sweep
    >>> kwargs = {"learning_rate": 0.15, "cost": "quadratic", "x": 1.0, "y": 0.0,
    ...           "tolerance": 0.1, "max_epochs": 10_000}
    >>> sweep.train([2.0], [2.0], optimizer="momentum", **kwargs).epochs.tolist()
    [50]
    >>> slower = sweep.Optimizer("momentum", beta=0.5)
    >>> slower
    Optimizer('momentum', beta=0.5)
    >>> sweep.train([2.0], [2.0], optimizer=slower, **kwargs).epochs.tolist()
    [234]
    """

    name: str
    values: tuple[float, ...]

    def __init__(self, name: str, **parameters: float) -> None:
        check_choice("optimizer", name, OPTIMIZERS)
        known = OPTIMIZERS[name].parameters
        for key, value in parameters.items():
            if key not in known:
                allowed = ", ".join(known) or "it has none"
                raise SpecError(
                    f"optimizer.{printable(key)[:60]}: is no parameter of {name}: {allowed}"
                )
            _check_parameter(key, value)
        object.__setattr__(self, "name", name)
        given = tuple(float(parameters.get(key, known[key])) for key in known)
        object.__setattr__(self, "values", given)

    def __repr__(self) -> str:
        usual = self.update.parameters
        other = [f", {key}={v!r}" for key, v in self.given.items() if v != usual[key]]
        return f"Optimizer({self.name!r}{''.join(other)})"

    @property
    def update(self) -> Update:
        """The declaration."""
        return OPTIMIZERS[self.name]

    @property
    def given(self) -> dict[str, float]:
        """The parameters by their names."""
        return dict(zip(self.update.parameters, self.values, strict=True))

    @property
    def constants(self) -> tuple[float, float, float]:
        """The values, as the declared functions take them: 0 where there are fewer than three."""
        p, q, r = (*self.values, 0.0, 0.0, 0.0)[:3]
        return p, q, r

    @property
    def flip(self) -> float:
        """The κδ' above which a minimum repels; infinite where there is none."""
        return math.inf if self.update.flip is None else self.update.flip(*self.constants)

    @property
    def gain(self) -> float:
        """By how much a step may exceed the largest gradient that there was."""
        return self.update.gain(*self.constants)


def _check_parameter(name: str, value: object) -> None:
    """Raise SpecError unless a parameter has a value that is allowed."""
    number = float(value) if isinstance(value, Real) and not isinstance(value, bool) else math.nan
    if name == "epsilon":
        least = LEAST_EPSILON["float64"]
        if not least <= number <= 1e100:
            raise SpecError(
                f"optimizer.epsilon = {short(value)}: must be greater than 0, from {least:g} to "
                "1e+100"
            )
    elif not 0.0 <= number < 1.0:
        raise SpecError(f"optimizer.{name} = {short(value)}: must be at least 0 and below 1")


GD = Optimizer("gd")
