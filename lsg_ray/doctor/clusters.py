"""Ray: whether it is one that was checked, the cluster of the environment, and a private one."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from collections.abc import Sequence

from lsg_ray.doctor.check import Check
from lsg_ray.doctor.installation import version_of
from lsg_ray.errors import LsgError

#: Seconds for a cluster's port to answer, and for a private Ray to start, run a task and end.
ANSWER_SECONDS, START_SECONDS = 1.0, 60.0
#: Starts a private Ray, has it run a task, and says how many CPUs it has.
_TRY = """
import signal
signal.signal(signal.SIGTERM, signal.default_int_handler)
import ray
from lsg_ray.cluster.session import ray_session
with ray_session("local") as cpus:
    assert ray.get(ray.remote(lambda x: x + 1).remote(1)) == 2
print(cpus)
"""


def of_ray(*, start: bool) -> Sequence[Check]:
    """Return the state of Ray; start: whether a private one is started, and stopped again."""
    checks = [_version(), _address()]
    return [*checks, _started()] if start else checks


def _version() -> Check:
    from lsg_ray.cluster.private import CHECKED_RAY

    there = version_of("ray")
    if there is None:
        remedy = "pip install 'ray>=2.59', or --workers 0, which is without Ray"
        return Check("Ray", "problem", "not installed", remedy)
    if there in CHECKED_RAY:
        return Check("Ray", "ok", f"{there}, in which all is checked")
    seen = f"{there}; all is checked in {', '.join(CHECKED_RAY)}"
    return Check("Ray", "warning", seen, "lsg doctor --ray tells whether a private Ray works")


def _address() -> Check:
    from lsg_ray.cluster.session import check_address
    from lsg_ray.errors import masked

    name, given = "Ray cluster", os.environ.get("RAY_ADDRESS")
    token = any(os.environ.get(each) for each in ("RAY_AUTH_TOKEN", "RAY_AUTH_TOKEN_PATH"))
    token = token or os.path.exists(os.path.expanduser("~/.ray/auth_token"))
    held = "a token is there" if token else "there is no token"
    if not given:
        seen = f"RAY_ADDRESS is not set: commands run on this machine alone; {held}"
        return Check(name, "absent", seen)
    seen = f"RAY_ADDRESS={masked(given)}"
    try:
        check_address(given, ANSWER_SECONDS)
    except LsgError as error:
        return Check(name, "problem", " ".join(str(error).split()))
    return Check(name, "ok", f"{seen}{'' if given == 'auto' else ' answers'}; {held}")


def _started() -> Check:
    """Return whether a private Ray works: in a process of its own, which ends in any case."""
    name, began = "private Ray", time.monotonic()
    environment = {k: v for k, v in os.environ.items() if k != "RAY_ADDRESS"}
    child = subprocess.Popen(  # noqa: S603 - Python itself, with a text of this file
        [sys.executable, "-c", _TRY],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env=environment,
    )
    try:
        out, err = child.communicate(timeout=START_SECONDS)
    except BaseException as error:
        child.terminate()  # an interrupt in it: it stops its Ray
        try:
            child.communicate(timeout=10)
        except subprocess.TimeoutExpired:
            child.kill()
        if not isinstance(error, subprocess.TimeoutExpired):
            raise
        seen = f"not there after {START_SECONDS:.0f} s"
        return Check(name, "problem", seen, "--workers 0, which is without Ray")
    seconds = time.monotonic() - began
    if child.returncode == 0:
        seen = f"{out.strip()} CPUs, started, used and stopped in {seconds:.1f} s"
        return Check(name, "ok", seen)
    reason = (err.strip().splitlines() or ["no reason given"])[-1][:300]
    return Check(name, "problem", reason, "--workers 0, which is without Ray")
