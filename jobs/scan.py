"""Scan the entropy around references: `lsg scan`, as a script for a cluster.

    ray job submit --address http://HOST:8265 --working-dir . -- \\
        python jobs/scan.py --model /shared/model.zarr --references STORE --out /shared/scan.zarr
"""

import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]

if __name__ == "__main__":
    # Modules come from the checkout, and none from jobs/, whose statistics.py is not Python's.
    sys.path[:] = [str(ROOT), *(path for path in sys.path if Path(path).resolve() != ROOT / "jobs")]
    from lsg_ray.cli.scripts import run_stage

    run_stage("scan", sys.argv[1:])
