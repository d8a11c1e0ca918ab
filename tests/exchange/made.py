"""Small sets of weights to be imported."""

from typing import NamedTuple

import numpy as np

from lsg_ray.ensemble.reader import Ensemble
from lsg_ray.exchange.importing import write_ensemble
from lsg_ray.spec import NetworkSpec


def signs(rows=60, n=12, seed=0):
    """Return ±1 (rows, N), int8."""
    return np.random.default_rng(seed).choice([-1, 1], (rows, n)).astype(np.int8)


def reals(rows=7, n=12, seed=0):
    """Return real weights (rows, N) of all sizes, float32."""
    rng = np.random.default_rng(seed)
    return (rng.normal(size=(rows, n)) * 10.0 ** rng.integers(-20, 12, n)).astype(np.float32)


class Imported(NamedTuple):
    ensemble: Ensemble
    notes: list[str]


def import_weights(*args, **options):
    """Return the store that `write_ensemble` writes, and its notes."""
    notes = []
    return Imported(write_ensemble(*args, log=notes.append, **options), notes)


#: Widths with 12 weights.
WIDTHS = (3, 2, 3)
NETWORK = NetworkSpec(widths=WIDTHS)
