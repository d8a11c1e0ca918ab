"""The seed tree: addresses are pinned, distinct, and independent of one another's use."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from lsg_ray.rng import Stream, generator, seed_sequence

words = st.integers(0, 2**32 - 1)
addresses = st.tuples(
    st.integers(0, 2**128 - 1), st.sampled_from(Stream), st.lists(words, max_size=3).map(tuple)
)


def state(seed, stage, index) -> bytes:
    return seed_sequence(seed, stage, *index).generate_state(8).tobytes()


def test_stages__are_fixed_numbers():
    assert {stage.name: int(stage) for stage in Stream} == {
        "SUBSET": 0,
        "TRIAL": 1,
        "MAP": 2,
        "PAIRS": 3,
        "TRIPLES": 4,
        "PERMUTE": 5,
        "SYNTHETIC": 6,
        "MONTE_CARLO": 7,
        "CAVITY": 8,
        "TAP": 9,
        "RSB": 10,
        "GLASS": 11,
        "LANDSCAPE": 12,
        "DATA": 13,
        "WEIGHTS": 14,
    }


@pytest.mark.parametrize(
    ("address", "first"),
    [
        ((0, Stream.TRIAL, 0, 0), 4172335346),
        ((7, Stream.TRIAL, 12, 0), 4184431897),
        ((2**100, Stream.PAIRS), 688242586),
    ],
)
def test_streams__are_pinned(address, first):
    """Every ensemble ever sampled depends on these."""
    assert int(generator(*address).integers(2**32)) == first


@settings(deadline=None)
@given(addresses)
def test_stream__depends_on_the_address_alone(address):
    seed, stage, index = address
    expected = generator(seed, stage, *index).random(4)
    generator(seed, stage, *index, 0).random(100)
    np.testing.assert_array_equal(generator(seed, stage, *index).random(4), expected)
    np.testing.assert_array_equal(generator(seed, int(stage), *index).random(4), expected)


@settings(deadline=None)
@given(addresses, addresses)
def test_streams__differ_wherever_addresses_do(one, other):
    if one != other:
        assert state(*one) != state(*other)


@settings(deadline=None)
@given(addresses)
def test_streams__of_a_child_and_of_a_neighbour_differ(address):
    seed, stage, index = address
    others = [(seed, stage, (*index, 0)), (seed + 1, stage, index), (seed, (stage + 1) % 5, index)]
    assert state(*address) not in {state(*other) for other in others}


def test_streams__of_neighbouring_trials_are_uncorrelated():
    """Largest of 1,225 correlations over 4,000 numbers: above 5.5/√4000 once in 2·10⁴ seeds."""
    numbers = [
        generator(0, Stream.TRIAL, i, t).normal(size=4000) for i in range(10) for t in range(5)
    ]
    correlations = np.corrcoef(numbers)[np.triu_indices(50, 1)]
    assert np.abs(correlations).max() < 5.5 / np.sqrt(4000)


@pytest.mark.parametrize("address", [(-1, Stream.TRIAL), (0, Stream.TRIAL, -1)])
def test_negative_numbers__are_refused(address):
    with pytest.raises(ValueError, match="non-negative"):
        generator(*address)
