"""Elementary functions in float64 without a branch, so that loops over them become vector code.

numba's wheels carry no vector mathematics library: `math.exp`, `math.log` and `math.erfc` in a loop
stay calls, of some 20 to 50 ns each.  Those below cost 2 to 6 ns in a loop over an array.  Long
polynomials are split into even and odd powers: what limits them is the wait for the last product.
"""

from __future__ import annotations

import numpy as np
from llvmlite import ir
from numba import types
from numba.extending import intrinsic

from lsg_ray.kernels.compile import inlined

#: Added to a whole number below 2^51 in size, it puts it into the lowest bits of the sum.
_WHOLE = 6755399441055744.0
#: Bits of sqrt(1/2), and of 1: mantissas lie in [sqrt(1/2), sqrt(2)).
_ROOT_HALF_BITS, _ONE_BITS = 0x3FE6A09E667F3BCD, 0x3FF0000000000000
_U = np.uint64


@intrinsic
def bits_of(typing_context, x):  # noqa: ARG001 - numba fixes the signature
    """Return the bits of a number, uint64."""

    def codegen(context, builder, signature, arguments):  # noqa: ARG001
        return builder.bitcast(arguments[0], ir.IntType(64))

    return types.uint64(types.float64), codegen


@intrinsic
def number_of(typing_context, bits):  # noqa: ARG001
    """Return the float64 of some bits."""

    def codegen(context, builder, signature, arguments):  # noqa: ARG001
        return builder.bitcast(arguments[0], ir.DoubleType())

    return types.float64(types.uint64), codegen


@intrinsic
def _exponent(typing_context, biased):  # noqa: ARG001
    """Return a biased exponent as a number; by integers, as sums may be reordered."""

    def codegen(context, builder, signature, arguments):  # noqa: ARG001
        word = ir.IntType(32)
        k = builder.sub(builder.trunc(arguments[0], word), word(1023))
        return builder.sitofp(k, ir.DoubleType())

    return types.float64(types.uint64), codegen


@inlined
def exp(x):
    """Return e^x for −708 < x < 708, relative error below 1e-13."""
    n = np.floor(x * 1.4426950408889634 + 0.5)
    r = (x - n * 0.693145751953125) - n * 1.42860682030941723212e-6
    z = r * r
    even = 1.0 / 3628800.0
    odd = 1.0 / 39916800.0
    even = even * z + 1.0 / 40320.0
    odd = odd * z + 1.0 / 362880.0
    even = even * z + 1.0 / 720.0
    odd = odd * z + 1.0 / 5040.0
    even = even * z + 1.0 / 24.0
    odd = odd * z + 1.0 / 120.0
    even = even * z + 0.5
    odd = odd * z + 1.0 / 6.0
    odd = odd * z + 1.0
    # The low bits of n + 1.5 2^52 are those of n; they become an exponent.
    return (odd * r + even * z + 1.0) * number_of((bits_of(n + _WHOLE) + _U(1023)) << _U(52))


@inlined
def _log_of_parts(e, f):
    """Return ln[2^e (1 + f)], 1 + f in [sqrt(1/2), sqrt(2)).

    With s = f/(2 + f): ln(1 + f) = 2 atanh s = f − s (f − R(s²)), with R by its series, as in the
    library of C (K. C. Ng, fdlibm).
    """
    s = f / (2.0 + f)
    z = s * s
    p = 1.479819860511658591e-01
    p = p * z + 1.531383769920937332e-01
    p = p * z + 1.818357216161805012e-01
    p = p * z + 2.222219843214978396e-01
    p = p * z + 2.857142874366239149e-01
    p = p * z + 3.999999999940941908e-01
    p = p * z + 6.666666666666735130e-01
    half = 0.5 * f * f
    low = s * (half + p * z) + e * 1.90821492927058770002e-10
    return e * 6.93147180369123816490e-01 + (f - (half - low))


@inlined
def log(x):
    """Return ln x of a positive normal number, to a few units in the last place."""
    bits = bits_of(x)
    # The exponent, biased, such that the mantissa lies where the series converges.
    k = (bits - _U(_ROOT_HALF_BITS) + _U(_ONE_BITS)) >> _U(52)
    f = number_of(bits - (k << _U(52)) + _U(_ONE_BITS)) - 1.0
    return _log_of_parts(_exponent(k), f)


@inlined
def log1p(y):
    """Return ln(1 + y) for −1/2 ≤ y ≤ 1, to a few units in the last place however small y is."""
    high, low = y > 0.414, y < -0.292
    f = 0.5 * y - 0.5 if high else (2.0 * y + 1.0 if low else y)
    return _log_of_parts(1.0 if high else (-1.0 if low else 0.0), f)


@inlined
def erfcx_ratio(x):
    """Return the two parts of e^{x²} erfc(x) = top/bottom for x ≥ 0, to 1e-13.

    (1 + 2x) erfcx(x) is a polynomial of (x − k)/(x + k): M. M. Shepherd, J. G. Laframboise, Math.
    Comp. 36, 249 (1981).
    """
    t = (x - 3.75) / (x + 3.75)
    z = t * t
    even = -2.3301751439305106e-09
    odd = -1.5779814729621737e-11
    even = even * z + 3.046911491913486e-08
    odd = odd * z - 2.059565948603532e-09
    even = even * z - 2.4524383503534926e-07
    odd = odd * z + 1.9560537396199916e-08
    even = even * z + 1.7378960449827676e-06
    odd = odd * z - 5.2686998398492956e-08
    even = even * z - 1.1434991872833896e-05
    odd = odd * z - 9.769422612031452e-07
    even = even * z + 5.164510216041633e-05
    odd = odd * z + 2.2385830594643225e-05
    even = even * z + 0.0002937147877603631
    odd = odd * z - 0.0002901545552830083
    even = even * z - 0.009746579750990473
    odd = odd * z + 0.0017556259429570519
    even = even * z - 0.05869339857120906
    odd = odd * z + 0.02836227740755598
    even = even * z - 0.10880393014254208
    odd = odd * z + 0.09230432116147858
    even = even * z + 0.003585415485473281
    odd = odd * z + 0.08227673849006507
    even = even * z + 1.2375126308378275
    odd = odd * z - 0.1402405985855444
    return odd * t + even, 1.0 + 2.0 * x
