"""Formulas of costs as expressions, in which what cancels is never computed; their derivatives.

An output a between `low` and `high` is a = high·p + low·q, where p and q, p + q = 1, are its shares
of the range above and below it. Both are known to full relative precision however saturated the
neuron is, as a − y and 1 − a are not once a has been rounded. So a polynomial in a is written in
Bernstein's form, Σ bᵢ pⁱ qⁿ⁻ⁱ, which takes 1 − a to q and a − y to (high − y) p + (low − y) q.

An expression is a number, a name, or a tuple:

    ("+", (term, coefficient), …)    a sum; of its constant the term is 1.0
    ("*", (base, exponent), …)       a product of powers; the base of exp is E
    ("log" | "tanh" | "cosh" | "abs", x)
    ("where", x, a, b)               a where x > 0, and b elsewhere

`add`, `mul` and `power` bring equal terms and bases together, and that is all the algebra there is:
dp/dz = σ p q, so that what a derivative divides by p or q cancels where its power meets that.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from functools import lru_cache
from math import comb, isfinite
from typing import Any, TypeAlias

__all__ = [
    "CURVATURE",
    "MAX_NODES",
    "SLOPE",
    "E",
    "Expression",
    "P",
    "Q",
    "add",
    "bernstein",
    "children",
    "depends_on",
    "derivative",
    "function",
    "log",
    "mul",
    "nodes",
    "power",
    "text",
    "where",
]

Expression: TypeAlias = Any  # float, str or tuple, as above

MAX_NODES = 400

# Shares of the range, and da/dz and d²a/dz² where they are not polynomials of these.
P, Q, SLOPE, CURVATURE = "@p", "@q", "@slope", "@curvature"
E = "@e"  # 2.718…; names of parameters have no @
POSITIVE = (P, Q, SLOPE, E)


def add(*terms: tuple[Expression, float]) -> Expression:
    """Return Σ coefficient · term; what a, p and q are multiplied by is brought together."""
    total: dict[Expression, float] = {}
    for term, coefficient in terms:
        parts = term[1:] if isinstance(term, tuple) and term[0] == "+" else ((term, 1.0),)
        for part, factor in parts:
            value = coefficient * factor
            if isinstance(part, float):
                part, value = 1.0, value * part
            total[part] = total.get(part, 0.0) + value
    kept = {term: coefficient for term, coefficient in total.items() if coefficient != 0.0}
    if not all(map(isfinite, kept.values())):
        raise OverflowError("a sum overflows")
    by_lanes: dict[Expression, list[tuple[Expression, float]]] = {}
    for term, coefficient in kept.items():
        lanes, scalar = _split(term)
        by_lanes.setdefault(lanes, []).append((scalar, coefficient))
    for lanes, scalars in by_lanes.items():
        if len(scalars) > 1 and lanes != 1.0:
            others = [(t, c) for t, c in kept.items() if _split(t)[0] != lanes]
            return add((mul(lanes, add(*scalars)), 1.0), *others)
    if not kept:
        return 0.0
    if len(kept) == 1:
        ((term, coefficient),) = kept.items()
        if coefficient == 1.0 or term == 1.0:
            return coefficient if term == 1.0 else term
    return ("+", *sorted(kept.items(), key=repr))


def _split(term: Expression) -> tuple[Expression, Expression]:
    """Return the factors of a term that depend on the output, and those that do not."""
    if not _is_scalar(term):
        if term[0] != "*":
            return term, 1.0
        scalars = tuple(pair for pair in term[1:] if all(map(_is_scalar, pair)))
        if scalars:
            lanes = tuple(pair for pair in term[1:] if pair not in scalars)
            return mul(("*", *lanes)), mul(("*", *scalars))
        return term, 1.0
    return 1.0, term


@lru_cache(maxsize=4096)
def _is_scalar(x: Expression) -> bool:
    if isinstance(x, str):
        return x != "a" and not x.startswith("@")
    return all(map(_is_scalar, children(x)))


def mul(*factors: Expression) -> Expression:
    """Return the product."""
    coefficient, exponents = 1.0, dict[Expression, Expression]()
    waiting = list(factors)
    while waiting:
        factor = waiting.pop(0)
        if isinstance(factor, float):
            coefficient *= factor
        elif isinstance(factor, tuple) and factor[0] == "+" and len(factor) == 2:
            coefficient *= factor[1][1]
            waiting.insert(0, factor[1][0])
        else:
            pairs = (
                factor[1:] if isinstance(factor, tuple) and factor[0] == "*" else ((factor, 1.0),)
            )
            for base, exponent in pairs:
                negative = isinstance(base, tuple) and base[0] == "+" and base[1][1] < 0.0
                if negative and isinstance(exponent, float) and exponent.is_integer():
                    # 1 − y and y − 1 are one base.
                    coefficient *= -1.0 if exponent % 2 else 1.0
                    base = add((base, -1.0))
                exponents[base] = add((exponents.get(base, 0.0), 1.0), (exponent, 1.0))
    if isinstance(exponents.get(E), float):
        coefficient *= math.exp(exponents.pop(E))
    kept = sorted(((b, e) for b, e in exponents.items() if e != 0.0), key=repr)
    if not isfinite(coefficient):
        raise OverflowError("a product overflows")
    if not kept:
        return coefficient
    if len(kept) == 1 and kept[0][1] == 1.0:
        return add((kept[0][0], coefficient))
    return ("*", *kept) if coefficient == 1.0 else add((("*", *kept), coefficient))


def _positive(x: Expression) -> bool:
    if isinstance(x, tuple):
        if x[0] == "*":
            return all(base in POSITIVE for base, _ in x[1:])
        return x[0] == "cosh" or (x[0] == "+" and all(_positive(t) and c > 0 for t, c in x[1:]))
    return x in POSITIVE or (isinstance(x, float) and x > 0.0)


def power(base: Expression, exponent: Expression) -> Expression:
    """Return base ** exponent."""
    if base == E and isinstance(exponent, float):
        return math.exp(exponent)
    if isinstance(base, float) and isinstance(exponent, float):
        value = base**exponent
        if isinstance(value, complex) or not isfinite(value):
            raise ValueError(f"{base:g} ** {exponent:g}")
        return value
    if exponent in (0.0, 1.0):
        return base if exponent else 1.0
    whole = isinstance(exponent, float) and exponent.is_integer()
    if isinstance(base, tuple) and base[0] == "+" and len(base) == 2:
        term, coefficient = base[1]
        if isinstance(exponent, float) and (whole or (coefficient > 0 and _positive(term))):
            return mul(coefficient**exponent, power(term, exponent))
    if isinstance(base, tuple) and base[0] == "*" and (whole or _positive(base)):
        return mul(*(("*", (each, mul(old, exponent))) for each, old in base[1:]))
    return mul(("*", (base, exponent)))


def log(x: Expression) -> Expression:
    """Return the logarithm, of a product of positive powers as a sum."""
    if isinstance(x, float):
        return math.log(x)
    if x == E:
        return 1.0
    if isinstance(x, tuple) and _positive(x):
        if x[0] == "*":
            return add(*((mul(exponent, log(base)), 1.0) for base, exponent in x[1:]))
        if x[0] == "+" and len(x) == 2:
            return add((math.log(x[1][1]), 1.0), (log(x[1][0]), 1.0))
    return ("log", x)


def function(name: str, x: Expression) -> Expression:
    """Return tanh, cosh or abs of x."""
    if isinstance(x, float):
        return abs(x) if name == "abs" else math.tanh(x) if name == "tanh" else math.cosh(x)
    return (name, x)


def where(x: Expression, a: Expression, b: Expression) -> Expression:
    """Return a where x > 0, and b elsewhere."""
    if a == b:
        return a
    return (a if x > 0 else b) if isinstance(x, float) else ("where", x, a, b)


def children(x: Expression) -> tuple[Expression, ...]:
    """Return the expressions that one is made of."""
    if not isinstance(x, tuple):
        return ()
    if x[0] == "+":
        return tuple(term for term, _ in x[1:])
    return tuple(each for pair in x[1:] for each in pair) if x[0] == "*" else x[1:]


def nodes(x: Expression) -> list[Expression]:
    """Return all different expressions within one, each after those that it is made of."""
    found: dict[Expression, None] = {}

    def visit(x: Expression) -> None:
        if x not in found:
            for child in children(x):
                visit(child)
            found[x] = None

    visit(x)
    return list(found)


def depends_on(x: Expression, names: set[str]) -> bool:
    """Say whether one of the names is in an expression."""
    return any(isinstance(each, str) and each in names for each in nodes(x))


def rebuilt(x: Expression, changed: Callable[[Expression], Expression]) -> Expression:
    """Return an expression made anew of changed parts."""
    if not isinstance(x, tuple):
        return x
    if x[0] == "+":
        return add(*((changed(term), coefficient) for term, coefficient in x[1:]))
    if x[0] == "*":
        return mul(*(power(changed(base), changed(exponent)) for base, exponent in x[1:]))
    parts = [changed(each) for each in x[1:]]
    return (
        where(*parts)
        if x[0] == "where"
        else log(*parts)
        if x[0] == "log"
        else function(x[0], *parts)
    )


def bernstein(x: Expression, low: float, high: float) -> Expression:
    """Return an expression in a as one in p and q, its polynomials in Bernstein's form."""
    powers = _polynomial(x)
    if powers is None:
        return rebuilt(x, lambda part: bernstein(part, low, high))
    n = max(powers)
    # Σ c_k a^k = Σ c_k (high p + low q)^k (p + q)^(n − k), a coefficient for each p^i q^(n − i).
    terms = []
    for i in range(n + 1):
        shares = []
        for k, coefficient in powers.items():
            share = sum(
                comb(k, j) * high**j * low ** (k - j) * comb(n - k, i - j)
                for j in range(max(0, i - n + k), min(k, i) + 1)
            )
            shares.append((coefficient, float(share)))
        terms.append((mul(add(*shares), power(P, float(i)), power(Q, float(n - i))), 1.0))
    return add(*terms)


