"""Jobs of a cluster: what is asked, shown and escaped."""

import asyncio

import pytest

from lsg_ray.cli.main import main
from lsg_ray.errors import ClusterError
from lsg_ray.explore import session  # noqa: F401 - loads what draws plots
from lsg_ray.explore.page import Page
from lsg_ray.explore.places import Cluster, Place

from .conftest import HOSTILE
from .test_views import texts

ADDRESS = "http://127.0.0.1:8265"
JOBS = {
    "id": ["lsg-1", "lsg-2"],
    "status": ["SUCCEEDED", HOSTILE],
    "began": ["2026-01-01 00:00:00", "not yet"],
    "seconds": [12.0, None],
    "out": ["s3://bucket/a.zarr", HOSTILE],
}


def view_of(jobs, log=lambda id: f"log of {id}", **query):
    place = Place(f"jobs of {ADDRESS}", ADDRESS, "cluster", cluster=Cluster(jobs, log))
    return Page([place], query).view


def test_jobs__are_shown_the_latest_first_and_as_text():
    view = view_of(lambda: JOBS)
    view.panel()
    asyncio.run(view._look())
    shown = texts(view._table)[0]
    assert shown.index("lsg-2") < shown.index("lsg-1")
    assert "<img src=x" not in shown
    assert view._menu.options == ["", "lsg-2", "lsg-1"]
    assert view.as_command() == f"lsg jobs list --address {ADDRESS}"
    view._menu.value = "lsg-1"
    assert view.job == "lsg-1"
    assert view.as_command() == f"lsg jobs logs lsg-1 --address {ADDRESS}"


def test_a_link__can_name_a_job_that_is_gone():
    view = view_of(lambda: JOBS, job=HOSTILE)
    view.panel()
    asyncio.run(view._look())
    assert view._menu.value == HOSTILE
    assert not any("<img src=x" in one for one in texts(view.panel()))


def test_a_cluster_that_does_not_answer__says_so():
    def gone():
        raise ClusterError(f"no answer from {ADDRESS}")

    view = view_of(gone)
    view.panel()
    asyncio.run(view._look())
    assert any("no answer" in one for one in texts(view._table))


@pytest.mark.parametrize("address", ["http://evil.example:8265", "8265", "http://a:b@h:8265"])
def test_addresses__have_the_rules_of_lsg_jobs(no_token, run_folder, address, capsys):
    with pytest.raises(SystemExit) as stop:
        main(["explore", str(run_folder), "--no-browser", "--address", address])
    assert stop.value.code == 2
    said = "".join(capsys.readouterr())
    assert "--address" in said
    assert "a:b" not in said
