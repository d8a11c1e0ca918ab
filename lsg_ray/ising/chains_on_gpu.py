"""Chains of an Ising model on a GPU: a group of `lsg_ray.ising.chains`, one chain in each block.

Sweeps run there, in `lsg_ray.kernels.cuda.spins`; spins come back to be measured on the CPU, which
so takes as long as it did.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from lsg_ray.errors import InputError
from lsg_ray.ising.chains import CONFIG, Group
from lsg_ray.typing import Singles


class GpuGroup(Group):
    """Chains whose spins stay on a GPU between sweeps."""

    sweeps = 0
    key: Any = None

    def set_spins(self, spins: Singles) -> None:
        """Set the configurations, (chains, N)."""
        from numba import cuda

        from lsg_ray.kernels.cuda import launch

        needed = launch.missing()
        if needed is not None:
            raise InputError(f"layout cuda given; it needs {needed}; leave it to auto")
        if self.order != "sequential":
            raise InputError(f"layout cuda given with order {self.order}; it goes in sequence only")
        if self.shared > launch.shared_limit():
            most = (launch.shared_limit() // 4 - self.levels) // 2
            raise InputError(f"{self.n} spins given; layout cuda has room for {most:,} on this GPU")
        if self.key is None:
            self.key = cuda.to_device(self.state.ravel()[:2].copy())
        self.on_device = cuda.to_device(np.ascontiguousarray(spins))
        self._copy: Singles | None = None

    @property
    def levels(self) -> int:
        """Numbers in shared memory beside spins and fields."""
        from lsg_ray.kernels.cuda.spins import LEVELS

        return LEVELS

    @property
    def shared(self) -> int:
        """Shared memory of a block, in bytes: two numbers a spin, and `levels`."""
        return 4 * (2 * self.n + self.levels)

    def use(self, J: Singles, h: Singles) -> None:
        """Go on with other couplings and fields."""
        from numba import cuda

        super().use(J, h)
        self.model = cuda.to_device(np.ascontiguousarray(J)), cuda.to_device(h)

    def sweep(self, number: int) -> int:
        """Go through all spins a number of times; return the number of spins changed."""
        from numba import cuda

        from lsg_ray.kernels.cuda import launch, spins

        changed = cuda.to_device(np.zeros(self.chains, np.int64))
        beta = cuda.to_device(self.beta)
        # Fields are summed anew in each launch, against the drift of float32.
        for done in range(0, number, CONFIG.refresh_sweeps):
            sweeps = min(CONFIG.refresh_sweeps, number - done)
            launch.launch(
                spins.sweep, self.chains, spins.WARP, self.shared, self.on_device, *self.model,
                beta, self.key, self.sweeps, sweeps, self.method, changed,
            )  # fmt: skip
            self.sweeps += sweeps
        self._copy = None
        return int(changed.copy_to_host().sum())

    def by_chain(self) -> Singles:
        """Return the spins (chains, N)."""
        if self._copy is None:
            self._copy = self.on_device.copy_to_host()
        return self._copy

    def by_spin(self) -> Singles:
        """Return the spins (N, chains)."""
        return self.by_chain().T
