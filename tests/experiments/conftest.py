"""The command of `tests.cli`."""

from tests.cli.conftest import lsg

__all__ = ["lsg"]
