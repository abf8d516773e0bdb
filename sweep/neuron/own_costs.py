"""Costs from formulas: `sweep.Cost`, the gradient derived from it, and whether it is exact."""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Iterable
from contextlib import suppress
from dataclasses import dataclass
from decimal import MAX_EMAX, MIN_EMIN, Context, Decimal, localcontext
from functools import lru_cache
from numbers import Real
from typing import Any

from sweep.errors import SpecError, printable, short
from sweep.neuron.activations import ACTIVATIONS, Activation
from sweep.neuron.arithmetic import exp_ratio
from sweep.neuron.formula import (
    CURVATURE,
    MAX_NODES,
    SLOPE,
    E,
    Expression,
    P,
    Q,
    add,
    bernstein,
    children,
    depends_on,
    derivative,
    mul,
    nodes,
    text,
)
from sweep.neuron.formula_code import function_of
from sweep.neuron.formula_text import FUNCTIONS, canonical, expression, parse

__all__ = [
    "OF_DERIVATIVE",
    "RELATIVE",
    "TAKEN",
    "Cost",
    "Formulas",
    "check_formula",
    "formulas_of",
    "parameters_of",
    "residual_formula",
]

# Names that a formula, or a spec, has for other things.
TAKEN = {"a", "y", "w", "b", "x", "value", "cost", "learning_rate", "tolerance", "optimizer",
         "activation", "name", *FUNCTIONS}  # fmt: skip

# Where δ is compared with decimal arithmetic: z of both signs (2z with tanh), shares of the range.
CHECKED_Z = (0.01, 0.1, 0.5, 1.0, 2.0, 3.0, 5.0, 8.0, 12.0, 20.0, 40.0, 100.0, 300.0, 700.0)
CHECKED_TARGETS = (0.0, 1.0, 0.25, 0.8)
DIGITS = 50

# δ may be off by this share of itself, or of its derivative: near where δ is 0 a rounding of z, or
# of the output, is not small against it.
RELATIVE, OF_DERIVATIVE = 1e-12, 1e-14


class Cost:
    """A cost of your own, from a formula in the output a, the target y, and parameters.

    Its gradient is derived, and compared with 50-digit arithmetic before it is used: what loses
    digits, is not finite, or leads uphill is refused.

    Parameters
    ----------
    name : str
        As tables and figures have it.
    value : str or callable
        The cost of one sample, of + - * / **, log, exp, sqrt, abs, tanh, cosh, minimum, maximum; or
        a function of (a, y, …), which is called with SymPy's symbols.
    activation : "sigmoid", "tanh" or "softsign"
        With which the formula is checked here; with others it is when it is used with them.
    **parameters : float
        Values of the other names. Another value compiles nothing.

    Raises
    ------
    SpecError
        In one line, what the formula does that it must not.

    Examples
    --------
    >>> import sweep
    >>> focal = sweep.Cost("focal", "-(1-y)*a**g*log(1-a) - y*(1-a)**g*log(a)", g=2.0)
    >>> focal
    Cost('focal', '-(1 - y) * a ** g * log(1 - a) - y * (1 - a) ** g * log(a)', g=2.0)
    >>> sweep.train([0.6, 2.0], [0.9, 2.0], learning_rate=0.15, cost=focal, x=1.0, y=0.0,
    ...             tolerance=0.1, max_epochs=10_000).epochs.tolist()
    [463, 471]
    """

    __slots__ = ("checked", "name", "parameters", "value")

    name: str
    value: str
    parameters: dict[str, float]
    checked: str

    def __init__(
        self,
        name: str,
        value: str | Callable[..., Any],
        activation: str = "sigmoid",
        **parameters: float,
    ) -> None:
        field = f"costs.{printable(name)[:60]}"
        if not isinstance(name, str) or not re.fullmatch(r"[A-Za-z]\w{0,59}", name):
            raise SpecError(f"{field}: must be a name of letters, digits and _")
        if not isinstance(activation, str) or activation not in ACTIVATIONS:
            raise SpecError(
                f"activation = {short(activation)}: must be one of {', '.join(ACTIVATIONS)}"
            )
        for key, number in parameters.items():
            if key in TAKEN or re.fullmatch(r"w[0-9]+|(?![A-Za-z]\w{0,59}$).*", key, re.DOTALL):
                raise SpecError(f"{field}.{printable(key)[:60]}: cannot be a parameter's name")
            if not _is_finite(number):
                raise SpecError(f"{field}.{key} = {short(number)}: must be a finite number")
        if callable(value):
            value = _traced(field, value, parameters)
        if not isinstance(value, str):
            raise SpecError(f"{field}.value = {short(value)}: must be a formula")
        try:
            canonical_text = canonical(parse(value, {"a", "y", *parameters}))
            self.name, self.value = name, canonical_text
            self.parameters = {key: float(each) for key, each in sorted(parameters.items())}
            unused = parameters.keys() - set(parameters_of(canonical_text))
            if unused:
                raise SpecError(f"has no parameter {min(unused)}")
            check_formula(canonical_text, tuple(self.parameters.values()), activation)
            self.checked = activation
        except SpecError as error:
            raise SpecError(f"{field}.value = {short(value)}: {error}") from None

    def kernel(self, activation: str) -> tuple[str, tuple[float, ...]]:
        """Return what kernels are compiled for, and the parameters' values, both checked."""
        values = tuple(self.parameters.values())
        try:
            if activation != self.checked:
                check_formula(self.value, values, activation)
        except SpecError as error:
            raise SpecError(f"cost = {self.name!r} with {activation}: {error}") from None
        return self.value, values

    def __repr__(self) -> str:
        given = "".join(f", {key}={value!r}" for key, value in self.parameters.items())
        return f"Cost({self.name!r}, {self.value!r}{given})"

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Cost) and repr(self) == repr(other)

    def __hash__(self) -> int:
        return hash(repr(self))

    def __reduce__(self) -> Any:
        return Cost.known, (self.name, self.value, self.parameters, self.checked)

    @staticmethod
    def known(name: str, value: str, parameters: dict[str, float], checked: str) -> Cost:
        """Return a cost that was checked with an activation, and whose formula is canonical."""
        cost = Cost.__new__(Cost)
        cost.name, cost.value, cost.parameters, cost.checked = name, value, parameters, checked
        return cost


