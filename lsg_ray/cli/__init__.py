"""The `lsg` command.

Every command takes ``--json`` (one JSON document on standard output, nothing else there) and exits
with 0 when done, 1 when it failed, 2 on bad usage or bad input.  Heavy modules load inside the
commands, so that ``lsg --help`` answers at once.
"""

from lsg_ray.cli.main import cli, main

__all__ = ["cli", "main"]
