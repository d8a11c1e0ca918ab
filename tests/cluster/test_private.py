"""Ray's private parts are where they were looked for."""

import inspect

import ray
from ray import _raylet
from ray._private import node, utils, worker
from ray.job_submission import JobSubmissionClient

from lsg_ray.cluster import private


def test_they_were_looked_at_in_this_version():
    """Where this fails, check each part in the new Ray, then add its version there."""
    assert ray.__version__ in private.CHECKED_RAY


def test_they_are_there():
    assert hasattr(worker, "_global_node")
    assert callable(worker.shutdown)
    assert {"dead_processes", "is_head"} <= set(dir(node.Node))
    assert set(private.UNNEEDED_SERVERS) <= set(dir(node.Node))
    known = inspect.signature(node.Node.kill_all_processes).parameters
    assert {"check_alive", "allow_graceful"} <= set(known)
    assert callable(utils.set_sigterm_handler)
    assert callable(_raylet.Config.initialize)
    assert callable(_raylet.AuthenticationTokenLoader.instance().reset_cache)
    assert callable(_raylet.get_authentication_mode)
    assert hasattr(_raylet.AuthenticationMode, "TOKEN")
    assert list(inspect.signature(JobSubmissionClient._do_request).parameters)[:3] == [
        "self", "method", "endpoint",
    ]  # fmt: skip
