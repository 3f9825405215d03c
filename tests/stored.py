"""Object storage on this host: a real server of S3, at a free port, with a bucket in it."""

import urllib.request
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path

import botocore.session
import pytest
from moto.server import ThreadedMotoServer

from workflow.lib.slides import buckets
from workflow.lib.slides.buckets import ObjectPath

BUCKET = "slides-of-a-test"
KEY_ID = "AKIACANARYQ7PLM2XWZ9"
SECRET = "canary/Sd83hHq0+that/nobody/must/ever/see"  # noqa: S105 - of the server below
TOKEN = "canary-session-Kf93jd02mmA"  # noqa: S105


class Storage:
    """A bucket.

    cut       shortens the bodies of so many answers to GET, as a bad network does
    careless  gives an object whatever its tag is, as some servers do
    """

    def __init__(self, server: ThreadedMotoServer) -> None:
        host, port = server.get_host_and_port()
        self.address = f"http://{host}:{port}"
        self.cut = 0
        self.careless = False
        self.ranges: list[str | None] = []  # that objects were read by
        self._app, server._server.app = server._server.app, self._answer
        self.client = botocore.session.get_session().create_client(
            "s3",
            endpoint_url=self.address,
            region_name="us-east-1",
            aws_access_key_id="any",
            aws_secret_access_key="any",  # noqa: S106
        )
        self.client.create_bucket(Bucket=BUCKET)

    def put(self, key: str, content: bytes | Path) -> ObjectPath:
        content = content.read_bytes() if isinstance(content, Path) else content
        self.client.put_object(Bucket=BUCKET, Key=key, Body=content)
        return ObjectPath(BUCKET, key)

    def refuse(self, *, after: float = 0) -> None:
        """Ask for valid credentials after so many requests; there are none."""
        request = urllib.request.Request(  # noqa: S310
            f"{self.address}/moto-api/reset-auth",
            data=str(after).encode(),
            headers={"Content-Type": "text/plain"},
        )
        urllib.request.urlopen(request).close()  # noqa: S310

    def _answer(self, environ: dict, start: Callable) -> Iterable[bytes]:
        reads = environ["REQUEST_METHOD"] == "GET" and "list-type" not in environ["QUERY_STRING"]
        if self.careless:
            environ.pop("HTTP_IF_MATCH", None)
        body = self._app(environ, start)
        if not reads:
            return body
        self.ranges.append(environ.get("HTTP_RANGE"))
        if not self.cut:
            return body
        self.cut -= 1
        whole = b"".join(body)
        return [whole[: len(whole) // 2]]


@contextmanager
def serving() -> Iterator[Storage]:
    server = ThreadedMotoServer("127.0.0.1", 0, verbose=False)
    server.start()
    yield Storage(server)
    server.stop()


def use(storage: Storage | None, monkeypatch: pytest.MonkeyPatch, home: Path, **others: str):
    """An environment that leads to `storage` and nowhere else; without, one that leads nowhere."""
    for name in ("PROFILE", "DEFAULT_REGION", "REGION", "ENDPOINT_URL_S3", "MAX_ATTEMPTS"):
        monkeypatch.delenv(f"AWS_{name}", raising=False)
    given = {
        "AWS_ENDPOINT_URL": storage.address if storage else "http://127.0.0.1:9",
        "AWS_ACCESS_KEY_ID": KEY_ID,
        "AWS_SECRET_ACCESS_KEY": SECRET,
        "AWS_SESSION_TOKEN": TOKEN,
        "AWS_EC2_METADATA_DISABLED": "true",
        "AWS_CONFIG_FILE": str(home / "none"),
        "AWS_SHARED_CREDENTIALS_FILE": str(home / "none"),
    }
    for name, value in (given | others).items():
        monkeypatch.setenv(name, value)
    buckets._client.cache_clear()
