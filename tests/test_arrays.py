"""Arrays of every kind that people have: converted exactly, or refused in one line."""

import dask.array
import numpy as np
import pandas
import pytest
import scipy.sparse
import torch
import xarray

import lsg_ray
from lsg_ray.arrays import as_integers, as_numbers, brief
from lsg_ray.errors import InputError
from lsg_ray.networks.permutations import match_weights
from lsg_ray.spec import NetworkSpec, Spec

RNG = np.random.default_rng(0)
W = RNG.choice([-1.0, 1.0], (40, 12))
J = RNG.normal(0, 0.1, (12, 12))
J = np.triu(J, 1) + np.triu(J, 1).T
H = RNG.normal(size=12)
INPUTS = RNG.normal(size=(7, 3))
M, C = W.mean(0), W.T @ W / len(W)

#: What the same numbers may come in.
SAME = {
    "list": lambda x: x.tolist(),
    "tuple of rows": lambda x: tuple(x),
    "object": lambda x: x.astype(object),
    "unmasked": lambda x: np.ma.array(x),
    "Dask": dask.array.from_array,
    "xarray": xarray.DataArray,
    "pandas": lambda x: pandas.DataFrame(x) if x.ndim == 2 else pandas.Series(x),
    "nullable": lambda x: (pandas.DataFrame(x) if x.ndim == 2 else pandas.Series(x)).astype(
        "Float64"
    ),
    "gradient": lambda x: torch.tensor(x, requires_grad=True),
    "parameter": lambda x: torch.nn.Parameter(torch.tensor(x)),
    "list of tensors": lambda x: [torch.tensor(row, requires_grad=True) for row in x],
    "sparse tensor": lambda x: torch.tensor(x).to_sparse(),
    "csr": lambda x: scipy.sparse.csr_array(x) if x.ndim == 2 else x,
    "coo": lambda x: scipy.sparse.coo_matrix(x) if x.ndim == 2 else x,
}


def hidden(x):
    mask = np.zeros(x.shape, bool)
    mask.flat[1] = True
    return mask


#: What holds no real numbers.
FOREIGN = {
    "masked": lambda x: np.ma.array(x, mask=hidden(x)),
    "list of masked": lambda x: list(np.ma.array(x, mask=hidden(x))),
    "masked Dask": lambda x: dask.array.ma.masked_array(dask.array.from_array(x), hidden(x)),
    "missing": lambda x: np.where(hidden(x), None, x.astype(object)),
    "pandas missing": lambda x: pandas.Series(x.ravel()).astype("Float64").mask(hidden(x).ravel()),
    "complex": lambda x: x.astype(complex),
    "complex tensor": lambda x: torch.tensor(x).to(torch.complex64),
    "bool": lambda x: x > 0,
    "text": lambda x: x.astype(str),
    "dates": lambda x: x.astype("M8[s]"),
    "records": lambda x: np.zeros(x.shape, [("a", float)]),
    "Dataset": lambda x: xarray.Dataset({"a": xarray.DataArray(x)}),
    "dict": lambda x: {"a": x},
    "generator": iter,
    "set": lambda _: {1.0, 2.0},
    "ragged": lambda _: [[1.0, 2.0], [1.0]],
    "elsewhere": lambda x: torch.empty(x.shape, device="meta"),
    "bytes": lambda _: b"\1\2",
    "NaN": lambda x: np.where(hidden(x), np.nan, x),
    "infinite": lambda x: np.where(hidden(x), np.inf, x),
}

