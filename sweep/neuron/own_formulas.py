"""What is derived from a cost's formula with an activation: expressions, and functions of them."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

from sweep.errors import SpecError
from sweep.neuron.activations import ACTIVATIONS, Activation
from sweep.neuron.formula import (
    CURVATURE,
    MAX_NODES,
    SLOPE,
    Expression,
    P,
    Q,
    add,
    bernstein,
    depends_on,
    derivative,
    mul,
    nodes,
)
from sweep.neuron.formula_code import function_of
from sweep.neuron.formula_text import FUNCTIONS, expression, parse

__all__ = ["Formulas", "formulas_of", "parameters_of", "residual_formula"]


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
