"""Data of one's own in an object store: read by URL, kept by contents."""

from pathlib import Path

import numpy as np
import pytest

from lsg_ray.datasets import load_dataset, locating
from lsg_ray.errors import DataError
from lsg_ray.spec import DatasetSpec, parse_spec
from tests.datasets.own import examples, write_npz
from tests.ensemble.s3 import ACCESS_KEY, SECRET, make_bucket, moto_server, using


@pytest.fixture(scope="module")
def endpoint():
    with moto_server() as url:
        make_bucket(url, "data")
        yield url


def test_s3__is_read_once_and_stored_by_contents(endpoint, rng, monkeypatch, tmp_path):
    import obstore
    from obstore.store import S3Store

    monkeypatch.chdir(tmp_path)
    locating._downloaded.clear()
    locating._seen.clear()
    x, y = examples(rng)
    write_npz("d.npz", x, y, 12)
    how = {"name": "file", "path": "s3://data/some/d.npz"}
    with using(endpoint):
        obstore.put(S3Store("data", client_options={"allow_http": True}), "some/d.npz",
                    Path("d.npz"))  # fmt: skip
        spec = parse_spec({"dataset": how, "network": {"widths": [5, 4, 3]}})
        dataset = load_dataset(spec.dataset)
        np.testing.assert_array_equal(dataset.train.x, x[12:])
        local = parse_spec({"dataset": {**how, "path": "d.npz"}, "network": {"widths": [5, 4, 3]}})
        assert local.hash == spec.hash
        assert "s3://" not in spec.canonical_json()
        with pytest.raises(DataError, match=r"s3://data/some/e.npz: nothing there") as error:
            DatasetSpec.model_validate({**how, "path": "s3://data/some/e.npz"})
        assert SECRET not in str(error.value)
        assert ACCESS_KEY not in str(error.value)
    locating._downloaded.clear()
    with using(None, AWS_EC2_METADATA_DISABLED="true"), pytest.raises(DataError) as error:
        DatasetSpec.model_validate({**how, "path": "s3://data/some/other.npz"})
    assert "\n" not in str(error.value)