PUBLIC = {
    "moments": (W, lambda x: lsg_ray.moments(x)["C"].values),
    "weights of moments": (W[:, 0] + 2, lambda x: lsg_ray.moments(W, weights=x)["m"].values),
    "overlaps": (W, lambda x: lsg_ray.overlaps(x)["probability"].values),
    "distances": (W, lambda x: lsg_ray.distances(x)["pairs"].values),
    "references": (W[:2], lambda x: lsg_ray.distances(W, references=x)["pairs"].values),
    "canonicalize": (
        W,
        lambda x: lsg_ray.canonicalize(x, network=[3, 3, 1], inputs=INPUTS).rows(0, 9),
    ),
    "inputs": (
        INPUTS,
        lambda x: lsg_ray.canonicalize(W, network=[3, 3, 1], inputs=x).rows(0, 9),
    ),
    "match_weights": (W[0], lambda x: match_weights([3, 3, 1], x, W[1]).after),
    "J": (J, lambda x: lsg_ray.IsingModel(x, H).J),
    "h": (H, lambda x: lsg_ray.IsingModel(J, x).h),
    "energy": (W[:2], lsg_ray.IsingModel(J, H).energy),
    "m": (M, lambda x: lsg_ray.fit_boltzmann((x, C), method="exact", verify=False).model.h),
    "C": (C, lambda x: lsg_ray.fit_boltzmann((M, x), method="exact", verify=False).model.h),
    "configurations": (
        W,
        lambda x: lsg_ray.fit_boltzmann(x, method="exact", verify=False).model.h,
    ),
    "scan": (W[:2], lambda x: lsg_ray.entropy_scan((J, H), x, [0, 1])["s"].values),
    "fields": (np.array([0.0, 1]), lambda x: lsg_ray.entropy_scan((J, H), W[:2], x)["s"].values),
    "betas": (
        np.array([0.0, 0.5]),
        lambda x: lsg_ray.thermodynamics((J, H), betas=x, ladders=2, draws=8)["s"].values,
    ),
    "start": (
        W[0],
        lambda x: lsg_ray.sample_model((J, H), start=x, chains=8, draws=8)["m"].values,
    ),
}  # fmt: skip


@pytest.mark.parametrize("name", PUBLIC)
def test_the_same_numbers_give_the_same_result(name):
    given, function = PUBLIC[name]
    expected = function(given)
    for kind, make in SAME.items():
        np.testing.assert_array_equal(function(make(given)), expected, err_msg=kind)


@pytest.mark.parametrize("name", PUBLIC)
def test_what_holds_no_real_numbers_is_refused_in_one_line(name):
    given, function = PUBLIC[name]
    for kind, make in FOREIGN.items():
        with pytest.raises(InputError) as refusal:
            print(name, kind, function(make(given)))
        assert 10 < len(str(refusal.value)) < 400
        assert "\n" not in str(refusal.value)


def test_bfloat16_is_converted_exactly():
    x = torch.tensor([0.1, -3.0, 2.0**100], dtype=torch.bfloat16, requires_grad=True)
    np.testing.assert_array_equal(as_numbers(x, "x"), x.detach().double().numpy())
    half = torch.tensor([[1.0, -1.0]]).to(torch.float8_e4m3fn)
    assert as_numbers(half, "x").tolist() == [[1.0, -1.0]]


def test_the_place_of_what_is_masked_is_named():
    masked = np.ma.array(J, mask=np.eye(12, k=2, dtype=bool))
    with pytest.raises(InputError, match=r"J: entry \[0, 2\] is masked"):
        lsg_ray.IsingModel(masked, H)
    with pytest.raises(InputError, match=r"masked"):
        as_numbers([1.0, np.ma.masked], "x")


def test_a_lazy_array_is_looked_at_where_it_is_read():
    lazy = dask.array.from_array(W, chunks=8)
    masked = dask.array.ma.masked_array(lazy, hidden(W))
    with pytest.raises(InputError, match="masked"):
        lsg_ray.moments(masked)
    np.testing.assert_array_equal(lsg_ray.moments(lazy)["C"], lsg_ray.moments(W)["C"])


def test_named_dimensions_tell_rows_from_weights():
    given = xarray.DataArray(W.T, dims=("weight", "configuration"))
    np.testing.assert_array_equal(lsg_ray.moments(given)["m"], M)


@pytest.mark.parametrize("size", [1e30, 1e200])
def test_weights_whose_squares_would_not_be_finite(size):
    for function in (lsg_ray.moments, lsg_ray.distances, lsg_ray.clustering, lsg_ray.embed):
        with pytest.raises(InputError, match=r"at row 0, weight 0; weights must be finite, and at"):
            function(size * W)
    if size < 1e100:
        assert match_weights([3, 3, 1], size * W[0], W[0]).after == pytest.approx(size)
    else:
        with pytest.raises(InputError, match=r"a\[0\]"):
            match_weights([3, 3, 1], size * W[0], size * W[1])


