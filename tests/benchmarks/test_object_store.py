"""A ledger of many blocks on an object store: requests, and seconds where each takes its time.

At toy size an ordinary test; at full size (100,000 blocks, 30 ms a request and 100 ms a list of
1,000 keys; minutes):

    pytest tests/benchmarks/test_object_store.py --benchmark-enable -s
"""

import time

from lsg_ray.ensemble.header import read_header
from lsg_ray.ensemble.listing import Listing, sweep
from lsg_ray.ensemble.location import locate
from lsg_ray.ensemble.pages import write_pages
from lsg_ray.ensemble.reader import open_ensemble
from lsg_ray.ensemble.schema import LEDGER
from lsg_ray.ensemble.writer import create_ensemble
from lsg_ray.spec import Spec
from tests.benchmarks.object_server import object_server
from tests.ensemble.s3 import using

URL = "s3://bucket/e"


def test_a_ledger_on_an_object_store_is_listed_and_read_in_few_requests(request):
    """What `lsg sample` does with a store that is there, `lsg info`, and the list of `verify`."""
    full = request.config.getoption("benchmark_enable")
    blocks, seconds = (100_000, (0.03, 0.1)) if full else (2_500, (0.0, 0.0))
    pages = -(-blocks // 1000)
    spec = Spec.model_validate({"ensemble": {"count": blocks, "block_size": 1}})
    with object_server(*seconds) as server, using(server.url):
        create_ensemble(URL, spec, dataset_hash="d")
        header = read_header(locate(URL))
        chunks = [array.chunk_key(0) for array in header.arrays]
        server.fill("/bucket/e", chunks, blocks)

        def timed(what, work):
            server.counts()
            began = time.perf_counter()
            result = work()
            counts = server.counts()
            took = time.perf_counter() - began
            print(f"\n{blocks:,} blocks, {what}: {took:.1f} s, {counts}", end="")
            return result, counts, took

        plan, counts, resumed = timed(
            "resume", lambda: create_ensemble(URL, spec, dataset_hash="d")
        )
        assert not len(plan.missing)
        assert counts["LIST"] <= pages + 2
        slow, counts, _ = timed("info from records", lambda: open_ensemble(URL).info())
        assert counts["GET"] > blocks
        assert timed("sweep", lambda: sweep(URL))[:2] == (0, {})
        assert timed("pages", lambda: write_pages(URL))[0] == pages
        written, counts, _ = timed("pages again", lambda: write_pages(URL))
        assert (written, counts.get("PUT", 0)) == (0, 0)
        quick, counts, informed = timed("info from pages", lambda: open_ensemble(URL).info())
        assert quick == slow
        assert counts["GET"] <= pages + 1
        listing, counts, _ = timed("list of verify", lambda: Listing(locate(URL), header))
        assert listing.of(LEDGER).all()
        assert (listing.n_foreign, listing.staged, listing.without_record()) == (0, [], [])
        assert counts["LIST"] <= 1.15 * len(chunks) * pages + 40
    if full:
        assert resumed < 10
        assert informed < 30
