"""The page answers to its token, its own origin and its own names alone."""

import asyncio
import json
import threading
from http.client import HTTPConnection

import pytest
from tornado.httpclient import HTTPClientError, HTTPRequest
from tornado.ioloop import IOLoop
from tornado.websocket import websocket_connect

from lsg_ray.errors import InputError
from lsg_ray.explore.server import address_of, check_access, make_server

TOKEN = "a-token-of-the-tests"


@pytest.fixture(scope="module")
def port(run_folder):
    """Port of a server on a thread of its own."""
    ready, held = threading.Event(), {}

    def run():
        asyncio.set_event_loop(asyncio.new_event_loop())
        server = make_server([str(run_folder)], token=TOKEN)
        server.start()
        held["server"], held["loop"] = server, IOLoop.current()
        held["loop"].add_callback(ready.set)
        held["loop"].start()
        server.stop(wait=False)

    thread = threading.Thread(target=run, daemon=True)
    thread.start()
    assert ready.wait(120)
    yield held["server"].port
    held["loop"].add_callback(held["loop"].stop)
    thread.join(30)


def ask(port, path="/", method="GET", **headers):
    connection = HTTPConnection("127.0.0.1", port, timeout=120)
    connection.request(method, path, headers={k.replace("_", "-"): v for k, v in headers.items()})
    answer = connection.getresponse()
    return answer, answer.read().decode("utf-8", "replace")


def cookie(port, token=TOKEN):
    return {"Cookie": f"lsg-explore-{port}={token}"}


@pytest.mark.parametrize(
    "path",
    ["/", "/?token=", "/?token=a-token-of-the-test", "/ws", "/static/js/bokeh.min.js",
     "/autoload.js?bokeh-autoload-element=1", "/static/extensions/panel/panel.min.js",
     "/metadata", "/nothing", "//evil.example/"],
)  # fmt: skip
def test_without_the_token__there_is_nothing(port, path):
    for headers in ({}, cookie(port, "wrong"), {"Cookie": f"lsg-explore-1={TOKEN}"}):
        answer, body = ask(port, path, **headers)
        assert answer.status == 403, path
        assert "lsg explore" in body
        assert "toy" not in body


def test_the_token__becomes_a_cookie_and_leaves_the_address(port):
    answer, _ = ask(port, f"/?place=toy%2Fmap&token={TOKEN}&view=result")
    assert answer.status == 302
    assert answer.getheader("Location") == "/?place=toy%2Fmap&view=result"
    given = answer.getheader("Set-Cookie")
    assert TOKEN in given
    assert "HttpOnly" in given
    assert "SameSite=Strict" in given
    answer, body = ask(port, "/", **cookie(port))
    assert answer.status == 200
    assert TOKEN not in body
    assert "cdn" not in body.lower()
    assert "https://" not in body.replace("https://bokeh.org", "").replace("https://panel", "")


def test_redirections__stay_here(port):
    answer, _ = ask(port, f"//evil.example/x?token={TOKEN}")
    assert answer.getheader("Location", "/").startswith("/evil.example")


def test_answers__name_nothing_elsewhere_as_allowed(port):
    for path in ("/", "/static/js/bokeh.min.js", "/nothing"):
        answer, _ = ask(port, path, **cookie(port))
        policy = answer.getheader("Content-Security-Policy")
        assert "default-src 'self'" in policy
        assert f"ws://127.0.0.1:{port}" in policy
        assert answer.getheader("X-Frame-Options") == "DENY"
        assert answer.getheader("Referrer-Policy") == "no-referrer"


def test_other_names_and_methods__are_refused(port):
    for host in ("evil.example", f"evil.example:{port}", "127.0.0.1.evil.example", "", "["):
        answer, _ = ask(port, "/", Host=host, **cookie(port))
        assert answer.status in (400, 403), host
    answer, _ = ask(port, "/", method="POST", **cookie(port))
    assert answer.status == 403
    forwarded = {"Host": "localhost:9999", "Cookie": f"lsg-explore-9999={TOKEN}"}
    assert ask(port, "/", **forwarded)[0].status == 200  # ssh -L 9999:localhost:PORT


def session_token(port):
    """Token of Bokeh's own for a session, out of a page."""
    _, body = ask(port, "/", **cookie(port))
    return json.loads(body.partition('"token":')[2].partition(",")[0].rstrip("}] "))


def test_web_sockets__are_opened_by_the_page_alone(port):
    token = session_token(port)

    async def opened(**headers):
        request = HTTPRequest(
            f"ws://127.0.0.1:{port}/ws",
            headers={k.replace("_", "-"): v for k, v in headers.items()},
        )
        socket = await websocket_connect(request, subprotocols=["bokeh", token])
        message = await asyncio.wait_for(socket.read_message(), 60)
        socket.close()
        return message

    own = {"Origin": f"http://127.0.0.1:{port}"}
    for headers in (
        own,  # no token
        cookie(port),  # no origin
        {**cookie(port), "Origin": "http://evil.example"},
        {**cookie(port), "Origin": "null"},
        {**cookie(port), "Origin": f"http://127.0.0.1:{port + 1}"},
        {**cookie(port), "Origin": f"http://127.0.0.1:{port}.evil.example"},
        {**cookie(port, "wrong"), **own},
    ):
        with pytest.raises(HTTPClientError) as error:
            asyncio.run(opened(**headers))
        assert error.value.code == 403, headers
    assert asyncio.run(opened(**cookie(port), **own)) is not None


def test_access__is_refused_without_a_token_of_some_length():
    assert len(check_access("127.0.0.1", None)) > 40
    assert check_access("localhost", None) != check_access("::1", None)
    assert check_access("0.0.0.0", TOKEN) == TOKEN
    for host, token in (("0.0.0.0", None), ("10.0.0.1", None), ("127.0.0.1", "short")):
        with pytest.raises(InputError, match="characters"):
            check_access(host, token)


def test_ports_that_are_taken__are_named(port, run_folder):
    async def again():
        return make_server([str(run_folder)], port=port, token=TOKEN)

    with pytest.raises(InputError, match=f"port {port}.*another --port"):
        asyncio.run(again())


def test_addresses():
    class Server:
        port = 5006

    assert address_of(Server, "::1", "t") == "http://[::1]:5006/?token=t"