def test_a_network_is_given_by_its_widths():
    a, b = W[:2]
    known = match_weights(NetworkSpec(widths=(3, 3, 1)), a, b)
    for network in ([3, 3, 1], (3, 3, 1), np.array([3, 3, 1])):
        assert match_weights(network, a, b).after == known.after
    assert match_weights(Spec(), *np.ones((2, 675))).after == 1
    for wrong in ([3], [3, 0, 1], [3.5, 3, 1], ["3", "3", "1"], [[3, 3, 1]], None, 3, {"a": 3}):
        with pytest.raises(InputError, match="widths"):
            match_weights(wrong, a, b)


@pytest.mark.parametrize(
    "protocol",
    [
        lsg_ray.random_walk,
        lsg_ray.interpolate,
        lsg_ray.swap_barriers,
        lsg_ray.flatness,
        lsg_ray.loss_surface,
        lambda x: lsg_ray.compare_minima(x, x),
    ],
)
def test_arrays_have_no_loss(protocol):
    for given in (W, W.tolist(), torch.tensor(W), {"weights": W}, None):
        with pytest.raises(InputError, match="store is needed"):
            protocol(given)


def test_a_caller_s_handling_of_floating_point_does_not_matter():
    tiny = 1e-300
    with np.errstate(all="raise"):
        lsg_ray.distances(tiny * W)
        lsg_ray.embed(tiny * W, method="pca")
        lsg_ray.IsingModel(tiny * J, tiny * H).energy(W)
        lsg_ray.canonicalize(tiny * W, network=[3, 3, 1], inputs=tiny * INPUTS).rows(0, 9)
        lsg_ray.clustering(W)
        lsg_ray.replica_overlaps(W, draws=2)
        lsg_ray.entropy_scan((J, 500 * H), W[:1], [-3, 0, 3])
        lsg_ray.thermodynamics((J, H), beta=50, ladders=2, draws=8)
        lsg_ray.tap_states((J, H), starts=4)
        lsg_ray.fit_boltzmann(W, method="plm")
        assert np.geterr()["under"] == "raise"


def test_integers():
    assert as_integers([], "x").tolist() == []
    assert as_integers({3, 1}, "x").tolist() == [1, 3]
    for wrong in ([1.5], [[1]], ["1"], None):
        with pytest.raises(InputError):
            as_integers(wrong, "x")


def test_endless_lists():
    endless: list = []
    endless.append(endless)
    with pytest.raises(InputError, match="contain themselves"):
        as_numbers(endless, "x")


def test_what_is_shown_is_short():
    assert len(brief(RNG.normal(size=(100, 100)))) < 300
    assert "\n" not in brief(torch.ones(30, 30))


SEED = 2**127 + 1


@pytest.mark.parametrize(
    "result",
    [
        lambda: lsg_ray.overlaps(W, seed=SEED),
        lambda: lsg_ray.distances(W, seed=SEED),
        lambda: lsg_ray.clustering(W, seed=SEED),
        lambda: lsg_ray.embed(W, seed=SEED, method="pca"),
        lambda: lsg_ray.replica_overlaps(W, draws=2, seed=SEED),
        lambda: lsg_ray.sample_model((J, H), chains=8, draws=8, seed=SEED),
        lambda: lsg_ray.thermodynamics((J, H), ladders=2, draws=8, seed=SEED),
        lambda: lsg_ray.tap_states((J, H), starts=4, seed=SEED),
        lambda: lsg_ray.spherical_minima(5, 3, 2, seed=SEED),
        lambda: lsg_ray.fit_boltzmann(W, method="exact", seed=SEED).model.to_dataset(),
    ],
)
def test_results_of_long_seeds_can_be_written_anywhere(result, tmp_path):
    output = result()
    assert output.attrs["seed"] == str(SEED)
    # NetCDF has no booleans: h5netcdf refuses them as attributes, and SciPy writes integers.
    output.to_netcdf(tmp_path / "result.nc", engine="scipy")
    with xarray.open_dataset(tmp_path / "result.nc") as again:
        assert int(again.attrs["seed"]) == SEED
    assert lsg_ray.overlaps(W, seed=5).attrs["seed"] == 5


def test_a_saved_result_has_attributes_that_netcdf_holds(tmp_path):
    from lsg_ray.results.saving import open_result, save_result

    save_result(xarray.Dataset({"a": ("x", H)}, attrs={"seed": SEED, "n": 3}), tmp_path / "a")
    with open_result(tmp_path / "a") as result:
        assert result.attrs["seed"] == str(SEED)
        assert result.attrs["n"] == 3
