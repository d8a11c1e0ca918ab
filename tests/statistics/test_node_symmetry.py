"""Node symmetry of ensembles: stores and views agree, counts are right, accuracies stay."""

import numpy as np
import pytest

from lsg_ray.datasets import load_dataset
from lsg_ray.ensemble.location import locate
from lsg_ray.ensemble.reader import open_ensemble
from lsg_ray.ensemble.verify import verify
from lsg_ray.ensemble.writer import drop_block
from lsg_ray.errors import InputError, StoreError, StoreInputError
from lsg_ray.networks.binary_network import evaluate
from lsg_ray.networks.canonical import canonical_orders
from lsg_ray.networks.layout import chunk_examples
from lsg_ray.networks.permutations import permute_nodes
from lsg_ray.statistics.before_after import symmetry_effect
from lsg_ray.statistics.moments import moments
from lsg_ray.statistics.node_symmetry import canonicalize, label_inputs, node_symmetry, permute
from tests.ensemble.mixture import synthetic


@pytest.fixture(scope="module")
def ensemble(tmp_path_factory):
    """300 configurations 20-15-15-10; blocks of 70, so that the last is short."""
    return synthetic(tmp_path_factory.mktemp("s") / "e", 300, 675, 1, block_size=70)


def test_labels__are_taken_on_the_test_images_of_the_digit_one(ensemble):
    dataset = load_dataset(ensemble.spec.dataset)
    np.testing.assert_array_equal(label_inputs(ensemble), dataset.test.x[dataset.test.y == 1])
    result = node_symmetry(ensemble)
    orders = canonical_orders(ensemble.spec.network, ensemble.numpy(), label_inputs(ensemble))
    np.testing.assert_array_equal(result["label"], np.concatenate(orders, axis=1))
    np.testing.assert_array_equal(result["layer"], [0] * 15 + [1] * 15)
    assert result.attrs["distinct_labels"] == len(np.unique(result["label"], axis=0))
    assert result.attrs["log_group_order"] == pytest.approx(55.7985, abs=1e-4)


def test_store_and_view__hold_the_same_canonical_forms(ensemble, tmp_path):
    view = canonicalize(ensemble)
    store = canonicalize(ensemble, tmp_path / "c")
    expected = permute_nodes(
        ensemble.spec.network,
        ensemble.numpy(),
        canonical_orders(ensemble.spec.network, ensemble.numpy(), label_inputs(ensemble)),
    )
    np.testing.assert_array_equal(view.rows(0, 300), expected)
    np.testing.assert_array_equal(store.numpy(), expected)
    np.testing.assert_array_equal(view.rows(65, 150), expected[65:150])
    np.testing.assert_array_equal(view.part("ITR").rows(3, 9), expected[3:9, 300:525])
    assert view.part(2).n_weights == 150
    for name in ("accuracy", "loss", "trial", "polarization"):
        np.testing.assert_array_equal(store.column(name), ensemble.column(name))
    assert verify(store.url).ok
    info = store.info()
    assert info["derivation"]["kind"] == "canonical"
    assert info["derivation"]["source_content_hash"] == ensemble.info()["content_hash"]
    result = moments(view.part("LB"))
    np.testing.assert_array_equal(result["C"], moments(store.part("LB"))["C"])
    assert result.attrs["derivation_kind"] == "canonical"


def test_accuracies__are_unchanged_to_the_last_digit(ensemble):
    dataset, network = load_dataset(ensemble.spec.dataset), ensemble.spec.network
    examples = chunk_examples(dataset.test.x, dataset.test.y, np.float64)
    before, _ = evaluate(network, ensemble.numpy(), examples)
    for view in (canonicalize(ensemble), permute(ensemble, 1.0)):
        after, _ = evaluate(network, view.rows(0, 300), examples)
        np.testing.assert_array_equal(before, after)


def test_canonical_store__of_a_selection_resumes_and_is_its_own(ensemble, tmp_path, monkeypatch):
    view = ensemble.where("accuracy > 0.815")
    store = canonicalize(view, tmp_path / "c")
    assert store.n_rows == view.n_rows < 300
    np.testing.assert_array_equal(store.column("accuracy"), view.column("accuracy"))
    with pytest.raises(
        StoreInputError, match=r"derivation: the store's configurations are derived"
    ):
        permute(view, 0.5, tmp_path / "c")
    before = store.info()["content_hash"]
    drop_block(locate(store.url), store.header, 1)
    assert not open_ensemble(store.url).complete
    assert canonicalize(view, tmp_path / "c").info()["content_hash"] == before


