"""Elementary functions and normal deviates that LLVM turns into vector code.

numba's wheels carry no vector mathematics library, so `exp`, `log` and `cos` in a loop stay
scalar.  In float32 the polynomials below (Cephes, relative error below 2e-7) vectorise; in float64,
which only tests use, the library functions are called.

Random bits: 64 independent xoshiro128++ streams side by side (Blackman & Vigna, ACM TOMS 47, 2021),
seeded through NumPy's `SeedSequence`.  Normal deviates: Box & Muller (1958), exact up to float32
rounding and the 24 bits of the uniform, which cut the tails at 5.9 standard deviations.
"""

from __future__ import annotations

import math

import numpy as np
from llvmlite import ir
from numba import types
from numba.core import cgutils
from numba.extending import intrinsic, overload

from lsg_ray.kernels.compile import inlined, kernel

#: Streams of random bits that advance together.
RANDOM_STREAMS = 64
#: 32-bit words of a generator's state.
STATE_SHAPE = (4, RANDOM_STREAMS)

# numba widens integer arithmetic to 64 bits, which halves the vectors: each step is cast back.
_F = np.float32
_I = np.int32
_U = np.uint32


@intrinsic
def _bits(typing_context, x):
    def codegen(context, builder, signature, arguments):
        return builder.bitcast(arguments[0], context.get_value_type(types.int32))

    return types.int32(types.float32), codegen


@intrinsic
def _float(typing_context, i):
    def codegen(context, builder, signature, arguments):
        return builder.bitcast(arguments[0], context.get_value_type(types.float32))

    return types.float32(types.int32), codegen


@intrinsic
def prefetch(typing_context, array, row, column):
    """Ask for the cache line of ``array[row, column]`` (2-D, C order) without waiting for it."""

    def codegen(context, builder, signature, arguments):
        array_type = signature.args[0]
        view = context.make_array(array_type)(context, builder, arguments[0])
        pointer = cgutils.get_item_pointer(
            context, builder, array_type, view, arguments[1:], wraparound=False
        )
        byte = ir.IntType(8).as_pointer()
        word = ir.IntType(32)
        hint = builder.module.declare_intrinsic(
            "llvm.prefetch", [byte], ir.FunctionType(ir.VoidType(), [byte, word, word, word])
        )
        builder.call(hint, [builder.bitcast(pointer, byte), word(0), word(3), word(1)])
        return context.get_dummy_value()

    return types.void(array, types.intp, types.intp), codegen


@inlined
def _exp32(x):
    x = min(max(x, _F(-87.0)), _F(88.0))
    n = np.floor(x * _F(1.44269504088896341) + _F(0.5))
    r = x - n * _F(0.693359375)
    r = r + n * _F(2.12194440e-4)
    p = _F(1.9875691500e-4)
    p = p * r + _F(1.3981999507e-3)
    p = p * r + _F(8.3334519073e-3)
    p = p * r + _F(4.1665795894e-2)
    p = p * r + _F(1.6666665459e-1)
    p = p * r + _F(5.0000001201e-1)
    return (p * r * r + r + _F(1.0)) * _float(_I(_I(_I(n) + _I(127)) << _I(23)))


@inlined
def _log32(x):
    bits = _bits(x)
    # Exponent such that the mantissa lies in [sqrt(1/2), sqrt(2)).
    e = _I(_I(bits - _I(0x3F3504F3)) >> _I(23))
    m = _float(_I(bits - _I(e << _I(23)))) - _F(1.0)
    z = m * m
    p = _F(7.0376836292e-2)
    p = p * m + _F(-1.1514610310e-1)
    p = p * m + _F(1.1676998740e-1)
    p = p * m + _F(-1.2420140846e-1)
    p = p * m + _F(1.4249322787e-1)
    p = p * m + _F(-1.6668057665e-1)
    p = p * m + _F(2.0000714765e-1)
    p = p * m + _F(-2.4999993993e-1)
    p = p * m + _F(3.3333331174e-1)
    y = m * z * p + _F(e) * _F(-2.12194440e-4) - _F(0.5) * z
    return m + y + _F(e) * _F(0.693359375)


def exp(x):
    """Exponential of a scalar inside a kernel: polynomial in float32, library in float64."""
    return math.exp(x)


@overload(exp, inline="always")
def _exp(x):
    if x == types.float32:
        return lambda x: _exp32(x)
    return lambda x: math.exp(x)


def log(x):
    """Logarithm of a positive normal scalar inside a kernel, as `exp`."""
    return math.log(x)


@overload(log, inline="always")
def _log(x):
    if x == types.float32:
        return lambda x: _log32(x)
    return lambda x: math.log(x)


@inlined
def _rotate(x, k):
    return _U((x << _U(k)) | (x >> _U(32 - k)))


@kernel
def random_bits(state, out):
    """Fill ``out`` (rows, 64) uint32 and advance ``state`` (4, 64) uint32, both in place."""
    for row in range(out.shape[0]):
        for lane in range(RANDOM_STREAMS):
            s0, s1, s2, s3 = state[0, lane], state[1, lane], state[2, lane], state[3, lane]
            out[row, lane] = _U(_rotate(_U(s0 + s3), 7) + s0)
            t = _U(s1 << _U(9))
            s2 = _U(s2 ^ s0)
            s3 = _U(s3 ^ s1)
            s1 = _U(s1 ^ s2)
            s0 = _U(s0 ^ s3)
            state[0, lane] = s0
            state[1, lane] = s1
            state[2, lane] = _U(s2 ^ t)
            state[3, lane] = _rotate(s3, 11)


@kernel
def _box_muller(radius_bits, angle_bits, cosine, sine):
    for i in range(radius_bits.size):
        u = (_F(_I(radius_bits[i] >> _U(8))) + _F(0.5)) * _F(2.0**-24)
        radius = np.sqrt(_F(-2.0) * _log32(u))
        # Thirty bits give an angle in [-pi/4, pi/4); the other two a quarter of the circle.
        bits = _I(angle_bits[i])
        f = _F(_I(_I(bits << _I(2)) >> _I(2))) * _F(math.pi / 2 / 2**30)
        z = f * f
        s = ((_F(-1.9515295891e-4) * z + _F(8.3321608736e-3)) * z + _F(-1.6666654611e-1)) * z
        s = s * f + f
        c = (_F(2.443315711809948e-5) * z + _F(-1.388731625493765e-3)) * z
        c = (c + _F(4.166664568298827e-2)) * z * z - _F(0.5) * z + _F(1.0)
        sign = _I(bits & _I(-2147483648))
        swap = _I(_I(bits << _I(1)) >> _I(31))  # all ones or all zeros
        c_bits = _I(_bits(radius * c) ^ sign)
        s_bits = _I(_bits(radius * s) ^ sign)
        difference = _I(_I(c_bits ^ s_bits) & swap)
        cosine[i] = _float(_I(c_bits ^ difference))
        sine[i] = _float(_I(s_bits ^ difference))


@kernel
def normals(state, bits, out):
    """Fill ``out`` with independent N(0, 1) deviates.

    state (4, 64) uint32, advanced; bits (rows, 64) uint32, scratch, an even number of rows;
    out (rows * 64,) float32, contiguous.
    """
    random_bits(state, bits)
    flat = bits.reshape(bits.size)
    half = flat.size // 2
    _box_muller(flat[:half], flat[half:], out[:half], out[half:])