def _is_finite(number: object) -> bool:
    """Say whether something is a finite real number that float64 can hold."""
    with suppress(OverflowError):
        real = isinstance(number, Real) and not isinstance(number, bool)
        return real and math.isfinite(float(number))  # type: ignore[arg-type]
    return False


def _traced(field: str, function: Callable[..., Any], parameters: Iterable[str]) -> str:
    """Return the formula that a function computes, by calling it with symbols."""
    try:
        from sympy import Symbol
    except ImportError:
        raise SpecError(
            f"{field}.value: a function needs sympy: pip install 'neuron-sweep[article]'"
        ) from None
    symbols = {name: Symbol(name, real=True) for name in parameters}
    a, y = Symbol("a", positive=True), Symbol("y", real=True)
    try:
        return str(function(a, y, **symbols))
    except Exception as error:  # whatever a user's function does
        raise SpecError(f"{field}.value: the function failed: {printable(error)[:80]}") from None


def parameters_of(formula: str) -> tuple[str, ...]:
    """Return the names of a formula's parameters, in the order in which kernels take them."""
    return tuple(
        sorted(set(re.findall(r"(?<![\w.])[A-Za-z_]\w*", formula)) - {"a", "y", *FUNCTIONS})
    )


@dataclass(frozen=True)
class Formulas:
    """A cost's formula with one activation, and what is derived from it.

    Attributes
    ----------
    names : tuple of str
        Of the parameters.
    value, delta, ddelta_dz : expressions
        C of one sample, dC/dz and d²C/dz².
    sample, at, cost : callables
        As `function_of` returns them: (a − y, δ); (a − y, da/dz, δ, dδ/dz); (C,).
    smooth : bool
        Whether there is no abs, minimum or maximum in it.
    """

    names: tuple[str, ...]
    value: Expression
    delta: Expression
    ddelta_dz: Expression
    sample: Callable[..., tuple[Any, Any]]
    at: Callable[..., tuple[Any, Any, Any, Any]]
    cost: Callable[..., tuple[Any]]
    smooth: bool


