"""Independent weights."""

import numpy as np

from lsg_ray.ising.fitted import FitMethod, Fitted


def fit_alone(target, *, scale=1.0, seconds=None, seed=0, threads=None, progress=None):
    n = len(target.m)
    return Fitted(np.zeros((n, n)), scale * np.arctanh(target.m), True, 1, None, {})


METHOD = FitMethod("toy-alone", fit_alone)
