"""Expressions of `formula` written out as functions: for floats, and compiled for SIMD lanes.

What does not depend on the output stays a scalar, but for functions such as log: those of lanes are
the same bits on every CPU, and those of the C library are not.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from sweep.neuron import arithmetic
from sweep.neuron.activations import Activation
from sweep.neuron.formula import CURVATURE, SLOPE, E, Expression, P, Q, add, children, nodes

__all__ = ["function_of"]

# Names in generated code are p, q and what follows; those of parameters are c[i].
_NAMES = {P: "p", Q: "q", SLOPE: "slope", CURVATURE: "curvature", "y": "y"}

# p and q from z: with E = e^t they are E/(1 + E) and 1/(1 + E), so that neither is a difference.
_EXPONENTIAL = """
    e, one = ratio({t})
    r = 1.0 / (one + e)
    p, q = e * r, one * r
"""
# ln p = −ln(1 + q/p): with the smaller over the larger of both, and t for the rest.
_LOGARITHMS = """
    t = {t} * unit
    above = t > 0.0
    small = log1p(where(above, q, p) / where(above, p, q))
    log_p = where(above, -small, t - small)
    log_q = where(above, -t - small, -small)
"""
_SOFTSIGN = """
    half, size = 0.5 * z, abs(0.5 * z)
    r = 0.5 / (0.5 + size)
    p, q = r * (0.5 + (size + half)), r * (0.5 + (size - half))
    slope = r * r
    curvature = -2.0 * slope * ((p - q) / (abs(p - q) + 1e-30) - (p - q))
"""
_SOFTSIGN_LOGARITHMS = """
    log_p, log_q = -log1p(q / p), -log1p(p / q)
