"""SIMD lanes as a Numba type: arithmetic, fma, masks and exp, all in LLVM's own vectors.

A `Lanes` value is a register of `width` floats. LLVM turns it into whatever the CPU has (one
zmm, two ymm, four xmm, …), so the generated bits do not depend on the CPU; and nothing depends
on the auto-vectoriser, which gives up at a branch or a call. No fast-math flags are set: what is
fused is fused because the code says `fma`.

Formulas written in `sweep.neuron.arithmetic`'s functions compile for lanes as they stand.
"""

# numba's extension API is untyped
# mypy: disable-error-code="no-untyped-def, no-untyped-call, misc, no-any-return"

from __future__ import annotations

import operator
from math import exp

from llvmlite import ir
from llvmlite.binding import get_host_cpu_features
from numba.core import cgutils, types
from numba.core.errors import TypingError
from numba.core.typeconv import Conversion
from numba.core.typing.templates import (
    AbstractTemplate,
    ConcreteTemplate,
    infer_global,
    signature,
)
from numba.extending import (
    intrinsic,
    lower_builtin,
    lower_cast,
    models,
    register_model,
)

from sweep.neuron import arithmetic
from sweep.neuron.arithmetic import fma

__all__ = [
    "bits_of",
    "count_up",
    "load",
    "lowest",
    "select",
    "store",
    "width_of",
    "zero",
]

# Lanes in a value: four registers' worth, whose chains of operations hide one another's latency
# (AVX-512, million neuron-epochs a second: 820 with one register, 870 with two, 1000 with four).
_REGISTER_BYTES = 64 if get_host_cpu_features().get("avx512f") else 32


def width_of(dtype: types.Type) -> int:
    """Return how many numbers of a type stand side by side in lanes."""
    return 4 * _REGISTER_BYTES // (dtype.bitwidth // 8)


class Lanes(types.Type):
    """`width` numbers of one type in a register."""

    def __init__(self, dtype: types.Type, width: int) -> None:
        self.dtype, self.width = dtype, width
        super().__init__(name=f"Lanes({dtype}, {width})")

    def can_convert_from(self, typingctx, other):
        return Conversion.safe if isinstance(other, types.Number) else None


@register_model(Lanes)
class _LanesModel(models.PrimitiveModel):
    def __init__(self, manager, fe_type):
        element = (
            ir.IntType(1)
            if fe_type.dtype is types.boolean
            else manager.lookup(fe_type.dtype).get_value_type()
        )
        super().__init__(manager, fe_type, ir.VectorType(element, fe_type.width))


# --- scalars become lanes where an operation needs them ------------------------------------


def _splat(builder, scalar, width):
    if isinstance(scalar, ir.Constant):
        return ir.Constant(ir.VectorType(scalar.type, width), [scalar] * width)
    vector = ir.VectorType(scalar.type, width)
    index = ir.IntType(32)(0)
    one = builder.insert_element(ir.Constant(vector, ir.Undefined), scalar, index)
    zeros = ir.Constant(ir.VectorType(ir.IntType(32), width), None)
    return builder.shuffle_vector(one, ir.Constant(vector, ir.Undefined), zeros)


@lower_cast(types.Number, Lanes)
def _scalar_to_lanes(context, builder, fromty, toty, value):
    return _splat(builder, context.cast(builder, value, fromty, toty.dtype), toty.width)


# --- operators -----------------------------------------------------------------------------


def _joined(args):
    """Return the lanes type that an operation on these types has, or None."""
    vectors = {t for t in args if isinstance(t, Lanes)}
    if len(vectors) != 1 or not all(isinstance(t, (Lanes, types.Number)) for t in args):
        return None
    return vectors.pop()


