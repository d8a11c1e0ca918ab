"""The server of the page: on loopback, behind a token, in one process and without a network.

All scripts and style sheets are those of the installed packages; nothing is loaded from elsewhere.
"""

from __future__ import annotations

import importlib.util
import logging
import secrets
from collections.abc import Sequence
from typing import Any

from lsg_ray.errors import InputError
from lsg_ray.explore.places import Place, find_places
from lsg_ray.paths import is_loopback

#: Libraries that the page is made of.
LIBRARIES = ("panel", "holoviews", "bokeh", "datashader")
EXTRA = "pip install 'lsg-ray[explore]'"
#: Characters of a token that is given, at least: it must not be found by trying.
MIN_TOKEN_LENGTH = 16


def check_libraries() -> None:
    """Refuse to start where a library is missing.

    Raises
    ------
    InputError
        It names the library, and the command that installs all.
    """
    missing = [name for name in LIBRARIES if importlib.util.find_spec(name) is None]
    if missing:
        raise InputError(
            f"lsg explore needs {missing[0]}, which is not installed; install it with: {EXTRA}"
        )


def check_access(host: str, token: str | None) -> str:
    """Return the token: the one that is given, or a random one on loopback.

    Raises
    ------
    InputError
        Others could reach the page and no token is given, or it is too short to keep them out.

    >>> check_access("0.0.0.0", None)
    Traceback (most recent call last):
    ...
    lsg_ray.errors.InputError: host 0.0.0.0 given, which others can reach; give a --token of 16 \
characters or more, or leave --host out
    """
    if token is None:
        if not is_loopback(host):
            raise InputError(
                f"host {host} given, which others can reach; give a --token of "
                f"{MIN_TOKEN_LENGTH} characters or more, or leave --host out"
            )
        return secrets.token_urlsafe(32)
    if len(token) < MIN_TOKEN_LENGTH or not (token.isascii() and token.isprintable()):
        raise InputError(
            f"--token: {len(token)} characters given; at least {MIN_TOKEN_LENGTH} of ASCII are "
            "needed, such as those of: openssl rand -hex 16"
        )
    return token


def make_server(
    given: Sequence[str],
    *,
    host: str = "127.0.0.1",
    port: int = 0,
    token: str,
    clusters: Sequence[Place] = (),
) -> Any:
    """Return a server that listens, and answers once its loop runs.

    Parameters
    ----------
    given
        What to show, as `find_places` takes it; looked for again by each session.
    host, port
        Address to listen on; port 0 is a free one.
    token
        Token that requests need.
    clusters
        Clusters whose jobs are shown too.

    Raises
    ------
    InputError
        Nothing is there to show, or the address cannot be used.
    """
    places = find_places(given)
    from panel.io.server import get_server

    from lsg_ray.explore.guard import Guard
    from lsg_ray.explore.session import session

    for name in ("tornado.access", "bokeh"):  # lines of a request would show its query
        logging.getLogger(name).setLevel(logging.ERROR)
    loopback = is_loopback(host)
    try:
        server = get_server(
            {"/": lambda: session(given, places, clusters)},
            port=port,
            address=host,
            # Bokeh would list ports, and a forwarded one is not known: the guard asks instead that
            # Origin is Host.
            websocket_origin="*",
        )
    except OSError as error:
        reason = error.strerror or error
        raise InputError(
            f"{host}, port {port}: cannot be listened on ({reason}); name another --port"
        ) from None
    # Before any handler: whatever this application has, now or later, is behind the guard.
    server._http.request_callback = Guard(server._tornado, token, any_host=not loopback)
    return server


def address_of(server: Any, host: str, token: str) -> str:
    """Return the address to open, with the token."""
    name = f"[{host}]" if ":" in host else host
    return f"http://{name}:{server.port}/?token={token}"


def serve(server: Any) -> None:
    """Answer until Ctrl-C, which ends the loop, or SIGTERM, which raises a KeyboardInterrupt."""
    server.start()
    try:
        server.io_loop.start()
    finally:
        server.stop(wait=False)
