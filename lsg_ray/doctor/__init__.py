"""What this machine has for lsg-ray, and what it lacks: `lsg doctor`.

A module each for what is looked at: `installation` (packages and extras), `machine` (processor,
threads, memory, GPU), `storage` (compiled kernels, data sets, disks), `clusters` (Ray) and
`measured` (rates).  Each function returns `Check`s; nothing is installed, changed or downloaded,
and no value of the environment that may be a secret is shown.
"""

from lsg_ray.doctor.check import Check, examine

__all__ = ["Check", "examine"]
