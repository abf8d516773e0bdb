"""The article's algebra done by SymPy: each step is a formula to print and whether it was proven.

SymPy and latex2mathml come with the extra `article`; only this file imports them, and only the
sections that need a derivation import this file. Formulas are returned as one line of text and as
MathML.
"""

# SymPy is untyped
# mypy: disable-error-code="no-untyped-call, misc, no-any-return"

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from sweep.article.content import Step
from sweep.errors import SpecError

try:
    import sympy as sp
    from latex2mathml.converter import convert
    from sympy.printing.precedence import PRECEDENCE
    from sympy.printing.str import StrPrinter
except ImportError:
    raise SpecError(
        "the article's algebra needs SymPy and latex2mathml: pip install sympy latex2mathml"
    ) from None

__all__ = ["Matching", "cross_entropy", "gradients", "matching", "peak", "slope"]


@dataclass(frozen=True)
class Matching:
    """What the recipe ∂C/∂b = a − y makes of an activation.

    `slope` is act' as a function of the output a, `cost` the cost of (a, y), up to a constant, and
    `formula` its text.
    """

    steps: list[Step]
    slope: Callable[[float], float]
    cost: Callable[[float, float], float]
    formula: str


# --- printing ------------------------------------------------------------------------------

_LATEX = {
    "∂C/∂a": r"\frac{\partial C}{\partial a}",
    "∂C/∂b": r"\frac{\partial C}{\partial b}",
    "∂C/∂wⱼ": r"\frac{\partial C}{\partial w_j}",
    "da/dz": r"\frac{da}{dz}",
    "σ(z)": r"\sigma(z)",
    "σ′(z)": r"\sigma^\prime(z)",
    "σ′(zᵢ)": r"\sigma^\prime(z_i)",
    "σ′(0)": r"\sigma^\prime(0)",
    "aᵢ": "a_i",
    "yᵢ": "y_i",
    "xᵢⱼ": "x_{ij}",
    "1/n": r"\frac{1}{n}\,",
    "const": r"\mathrm{const}",
}


def _step(description: str, left: Any, right: Any, proven: bool | None = None) -> Step:
    """Print left = right, the terms in the order in which they were written."""
    with sp.evaluate(False):
        formula = sp.Eq(left, right)
    names = {sp.Symbol(name): latex for name, latex in _LATEX.items()}
    latex = sp.latex(formula, order="none", symbol_names=names).replace(r"\ln", r"\,\ln")
    line = _Line({"order": "none"})
    text = f"{line.doprint(left)} = {line.doprint(right)}"
    for made, wanted in (("**2", "²"), ("*", "⋅"), (" - ", " − ")):
        text = text.replace(made, wanted)
    return Step(description, text, convert(latex, display="block"), proven)


class _Line(StrPrinter):
    """Prints sums over the samples, and absolute values, as they are written on one line."""

    def _print_Sum(self, formula: Any) -> str:  # noqa: N802, SymPy's name
        return f"Σᵢ {self.parenthesize(formula.function, PRECEDENCE['Mul'])}"

    def _print_Abs(self, formula: Any) -> str:  # noqa: N802, SymPy's name
        return f"|{self._print(formula.args[0])}|"


def _value(formula: Any) -> Any:
    """Return a formula that was written to be printed as one that SymPy computes with."""
    return formula.replace(_ln, sp.log).doit()


def _same(left: Any, right: Any) -> bool:
    return bool(sp.simplify(left - right) == 0)


# --- the derivations -----------------------------------------------------------------------

_a = sp.Symbol("a", positive=True)
_y, _z = sp.symbols("y z", real=True)
_C, _const = sp.symbols("C const")
_ln = sp.Function("ln")  # what is printed; SymPy's own logarithm is printed as log
_by_a, _by_b, _sigma, _prime = sp.symbols("∂C/∂a ∂C/∂b σ(z) σ′(z)")
_sigmoid = 1 / (1 + sp.exp(-_z))