def test_sampling__into_a_derived_store_is_refused(ensemble, tmp_path):
    from lsg_ray.ensemble.writer import create_ensemble

    store = canonicalize(ensemble, tmp_path / "c")
    with pytest.raises(StoreInputError, match=r"derivation: .* now sampled"):
        create_ensemble(store.url, store.spec, dataset_hash=store.header.dataset_hash)


def test_repeats__are_counted(ensemble_of):
    """Rows 0 and 3 the same, 5 a permutation of them; 1 and 2 permutations of each other."""
    rng = np.random.default_rng(0)
    weights = rng.choice(np.array([-1, 1], np.int8), (7, 31))
    from lsg_ray.networks.permutations import random_orders
    from lsg_ray.spec import NetworkSpec

    network = NetworkSpec(widths=(5, 3, 4, 1))

    def mixed(row, seed):
        orders = random_orders(network, 1, np.random.default_rng(seed))
        return permute_nodes(network, weights[row : row + 1], orders)[0]

    weights[3] = weights[0]
    weights[5], weights[2] = mixed(0, 1), mixed(1, 2)
    given = {"network": (5, 3, 4, 1), "inputs": rng.normal(size=(9, 5))}
    result = node_symmetry(weights, **given).attrs
    assert result["distinct_forms"] == 4
    assert result["permutation_dependent_pairs"] == 4
    assert result["identical_pairs"] == 1
    assert (
        node_symmetry(ensemble_of(weights, (5, 3, 4, 1), block_size=2), **given).attrs[
            "distinct_labels"
        ]
        == result["distinct_labels"]
    )


def test_fields__move_with_their_weights(tmp_path):
    """Stored fields whose signs are the weights stay so, in canonical and in permuted stores."""
    from lsg_ray.ensemble.block import Block
    from lsg_ray.ensemble.writer import create_ensemble, write_block

    spec = synthetic("memory://like", 40, 675, 1).spec
    spec = spec.replace(ensemble={"store_fields": True, "block_size": 15})
    plan = create_ensemble(tmp_path / "f", spec, dataset_hash="x")
    fields = np.random.default_rng(0).normal(size=(40, 675)).astype(np.float32)
    for index in range(plan.n_blocks):
        rows = slice(15 * index, min(15 * index + 15, 40))
        ones = np.ones(len(fields[rows]))
        columns = dict.fromkeys(("accuracy", "loss", "test_accuracy", "polarization"), ones)
        counts = dict.fromkeys(("trial", "epochs"), ones.astype(int))
        weights = np.where(fields[rows] > 0, 1, -1).astype(np.int8)
        numbers = {**columns, **counts, "fields": fields[rows]}
        block = Block(rows.start, weights, numbers, len(ones))
        write_block(plan.url, index, block)
    ensemble = open_ensemble(plan.url)
    for store in (
        canonicalize(ensemble, tmp_path / "c"),
        permute(ensemble, 0.5, tmp_path / "p"),
        permute(ensemble, 0.5, tmp_path / "a", mode="add"),
        canonicalize(permute(ensemble, 0.5), tmp_path / "pc"),
    ):
        fields_ = store.to_dask("fields").compute()
        np.testing.assert_array_equal(np.where(fields_ > 0, 1, -1), store.numpy())
        assert not np.array_equal(fields_[:40], fields) or store.n_rows > 40
    assert open_ensemble(tmp_path / "pc").info()["derivation"]["of"]["kind"] == "permuted"


def test_wide_transforms__are_cut_into_pieces(ensemble, monkeypatch):
    from lsg_ray.statistics import derived

    whole = canonicalize(ensemble)
    rows, bits = whole.rows(0, 300), whole.packed(0, 300)
    monkeypatch.setattr(derived, "REORDERED_ROWS", 77)
    np.testing.assert_array_equal(whole.rows(0, 300), rows)
    np.testing.assert_array_equal(whole.packed(0, 300), bits)
    assert whole.rows(5, 5).shape == (0, 675)


# Permuted fractions


@pytest.mark.parametrize("fraction", [0.0, 0.3, 0.9, 1.0])
def test_replaced_fraction__is_met_and_differs_by_permutations_alone(ensemble, fraction):
    view = permute(ensemble, fraction, seed=5)
    before, after = ensemble.numpy(), view.rows(0, 300)
    assert view.n_rows == 300
    changed = (before != after).any(axis=1)
    assert changed.sum() == pytest.approx(300 * fraction, abs=1)
    np.testing.assert_array_equal(
        canonicalize(view).rows(0, 300), canonicalize(ensemble).rows(0, 300)
    )
    np.testing.assert_array_equal(view.rows(77, 200), after[77:200])
    np.testing.assert_array_equal(view.take(np.array([3, 80, 299])), after[[3, 80, 299]])


