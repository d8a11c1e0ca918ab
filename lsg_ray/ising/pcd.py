"""Boltzmann learning by persistent Monte Carlo chains.

The log-likelihood has the gradient C_data − C_model in J and m_data − m_model in h.  Chains that
are never restarted follow the model as it is learnt (T. Tieleman, ICML 2008) and give its averages.
How the steps are made is in `lsg_ray.ising.climbing`.
"""

from __future__ import annotations

from typing import Unpack

import numpy as np

from lsg_ray.arrays import public
from lsg_ray.ising.chains import Chains
from lsg_ray.ising.climbing import Rates, climb
from lsg_ray.ising.fitted import FitMethod, FitOptions, Fitted
from lsg_ray.ising.model import IsingModel
from lsg_ray.ising.targets import Target
from lsg_ray.typing import Count, NonNegative, Positive, Several


@public
def fit_pcd(
    target: Target,
    *,
    chains: Several = 1024,
    steps: Count | None = None,
    sweeps: Count = 2,
    rate: Positive | None = None,
    final_rate: Positive | None = None,
    l2: NonNegative = 0.0,
    **run: Unpack[FitOptions],
) -> Fitted:
    """Climb the likelihood with persistent chains, then average the iterates.

    Parameters
    ----------
    target
        Moments, no weight of which is frozen.
    seconds
        Time of the fit in seconds; by default that of ``steps``.
    chains
        Number of persistent chains; the noise of a gradient is their number to the power −1/2.
    steps
        Number of steps, fewer if ``seconds`` run out; by default 1,200, and more below 200 weights.
    sweeps
        Number of sweeps of the chains in a step.
    rate
        Step size at the start.  By default the least of ½, of chains/(15 N), which keeps the field
        that the noise of J exerts on a weight below about 0.2, and of 1/λ, λ the largest eigenvalue
        of the correlation matrix.
    final_rate
        Step size at the end, to which it falls geometrically over the first half of the steps; by
        default a tenth of ``rate``.
    l2
        Strength of the penalty ½ l2 Σ_{i<j} J_ij².

    Returns
    -------
    Fitted
        Converged if the remaining deviation is at most three times its noise, estimated from the
        scatter of the steps, or below the sampling error of the data; and if it and its noise are
        below this error, a tenth of the deviation of independent weights, or 10⁻³.  In its `extra`
        are ``noise_method``, the noise as a deviation (None of too few steps), and ``reason``, why
        it has not converged.

    Notes
    -----
    Two sweeps and two products of a step cost 8 N² flop a chain: 55 ms for 1,024 chains at N = 675
    on two cores.
    """
    start = np.zeros((len(target.m),) * 2), np.arctanh(target.m)
    state = Chains(IsingModel(*start), chains, seed=run["seed"], threads=run["threads"])
    state.sweep(5)
    rates = Rates(rate, final_rate)
    return climb(target, start, state, steps, sweeps, rates, l2, run["seconds"], run["progress"])


METHOD = FitMethod("pcd", fit_pcd)