def _rates(act: Activation) -> dict[str, Expression]:
    """Return the derivatives in z of what expressions are made of."""
    half = 1.0 / (act.high - act.low)
    if act.exp2_scale == 1.0:
        slope: Expression = SLOPE
        rates = {SLOPE: CURVATURE}
    else:
        # σ' = pq; tanh' = 4pq.
        slope, rates = mul((act.high - act.low) ** 2, P, Q), {}
    return rates | {P: mul(half, slope), Q: mul(-half, slope)}


def _residual(act: Activation) -> Expression:
    return bernstein(add(("a", 1.0), ("y", -1.0)), act.low, act.high)


def residual_formula(act: Activation) -> Callable[..., tuple[Any]]:
    """Return the function of a − y, which is the same for all formulas."""
    return function_of([_residual(act)], (), act)


@lru_cache(maxsize=256)
def formulas_of(formula: str, activation: str) -> Formulas:
    """Return what is derived from a canonical formula.

    Raises
    ------
    SpecError
        It does not depend on the output, or is too long.
    """
    act, names = ACTIVATIONS[activation], parameters_of(formula)
    rates = _rates(act)
    try:
        value = bernstein(expression(parse(formula, {"a", "y", *names})), act.low, act.high)
        delta = derivative(value, rates)
        ddelta_dz = derivative(delta, rates)
    except (OverflowError, ZeroDivisionError, ValueError) as error:
        if isinstance(error, SpecError):
            raise
        raise SpecError("has a constant part that is not finite") from None
    if not depends_on(delta, {P, Q, SLOPE}):
        raise SpecError("does not depend on the output a")
    size = len(nodes(("all", value, delta, ddelta_dz)))
    if size > MAX_NODES:
        raise SpecError(f"is too long: its derivatives have {size} parts; at most {MAX_NODES}")
    residual = _residual(act)
    slope = mul(act.high - act.low, rates[P])
    smooth = not any(
        isinstance(each, tuple) and each[0] in ("where", "abs") for each in nodes(value)
    )
    return Formulas(
        names, value, delta, ddelta_dz,
        sample=function_of([residual, delta], names, act),
        at=function_of([residual, slope, delta, ddelta_dz], names, act),
        cost=function_of([value], names, act),
        smooth=smooth,
    )  # fmt: skip


# --- against decimal arithmetic ---------------------------------------------------------------


@lru_cache(maxsize=256)
def check_formula(
    formula: str,
    values: tuple[float, ...],
    activation: str,
    shares: tuple[float, ...] = CHECKED_TARGETS,
) -> None:
    """Compare δ with decimal arithmetic, for targets at these shares of the range.

    Raises
    ------
    SpecError
        It loses digits (says where), is not finite, or leads away from a hard target.
    """
    act, found = ACTIVATIONS[activation], formulas_of(formula, activation)
    given = dict(zip(found.names, values, strict=True))
    # Exponentials end at ±708: those of tanh are of 2z.
    turns = 1.0 if act.exp2_scale == 1.0 else act.high - act.low
    for size in CHECKED_Z:
        for z in (size / turns, -size / turns):
            exact = _Exact(z, act, given)
            for share in shares:
                y = act.low + share * (act.high - act.low)
                _check_at(found, act, z, y, values, exact, hard=share in (0.0, 1.0))


def _check_at(
    found: Formulas, act: Activation, z: float, y: float, values: tuple[float, ...],
    exact: _Exact, *, hard: bool,
) -> None:  # fmt: skip
    _, _, delta, ddelta_dz = found.at(z, y, values, exp_ratio, 1.0)
    (cost,) = found.cost(z, y, values, exp_ratio, 1.0)
    at = f"at a = {act.value(z):.4g}, y = {y:g}"
    if not all(map(math.isfinite, (cost, delta, ddelta_dz))):
        raise SpecError(f"is not finite {at}")
    right = exact.of(found.delta, y)
    if not right.is_finite():
        raise SpecError(f"is not finite {at}")
    allowed = RELATIVE * abs(float(right)) + OF_DERIVATIVE * abs(ddelta_dz) + 1e-300
    off = abs(float(Decimal(delta) - right))
    if off > allowed:
        part = _inexact_part(found, act, z, y, values, exact)[:100]
        relative = off / max(abs(float(right)), 1e-300)
        raise SpecError(f"loses digits {at}: its gradient is off by {relative:.1g}, from {part}")
    far = abs(act.value(z) - y) > 0.5 * (act.high - act.low)
    if hard and far and float(right) * (act.value(z) - y) < 0.0:
        raise SpecError(f"leads away from the target {at}")


