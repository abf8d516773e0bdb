"""SIMD lanes as a Numba type: arithmetic, fma, masks, exponentials, all in LLVM's own vectors.

A `Lanes` value is a vector of `width` floats. LLVM turns it into whatever the CPU has (four zmm,
eight ymm, …), so the generated bits do not depend on the CPU; and nothing depends
on the auto-vectoriser, which gives up at a branch or a call. No fast-math flags are set: what is
fused is fused because the code says `fma`.

Formulas written in `sweep.neuron.arithmetic`'s functions compile for lanes unchanged.
"""

# numba's extension API is untyped
# mypy: disable-error-code="no-untyped-def, no-untyped-call, misc, no-any-return"

from __future__ import annotations

import operator
from typing import Any

import numpy as np
from llvmlite import ir
from llvmlite.binding import get_host_cpu_features
from numba.core import cgutils, types
from numba.core.errors import TypingError
from numba.core.typeconv import Conversion
from numba.core.typing.templates import AbstractTemplate, ConcreteTemplate, infer_global, signature
from numba.extending import intrinsic, lower_builtin, lower_cast, models, register_model
from numpy.typing import NDArray

from sweep.neuron.arithmetic import EXP2_SCALE, exp_ratio, fma, sqrt

__all__ = [
    "aligned_zeros",
    "binary_exponent",
    "bits_of",
    "exp2_ratio",
    "exp2_ratio_near",
    "exp_ratio_of_sum",
    "load",
    "load_like",
    "lowest",
    "register_of",
    "select",
    "store",
    "width_of",
    "zero",
]

# Lanes in a value: four registers' worth, whose chains of operations hide one another's latency
# (AVX-512, million neuron-epochs a second: 820 with one register, 870 with two, 1000 with four).
_REGISTER_BYTES = 64 if get_host_cpu_features().get("avx512f") else 32

_CACHE_LINE = 64


def width_of(dtype: types.Type) -> int:
    """Return how many lanes hold numbers of a type."""
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
        value = emit(builder, *args)
        if isinstance(value, tuple):
            return context.make_tuple(builder, sig.return_type, value)
        return value


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
_register(sqrt, 1, lambda builder, a: _llvm("llvm.sqrt", builder, a))


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


@intrinsic
def binary_exponent(typingctx, x):
    """Return lanes (2^−e, e) with 2^e ≤ |x| < 2^(e+1) for numbers that are normal.

    Of 0 they are finite, too; times the first, 0 stays 0.
    """
    double = x.dtype is types.float64
    bits, mantissa, bias = (64, 52, 1023) if double else (32, 23, 127)

    def codegen(context, builder, sig, args):
        _, number = _lanes_of(args[0])
        integers = ir.VectorType(ir.IntType(bits), args[0].type.count)
        exponent = number(((2 << bits - mantissa - 2) - 1) << mantissa, integers)
        field = builder.and_(builder.bitcast(args[0], integers), exponent)
        inverse = builder.sub(number((2 * bias) << mantissa, integers), field)
        # Put into the low bits of 2^mantissa, the field adds its value.
        magic = number(2.0**mantissa)
        shifted = builder.lshr(field, number(mantissa, integers))
        counted = builder.bitcast(
            builder.or_(shifted, builder.bitcast(magic, integers)), magic.type
        )
        e = builder.fsub(counted, number(2.0**mantissa + bias))
        return context.make_tuple(
            builder, sig.return_type, (builder.bitcast(inverse, magic.type), e)
        )

    return types.UniTuple(x, 2)(x), codegen


# --- exponentials --------------------------------------------------------------------------

# 2^t = 2ⁿ·2^f, n the nearest integer to t and f = t − n, which is exact. With s = f²,
# 2^f = (P(s) + f·Q(s)) / (P(s) − f·Q(s)), as tanh(f·ln 2/2) = f·Q/P. Where 1/(1 + 2^t) is wanted
# the division costs nothing: it is (P − fQ) / ((P − fQ) + 2ⁿ(P + fQ)). Against a polynomial of
# degree 11 that is 3 operations of 26 and half of the chain that each waits for: 1.16× the epochs.
# With t from the start in octaves, and no reduction by ln 2: another 1.08×.
# Coefficients of P and Q, least power first, by `scripts/exp_ratio`: relative errors of 1e-17 and,
# in float32, 2e-10.

_DOUBLE = (
    (1.0, 0.05338222200402479, 0.00022893359916127378),
    (0.34657359027997264, 0.004624841170852369, 5.287083987433538e-06),
)
_SINGLE = ((1.0, 0.04803496535422283), (0.34657359009415434, 0.0027716366244181175))

# t is held within these, so that 2^t and its reciprocal are normal numbers.
_LIMIT, _LIMIT_32 = 1021.0, 125.0

# e^z: n is the nearest integer to z/ln 2, and z − n·ln 2 is taken in two steps (Cody and Waite,
# *Software Manual for the Elementary Functions*, 1980). The head of ln 2 has its low bits zero, so
# n·head is exact.
_LN2 = (0.693147180559663, 2.8235290563031577e-13)
_LN2_32 = (0.693145751953125, 1.4286068203094173e-06)