def slope() -> list[Step]:
    """Derive σ′ = σ(1 − σ) from the definition, and its maximum 1/4 (the article's appendix)."""
    e = sp.exp(-_z)
    derived = sp.diff(_sigmoid, _z)
    with sp.evaluate(False):
        solved = 1 / _sigma - 1
        inserted, product = (1 / _sigma - 1) * _sigma**2, _sigma * (1 - _sigma)

    def proven(formula: Any) -> bool:
        return _same(derived, _value(formula.subs(_sigma, _sigmoid)))

    (best,) = sp.solve(sp.diff(_a * (1 - _a), _a), _a)
    # A parabola that opens downwards has one top, and σ(0) is there.
    on_top = sp.diff(_a * (1 - _a), _a, 2) < 0 and _sigmoid.subs(_z, 0) == best
    return [
        _step("The sigmoid", _sigma, _sigmoid),
        _step("Differentiate", _prime, e / (1 + e) ** 2, proven(e / (1 + e) ** 2)),
        _step("Solve the first line for the exponential", e, solved,
              _same(e, 1 / _sigmoid - 1)),
        _step("Insert it into the second", _prime, inserted, proven(inserted)),
        _step("Multiply out: the slope from the output alone", _prime, product, proven(product)),
        _step("It is largest where both factors are equal, at z = 0",
              sp.Symbol("σ′(0)"), best * (1 - best), on_top),
    ]  # fmt: skip


def gradients() -> list[Step]:
    """Differentiate both costs over n samples of three inputs by the weights and by the bias."""
    n, i = sp.Symbol("n", positive=True, integer=True), sp.Symbol("i", integer=True)
    x, y = sp.IndexedBase("x", real=True), sp.IndexedBase("y", real=True)
    *w, b = sp.symbols("w1 w2 w3 b", real=True)
    a = _sigmoid.subs(_z, sum(w[k] * x[i, k] for k in range(3)) + b)
    a_i, y_i, x_ij, prime_i, over_n = sp.symbols("aᵢ yᵢ xᵢⱼ σ′(zᵢ) 1/n")
    with sp.evaluate(False):
        costs = (
            ("quadratic", 1, (y_i - a_i) ** 2 / 2, (a_i - y_i) * prime_i,
             x_ij * (a_i - y_i) * prime_i),
            ("cross-entropy", -1, y_i * _ln(a_i) + (1 - y_i) * _ln(1 - a_i), a_i - y_i,
             x_ij * (a_i - y_i)),
        )  # fmt: skip

    def over_samples(term: Any, sign: int = 1) -> Any:
        total = sp.Mul(over_n, sp.Sum(term, (i, 1, n)), evaluate=False)
        return total if sign > 0 else sp.Mul(-1, total, evaluate=False)

    def has_term(derived: Any, variable: Any, shown: Any) -> bool:
        known = {a_i: a, y_i: y[i], prime_i: a * (1 - a), x_ij: x[i, variable]}
        term = _value(shown.subs(known))
        factor, sums = (n * derived).as_coeff_Mul()
        return isinstance(sums, sp.Sum) and _same(factor * sums.function, term)

    steps = []
    for name, sign, value, by_bias, by_weight in costs:
        cost = sign * sp.Sum(_value(value.subs({a_i: a, y_i: y[i]})), (i, 1, n)) / n
        weights = all(has_term(sp.diff(cost, w[k]), k, by_weight) for k in range(3))
        bias = has_term(sp.diff(cost, b), 0, by_bias)
        steps += [
            _step(f"The {name} cost", _C, over_samples(value, sign)),
            _step(
                "Its derivative by a weight", sp.Symbol("∂C/∂wⱼ"), over_samples(by_weight), weights
            ),
            _step("Its derivative by the bias", _by_b, over_samples(by_bias), bias),
        ]
    return steps


def cross_entropy() -> list[Step]:
    """Derive the cross-entropy from the wish that ∂C/∂b = a − y (the article's section 3)."""
    wish, by_a = _a - _y, (_a - _y) / (_a * (1 - _a))
    closed = _ACTIVATIONS["sigmoid"][3]
    with sp.evaluate(False):
        fractions = (1 - _y) / (1 - _a) - _y / _a
        chain, cleared = _by_a * _prime, _by_a * (_a * (1 - _a))
        total = closed + _const
    return [
        _step("The wish: the larger the error, the faster it learns", _by_b, wish),
        _step("The chain rule, for z = wx + b", _by_b, chain),
        _step("Both together, with the slope a(1 − a)", cleared, wish),
        _step("Divided by the slope", _by_a, by_a, _same(by_a * _a * (1 - _a), wish)),
        _step("In partial fractions", _by_a, fractions, _same(_value(fractions), by_a)),
        _step("Integrated over a: the cross-entropy", _C, total, _integrates(by_a, closed)),
    ]


