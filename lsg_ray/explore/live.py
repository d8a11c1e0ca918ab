"""A model whose entropy landscape is computed as one moves its sliders: x, β, the reference.

P(σ) ∝ exp(−βE(σ) + x Σ_i σ*_i σ_i), by the cavity method, as `lsg_ray.entropy_scan`; each solution
starts from the last one.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from lsg_ray.ensemble.reader import Ensemble
from lsg_ray.errors import InputError
from lsg_ray.explore.sampled import Sample
from lsg_ray.ising.branch import Branch
from lsg_ray.ising.cavity import Couplings
from lsg_ray.ising.entropy import branch_state
from lsg_ray.ising.field_scans import is_possible
from lsg_ray.ising.model import IsingModel
from lsg_ray.typing import Floats, Ints, Signs

#: Largest model that follows the sliders, and fields of its curve.
MAX_SPINS = 1_000
FIELDS = np.round(np.linspace(-3, 3, 31), 10)
#: Change of a message at convergence, which a plot does not show, and sweeps at most.
TOLERANCE, MAX_SWEEPS = 1e-8, 400
#: Configurations of a store that references, and neighbours, are chosen among.
REFERENCE_ROWS, NEAR_ROWS = 200, 20_000


class Solution(NamedTuple):
    """A solution at one field: x; d; s, e, f in nats per weight; whether it converged, is stable;
    magnetizations m (N,)."""

    x: float
    d: float
    s: float
    e: float
    f: float
    converged: bool
    stable: bool
    m: Floats


class Live:
    """The solution that follows the sliders, and curves s(d).

    Parameters
    ----------
    model
        Model of at most `MAX_SPINS` spins.

    Raises
    ------
    InputError
        It has more.
    """

    def __init__(self, model: IsingModel) -> None:
        if model.n_spins > MAX_SPINS:
            raise InputError(
                f"{model.n_spins:,} spins; up to {MAX_SPINS:,} follow the sliders; compute larger "
                "ones with lsg scan"
            )
        self.model = model
        #: What the followed solution is of; its couplings; the solution.
        self._followed: tuple[tuple[float, bytes], Couplings, Branch] | None = None
        self._last: Solution | None = None

    def at(self, x: float, beta: float, reference: Signs) -> Solution:
        """Solve at a field x, following the last solution of the same β and reference.

        Parameters
        ----------
        x
            Distance field in nats.
        beta
            Inverse temperature.
        reference
            (N,) ±1.
        """
        of = (beta, reference.tobytes())
        if self._followed is None or self._followed[0] != of:
            couplings = Couplings.at(self.model.J, beta)
            self._followed = of, couplings, Branch(TOLERANCE, MAX_SWEEPS)
            self._last = None
        _, couplings, branch = self._followed
        if self._last is None or self._last.x != x:  # a branch has no step of length zero
            self._last = self._solve(branch, x, beta, couplings, reference)
        return self._last

    def curve(self, beta: float, reference: Signs) -> tuple[list[Solution], list[Solution]]:
        """Return solutions at all `FIELDS`, upwards and downwards; two times 31 of them."""
        couplings = Couplings.at(self.model.J, beta)
        ways = []
        for fields in (FIELDS, FIELDS[::-1]):
            branch = Branch(TOLERANCE, MAX_SWEEPS)
            ways.append([self._solve(branch, x, beta, couplings, reference) for x in fields])
        return ways[0], ways[1]

    def _solve(
        self, branch: Branch, x: float, beta: float, couplings: Couplings, reference: Signs
    ) -> Solution:
        sigma = reference.astype(np.float64)
        h = beta * self.model.h + float(x) * sigma
        status, _ = branch.go_to(float(x), h, couplings)
        state = branch_state(branch, couplings, h, sigma, float(x), beta)
        stable = branch.minimum and is_possible(state)
        return Solution(float(x), *state, status.converged, bool(stable), branch.m)


class References(NamedTuple):
    """Configurations of a store, for a model: sigma (R, N), numbers (R,), energy (R,) ascending;
    near (M, N) and near_numbers (M,), among which neighbours are looked for."""

    sigma: Signs
    numbers: Ints
    energy: Floats
    near: Signs
    near_numbers: Ints


def references_of(model: IsingModel, ensemble: Ensemble) -> References:
    """Choose references, of equal steps in rank of energy, among the sample of a store.

    Raises
    ------
    InputError
        The store has other weights than the model.
    """
    if not ensemble.signs:
        raise InputError(f"{ensemble.url}: holds real weights; references are ±1")
    columns = _columns(model, ensemble)
    sample = Sample(ensemble, NEAR_ROWS)
    near = np.concatenate([ensemble.weights_block(b)[:, columns] for b in sample.blocks])
    near, numbers = near[:NEAR_ROWS], sample.column("configuration")[:NEAR_ROWS]
    energy = np.concatenate([model.energy(near[a : a + 4096]) for a in range(0, len(near), 4096)])
    order = np.argsort(energy, kind="stable")
    places = np.unique(np.linspace(0, len(order) - 1, REFERENCE_ROWS).round().astype(int))
    rows = order[places]
    return References(near[rows], numbers[rows], energy[rows], near, numbers)


def _columns(model: IsingModel, ensemble: Ensemble) -> Ints:
    if model.n_spins == ensemble.n_weights:
        return np.arange(model.n_spins)
    if model.weight is None or model.weight.max() >= ensemble.n_weights:
        raise InputError(
            f"{ensemble.url}: configurations of {ensemble.n_weights:,} weights; the model has "
            f"{model.n_spins:,}, and does not say which"
        )
    return np.asarray(model.weight)


def nearest_to(m: Floats, references: References, count: int = 5) -> dict[str, list[float]]:
    """Return the stored configurations of the largest overlap Σ m_i σ_i / N with m (N,)."""
    overlap = references.near @ m.astype(np.float32) / len(m)
    order = np.argsort(-overlap, kind="stable")[:count]
    return {
        "configuration": references.near_numbers[order].tolist(),
        "overlap with m(x)": overlap[order].tolist(),
    }
