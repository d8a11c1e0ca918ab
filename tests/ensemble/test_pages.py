"""Pages of the ledger on an S3 server: fewer requests, and the answers of the records."""

import numpy as np
import pytest

from lsg_ray.cluster.sample import sample
from lsg_ray.ensemble import listing, pages
from lsg_ray.ensemble.header import read_header
from lsg_ray.ensemble.ledger import (
    LISTED_BLOCKS,
    complete_blocks,
    read_record,
    record_key,
    record_text,
)
from lsg_ray.ensemble.location import locate
from lsg_ray.ensemble.pages import each_record, page_key, write_pages
from lsg_ray.ensemble.reader import open_ensemble
from lsg_ray.ensemble.verify import verify
from lsg_ray.ensemble.writer import create_ensemble, drop_block, write_block
from lsg_ray.spec import parse_spec

from .s3 import SPEC, Proxy, using
from .synthetic import DATASET_HASH, fill, make_block, make_spec

BLOCKS = 12


@pytest.fixture(autouse=True)
def _small_pages(monkeypatch):
    monkeypatch.setattr(pages, "PAGE_BLOCKS", 5)
    monkeypatch.setattr(pages, "LEAST_RECORDS", 2)


@pytest.fixture
def spec():
    return make_spec(count=3 * BLOCKS - 1, block_size=3)


@pytest.fixture
def store(s3, url, spec):
    """A whole store, with its pages."""
    fill(url, spec)
    assert write_pages(url) == 3
    return url


def records(url):
    location = locate(url)
    header = read_header(location)
    blocks = complete_blocks(location, header)
    return {record.block: record for record in each_record(location, header, blocks)}


def true_records(url):
    """Records, one by one."""
    location = locate(url)
    header = read_header(location)
    blocks = complete_blocks(location, header).tolist()
    return {block: read_record(location, header, block) for block in blocks}


def copy_of(url, block):
    return pages.believed(locate(url), block).get(block)


def test_records_are_read_from_pages_in_few_requests(s3, store):
    expected = true_records(store)
    with Proxy(s3) as proxy:
        with using(proxy.url):
            assert records(store) == expected
        assert proxy.count("GET", "page-") == 3
        assert proxy.count("GET", "ledger/0") == 0
    assert write_pages(store) == 0
    assert verify(store).findings == ()


def test_a_run_leaves_pages_behind_and_a_resume_adds_those_that_are_missing(s3, url, monkeypatch):
    spec = parse_spec(SPEC)
    sample(spec, url, workers=0)
    location = locate(url)
    assert [bool(location.age(page_key(block))) for block in (0, 5, 10)] == [True, True, False]
    location.delete(page_key(5))
    assert sample(spec, url, workers=0).resumed == 60
    assert copy_of(url, 7) is not None
    assert verify(url).findings == ()


def test_a_page_is_written_when_all_its_blocks_are_complete(s3, url, spec):
    fill(url, spec, blocks=[*range(4), *range(5, 10)])
    assert write_pages(url) == 1
    assert (copy_of(url, 0), copy_of(url, 5) is None) == (None, False)
    assert records(url) == true_records(url)
    fill(url, spec)
    assert write_pages(url) == 2
    assert records(url) == true_records(url)


def test_a_record_that_is_withdrawn_is_in_no_answer(store):
    location = locate(store)
    before = open_ensemble(store).info()
    drop_block(location, read_header(location), 6)
    assert 6 not in records(store)
    after = open_ensemble(store).info()
    assert (before["rows"], after["rows"]) == (35, 32)
    assert before["content_hash"] != after["content_hash"]
    assert verify(store).ok


def test_a_record_that_is_written_anew_is_the_one_that_is_read(store, spec):
    location = locate(store)
    drop_block(location, read_header(location), 6)
    write_block(store, 6, make_block(spec, 6, 3), attempt=2, processor="another kind")
    assert copy_of(store, 6) is None
    assert copy_of(store, 7) is not None
    assert records(store)[6].processor == "another kind"
    assert write_pages(store) == 1
    assert copy_of(store, 6) is not None
    assert records(store) == true_records(store)


