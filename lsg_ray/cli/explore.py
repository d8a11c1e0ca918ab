"""The command that shows stores and results on a page of this machine: explore."""

from __future__ import annotations

import contextlib
import json
from functools import partial
from typing import TYPE_CHECKING

import click

from lsg_ray.cli.options import PATH, RUNNING, argument, as_json, command, option
from lsg_ray.cli.output import show

if TYPE_CHECKING:
    from lsg_ray.explore.places import Place


@command()
@argument(
    "places",
    metavar="PLACE...",
    type=PATH,
    nargs=-1,
    required=True,
    help="Folders of runs, stores, results and models (.npz with J and h): paths; of stores and "
    "results also URLs.",
)
@option(
    "--port",
    type=click.IntRange(min=0, max=65535),
    default=0,
    section=RUNNING,
    help="Port to listen on; 0 is a free one.",
)
@option(
    "--host",
    default="127.0.0.1",
    section=RUNNING,
    help="Address to listen on; one that others can reach needs a --token.",
)
@option(
    "--token",
    envvar="LSG_EXPLORE_TOKEN",
    section=RUNNING,
    help="Token that the page asks for, of 16 characters or more; without it, a random one. Also "
    "LSG_EXPLORE_TOKEN in the environment, where other users of this machine do not see it.",
)
@option(
    "--address",
    metavar="URL",
    section=RUNNING,
    help="Dashboard of a cluster, http://HOST:8265, whose jobs are shown too.",
)
@option(
    "--insecure",
    "allow_insecure",
    is_flag=True,
    section=RUNNING,
    help="Allow plain http to another machine without a token, for --address.",
)
@option("--no-browser", is_flag=True, section=RUNNING, help="Do not open the page in a browser.")
@as_json
def explore(
    places: tuple[str, ...],
    port: int,
    host: str,
    token: str | None,
    address: str | None,
    allow_insecure: bool,
    no_browser: bool,
    as_json: bool,
) -> None:
    """Look into stores and results on a web page of this machine.

    Nothing is written. The page answers to whoever has its address, which holds a random token,
    until Ctrl-C. On a cluster, forward its port: ssh -L 5006:localhost:5006 HOST.
    """
    from lsg_ray.explore.server import address_of, check_access, check_libraries, make_server, serve

    check_libraries()
    secret = check_access(host, token)
    clusters = [] if address is None else [_cluster(address, allow_insecure)]
    server = make_server(places, host=host, port=port, token=secret, clusters=clusters)
    url = address_of(server, host, secret)
    with contextlib.suppress(KeyboardInterrupt):  # Ctrl-C and SIGTERM are how the page ends
        # The one place where a token is printed: without it the page cannot be opened.
        if as_json:
            click.echo(json.dumps({"url": url, "port": server.port}))
        else:
            show("Open this address; Ctrl-C ends the page.", err=True)
            click.echo(url)
        if not no_browser:
            import webbrowser

            webbrowser.open(url)
        serve(server)


def _cluster(address: str, allow_insecure: bool) -> Place:
    """Return a cluster, which is asked for its jobs when they are looked at."""
    from lsg_ray.cli.jobs import job_columns
    from lsg_ray.cluster.dashboard import auth_token, check_dashboard
    from lsg_ray.cluster.jobs import job_list, job_log
    from lsg_ray.explore.places import Cluster, Place

    checked = check_dashboard(address, auth_token(), allow_insecure)
    cluster = Cluster(
        lambda: job_columns(job_list(checked, allow_insecure=allow_insecure)),
        partial(job_log, address=checked, allow_insecure=allow_insecure),
    )
    return Place(f"jobs of {checked}", checked, "cluster", cluster=cluster)
