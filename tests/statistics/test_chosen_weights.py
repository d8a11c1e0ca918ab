"""Moments of chosen weights are those entries of the moments of all, to the last bit."""

import numpy as np
import pytest

from lsg_ray.errors import InputError
from lsg_ray.kernels import bits
from lsg_ray.statistics import moments as module
from lsg_ray.statistics.chosen_weights import choose_weights
from lsg_ray.statistics.configurations import as_configurations
from lsg_ray.statistics.cross_moments import cross_moments
from lsg_ray.statistics.moments import moments
from lsg_ray.statistics.views import Columns
from tests.statistics.test_moments import WIDTHS, signs

#: LB 0:15 in units of 5, ITR 15:27 in units of 3, RB 27:31.
CHOICES = {
    "LB": [*range(15)],
    "layer:1": [*range(15, 27)],
    "unit:0:2": [*range(10, 15)],
    "unit:1:0,unit:1:3": [15, 16, 17, 24, 25, 26],
    "3:9": [*range(3, 9)],
    "RB,0:2,30:31": [0, 1, 27, 28, 29, 30],
}


@pytest.fixture(scope="module")
def ensemble(ensemble_of):
    return ensemble_of(signs(0, 300, 31, plus=0.6), WIDTHS, block_size=70)


@pytest.mark.parametrize("choice", CHOICES)
def test_choice__is_of_the_network(ensemble, choice):
    chosen = choose_weights(as_configurations(ensemble), choice, 0)
    np.testing.assert_array_equal(chosen, CHOICES[choice])


def test_choice__at_random_is_by_seed_and_of_distinct_weights(ensemble):
    source = as_configurations(ensemble)
    drawn = [
        choose_weights(source, "random:10", seed, draw=draw) for seed, draw in ((1, 0), (1, 1))
    ]
    assert [len(some) for some in drawn] == [10, 10]
    assert not np.array_equal(*drawn)
    np.testing.assert_array_equal(choose_weights(source, "random:10", 1), drawn[0])
    np.testing.assert_array_equal(choose_weights(source, "random:31", 5), np.arange(31))
    counts = np.zeros(31)
    for seed in range(400):
        counts[choose_weights(source, "random:10", seed)] += 1
    # Binomial, 129 ± 9.4; 31 checks at 4.5 deviations: a false alarm once in 4,000 sets of seeds.
    assert np.abs(counts - 400 * 10 / 31).max() < 4.5 * np.sqrt(400 * 10 / 31 * 21 / 31)


@pytest.mark.parametrize("choice", [*CHOICES, "random:9", "random:1", [30, 2, 7]])
@pytest.mark.parametrize("part", [None, "ITR"])
def test_chosen_moments__are_those_entries_of_all_to_the_last_bit(ensemble, choice, part):
    if part is not None and choice not in ("layer:1", "random:9", "random:1"):
        return
    view = ensemble if part is None else ensemble.part(part)
    whole, some = moments(view, triples=40, seed=2), moments(view, choose=choice, seed=2)
    of = np.flatnonzero(np.isin(whole["weight"], some["weight"]))
    assert len(of) == some.sizes["weight"] == (len(choice) if isinstance(choice, list) else len(of))
    for name in ("m", "m_stderr", "C", "C_stderr", "connected", "connected_stderr"):
        expected = whole[name].values[of]
        expected = expected[:, of] if expected.ndim == 2 else expected
        assert some[name].values.tobytes() == np.ascontiguousarray(expected).tobytes(), name
    for name in ("layer", "part", "unit", "unit_in"):
        np.testing.assert_array_equal(some[name], whole[name][of])


@pytest.mark.parametrize(("choose", "against"), [
    ("LB", "RB"), ("RB", "LB"), ("0:7", "3:30"), ("unit:1:2", None), ("random:5", "random:6"),
    ("4:5", "9:10"), ("0:15", "layer:1"),
])  # fmt: skip
@pytest.mark.parametrize("strip", [2, 128])
def test_cross_moments__are_those_entries_of_all_to_the_last_bit(
    ensemble, monkeypatch, choose, against, strip
):
    # Strips of planes only change the order of counting; the Python of the kernel shows it.
    monkeypatch.setattr(bits, "STRIP", strip)
    if strip == 2:
        for name in ("add_disagreements_between", "_add_strip", "_add_tile", "_add_pair"):
            monkeypatch.setattr(bits, name, getattr(bits, name).py_func)
        monkeypatch.setattr(bits, "popcount", lambda word: int(word).bit_count())
    whole = moments(ensemble)
    some = cross_moments(ensemble, choose=choose, against=against, seed=4)
    rows, columns = some["weight"].values, some["weight_"].values
    for name in ("C", "C_stderr", "connected", "connected_stderr"):
        expected = np.ascontiguousarray(whole[name].values[np.ix_(rows, columns)])
        assert some[name].values.tobytes() == expected.tobytes(), name
    np.testing.assert_array_equal(some["m"], whole["m"][rows])
    np.testing.assert_array_equal(some["m_other"], whole["m"][columns])
    np.testing.assert_array_equal(some["unit_"], whole["unit"][columns])


