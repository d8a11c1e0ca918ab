"""Full size or toy size."""

import pytest


@pytest.fixture
def full(request) -> bool:
    return request.config.getoption("benchmark_enable")