def exp2_ratio(t):
    """Return lanes (e, one) with 2^t = e/one, t held within the range; NaN stays NaN."""


def exp2_ratio_near(t):
    """Return what `exp2_ratio` does, for t that is known to be within the range."""


def exp_ratio_of_sum(z, low):
    """Return lanes (e, one) with e^(z + low) = e/one, for a `low` that is small against 1."""


def _lanes_of(t):
    """Return whether they are doubles, and a function that makes constants like them."""
    double = isinstance(t.type.element, ir.DoubleType)
    return double, lambda value, kind=t.type: ir.Constant(kind, [value] * kind.count)


def _held(builder, t, limit):
    """Clamp t to [−limit, limit]; NaN stays NaN."""
    _, number = _lanes_of(t)
    high, low = number(limit), number(-limit)
    t = builder.select(builder.fcmp_ordered(">", t, high), high, t)
    return builder.select(builder.fcmp_ordered("<", t, low), low, t)


def _horner(builder, coefficients, s):
    """Σ c_k s^k by Horner's rule, an fma for each power."""
    _, number = _lanes_of(s)
    *rest, value = map(number, coefficients)
    for coefficient in reversed(rest):
        value = _fma(builder, value, s, coefficient)
    return value


def _ratio(builder, shifted, f):
    """Return 2^(n + f) as a fraction; `shifted` has n in its low bits."""
    double, number = _lanes_of(f)
    bits, mantissa = (64, 52) if double else (32, 23)
    over, under = _DOUBLE if double else _SINGLE
    s = builder.fmul(f, f)
    p, q = _horner(builder, over, s), _horner(builder, under, s)
    one = _fma(builder, builder.fneg(f), q, p)
    integers = ir.VectorType(ir.IntType(bits), f.type.count)
    exponent = builder.shl(builder.bitcast(shifted, integers), number(mantissa, integers))
    e = builder.add(builder.bitcast(_fma(builder, f, q, p), integers), exponent)
    return builder.bitcast(e, f.type), one


def _exp2_near(builder, t):
    """2^t = 2ⁿ·2^f with n the integer nearest to t and f = t − n."""
    double, number = _lanes_of(t)
    magic = number(1.5 * 2.0 ** (52 if double else 23))  # adding it rounds to the nearest integer
    shifted = builder.fadd(t, magic)
    return _ratio(builder, shifted, builder.fsub(t, builder.fsub(shifted, magic)))


def _exp2(builder, t):
    """2^t, with t held within the range of normal numbers."""
    return _exp2_near(builder, _held(builder, t, _LIMIT if _lanes_of(t)[0] else _LIMIT_32))


def _exp(builder, z, low=None):
    """e^z, or e^(z + low), = 2ⁿ·2^(r/ln 2), n the integer nearest to z/ln 2 and r = z − n·ln 2."""
    double, number = _lanes_of(z)
    head, tail = _LN2 if double else _LN2_32
    magic = number(1.5 * 2.0 ** (52 if double else 23))
    z = _held(builder, z, (_LIMIT if double else _LIMIT_32) * (head + tail))
    shifted = _fma(builder, z, number(EXP2_SCALE), magic)
    n = builder.fsub(shifted, magic)
    r = _fma(builder, n, number(-tail), _fma(builder, n, number(-head), z))
    r = r if low is None else builder.fadd(r, low)
    return _ratio(builder, shifted, builder.fmul(r, number(EXP2_SCALE)))


def _pair(t: Lanes) -> types.UniTuple:
    return types.UniTuple(t, 2)


_register(exp2_ratio, 1, _exp2, _pair)
_register(exp2_ratio_near, 1, _exp2_near, _pair)
_register(exp_ratio, 1, _exp, _pair)
_register(exp_ratio_of_sum, 2, _exp, _pair)


# --- memory and masks ----------------------------------------------------------------------


def aligned_zeros(count: int, dtype: str) -> NDArray[Any]:
    """Return zeros whose registers do not lie across two cache lines: 1.3× the epochs."""
    size = np.dtype(dtype).itemsize * count
    memory = np.zeros(size + _CACHE_LINE, np.uint8)
    first = -memory.ctypes.data % _CACHE_LINE
    return memory[first : first + size].view(dtype)


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
def register_of(typingctx, array):
    """Return zeros of the array's type in lanes of one register, a quarter of those of `zero`."""

    def codegen(context, builder, sig, args):
        return ir.Constant(context.get_value_type(sig.return_type), None)

    return Lanes(array.dtype, width_of(array.dtype) // 4)(array), codegen


@intrinsic
def load_like(typingctx, lanes, array, row, column):
    """Return array[row, column :] in as many lanes as given ones."""

    def codegen(context, builder, sig, args):
        vector = context.get_value_type(sig.return_type)
        pointer = _pointer(context, builder, sig.args[1], args[1], args[2:], vector)
        return builder.load(pointer, align=4)

    return lanes(lanes, array, row, column), codegen


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


# Compiled code is found on the disk by what it refers to: Numba would pickle these by random names.
for each in (
    select, binary_exponent, load, load_like, store, zero, register_of, bits_of, lowest,
):  # fmt: skip
    each._set_uuid(f"sweep.{each._name}")
