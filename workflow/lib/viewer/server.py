"""The server of the viewer: this machine only, reading only, and no path of a request is opened.

The address holds a key that is drawn anew at every start, so that other users of the machine and
pages of other sites see nothing. A request that names another host is refused: that is how a
foreign site would reach a local server by a name of its own (DNS rebinding).
"""

import hmac
import json
import logging
import re
import socketserver
from collections.abc import Mapping
from dataclasses import dataclass
from http import HTTPStatus
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from threading import BoundedSemaphore

from workflow.lib.jobs.verdicts import BadPixels, Quarantine
from workflow.lib.viewer.studies import ViewedStudy

log = logging.getLogger(__name__)

HOST = "127.0.0.1"
HOSTS = {HOST, "localhost"}  # with any port: an SSH tunnel may end at another one
CUTTERS = 4  # tiles that are cut at a time: more only take memory
IDLE_S = 60  # a connection without a request is closed after so many seconds
ROUTE = re.compile(
    r"/(?P<key>[A-Za-z0-9_-]{1,99})/(?P<name>[a-z.]*)"
    r"(?P<numbers>(?:/\d{1,9}){0,5})",
    re.ASCII,
)
HEADERS = {
    "Content-Security-Policy": "default-src 'none'; script-src 'self'; style-src 'self'"
    " 'sha256-47DEQpj8HBSa+/TImW+5JCeuQeRkm5NMpJWZG3hSuFU=';"  # of an empty sheet
    " img-src 'self' data:; connect-src 'self'; base-uri 'none'; form-action 'none';"
    " frame-ancestors 'none'",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Referrer-Policy": "no-referrer",
    "X-Content-Type-Options": "nosniff",
}
TEXT, JSON, JPEG, PNG = "text/plain; charset=utf-8", "application/json", "image/jpeg", "image/png"


@dataclass(frozen=True)
class Answer:
    """What is sent: status, content and its type; `gzipped` content is sent as such."""

    status: HTTPStatus
    content: bytes
    kind: str
    gzipped: bool = False


def refusal(status: HTTPStatus, sentence: str) -> Answer:
    return Answer(status, f"{sentence}\n".encode(), TEXT)


class Site:
    """Answers the paths of addresses: `files` by name (content and type), a study by numbers."""

    def __init__(
        self, study: ViewedStudy, files: Mapping[str, tuple[bytes, str]], key: str
    ) -> None:
        self.study, self.files, self.key = study, files, key
        self._cutters = BoundedSemaphore(CUTTERS)

    def answer(self, path: str) -> Answer:
        """`path` as it stands in a request, query and all."""
        route = ROUTE.fullmatch(path)
        if not route or not hmac.compare_digest(route["key"], self.key):
            return refusal(HTTPStatus.NOT_FOUND, "There is nothing at this address.")
        numbers = [int(number) for number in route["numbers"].split("/")[1:]]
        if not numbers and route["name"] in self.files:
            return Answer(HTTPStatus.OK, *self.files[route["name"]])
        try:
            with self._cutters:
                found = self._cut(route["name"], numbers)
        except LookupError as error:
            return refusal(HTTPStatus.NOT_FOUND, f"{error.args[0]}.")
        except (Quarantine, BadPixels, ValueError, OSError) as error:
            log.warning("%s", error)
            return refusal(HTTPStatus.INTERNAL_SERVER_ERROR, str(error))
        return found or refusal(HTTPStatus.NOT_FOUND, "There is nothing at this address.")

    def _cut(self, name: str, numbers: list[int]) -> Answer | None:
        study, ok = self.study, HTTPStatus.OK
        match name, numbers:
            case "study", []:
                return Answer(ok, json.dumps(study.describe()).encode(), JSON)
            case "slide", [slide]:
                return Answer(ok, json.dumps(study.describe_slide(slide)).encode(), JSON)
            case "small", [slide]:
                return Answer(ok, study.small_picture(slide), JPEG)
            case "pixels", [slide, level, row, column]:
                return Answer(ok, study.slide_tile(slide, level, row, column), JPEG)
            case "layer", [slide, layer, level, row, column]:
                return Answer(ok, study.layer_tile(slide, layer, level, row, column), PNG)
            case "shapes", [slide, layer]:
                return Answer(ok, study.shapes(slide, layer), JSON, gzipped=True)
        return None


class Handler(BaseHTTPRequestHandler):
    """One connection of a browser."""

    protocol_version = "HTTP/1.1"  # tiles come through few connections
    server_version, sys_version = "Microtome", ""
    timeout = IDLE_S

    def do_GET(self) -> None:
        hosts = self.headers.get_all("Host") or []
        if len(hosts) != 1 or hosts[0].rsplit(":", 1)[0].lower() not in HOSTS:
            self._send(
                refusal(HTTPStatus.MISDIRECTED_REQUEST, f"This server answers to {HOST} only.")
            )
            return
        self._send(self.server.site.answer(self.path))

    def send_error(self, code: int, message: str | None = None, explain: str | None = None) -> None:
        """Also what is no GET: nothing of the request is repeated in the answer."""
        status = HTTPStatus(code)
        if status == HTTPStatus.NOT_IMPLEMENTED:
            status = HTTPStatus.METHOD_NOT_ALLOWED
        self.close_connection = True
        self._send(refusal(status, f"{status.phrase}: only GET is answered here."))

    def _send(self, answer: Answer) -> None:
        self.send_response(answer.status)
        for name, value in HEADERS.items():
            self.send_header(name, value)
        if answer.status == HTTPStatus.METHOD_NOT_ALLOWED:
            self.send_header("Allow", "GET")
        # The key of the address changes with every start: what was cut stays right until then.
        kept = answer.status == HTTPStatus.OK and answer.kind in (JPEG, PNG)
        self.send_header("Cache-Control", "private, max-age=86400" if kept else "no-store")
        self.send_header("Content-Type", answer.kind)
        self.send_header("Content-Length", str(len(answer.content)))
        if answer.gzipped:
            self.send_header("Content-Encoding", "gzip")
        if self.close_connection:
            self.send_header("Connection", "close")
        self.end_headers()
        self.wfile.write(answer.content)

    def handle_one_request(self) -> None:
        try:
            super().handle_one_request()
        except (ConnectionError, TimeoutError):  # the browser no longer wants the tile
            self.close_connection = True

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002 (named by http.server)
        log.debug(format, *args)


class Server(ThreadingHTTPServer):
    """Bound to this machine only; a thread per connection."""

    daemon_threads = True

    def __init__(self, site: Site, port: int) -> None:
        self.site = site
        super().__init__((HOST, port), Handler)

    def server_bind(self) -> None:
        socketserver.TCPServer.server_bind(self)  # without asking a name server who this is
        self.server_name, self.server_port = self.server_address[:2]

    @property
    def address(self) -> str:
        """What to open in a browser."""
        return f"http://{HOST}:{self.server_port}/{self.site.key}/"
