"""What is old enough that no writer can be at it."""

import pytest

from lsg_ray.ensemble import writer


@pytest.fixture
def no_writer_lives(monkeypatch):
    """Let data without a record count as a dead writer's at once."""
    monkeypatch.setattr(writer, "LIVE_SECONDS", float("-inf"))