def _register(function, arity, emit, result=lambda t: t):
    """Give a function or operator its meaning for lanes: LLVM code, without a compiled helper.

    Each helper costs 20 ms of the first call, and one more for each mix of lanes and numbers.
    """

    @infer_global(function)
    class _Template(AbstractTemplate):
        def generic(self, args, kws):
            joined = _joined(args)
            if joined is not None and len(args) == arity and not kws:
                return signature(result(joined), *[joined] * arity)
            return None

    @lower_builtin(function, *[Lanes] * arity)
    def _lower(context, builder, sig, args):
        return emit(builder, *args)


def _mask(t: Lanes) -> Lanes:
    return Lanes(types.boolean, t.width)


def _add(builder, a, b):
    integers = isinstance(a.type.element, ir.IntType)
    return builder.add(a, b) if integers else builder.fadd(a, b)


_register(operator.add, 2, _add)
_register(operator.sub, 2, lambda builder, a, b: builder.fsub(a, b))
_register(operator.mul, 2, lambda builder, a, b: builder.fmul(a, b))
_register(operator.truediv, 2, lambda builder, a, b: builder.fdiv(a, b))
# Ordered: a comparison with NaN is False.
_register(operator.gt, 2, lambda builder, a, b: builder.fcmp_ordered(">", a, b), _mask)
_register(operator.ne, 2, lambda builder, a, b: builder.icmp_signed("!=", a, b), _mask)


def _llvm(name, builder, *args):
    """Call LLVM's own function of that name, for vectors too."""
    vector = args[0].type
    kind = ir.FunctionType(vector, [a.type for a in args])
    full = f"{name}.v{vector.count}{vector.element.intrinsic_name}"
    return builder.call(cgutils.get_or_insert_function(builder.module, kind, full), args)


def _fma(builder, a, b, c):
    return _llvm("llvm.fma", builder, a, b, c)


_register(operator.neg, 1, lambda builder, a: builder.fneg(a))
_register(abs, 1, lambda builder, a: _llvm("llvm.fabs", builder, a))
_register(fma, 3, _fma)


@infer_global(fma)
class _ScalarFma(ConcreteTemplate):
    cases = [signature(t, t, t, t) for t in (types.float64, types.float32)]  # noqa: RUF012


@lower_builtin(fma, types.Float, types.Float, types.Float)
def _scalar_fma(context, builder, sig, args):
    return builder.fma(*args)


@intrinsic
def select(typingctx, mask, a, b):
    """Return a where the mask holds, b elsewhere."""
    joined = _joined((a, b))

    def codegen(context, builder, sig, args):
        return builder.select(*args)

    return joined(mask, joined, joined), codegen


# --- exp -----------------------------------------------------------------------------------

# exp(t) = 2ⁿ·exp(r), n the nearest integer to t/ln 2, r = t − n·ln 2 in two steps (Cody and
# Waite, *Software Manual for the Elementary Functions*, 1980). ln 2's head has its low bits
# zero, so n·head is exact. The polynomials are minimax in relative error on |r| ≤ ln 2/2 with
# the last two coefficients held at 1, made by `scripts/exp_polynomial`.

_DOUBLE: tuple[float, ...] = (
    *(2.4611774866448153e-08, 2.7620875260960547e-07, 2.7558722454959236e-06),
    *(2.4801520499122076e-05, 0.00019841268394338042, 0.0013888888916991661),
    *(0.008333333333899089, 0.04166666666662524, 0.16666666666665997, 0.5000000000000001, 1.0, 1.0),
)
_SINGLE: tuple[float, ...] = (
    *(0.0013814598646664034, 0.00836871687972814, 0.041668388045313996, 0.16666520631709497),
    *(0.49999993447796487, 1.0, 1.0),
)


