"""What tests of specifications share."""

from pathlib import Path

import pytest
from hypothesis import strategies as st

from lsg_ray.errors import SpecError
from lsg_ray.spec import parse_spec

SEEDS = st.integers(0, 2**128 - 1)


def faults_of(tree, source="spec") -> tuple[str, ...]:
    with pytest.raises(SpecError) as caught:
        parse_spec(tree, source)
    return caught.value.faults


def write(folder: Path, text: str | bytes) -> Path:
    file = folder / "s.yaml"
    file.write_bytes(text if isinstance(text, bytes) else text.encode())
    return file
