"""Whether a cost's gradient is exact: floats against decimal arithmetic, over the whole range."""

from __future__ import annotations

import math
from decimal import MAX_EMAX, MIN_EMIN, Context, Decimal, localcontext
from functools import lru_cache

from sweep.errors import SpecError
from sweep.neuron.activations import ACTIVATIONS, Activation
from sweep.neuron.arithmetic import exp_ratio
from sweep.neuron.formula import (
    CURVATURE,
    SLOPE,
    E,
    Expression,
    P,
    Q,
    children,
    depends_on,
    nodes,
    text,
)
from sweep.neuron.formula_code import function_of
from sweep.neuron.own_formulas import Formulas, formulas_of

__all__ = ["OF_DERIVATIVE", "RELATIVE", "check_formula"]

# Where δ is compared with decimal arithmetic: z of both signs (2z with tanh), shares of the range.
CHECKED_Z = (0.01, 0.1, 0.5, 1.0, 2.0, 3.0, 5.0, 8.0, 12.0, 20.0, 40.0, 100.0, 300.0, 700.0)
CHECKED_TARGETS = (0.0, 1.0, 0.25, 0.8)
DIGITS = 50

# δ may be off by this share of itself, or of its derivative: near where δ is 0 a rounding of z, or
# of the output, is not small against it.
RELATIVE, OF_DERIVATIVE = 1e-12, 1e-14


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
