"""Costs of one's own: `sweep.Cost`, a formula that is checked."""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Iterable
from contextlib import suppress
from numbers import Real
from typing import Any

from sweep.errors import SpecError, printable, short
from sweep.neuron.activations import ACTIVATIONS
from sweep.neuron.formula_check import check_formula
from sweep.neuron.formula_text import FUNCTIONS, canonical, parse
from sweep.neuron.own_formulas import parameters_of

__all__ = ["TAKEN", "Cost"]

# Names that a formula, or a spec, has for other things.
TAKEN = {"a", "y", "w", "b", "x", "value", "cost", "learning_rate", "tolerance", "optimizer",
         "activation", "name", *FUNCTIONS}  # fmt: skip


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