"""

# Powers up to this are products.
MAX_PRODUCTS = 16


def function_of(
    outputs: list[Expression], parameters: tuple[str, ...], act: Activation
) -> Callable[..., Any]:
    """Return function(z, y, c, ratio, unit), which returns a tuple of the outputs.

    z : float or lanes
        In units of which `ratio` gives the exponential, 1/`unit` of them being one.
    c : sequence
        The parameters' values.
    """
    exponential = act.exp2_scale != 1.0
    t = "z" if act.low == 0.0 else "(z + z)"
    code = (_EXPONENTIAL if exponential else _SOFTSIGN).format(t=t)
    if any(each in (("log", P), ("log", Q)) for out in outputs for each in nodes(out)):
        code += (_LOGARITHMS if exponential else _SOFTSIGN_LOGARITHMS).format(t=t)
    writer = _Writer(parameters)
    results = [writer.lanes(out) for out in outputs]
    body = "".join(f"    {line}\n" for line in writer.lines)
    source = (
        f"def formula(z, y, c, ratio, unit):{code}    zero = p * 0.0\n{body}"
        f"    return {', '.join(results)},\n"
    )
    names: dict[str, Any] = {name: getattr(arithmetic, name) for name in arithmetic.FUNCTIONS}
    exec(compile(source, "<a cost's formula>", "exec"), names)
    return names["formula"]  # type: ignore[no-any-return]


class _Writer:
    """Lines of code, in which each expression is computed once."""

    def __init__(self, parameters: tuple[str, ...]) -> None:
        self.lines: list[str] = []
        self.known = {name: f"c[{i}]" for i, name in enumerate(parameters)} | _NAMES
        self.known |= {("log", P): "log_p", ("log", Q): "log_q"}
        self.in_lanes: dict[Expression, bool] = {}

    def is_lanes(self, x: Expression) -> bool:
        """Say whether a value has lanes: whether it depends on the output, or is of a function."""
        if x not in self.in_lanes:
            deep = isinstance(x, tuple) and x[0] not in ("+", "*")
            powers = isinstance(x, tuple) and x[0] == "*" and any(map(_is_function, x[1:]))
            own = isinstance(x, str) and x.startswith("@")
            self.in_lanes[x] = own or deep or powers or any(map(self.is_lanes, children(x)))
        return self.in_lanes[x]

    def named(self, text: str) -> str:
        self.lines.append(f"v{len(self.lines)} = {text}")
        return f"v{len(self.lines) - 1}"

    def lanes(self, x: Expression) -> str:
        """Return the name of a value in lanes."""
        name = self.value(x)
        return name if self.is_lanes(x) else self.named(f"zero + {name}")

    def value(self, x: Expression) -> str:
        """Return the name of a value, or a number."""
        if isinstance(x, float):
            return repr(x)
        if x not in self.known:
            kind = x[0]
            if kind == "+":
                name = self.sum(x)
            elif kind == "*":
                name = self.product(x)
            elif kind == "where":
                name = self.named(
                    f"where({self.lanes(x[1])} > 0.0, {self.lanes(x[2])}, {self.lanes(x[3])})"
                )
            elif kind == "log":
                name = self.logarithm(x[1])
            else:
                name = self.named(f"{kind}({self.lanes(x[1])})")
            self.known[x] = name
        return self.known[x]

    def logarithm(self, x: Expression) -> str:
        if isinstance(x, tuple) and x[0] == "+" and (1.0, 1.0) in x[1:]:
            rest = tuple(pair for pair in x[1:] if pair != (1.0, 1.0))
            alone = len(rest) == 1 and rest[0][1] == 1.0
            return self.named(f"log1p({self.lanes(rest[0][0] if alone else ('+', *rest))})")
        return self.named(f"log({self.lanes(x)})")

    def sum(self, x: Expression) -> str:
        total = ""
        for term, coefficient in x[1:]:
            scalar, lanes = self.factors(term, coefficient)
            if not lanes:
                total = f"{total} + {scalar}" if total else scalar
            elif scalar == "1.0":
                total = f"{total} + {lanes}" if total else lanes
            else:
                total = f"fma({scalar}, {lanes}, {total})" if total else f"{scalar} * {lanes}"
            total = self.named(total)
        return total

    def factors(self, term: Expression, coefficient: float) -> tuple[str, str]:
        """Return what a term has of scalars, and the rest, which may be "" for none."""
        pairs = term[1:] if isinstance(term, tuple) and term[0] == "*" else ((term, 1.0),)
        scalars = tuple(p for p in pairs if not self.is_lanes(p[0]) and not _is_function(p))
        lanes = tuple(p for p in pairs if p not in scalars)
        scalar = repr(coefficient)
        if scalars and scalars != ((1.0, 1.0),):
            value = self.product(("*", *scalars))
            scalar = value if coefficient == 1.0 else self.named(f"{scalar} * {value}")
        if not lanes:
            return scalar, ""
        whole = len(lanes) == 1 and lanes[0][1] == 1.0
        return scalar, self.value(lanes[0][0] if whole else ("*", *lanes))

    def product(self, x: Expression) -> str:
        above, below = list[str](), list[str]()
        for base, exponent in x[1:]:
            if base == E:
                above.append(self.named(f"exp({self.lanes(exponent)})"))
            elif (split := _whole_and_rest(exponent)) is not None:
                whole, rest = split  # p^(g + 1) is p · p^g
                above += [self.value(("*", (base, whole))), self.value(("*", (base, rest)))]
            elif _is_function((base, exponent)):
                above.append(self.named(f"power({self.lanes(base)}, {self.lanes(exponent)})"))
            else:
                into = above if exponent > 0 else below
                into.append(self.whole_power(self.value(base), abs(exponent)))
        top = " * ".join(above) or "1.0"
        if below:
            return self.named(f"divide({top}, {' * '.join(below)})")
        return above[0] if len(above) == 1 else self.named(top)

    def whole_power(self, base: str, exponent: float) -> str:
        found, rest = "", int(exponent)
        if exponent != rest:
            found = self.named(f"sqrt({base})")
        while rest:
            if rest & 1:
                found = self.named(f"{found} * {base}") if found else base
            rest >>= 1
            base = self.named(f"{base} * {base}") if rest else base
        return found


def _whole_and_rest(exponent: Expression) -> tuple[float, Expression] | None:
    """Return a small whole number and what is added to it; None if there is none."""
    if isinstance(exponent, tuple) and exponent[0] == "+":
        whole = dict(exponent[1:]).get(1.0, 0.0)
        if whole.is_integer() and 0 < abs(whole) <= MAX_PRODUCTS:
            return whole, add((exponent, 1.0), (1.0, -whole))
    return None


def _is_function(pair: tuple[Expression, Expression]) -> bool:
    """Say whether a power is computed by exp or power, and not as a product."""
    base, exponent = pair
    if base == E or not isinstance(exponent, float):
        return True
    return abs(exponent) > MAX_PRODUCTS or 2.0 * exponent != int(2.0 * exponent)