# Of each activation: act(z) as it is solved and as it is printed; its slope and its matching cost
# as functions of the output, which are what SymPy has to confirm. Softsign is solved on z > 0; the
# rest is its mirror image under a → −a, y → −y.
_any, _up = sp.Symbol("a", real=True), sp.Symbol("z", positive=True)
with sp.evaluate(False):
    _ACTIVATIONS = {
        "sigmoid": (
            _sigmoid, _sigmoid, _a * (1 - _a),
            -(_y * _ln(_a) + (1 - _y) * _ln(1 - _a)),
        ),
        "tanh": (
            sp.tanh(_z).rewrite(sp.exp), sp.tanh(_z), 1 - _any**2,
            sp.Rational(-1, 2) * ((1 + _y) * _ln(1 + _any) + (1 - _y) * _ln(1 - _any)),
        ),
        "softsign": (
            _up / (1 + _up), _z / (1 + sp.Abs(_z)), (1 - sp.Abs(_any)) ** 2,
            (sp.Abs(_any) - _any * _y) / (1 - sp.Abs(_any)) + _ln(1 - sp.Abs(_any)),
        ),
    }  # fmt: skip


def matching(activation: str) -> Matching:
    """Find the cost with ∂C/∂b = a − y for an activation: (a − y)/act′ integrated over a.

    Parameters
    ----------
    activation : {"sigmoid", "tanh", "softsign"}
    """
    act, shown, slope, cost = _ACTIVATIONS[activation]
    act = _value(act)
    (z,) = act.free_symbols
    inverse = next(v for v in sp.solve(sp.Eq(_a, act), z) if sp.N(v.subs(_a, 0.6)).is_real)
    derived = sp.simplify(sp.diff(act, z).subs(z, inverse))
    with sp.evaluate(False):
        output = _a if activation == "sigmoid" else _any
        by_a, total = (output - _y) / slope, sp.Add(*sp.Add.make_args(cost), _const)
    slope_proven = _same(derived, _upper(slope))
    return Matching(
        steps=[
            _step("The activation", sp.Symbol("a"), shown),
            _step("Its slope, from the output", sp.Symbol("da/dz"), slope, slope_proven),
            _step("The wish a − y, divided by the slope", _by_a, by_a, slope_proven),
            _step("Integrated over a", _C, total,
                  _integrates((_a - _y) / derived, _upper(cost))),
        ],
        slope=sp.lambdify(sorted(slope.free_symbols, key=str), _value(slope), "math"),
        cost=sp.lambdify(sorted(cost.free_symbols, key=str), _value(cost), "math"),
        formula=str(_value(cost)),
    )  # fmt: skip


def _upper(formula: Any) -> Any:
    """Return a formula in a for outputs a > 0."""
    return _value(formula.subs(_any, _a))


def _integrates(integrand: Any, closed: Any) -> bool:
    """Whether SymPy's integral over a and the closed form differ by a constant."""
    rest = sp.simplify(integrand.subs(_y, 0))
    by_y = sp.simplify(integrand.subs(_y, 1) - rest)  # the integrand is linear in y
    integral = sp.integrate(rest, _a) + _y * sp.integrate(by_y, _a)
    return not integral.has(sp.Integral) and _same(sp.diff(integral - _value(closed), _a), 0)


def peak(activation: str) -> tuple[float, float, Step]:
    """Find where the quadratic cost's gradient is largest, for the lowest target.

    Parameters
    ----------
    activation : {"sigmoid", "tanh"}

    Returns
    -------
    error, gradient : float
        The error a − y there, and ∂C/∂b = (a − y)·act′.
    step : Step
        The exact statement.
    """
    low, slope = {"sigmoid": (0, _a * (1 - _a)), "tanh": (-1, 1 - _a**2)}[activation]
    gradient = (_a - low) * slope
    best = max(sp.solve(sp.diff(gradient, _a), _a))
    # Between two zeros, at the ends of the range, there is one more zero of the derivative.
    proven = sp.diff(gradient, _a, 2).subs(_a, best) < 0
    top = gradient.subs(_a, best)
    return float(best - low), float(top), _step(f"Largest at a = {best}", _by_b, top, bool(proven))