@pytest.mark.parametrize("n", [1, 2, 5, 127, 128, 129, 131, 260])
def test_counts_of_planes__are_those_of_signs_over_strips(n):
    rows = signs(n, 130, n)
    differ = (130 - rows.T.astype(int) @ rows) // 2
    planes = np.empty((n, 3), np.uint64)
    bits.bit_planes(np.packbits(rows > 0, axis=1, bitorder="little"), planes)
    counts = np.zeros((n, n), np.int64)
    bits.add_disagreements(planes, counts)
    np.testing.assert_array_equal(np.triu(counts, 1), np.triu(differ, 1))
    for split in {0, 1, n // 2, n}:
        counts = np.zeros((split, n - split), np.int64)
        bits.add_disagreements_between(planes[:split], planes[split:], counts)
        np.testing.assert_array_equal(counts, differ[:split, split:])


def test_chosen_bits__are_those_of_signs():
    rows = signs(3, 150, 77)
    packed = np.packbits(rows > 0, axis=1, bitorder="little")
    rng = np.random.default_rng(0)
    for which in (np.arange(77), np.arange(3, 70), rng.integers(0, 77, 40), np.array([76])):
        chosen = np.full((150, -(-len(which) // 8)), 255, np.uint8)
        bits.choose_bits(packed, which, chosen)
        expected = np.packbits(rows[:, which] > 0, axis=1, bitorder="little")
        np.testing.assert_array_equal(chosen, expected)


def test_chosen_weights_of_real_and_weighted_rows__are_those_entries():
    rng = np.random.default_rng(0)
    for values, weights in ((rng.normal(size=(90, 12)), None), (signs(1, 90, 12), rng.random(90))):
        whole = moments(values, weights=weights)
        some = moments(values, weights=weights, choose="2:5,9:11")
        at = [2, 3, 4, 9, 10]
        np.testing.assert_allclose(some["C"], whole["C"].values[np.ix_(at, at)], atol=1e-14)
        np.testing.assert_allclose(some["m_stderr"], whole["m_stderr"][at], atol=1e-14)


def test_wide_rows__are_taken_a_few_at_a_time(ensemble, monkeypatch):
    whole = as_configurations(ensemble)
    monkeypatch.setattr("lsg_ray.statistics.views.WHOLE_BYTES", 8)
    some = Columns(whole, np.array([30, 0, 8, 9]))
    np.testing.assert_array_equal(some.rows(5, 230), ensemble.numpy()[5:230, [30, 0, 8, 9]])


def test_large_results__have_fewer_tasks_or_are_refused(ensemble, monkeypatch):
    source = as_configurations(ensemble)
    monkeypatch.setattr(module, "_task_rows", lambda _: 1)
    need = (48 + 8) * 31**2
    limits = module.MomentsLimits(max_bytes=need + 8 * 31**2)
    monkeypatch.setattr(module, "LIMITS", limits)
    monkeypatch.setattr("dask.system.CPU_COUNT", 64)
    assert len(module.tasks_of(source, (31, 31), True)) == 1
    monkeypatch.setattr(module, "LIMITS", module.MomentsLimits(max_bytes=need - 1))
    with pytest.raises(InputError, match=r"C of 31 × 31 weights takes .*--choose, --part"):
        moments(ensemble)
    assert "C" not in moments(ensemble, correlations=False)
    assert moments(ensemble, choose="0:30").sizes["weight"] == 30


@pytest.mark.parametrize(("choice", "words"), [
    ("XB", r"weights 'XB' to choose; a part \(LB\).*the parts are LB, ITR, RB"),
    ("", "weights '' to choose"),
    ("LB,", "weights '' to choose"),
    ("40:50", "40:50 chooses no weight of .*; weights are numbered 0 to 30"),
    ("5:5", "5:5 chooses no weight"),
    ("5:", "weights '5:' to choose"),
    ("-1:5", "weights '-1:5' to choose"),
    ("1:2:3", "weights '1:2:3' to choose"),
    ("layer:3", "layer:3 chooses no weight of .*; its layers are 0 to 2"),
    ("unit:1:9", "unit:1:9 chooses no weight of .*; units of layer 1 are 0 to 3"),
    ("unit:1", "weights 'unit:1' to choose"),
    ("random:32", "random:32: there are 31 weights"),
    ("random:0", "random:0: there are 31 weights"),
    ("random:" + "9" * 5000, "weights 'random:9"),
    ([31], "weight 31 to choose; weights are numbered 0 to 30"),
    ([0.5], "whole numbers"),
    ([], "whole numbers"),
])  # fmt: skip
def test_bad_choices__are_refused(ensemble, choice, words):
    for call in (moments, cross_moments):
        with pytest.raises(InputError, match=words) as caught:
            call(ensemble, choose=choice)
        assert len(str(caught.value)) < 600


def test_weights_without_a_network__are_chosen_by_number_alone():
    with pytest.raises(InputError, match="'LB': array has weights without a network"):
        moments(signs(0, 9, 4), choose="LB")
    with pytest.raises(InputError, match="array holds real weights"):
        cross_moments(np.random.default_rng(0).normal(size=(9, 4)), choose="0:2")
