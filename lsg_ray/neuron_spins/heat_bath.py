"""Heat bath of a network's units, of many chains at once, with exchange of temperatures.

Units of even layers interact with units of odd layers only.  Given those of one colour, all others
are independent, and are drawn from their exact distribution together,

    P(σ_i = 1) = 1/(1 + e^{−2β f_i}),   f = h + J σ,

with one product of each weight matrix with all chains per colour.  A ladder is a chain at each
temperature; neighbours are exchanged with probability min(1, e^{(β−β')(E−E')}), pairs of even and
of odd number in turn (K. Hukushima, K. Nemoto, J. Phys. Soc. Jpn. 65, 1604 (1996)).
"""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from lsg_ray.neuron_spins.bonds import Bonds
from lsg_ray.typing import Array, Floats, Singles


class Ladders:
    """Chains of a network: spins (N, ladders, temperatures) of ±1, float32.

    Parameters
    ----------
    bonds
        Network; its weights are taken in float32.
    h
        Fields (N,).
    betas
        Inverse temperatures (temperatures,), in order.
    spins
        (N, ladders, temperatures) to start from.
    rng
        Generator of all random numbers.
    """

    def __init__(
        self, bonds: Bonds, h: Floats, betas: Floats, spins: Array, rng: np.random.Generator
    ) -> None:
        self.bonds = Bonds(tuple(w.astype(np.float32) for w in bonds.couplings))
        self.h = h.astype(np.float32)
        self.betas, self.rng = betas, rng
        self.spins: Singles = np.ascontiguousarray(spins, np.float32)
        self.energies = self._energies()
        self.offered = np.zeros(max(len(betas) - 1, 0))
        self.accepted = np.zeros(max(len(betas) - 1, 0))
        self._parity = 0

    def sweep(self) -> None:
        """Draw all units once, even layers first, and offer exchanges."""
        n, ladders, _ = self.spins.shape
        s = self.spins.reshape(n, -1)
        scale = np.tile(2 * self.betas, ladders).astype(np.float32)
        fields: dict[int, Singles] = {}
        for colour in (0, 1):
            for layer in range(colour, len(self.bonds.layers), 2):
                where = self.bonds.layers[layer]
                # Logistic noise: u < 1/(1 + e^(−x)) where x > ln(1/u − 1), one logarithm a unit.
                noise = self.rng.random((where.stop - where.start, s.shape[1]), np.float32)
                with np.errstate(divide="ignore"):
                    threshold = np.log(1 / noise - 1)
                fields[layer] = self._field(layer, s)
                s[where] = np.where(fields[layer] * scale > threshold, 1, -1)
        # Even layers stay as they are while odd ones are drawn, so the fields of these still hold.
        self.energies = self._energies(fields)
        self._exchange()

    def _field(self, layer: int, s: Singles) -> Singles:
        """Return h + J σ (units, chains) of a layer."""
        where, couplings = self.bonds.layers, self.bonds.couplings
        field = np.repeat(self.h[where[layer], None], s.shape[1], axis=1)
        if layer:
            field += couplings[layer - 1] @ s[where[layer - 1]]
        if layer + 1 < len(where):
            field += couplings[layer].T @ s[where[layer + 1]]
        return field

    def _energies(self, fields: Mapping[int, Singles] | None = None) -> Floats:
        """Return E (ladders, temperatures): every bond joins an odd layer with an even one.

        ``fields``: those of odd layers, where they are known.
        """
        n, ladders, temperatures = self.spins.shape
        s = self.spins.reshape(n, -1)
        energy = -(self.h.astype(np.float64) @ s)
        for layer in range(1, len(self.bonds.layers), 2):
            where = self.bonds.layers[layer]
            field = self._field(layer, s) if fields is None else fields[layer]
            field = field - self.h[where, None]
            energy -= np.einsum("ij,ij->j", s[where], field, dtype=np.float64)
        return energy.reshape(ladders, temperatures)

    def _exchange(self) -> None:
        low = np.arange(self._parity, len(self.betas) - 1, 2)
        self._parity = 1 - self._parity
        if not len(low):
            return
        difference = (self.betas[low] - self.betas[low + 1]) * (
            self.energies[:, low] - self.energies[:, low + 1]
        )
        accept = np.log(self.rng.random(difference.shape)) < difference
        self.offered[low] += len(accept)
        self.accepted[low] += accept.sum(axis=0)
        ladder, index = np.nonzero(accept)
        one, other = low[index], low[index] + 1
        for values in (self.spins, self.energies[None]):
            kept = values[:, ladder, one].copy()
            values[:, ladder, one] = values[:, ladder, other]
            values[:, ladder, other] = kept