def _polynomial(x: Expression) -> dict[int, Expression] | None:
    """Return {power of a: coefficient, free of a} if x is a polynomial of degree 1 to 8 in a."""
    powers: dict[int, list[tuple[Expression, float]]] = {}
    for term, coefficient in x[1:] if isinstance(x, tuple) and x[0] == "+" else ((x, 1.0),):
        pairs = term[1:] if isinstance(term, tuple) and term[0] == "*" else ((term, 1.0),)
        exponent = next((e for base, e in pairs if base == "a"), 0.0)
        rest = mul(*(("*", pair) for pair in pairs if pair[0] != "a"))
        if depends_on(rest, {"a"}) or not isinstance(exponent, float):
            return None
        if not (exponent.is_integer() and 0 <= exponent <= 8):
            return None
        powers.setdefault(int(exponent), []).append((rest, coefficient))
    if max(powers) == 0 or (len(powers) == 1 and max(powers) > 1):
        return None
    return {k: add(*terms) for k, terms in powers.items()}


def derivative(x: Expression, of: dict[str, Expression]) -> Expression:
    """Return the derivative of an expression, given those of its names (0 if not given)."""
    known: dict[Expression, Expression] = {}

    def d(x: Expression) -> Expression:
        if isinstance(x, str):
            return of.get(x, 0.0)
        if isinstance(x, tuple) and x not in known:
            known[x] = of_tuple(x)
        return known.get(x, 0.0)

    def of_tuple(x: tuple[Any, ...]) -> Expression:
        if x[0] == "+":
            return add(*((d(term), coefficient) for term, coefficient in x[1:]))
        if x[0] == "*":
            terms = []
            for base, exponent in x[1:]:
                if base != E and d(base) != 0.0:
                    terms.append((mul(x, exponent, d(base), power(base, -1.0)), 1.0))
                if d(exponent) != 0.0:
                    terms.append((mul(x, log(base), d(exponent)), 1.0))
            return add(*terms)
        if x[0] == "where":
            return where(x[1], d(x[2]), d(x[3]))
        inner = d(x[1])
        if inner == 0.0:
            return 0.0
        if x[0] == "log":
            return mul(inner, power(x[1], -1.0))
        if x[0] == "tanh":
            return mul(inner, power(("cosh", x[1]), -2.0))
        if x[0] == "cosh":  # sinh, so that what log(cosh) divides by cancels
            return mul(inner, ("tanh", x[1]), x)
        return mul(inner, where(x[1], 1.0, -1.0))

    return d(x)


def text(x: Expression, names: dict[str, str]) -> str:
    """Return an expression as a text to be read, with other names for some."""
    if isinstance(x, float):
        return f"{x:g}"
    if isinstance(x, str):
        return names.get(x, x)
    if x[0] == "+":
        return "(" + " + ".join(_times(c, text(t, names)) for t, c in x[1:]) + ")"
    if x[0] == "*":
        powers = (
            f"exp({text(e, names)})" if b == E
            else text(b, names) if e == 1.0
            else f"{text(b, names)}**{text(e, names)}"
            for b, e in x[1:]
        )  # fmt: skip
        return "*".join(powers)
    return f"{x[0]}({', '.join(text(each, names) for each in x[1:])})"


def _times(coefficient: float, term: str) -> str:
    if term == "1":
        return f"{coefficient:g}"
    return {1.0: term, -1.0: f"-{term}"}.get(coefficient, f"{coefficient:g}*{term}")
