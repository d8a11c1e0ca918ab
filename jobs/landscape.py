"""Explore the loss landscape of ReLU networks: `lsg walk` and its like, as a script for a cluster.

    ray job submit --address http://HOST:8265 --working-dir . -- \\
        python jobs/landscape.py walk --store s3://bucket/relu.zarr --out /shared/walks.zarr
"""

import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]

if __name__ == "__main__":
    # Modules come from the checkout, and none from jobs/, whose statistics.py is not Python's.
    sys.path[:] = [str(ROOT), *(path for path in sys.path if Path(path).resolve() != ROOT / "jobs")]
    from lsg_ray.cli.scripts import run_stage

    run_stage("loss landscape", sys.argv[1:])
