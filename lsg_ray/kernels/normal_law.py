"""Messages from sums that are normal: logarithms of Φ, and of its mixtures, accurate far out.

L(a) = ln[Φ(a) + ρ Φ(−a)] is that of `lsg_ray.kernels.message_passing`, one at a time with the
library's functions, and many at a time as vector code.
"""

from __future__ import annotations

import math

from lsg_ray.kernels import double
from lsg_ray.kernels.compile import inlined, kernel

#: Messages and cavity variances: largest, smallest.
LARGEST, NARROWEST = 500.0, 1e-9
#: In place of ln 0: e to its power is 0, and sums and differences with it are finite.
_LOG_ZERO = -1e300
_HALF_LOG_2PI = 0.5 * math.log(2 * math.pi)


@inlined
def log_normal(a):
    """Return ln Φ(a)."""
    if a > -1.0:
        return math.log1p(-0.5 * math.erfc(a * math.sqrt(0.5)))
    if a > -37.0:
        return math.log(0.5 * math.erfc(-a * math.sqrt(0.5)))
    y = 1.0 / (a * a)
    tail = 1.0 - y * (1.0 - 3.0 * y * (1.0 - 5.0 * y * (1.0 - 7.0 * y)))
    return -0.5 * a * a - math.log(-a) - _HALF_LOG_2PI + math.log(tail)


@inlined
def _log_mixed(a, ratio):
    """Return L(a) = ln[Φ(a) + ρ Φ(−a)], 0 ≤ ρ ≤ 1."""
    if ratio <= 0.0:
        return log_normal(a)
    if a > 0.0:
        return math.log1p((ratio - 1.0) * 0.5 * math.erfc(a * math.sqrt(0.5)))
    if a > -30.0:
        return math.log(ratio + (1.0 - ratio) * 0.5 * math.erfc(-a * math.sqrt(0.5)))
    large, small = math.log(ratio), log_normal(a)
    if large < small:
        large, small = small, large
    return large + math.log1p(math.exp(small - large))


@kernel
def gaussian_message(w, variance, ratio):
    """Return ½ [L((w + 1)/√V) − L((w − 1)/√V)] of a cavity sum."""
    scale = 1.0 / math.sqrt(max(variance, NARROWEST))
    u = 0.5 * (_log_mixed((w + 1.0) * scale, ratio) - _log_mixed((w - 1.0) * scale, ratio))
    return min(max(u, -LARGEST), LARGEST)


@inlined
def _log_mixed_vector(a, ratio, log_ratio, log_rest):
    """Return L(a) as `_log_mixed`, without a branch: ln ρ and ln (1 − ρ) given, both finite.

    With Φ(−|a|) = ½ e^{−x²} erfcx(x), x = |a|/√2: ln[1 − (1 − ρ)Φ(−a)] for a > 0, and else the
    logarithm of a sum of ρ and (1 − ρ)Φ(a), of which either may be too small for a number.
    """
    x = abs(a) * 0.7071067811865476
    top, bottom = double.erfcx_ratio(x)
    tail = 0.5 * top / bottom
    square = x * x
    rare = double.log(tail) - square + log_rest
    positive = a > 0.0
    power = double.exp(-min(square if positive else abs(rare - log_ratio), 700.0))
    return (0.0 if positive else max(rare, log_ratio)) + double.log1p(
        (ratio - 1.0) * tail * power if positive else power
    )


@kernel
def gaussian_messages(t, w, variance, ratio, new):
    """Set new (n,) to `gaussian_message` of the sums w, V without weights of means t (n,)."""
    log_ratio = math.log(ratio) if ratio > 0.0 else _LOG_ZERO
    log_rest = math.log1p(-ratio) if ratio < 1.0 else _LOG_ZERO
    for i in range(len(t)):
        own = t[i]
        scale = 1.0 / math.sqrt(max(variance - 1.0 + own * own, NARROWEST))
        up = _log_mixed_vector((w - own + 1.0) * scale, ratio, log_ratio, log_rest)
        down = _log_mixed_vector((w - own - 1.0) * scale, ratio, log_ratio, log_rest)
        new[i] = min(max(0.5 * (up - down), -LARGEST), LARGEST)