def test_growth_leaves_pages_of_what_was_there(store, spec):
    longer = spec.replace(ensemble={"count": 60})
    create_ensemble(store, longer, dataset_hash=DATASET_HASH)
    assert sorted(records(store)) == [*range(11)]  # the last was short
    fill(store, longer)
    assert records(store) == true_records(store)
    assert write_pages(store) == 2
    assert write_pages(store) == 0
    assert records(store) == true_records(store)
    assert verify(store).findings == ()


@pytest.mark.parametrize(
    "damage",
    [
        lambda _: b"",
        lambda data: data[: len(data) // 2],
        lambda data: data.replace(b"\t", b" "),
        lambda _: b"\xff\x00" * 5000,
        lambda data: data * 10_000,
        lambda data: data.replace(b'"trials":', b'"trials": '),
        lambda data: data.replace(b"5\t", b"6\t", 1),
        lambda data: data.replace(b"\n", b"\r\n\r\n"),
        lambda data: b"9" * 5000 + b"\t" + data,
    ],
    ids=["empty", "half", "spaces", "bytes", "large", "altered", "other", "lines", "digits"],
)
def test_a_damaged_page_changes_no_answer(store, damage):
    location = locate(store)
    location.write(page_key(5), damage(bytes(location.read(page_key(5)))))
    assert records(store) == true_records(store)
    assert write_pages(store) <= 1
    assert records(store) == true_records(store)


def test_a_copy_that_is_not_the_record_is_found_and_removed(store, spec):
    """Nothing that we write makes one: tag and checksum are right, and the number is not."""
    location = locate(store)
    true = records(store)[6]
    forged = record_text(true.model_copy(update={"seconds": 99.0})).strip()
    data = bytes(location.read(page_key(6)))
    location.write(page_key(6), data.replace(record_text(true).strip(), forged))
    assert records(store)[6].seconds == 99.0
    (finding,) = verify(store).findings
    assert (finding.kind, finding.key) == ("page", "ledger/page-000001.txt")
    assert "copy of the record of block 6" in finding.message
    (finding,) = verify(store, repair=True).findings
    assert finding.repaired
    assert records(store) == true_records(store)
    assert verify(store).findings == ()


def test_a_page_beyond_the_plan_is_foreign(store):
    locate(store).write("ledger/page-000003.txt", b"mine")
    (finding,) = verify(store).findings
    assert finding.kind == "foreign file"


def test_local_stores_have_no_pages(tmp_path, spec):
    fill(tmp_path / "e", spec)
    assert write_pages(tmp_path / "e") == 0
    assert not list((tmp_path / "e" / "ledger").glob("page*"))


@pytest.mark.parametrize("prefix", ["", "ledger"])
def test_ranges_of_a_listing_are_the_listing(store, monkeypatch, prefix):
    place = locate(store)
    for name in ("!", "ledger/00000005.json~", "ledger/~", "loss/c.1.x", "loss/d", "z/z"):
        place.write(name, b"")
    whole = list(place.every_key(prefix))
    assert len(whole) > 12
    rng = np.random.default_rng(0)
    for number in (1, 2, 7, len(whole)):
        chosen = rng.choice(whole, number, replace=False).tolist()
        assert list(place.every_key(prefix, sorted([*chosen, "loss/c.0~", "zz"]))) == whole
    monkeypatch.setattr(listing, "LIST_PAGE", 1)
    cuts = listing._cuts(read_header(place))
    assert cuts == sorted(cuts)
    assert list(place.every_key("", cuts)) == list(place.every_key())


def test_the_cuts_of_a_ledger_are_its_records(store):
    header = read_header(locate(store)).grown(3 * 12_345)
    keys = [record_key(LISTED_BLOCKS - 1), record_key(2 * LISTED_BLOCKS - 1)]
    assert [key for key in listing._cuts(header) if "ledger" in key] == keys
