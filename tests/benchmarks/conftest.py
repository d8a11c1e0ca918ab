"""Full size or toy size; at toy size one Ray for all."""

import pytest

from lsg_ray.cluster.session import ray_session


@pytest.fixture
def full(request) -> bool:
    return request.config.getoption("benchmark_enable")


@pytest.fixture(scope="package")
def toy_ray(request):
    """At toy size one Ray of two CPUs, which `ray_session` then joins; at full size none."""
    if request.config.getoption("benchmark_enable"):
        yield
        return
    with ray_session(cpus=2):
        yield