def _exp(builder, t):
    if isinstance(t.type.element, ir.DoubleType):
        bits, mantissa, coefficients = 64, 52, _DOUBLE
        per_ln2, head, tail = 1.4426950408889634, 0.693147180559663, 2.8235290563031577e-13
    else:
        bits, mantissa, coefficients = 32, 23, _SINGLE
        per_ln2, head, tail = 1.4426950216293335, 0.693145751953125, 1.4286068203094173e-06

    def number(value, kind=t.type):
        return ir.Constant(kind, [value] * kind.count)

    magic = number(1.5 * 2.0**mantissa)  # adding it leaves the nearest integer in the low bits
    shifted = _fma(builder, t, number(per_ln2), magic)
    n = builder.fsub(shifted, magic)
    r = _fma(builder, n, number(-tail), _fma(builder, n, number(-head), t))
    p = number(coefficients[0])
    for coefficient in coefficients[1:]:
        p = _fma(builder, p, r, number(coefficient))
    integers = ir.VectorType(ir.IntType(bits), t.type.count)
    exponent = builder.shl(builder.bitcast(shifted, integers), number(mantissa, integers))
    return builder.bitcast(builder.add(builder.bitcast(p, integers), exponent), t.type)


def _clamp(builder, z):
    double = isinstance(z.type.element, ir.DoubleType)
    limit = arithmetic.EXP_LIMIT if double else arithmetic.EXP_LIMIT_32
    high, low = (ir.Constant(z.type, [v] * z.type.count) for v in (limit, -limit))
    z = builder.select(builder.fcmp_ordered(">", z, high), high, z)
    return builder.select(builder.fcmp_ordered("<", z, low), low, z)


_register(exp, 1, _exp)
_register(arithmetic.clamp, 1, _clamp)


# --- memory and masks ----------------------------------------------------------------------


def _pointer(context, builder, array_type, array, indices, vector):
    aggregate = context.make_array(array_type)(context, builder, array)
    pointer = cgutils.get_item_pointer(context, builder, array_type, aggregate, indices)
    return builder.bitcast(pointer, vector.as_pointer())


def _memory_signature(array, row, column, *value):
    if not (isinstance(array, types.Array) and array.ndim == 2 and array.layout == "C"):
        raise TypingError("lanes are loaded from and stored to rows of a C-ordered matrix")
    result = types.none if value else Lanes(array.dtype, width_of(array.dtype))
    return result(array, row, column, *value)


@intrinsic
def load(typingctx, array, row, column):
    """Return array[row, column : column + width] as lanes."""

    def codegen(context, builder, sig, args):
        vector = context.get_value_type(sig.return_type)
        pointer = _pointer(context, builder, sig.args[0], args[0], args[1:], vector)
        return builder.load(pointer, align=4)

    return _memory_signature(array, row, column), codegen


@intrinsic
def store(typingctx, array, row, column, value):
    """Set array[row, column : column + width] to lanes."""

    def codegen(context, builder, sig, args):
        pointer = _pointer(context, builder, sig.args[0], args[0], args[1:3], args[3].type)
        builder.store(args[3], pointer, align=4)
        return context.get_dummy_value()

    return _memory_signature(array, row, column, value), codegen


@intrinsic
def zero(typingctx, array):
    """Return lanes of zeros, of the array's type."""

    def codegen(context, builder, sig, args):
        return ir.Constant(context.get_value_type(sig.return_type), None)

    return Lanes(array.dtype, width_of(array.dtype))(array), codegen


@intrinsic
def count_up(typingctx, count, mask):
    """Return the integer lanes, one more where the mask holds."""

    def codegen(context, builder, sig, args):
        return builder.add(args[0], builder.zext(args[1], args[0].type))

    return count(count, mask), codegen


@intrinsic
def bits_of(typingctx, mask):
    """Return the mask as an integer, its first lane in the lowest bit."""

    def codegen(context, builder, sig, args):
        bits = builder.bitcast(args[0], ir.IntType(sig.args[0].width))
        return builder.zext(bits, ir.IntType(64))

    return types.uint64(mask), codegen


@intrinsic
def lowest(typingctx, bits):
    """Return the position of the lowest bit that is set in a uint64 other than 0."""

    def codegen(context, builder, sig, args):
        return builder.cttz(args[0], ir.IntType(1)(1))

    return types.int64(types.uint64), codegen