def _inexact_part(
    found: Formulas, act: Activation, z: float, y: float, values: tuple[float, ...], exact: _Exact
) -> str:
    """Return the smallest part of the gradient that is off, as a text in a."""
    shown = {P: "a", Q: "(1 - a)"} if act.low == 0.0 else {P: "(1 + a)/2", Q: "(1 - a)/2"}
    for part in nodes(found.delta):
        if isinstance(part, tuple):
            (number,) = function_of([part], found.names, act)(z, y, values, exp_ratio, 1.0)
            right = exact.of(part, y)
            if not (math.isfinite(number) and right.is_finite()):
                return text(part, shown)
            if abs(Decimal(number) - right) > Decimal(0.1 * RELATIVE) * abs(right):
                return text(part, shown)
    return text(found.delta, shown)


class _Exact:
    """Expressions at one z, in so many digits that 1 − a has DIGITS of them."""

    def __init__(self, z: float, act: Activation, given: dict[str, float]) -> None:
        digits = DIGITS + int(abs(z)) // 2 * int(act.high - act.low)
        self.context = Context(prec=digits, Emax=MAX_EMAX, Emin=MIN_EMIN, traps=[])
        self.shared: dict[Expression, Decimal] = {E: Decimal(1)}
        with localcontext(self.context):
            t = Decimal(z)
            if act.exp2_scale == 1.0:
                size = 1 + abs(t)
                p, q = (size + t) / (2 * size), (size - t) / (2 * size)
                self.shared |= {SLOPE: 1 / size**2, CURVATURE: (-2 if z > 0 else 2) / size**3}
            else:
                e = (t if act.low == 0.0 else 2 * t).exp()
                p, q = e / (1 + e), 1 / (1 + e)
            self.shared |= {P: p, Q: q} | {name: +Decimal(each) for name, each in given.items()}

    def of(self, x: Expression, y: float) -> Decimal:
        """Return the value of an expression for a target."""
        own: dict[Expression, Decimal] = {"y": Decimal(y)}
        with localcontext(self.context):
            for each in nodes(x):
                if each in self.shared or each in own:
                    continue
                value = self._value(each, own)
                # What the target is not part of serves all of them.
                (own if depends_on(each, {"y"}) else self.shared)[each] = value
        return own.get(x, self.shared.get(x, Decimal("NaN")))

    def _value(self, x: Expression, own: dict[Expression, Decimal]) -> Decimal:
        if isinstance(x, float):
            return Decimal(x)
        parts = {part: own[part] if part in own else self.shared[part] for part in children(x)}
        if x[0] == "+":
            return sum((Decimal(c) * parts[t] for t, c in x[1:]), Decimal(0))
        if x[0] == "*":
            value = Decimal(1)
            for base, exponent in x[1:]:
                raised = parts[exponent]
                value *= _exp(raised) if base == E else _power(parts[base], raised)
            return value
        inner = parts[x[1]]
        if x[0] == "where":
            return parts[x[2]] if inner > 0 else parts[x[3]]
        if x[0] == "abs":
            return abs(inner)
        if x[0] == "log":
            return inner.ln()
        e = _exp(abs(inner))
        if x[0] == "cosh":
            return (e + 1 / e) / 2
        return ((e - 1 / e) / (e + 1 / e)).copy_sign(inner)


# Beyond any float64; Decimal takes milliseconds for exponents far beyond it.
HUGE = Decimal(10) ** 5


def _exp(x: Decimal) -> Decimal:
    if abs(x) > HUGE:
        return Decimal("Infinity") if x > 0 else Decimal(0)
    return x.exp()


def _power(base: Decimal, exponent: Decimal) -> Decimal:
    if abs(exponent) > HUGE and base > 0:
        return _exp(exponent * base.ln())
    return base.sqrt() if exponent == Decimal("0.5") else base**exponent
