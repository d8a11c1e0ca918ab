"""Public functions on whatever people may hold numbers in."""

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from lsg_ray.errors import LsgError
from tests.fuzz.made import ODD, bounded, clean, fuzz


@st.composite
def foreign_arrays(draw, shape: tuple[int, ...]):
    """Numbers, mostly those of a public argument, in whatever people may hold them in."""
    import dask.array
    import pandas
    import scipy.sparse
    import torch
    import xarray

    size = int(np.prod(shape))
    numbers = st.sampled_from([1.0, -1.0, 1.0, -1.0, 0.0, 0.3, 1e-300, 1e30, 1e308])
    odd = st.sampled_from([np.nan, np.inf, -np.inf, 2.0])
    flat = draw(st.lists(numbers, min_size=size, max_size=size))
    for _ in range(draw(st.integers(0, 1))):
        flat[draw(st.integers(0, size - 1))] = draw(odd)
    if draw(st.booleans()):
        flat = [1.0 if value >= 0 else -1.0 for value in flat]
    x = np.array(flat).reshape(shape)
    mask = np.array(draw(st.lists(st.booleans(), min_size=size, max_size=size))).reshape(shape)
    table = pandas.DataFrame if x.ndim == 2 else pandas.Series
    kinds = {
        "plain": lambda: x,
        "list": lambda: x.tolist(),
        "masked": lambda: np.ma.array(x, mask=mask & draw(st.booleans())),
        "masked rows": lambda: [np.ma.array(row, mask=m) for row, m in zip(x, mask, strict=True)],
        "hard mask": lambda: np.ma.array(x, mask=mask, hard_mask=True, fill_value=1),
        "masked Dask": lambda: dask.array.ma.masked_array(dask.array.from_array(x), mask),
        "Dask": lambda: dask.array.from_array(x, chunks=2),
        "xarray": lambda: xarray.DataArray(x).where(~mask),
        "Dataset": lambda: xarray.Dataset({"x": xarray.DataArray(x)}),
        "pandas": lambda: table(x),
        "nullable": lambda: table(x).astype("Float64").mask(mask),
        "categories": lambda: pandas.Series(x.ravel()).astype("category"),
        "gradient": lambda: torch.tensor(x, requires_grad=True),
        "half": lambda: torch.tensor(x, dtype=draw(st.sampled_from([torch.bfloat16, torch.half]))),
        "complex tensor": lambda: torch.tensor(x).to(torch.complex64),
        "sparse tensor": lambda: torch.tensor(x).to_sparse(),
        "elsewhere": lambda: torch.empty(shape, device="meta"),
        "sparse": lambda: scipy.sparse.csr_array(np.atleast_2d(x)),
        "type": lambda: x.astype(draw(st.sampled_from(["U", "S9", "O", "?", "c8", "f2", "M8[s]"]))),
        "integers": lambda: np.sign(np.nan_to_num(x)).astype(draw(st.sampled_from(["i1", "u8"]))),
        "longer": lambda: x.astype(np.longdouble),
        "records": lambda: np.zeros(shape, "i4,f8"),
        "none": lambda: None,
        "text": lambda: draw(st.text(max_size=5)),
        "object": lambda: draw(ODD),
        "ragged": lambda: [x.tolist(), 1.0],
        "shape": lambda: x.ravel() if x.ndim == 2 else x[None, None],
        "empty": lambda: x[:0],
    }
    return kinds[draw(st.sampled_from(sorted(kinds)))]()


def array_arguments():
    """Public functions by the shape of an argument, with the others as they should be."""
    import lsg_ray
    from lsg_ray.ising.bp import belief_propagation
    from lsg_ray.networks.permutations import match_weights

    J, h = np.array([[0, 0.2, 0.1], [0.2, 0, 0.3], [0.1, 0.3, 0]]), np.array([0.1, -0.2, 0.3])
    sigma = np.array([[1, -1, 1], [1, 1, -1], [-1, 1, 1], [1, 1, 1]])
    return {
        "moments": ((5, 3), lsg_ray.moments),
        "weights": ((4,), lambda x: lsg_ray.moments(sigma, weights=x)),
        "overlaps": ((5, 3), lsg_ray.overlaps),
        "distances": ((5, 3), lambda x: lsg_ray.distances(sigma, references=x)),
        "J": ((3, 3), lambda x: lsg_ray.IsingModel(x, h)),
        "h": ((3,), lambda x: lsg_ray.IsingModel(J, x)),
        "energy": ((2, 3), lambda x: lsg_ray.IsingModel(J, h).energy(x)),
        "m": ((3,), lambda x: lsg_ray.fit_boltzmann((x, np.eye(3)), method="bp", verify=False)),
        "C": ((3, 3), lambda x: lsg_ray.fit_boltzmann((0 * h, x), method="bp", verify=False)),
        "scan": ((2, 3), lambda x: lsg_ray.entropy_scan((J, h), x, [0, 1])),
        "fields": ((3,), lambda x: lsg_ray.entropy_scan((J, h), sigma[:1], x)),
        "cavity": ((3,), lambda x: belief_propagation((J, h), fields=x, max_sweeps=50)),
        "start": ((3,), lambda x: lsg_ray.sample_model((J, h), start=x, chains=4, draws=8)),
        "match": ((6,), lambda x: match_weights([2, 2, 1], x, np.ones(6))),
        "widths": ((3,), lambda x: match_weights(x, np.ones(6), np.ones(6))),
        "inputs": (
            (4, 2),
            lambda x: lsg_ray.canonicalize(np.ones((3, 6)), network=[2, 2, 1], inputs=x).rows(0, 3),
        ),
        "walk": ((3, 4), lambda x: lsg_ray.random_walk(x, sigma=0.1)),
        "sigma": ((2,), lambda x: lsg_ray.random_walk("memory://none", sigma=x)),
        "alphas": ((3,), lambda x: lsg_ray.interpolate("memory://none", alphas=x)),
    }


@fuzz(400)
@given(st.data())
def test_masked_and_foreign_arrays(data):
    import warnings

    arguments = array_arguments()
    shape, function = arguments[data.draw(st.sampled_from(sorted(arguments)))]
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        given = data.draw(foreign_arrays(shape))
        with bounded(), np.errstate(all="raise"):
            try:
                function(given)
            except LsgError as error:
                output = clean(error, printable=False)
            else:
                assert not np.ma.is_masked(given)
                return
    assert len(output.splitlines()) == 1
