"""Formulas of costs read from text: a whitelist over Python's syntax tree; nothing is evaluated."""

from __future__ import annotations

import ast
from typing import Any

from sweep.errors import SpecError, did_you_mean, printable
from sweep.neuron.formula import E, Expression, add, function, log, mul, power, where

__all__ = ["FUNCTIONS", "canonical", "expression", "parse"]

# Expressions are compared as trees, which takes seconds where dozens are nested.
MAX_LENGTH, MAX_DEPTH = 1000, 30

FUNCTIONS = {"log": 1, "exp": 1, "sqrt": 1, "abs": 1, "tanh": 1, "cosh": 1, "minimum": 2,
             "maximum": 2}  # fmt: skip
_ALIASES = {"Abs": "abs", "Max": "maximum", "Min": "minimum"}  # as SymPy prints them
_OPERATORS = (ast.Add, ast.Sub, ast.Mult, ast.Div, ast.Pow)


def parse(formula: str, names: set[str]) -> ast.expr:
    """Return the syntax tree of a formula in names; raise SpecError if it is none."""
    length = len(formula.replace(" ", ""))
    if length > MAX_LENGTH:
        raise SpecError(f"has {length:,} characters; at most {MAX_LENGTH:,} are allowed")
    if "\\" in formula:
        raise SpecError("is no formula: has a backslash")
    try:
        tree = ast.parse(formula.strip(), mode="eval").body
        if _depth(tree) > MAX_DEPTH:
            raise SpecError(f"is nested more than {MAX_DEPTH} deep")
        return _checked(tree, names)
    except (SyntaxError, ValueError, RecursionError, MemoryError) as error:
        if isinstance(error, SpecError):
            raise
        raise SpecError("is no formula: " + printable(getattr(error, "msg", error))[:80]) from None


def _depth(tree: ast.AST) -> int:
    """Return how deep a tree is: sums of sums, and products of products, are not deeper."""
    waiting, deepest = [(tree, 1)], 1
    while waiting:
        node, depth = waiting.pop()
        for child in ast.iter_child_nodes(node):
            flat = _rank(child) == _rank(node) in (1, 2)
            below = depth + (0 if flat else 2 if _rank(node) == 3 else 1)
            deepest = max(deepest, below)
            waiting.append((child, below))
    return deepest


def _rank(node: ast.AST) -> int:
    """Return 1 of a sum, 2 of a product, 3 of a power, 0 of all else."""
    if not isinstance(node, ast.BinOp):
        return 0
    return {ast.Add: 1, ast.Sub: 1, ast.Mult: 2, ast.Div: 2}.get(type(node.op), 3)


def _checked(node: ast.expr, names: set[str]) -> ast.expr:
    """Return the tree of what is allowed, and of nothing else."""
    if isinstance(node, ast.Constant):
        value = node.value
        number = isinstance(value, (int, float)) and not isinstance(value, bool)
        if not number or not abs(value) < 1e300:  # type: ignore[arg-type]
            raise SpecError(f"has {printable(value)[:40]}: must be a number below 1e300")
        return ast.Constant(value)
    if isinstance(node, ast.Name):
        if node.id not in names:
            hint = did_you_mean(node.id, [*names, *FUNCTIONS])
            known = ", ".join(sorted(names))
            raise SpecError(
                f"has {printable(node.id)[:40]}: names are {known}, and parameters that are given "
                f"a number{hint}"
            )
        return ast.Name(node.id)
    if isinstance(node, ast.UnaryOp) and isinstance(node.op, (ast.USub, ast.UAdd)):
        return ast.UnaryOp(node.op, _checked(node.operand, names))
    if isinstance(node, ast.BinOp) and type(node.op) in _OPERATORS:
        return ast.BinOp(_checked(node.left, names), node.op, _checked(node.right, names))
    if isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and not node.keywords:
        name = _ALIASES.get(node.func.id, node.func.id)
        if FUNCTIONS.get(name) == len(node.args):
            return ast.Call(ast.Name(name), [_checked(each, names) for each in node.args], [])
        hint = did_you_mean(name, list(FUNCTIONS))
        raise SpecError(
            f"has {printable(name)[:40]} of {len(node.args)} arguments: functions are "
            f"{', '.join(FUNCTIONS)}{hint}"
        )
    power = "; a power is **" if isinstance(getattr(node, "op", None), ast.BitXor) else ""
    shown = printable(ast.unparse(node))[:40]
    raise SpecError(
        f"has {shown}: operators are + - * / **, functions {', '.join(FUNCTIONS)}{power}"
    )


def canonical(tree: ast.expr) -> str:
    """Return the one text of a formula, whatever its spaces and parentheses were."""
    return ast.unparse(tree)


def expression(tree: ast.expr) -> Expression:
    """Return the expression of a checked syntax tree.

    Raises
    ------
    SpecError
        A constant part of it is not finite.
    """
    try:
        return _expression(tree)
    except (OverflowError, ZeroDivisionError, ValueError):
        raise SpecError("has a constant part that is not finite") from None


def _expression(node: Any) -> Expression:
    if isinstance(node, ast.Constant):
        return float(node.value)  # type: ignore[arg-type]
    if isinstance(node, ast.Name):
        return node.id
    if isinstance(node, ast.UnaryOp):
        value = _expression(node.operand)
        return add((value, -1.0)) if isinstance(node.op, ast.USub) else value
    if isinstance(node, ast.BinOp):
        left, right, op = _expression(node.left), _expression(node.right), type(node.op)
        if op in (ast.Add, ast.Sub):
            return add((left, 1.0), (right, 1.0 if op is ast.Add else -1.0))
        if op is ast.Pow:
            return power(left, right)
        return mul(left, right if op is ast.Mult else power(right, -1.0))
    arguments = [_expression(each) for each in node.args]
    x, name = arguments[0], node.func.id
    if name in ("maximum", "minimum"):
        larger = name == "maximum"
        return where(
            add((x, 1.0), (arguments[1], -1.0)), *(arguments if larger else arguments[::-1])
        )
    if name in ("exp", "sqrt"):
        return power(E, x) if name == "exp" else power(x, 0.5)
    return log(x) if name == "log" else function(name, x)