@pytest.mark.parametrize("fraction", [0.0, 0.3, 1.0])
def test_added_copies__pair_the_fraction(ensemble, tmp_path, fraction):
    """p/(2 − p)·M copies: of 2M/(2 − p) configurations, p belong to a pair."""
    view = permute(ensemble, fraction, mode="add")
    copies = round(fraction / (2 - fraction) * 300)
    assert view.n_rows == 300 + copies
    np.testing.assert_array_equal(view.rows(0, 300), ensemble.numpy())
    result = node_symmetry(view).attrs
    assert result["permutation_dependent_pairs"] == copies
    assert 2 * copies / view.n_rows == pytest.approx(fraction, abs=0.01)
    store = permute(ensemble, fraction, tmp_path / "p", mode="add")
    np.testing.assert_array_equal(store.numpy(), view.rows(0, view.n_rows))
    assert verify(store.url).ok


def test_permutations__are_seeded(ensemble):
    one, same, other = (permute(ensemble, 0.5, seed=s).rows(0, 300) for s in (1, 1, 2))
    np.testing.assert_array_equal(one, same)
    assert (one != other).any()


def test_symmetry_effect__compares_forms_by_part(ensemble):
    result = symmetry_effect(ensemble, configurations=200)
    assert result.attrs["configurations"] == 200
    assert result.sizes == {"form": 2, "distance": 676, "part": 4}
    assert result["pairs"].sum("distance").values.tolist() == [200 * 199 // 2] * 2
    shallow = symmetry_effect(synthetic("memory://shallow", 50, 200, 0))
    assert shallow["form"].values.tolist() == ["sampled"]


# Bad input


def test_misfits__are_refused(ensemble):
    for given, options, message in (
        (ensemble.part("LB"), {}, "node symmetry is of whole networks"),
        (ensemble.where("accuracy > 2"), {}, "0 configurations selected; labels need"),
        (np.ones((4, 31), int), {}, "pass network="),
        (
            np.ones((4, 30), int),
            {"network": (5, 3, 4, 1), "inputs": np.ones((2, 5))},
            "need 31: node symmetry is",
        ),
        (np.ones((4, 31), int), {"network": (5, 3, 4, 1), "inputs": np.ones((2, 4))}, "inputs of"),
        (np.ones((4, 15), int), {"network": (5, 3), "inputs": np.ones((2, 5))}, "no hidden layer"),
        (synthetic("memory://no-hidden", 5, 31, 0), {}, "no hidden layer"),
    ):
        with pytest.raises(InputError, match=message):
            node_symmetry(given, **options)
    for fraction in (-0.1, 1.1, float("nan")):
        with pytest.raises(InputError, match="from 0 to 1"):
            permute(ensemble, fraction)
    with pytest.raises(StoreInputError, match="where the configurations come from"):
        canonicalize(ensemble, ensemble.url)
    with pytest.raises(StoreInputError, match="inside the Zarr store"):
        canonicalize(ensemble, f"{ensemble.url}/weights/c")
    with pytest.raises(InputError, match="seed -1 given"):
        permute(ensemble, 0.5, seed=-1)
    with pytest.raises(InputError, match="'other' given; choose one of replace, add"):
        permute(ensemble, 0.5, mode="other")
    with pytest.raises(InputError, match="part 'X' given"):
        canonicalize(ensemble).part("X")
    with pytest.raises(InputError, match="only whole configurations of a store"):
        canonicalize(
            np.ones((4, 31), int), "memory://x", network=(5, 3, 4, 1), inputs=np.ones((2, 5))
        )


def test_damaged_block__stops_with_its_name_and_can_be_resumed(tmp_path):
    ensemble = synthetic(tmp_path / "e", 40, 675, 1, block_size=10)
    chunk = tmp_path / "e" / "weights" / "c.2.0"
    data = bytearray(chunk.read_bytes())
    chunk.write_bytes(data[:9] + bytes([data[9] ^ 1]) + data[10:])
    with pytest.raises(StoreError, match=r"weights.*block 2"):
        canonicalize(ensemble, tmp_path / "c")
    chunk.write_bytes(data)
    assert canonicalize(ensemble, tmp_path / "c").complete
    assert open_ensemble(tmp_path / "c").n_rows == 40
