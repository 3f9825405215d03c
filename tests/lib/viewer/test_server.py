"""Who gets an answer, and what: this machine, by its name, with the key, reading only."""

import http.client
import json
import socket
import threading

import pytest

from workflow.lib.jobs.verdicts import BadPixels
from workflow.lib.viewer.server import Server, Site

KEY = "k-_9"
PAGE = (b"<html>", "text/html; charset=utf-8")


class Study:
    """Says what it is asked for."""

    def describe(self):
        return {"study": "x"}

    def describe_slide(self, number):
        return [number]

    def slide_tile(self, *numbers):
        if numbers[0] == 7:
            raise BadPixels("a.tif: level 0 cannot be decoded")
        if numbers[0] > 7:
            raise LookupError("there is no slide 8")
        return json.dumps(numbers).encode()

    layer_tile = slide_tile

    def shapes(self, *numbers):
        return b"zipped"

    def small_picture(self, number):
        return b"small"


@pytest.fixture(scope="module")
def server():
    served = Server(Site(Study(), {"": PAGE, "viewer.js": (b"js", "text/javascript")}, KEY), 0)
    thread = threading.Thread(target=served.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    yield served
    served.shutdown()
    served.server_close()
    thread.join()


def ask(server, path, method="GET", **headers):
    connection = http.client.HTTPConnection("127.0.0.1", server.server_port, timeout=20)
    connection.putrequest(method, path, skip_host=True)
    for name, value in ({"Host": f"127.0.0.1:{server.server_port}"} | headers).items():
        if value is not None:
            connection.putheader(name, value)
    connection.endheaders()
    answer = connection.getresponse()
    content = answer.read()
    connection.close()
    return answer, content


def test_it_is_bound_to_this_machine_only(server):
    assert server.socket.getsockname()[0] == "127.0.0.1"
    assert server.address == f"http://127.0.0.1:{server.server_port}/{KEY}/"


@pytest.mark.parametrize(
    ("path", "content", "kind"),
    [
        ("/", b"<html>", "text/html; charset=utf-8"),
        ("/viewer.js", b"js", "text/javascript"),
        ("/study", b'{"study": "x"}', "application/json"),
        ("/slide/3", b"[3]", "application/json"),
        ("/small/3", b"small", "image/jpeg"),
        ("/pixels/3/10/2/1", b"[3, 10, 2, 1]", "image/jpeg"),
        ("/layer/3/4/10/2/1", b"[3, 4, 10, 2, 1]", "image/png"),
    ],
)
def test_what_is_answered(server, path, content, kind):
    answer, found = ask(server, f"/{KEY}{path}")
    assert (answer.status, found, answer.headers["Content-Type"]) == (200, content, kind)
    kept = answer.headers["Cache-Control"]
    assert ("max-age" in kept) == kind.startswith("image/") and ("no-store" in kept) != (
        "max-age" in kept
    )


def test_shapes_are_sent_as_they_are_stored(server):
    answer, content = ask(server, f"/{KEY}/shapes/1/2")
    assert content == b"zipped" and answer.headers["Content-Encoding"] == "gzip"


def test_every_answer_says_what_a_page_may_do(server):
    for path in (f"/{KEY}/", f"/{KEY}/study", "/nothing"):
        headers = ask(server, path)[0].headers
        policy = headers["Content-Security-Policy"]
        assert "default-src 'none'" in policy and "unsafe" not in policy and "http" not in policy
        assert "frame-ancestors 'none'" in policy
        assert headers["X-Content-Type-Options"] == "nosniff"
        assert headers["Cross-Origin-Resource-Policy"] == "same-origin"
        assert "Access-Control-Allow-Origin" not in headers


@pytest.mark.parametrize(
    "host", ["evil.example", "evil.example:80", "127.0.0.1.evil.example", None]
)
def test_another_host_is_refused(server, host):
    """Else a foreign page could reach the server by a name of its own (DNS rebinding)."""
    answer, content = ask(server, f"/{KEY}/study", Host=host)
    assert answer.status == 421 and b"study" not in content


@pytest.mark.parametrize("host", ["localhost:9000", "LOCALHOST", "127.0.0.1"])
def test_this_machine_may_be_called_at_any_port(server, host):
    """A tunnel ends at a port of its own."""
    assert ask(server, f"/{KEY}/study", Host=host)[0].status == 200


@pytest.mark.parametrize(
    "path",
    [
        "/",
        "/study",
        "/wrong/study",
        f"/{KEY}",
        f"/{KEY}x/study",
        f"/{KEY}/../../etc/passwd",
        f"/{KEY}/%2e%2e/%2e%2e/etc/passwd",
        f"/{KEY}//etc/passwd",
        f"/{KEY}/viewer.js/../viewer.html",
        f"/{KEY}/viewer.html",
        f"/{KEY}/slide/../study",
        f"/{KEY}/slide/s01",
        f"/{KEY}/slide/-1",
        f"/{KEY}/slide/1234567890",
        f"/{KEY}/slide",
        f"/{KEY}/study/1",
        f"/{KEY}/pixels/1/2/3",
        f"/{KEY}/layer/1/2/3/4/5/6",
        f"/{KEY}/pixels/8/1/1/1",
        f"http://127.0.0.1/{KEY}/study",
        f"/{KEY}/study?x=1",
        f"/{KEY}/study%00",
    ],
)
def test_nothing_else_has_an_address(server, path):
    answer, content = ask(server, path)
    assert answer.status == 404 and b"root:" not in content and b"<html>" not in content


@pytest.mark.parametrize("method", ["POST", "PUT", "DELETE", "HEAD", "OPTIONS", "PATCH", "TRACE"])
def test_it_only_reads(server, method):
    answer, _ = ask(server, f"/{KEY}/study", method=method)
    assert answer.status == 405 and answer.headers["Allow"] == "GET"


def test_pixels_that_cannot_be_decoded_are_told_of(server):
    answer, content = ask(server, f"/{KEY}/pixels/7/0/0/0")
    assert (answer.status, content) == (500, b"a.tif: level 0 cannot be decoded\n")


def test_what_is_no_request_is_not_repeated(server):
    with socket.create_connection(("127.0.0.1", server.server_port), timeout=20) as stream:
        stream.sendall(b"GET /<script> x y z\r\n\r\n")
        answer = stream.makefile("rb").read()
    assert b"Bad Request" in answer and b"script" not in answer
