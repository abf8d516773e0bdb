"""What lanes compile of a cost with an activation: declared ones as they stand, own ones generated.

All take `c`, the values of the parameters of a cost of one's own; for others it is empty.
"""

# compiled code: its types are Numba's
# mypy: disable-error-code="no-untyped-def, no-untyped-call"

from __future__ import annotations

from numba.extending import register_jitable

from sweep.kernels import lane_math  # noqa: F401, what formulas call
from sweep.kernels.simd import exp2_ratio, exp2_ratio_near
from sweep.neuron.activations import ACTIVATIONS
from sweep.neuron.arithmetic import exp_ratio
from sweep.neuron.costs import COSTS, fused
from sweep.neuron.own_formulas import formulas_of, residual_formula

__all__ = ["at_of", "residual_of", "rounding_of", "sample_of", "value_of"]

# `cost`, `activation` and `kind` are the types of literals.


def sample_of(cost, activation, kind):
    """Return sample(z, y, c) -> (a − y, δ), for z in octaves."""
    ratio = exp2_ratio_near if kind.literal_value == "near" else exp2_ratio
    act, unit = ACTIVATIONS[activation.literal_value], _unit(activation)
    if cost.literal_value not in COSTS:
        formula = register_jitable(formulas_of(cost.literal_value, act.name).sample)
        return register_jitable(lambda z, y, c: formula(z, y, c, ratio, unit))
    forward = register_jitable(act.forward)
    delta = register_jitable(fused(cost.literal_value, act.name).delta)

    @register_jitable
    def sample(z, y, c):
        residual, slope = forward(z, y, ratio)
        return residual, delta(residual, slope)

    return sample


def residual_of(activation, source):
    """Return residual(z, y) = a − y, for z in octaves; source is "declared" or "formula"."""
    act, ratio = ACTIVATIONS[activation.literal_value], exp2_ratio
    if source.literal_value == "formula":
        formula = register_jitable(residual_formula(act))
        return register_jitable(lambda z, y: formula(z, y, (), ratio, 1.0)[0])
    forward = register_jitable(act.forward)
    return register_jitable(lambda z, y: forward(z, y, ratio)[0])


def at_of(cost, activation, octaves):
    """Return at(z, y, c) -> (a − y, da/dz, δ, dδ/dz), for z in octaves or in units."""
    ratio, unit = (exp2_ratio, _unit(activation)) if octaves else (exp_ratio, 1.0)
    act = ACTIVATIONS[activation.literal_value]
    if cost.literal_value not in COSTS:
        formula = register_jitable(formulas_of(cost.literal_value, act.name).at)
        return register_jitable(lambda z, y, c: formula(z, y, c, ratio, unit))
    forward = register_jitable(act.forward)
    second_derivative = register_jitable(act.second_derivative)
    pair = fused(cost.literal_value, act.name)
    delta, derivative = register_jitable(pair.delta), register_jitable(pair.ddelta_dz)

    @register_jitable
    def at(z, y, c):
        residual, slope = forward(z, y, ratio)
        ddelta_dz = derivative(residual, slope, second_derivative(residual + y, slope))
        return residual, slope, delta(residual, slope), ddelta_dz

    return at


def value_of(cost, activation):
    """Return value(z, residual, y, c), the cost of one sample, for z in units."""
    name = activation.literal_value
    if cost.literal_value not in COSTS:
        formula = register_jitable(formulas_of(cost.literal_value, name).cost)
        return register_jitable(lambda z, residual, y, c: formula(z, y, c, exp_ratio, 1.0)[0])
    value = register_jitable(fused(cost.literal_value, name).value)
    return register_jitable(lambda z, residual, y, c: value(z, residual, y))


def rounding_of(cost, activation):
    """Return rounding(residual, slope, dδ/dz, y, unit): how far a rounding of a moves δ."""
    act = ACTIVATIONS[activation.literal_value]
    low, high = act.low, act.high
    if cost.literal_value not in COSTS:

        @register_jitable
        def of_formula(residual, slope, ddelta_dz, y, unit):
            end = y - low if y - low < high - y else high - y
            return (abs(residual) + 2.0 * end) * unit * abs(ddelta_dz / slope)

        return of_formula
    delta = register_jitable(fused(cost.literal_value, act.name).delta)

    @register_jitable
    def of_declared(residual, slope, ddelta_dz, y, unit):
        return abs(delta((residual + 2.0 * (y - low)) * unit, slope))

    return of_declared


def _unit(activation):
    return 1.0 / ACTIVATIONS[activation.literal_value].exp2_scale
