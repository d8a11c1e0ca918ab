"""Who may see the page: whoever has the token, from the page's own origin.

Every request, of pages, files and web sockets alike, passes here before any handler of Bokeh or
Panel sees it.  The token comes once in the query; it is put into a cookie that scripts cannot
read, and taken out of the address by a redirection, so that no copied link, history or log keeps
it.  The name of the host is checked too: otherwise a page elsewhere whose name is made to point
here (DNS rebinding) would be of our origin.
"""

from __future__ import annotations

import hmac
from collections.abc import Mapping
from typing import Any
from urllib.parse import parse_qsl, urlencode, urlsplit

from tornado.httputil import HTTPHeaders, HTTPMessageDelegate, HTTPServerRequest
from tornado.routing import Router
from tornado.web import Application, RequestHandler

from lsg_ray.paths import is_loopback

#: Name of the cookie, which has the port after it: cookies do not tell ports apart.
COOKIE = "lsg-explore"
#: Of every answer.  Nothing is loaded from, or sent to, another host; Bokeh and Panel compile
#: functions and style sheets in the browser.
HEADERS = {
    "Content-Security-Policy": (
        "default-src 'self' data: blob: 'unsafe-inline' 'unsafe-eval'; connect-src 'self' {ws}; "
        "object-src 'none'; base-uri 'self'; form-action 'self'; frame-ancestors 'none'"
    ),
    "Referrer-Policy": "no-referrer",
    "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": "DENY",
    "Cache-Control": "no-store",
}


class Guard(Router):
    """Passes requests with the token on to an application, and refuses all others.

    Parameters
    ----------
    application
        Application whose handlers answer.
    token
        Token that is asked for.
    any_host
        Whether the page may be asked for under any name, as where it is not on loopback; its own
        names are then not known.
    """

    def __init__(self, application: Application, token: str, *, any_host: bool) -> None:
        self.application, self._token, self._any_host = application, token, any_host

    def find_handler(self, request: HTTPServerRequest, **_: Any) -> HTTPMessageDelegate:
        """Return what answers a request."""
        if why := self._refused(request):
            return self._answer(request, _Refusal, why=why)
        if "token" in request.arguments:
            return self._answer(request, _TakeToken, token=self._token)
        if not _upgrades(request):  # a web socket takes its connection over as it is
            request.connection = _WithHeaders(request.connection, _headers(request))
        found = self.application.find_handler(request)
        assert isinstance(found, HTTPMessageDelegate)
        return found

    def _refused(self, request: HTTPServerRequest) -> str:
        """Return why a request is refused; empty text if it is not."""
        if request.method not in ("GET", "HEAD"):
            return "This page is only read."
        host = _host_of(request.headers.get("Host", ""))
        if not self._any_host and not is_loopback(host):
            return "This page answers to localhost and 127.0.0.1 alone."
        given = request.arguments.get("token", [])
        cookie = request.cookies.get(cookie_name(request))
        if cookie is not None:
            given = [*given, cookie.value.encode()]
        # All are compared, each in constant time.
        if not any([hmac.compare_digest(one, self._token.encode()) for one in given]):  # noqa: C419
            return "Open the address that lsg explore has printed: it has the token."
        if _upgrades(request) and not _same_origin(request):
            return "A web socket of this page is opened by this page alone."
        return ""

    def _answer(
        self, request: HTTPServerRequest, handler: type[RequestHandler], **arguments: str
    ) -> HTTPMessageDelegate:
        return self.application.get_handler_delegate(request, handler, arguments)


class _Refusal(RequestHandler):
    """Says in a line of text why there is no answer."""

    def initialize(self, why: str) -> None:
        self.why = why

    def prepare(self) -> None:
        self.set_status(403)
        self.set_header("Content-Type", "text/plain; charset=utf-8")
        for name, value in _headers(self.request).items():
            self.set_header(name, value)
        self.finish(f"{self.why}\n")


class _TakeToken(RequestHandler):
    """Puts the token into a cookie, and goes to the same address without it."""

    def initialize(self, token: str) -> None:
        self.token = token

    def prepare(self) -> None:
        self.set_cookie(
            cookie_name(self.request), self.token, path="/", httponly=True, samesite="Strict"
        )
        for name, value in _headers(self.request).items():
            self.set_header(name, value)
        pairs = parse_qsl(self.request.query, keep_blank_values=True)
        query = urlencode([(name, value) for name, value in pairs if name != "token"])
        # Without a host, and with one slash in front: it leads nowhere else.
        path = "/" + self.request.path.lstrip("/\\")
        self.redirect(f"{path}?{query}" if query else path)


class _WithHeaders:
    """A connection that adds headers to the answer, whoever writes it."""

    def __init__(self, connection: Any, headers: Mapping[str, str]) -> None:
        self._connection, self._headers = connection, headers

    def __getattr__(self, name: str) -> Any:
        return getattr(self._connection, name)

    def write_headers(self, start_line: Any, headers: HTTPHeaders, *rest: Any) -> Any:
        for name, value in self._headers.items():
            headers[name] = value
        return self._connection.write_headers(start_line, headers, *rest)


def cookie_name(request: HTTPServerRequest) -> str:
    """Return the name of the cookie, with the port that the browser sees."""
    port = urlsplit(f"//{request.headers.get('Host', '')}").netloc.rpartition(":")[2]
    return f"{COOKIE}-{port}" if port.isdecimal() else COOKIE


def _headers(request: HTTPServerRequest) -> dict[str, str]:
    host = request.headers.get("Host", "")
    # A name of our own is repeated, nothing else: it stands in a header.
    known = host.replace(".", "").replace(":", "").replace("-", "").replace("[", "")
    ws = f"ws://{host} wss://{host}" if known.replace("]", "").isalnum() else ""
    return {name: value.format(ws=ws) for name, value in HEADERS.items()}


def _upgrades(request: HTTPServerRequest) -> bool:
    return request.headers.get("Upgrade", "").lower() == "websocket"


def _same_origin(request: HTTPServerRequest) -> bool:
    """Return whether a web socket is opened by a page of the host that it asks for."""
    origin = urlsplit(request.headers.get("Origin", ""))
    host = request.headers.get("Host", "")
    return origin.scheme in ("http", "https") and origin.netloc.lower() == host.lower() != ""


def _host_of(netloc: str) -> str:
    try:
        return urlsplit(f"//{netloc}").hostname or ""
    except ValueError:
        return ""
