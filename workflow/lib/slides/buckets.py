"""Slides in object storage: their addresses, the objects that make up each, and their bytes.

Any server that speaks S3. Endpoint, region and credentials are found where all tools of S3 find
them (the environment, ~/.aws, the role of a machine); no sheet, config or sentence holds them.
"""

import re
from collections.abc import Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cache
from pathlib import Path, PurePosixPath
from typing import BinaryIO, NamedTuple
from urllib.parse import urlsplit

SCHEME = "s3://"
ADDRESS = re.compile(r"s3://([A-Za-z0-9][A-Za-z0-9._-]+)/((?:.*/)?([^/]+))")
FOLDERED = {".dcm", ".vms", ".vmu"}  # slides of many files that have a folder of their own
ASKED = 16  # objects that are asked for at a time
ATTEMPTS = 5  # at the bytes of an object; each goes on where the one before it broke
CHUNK_BYTES = 1 << 20
REFUSALS = (400, 401, 403)  # an outdated token is a bad request
TIMEOUTS_S = {"connect_timeout": 10, "read_timeout": 60}


class StorageError(Exception):
    """Storage that does not do what a slide needs: E_OBJECT, E_ACCESS, E_ENDPOINT, E_SCRATCH.

    No verdict on the slide: credentials run out and disks fill, so the job fails, and a later
    run goes on.
    """

    def __init__(self, code: str, sentence: str) -> None:
        super().__init__(f"{code}: {sentence}")
        self.code = code


@dataclass(frozen=True, order=True)
class ObjectPath:
    """An object by its bucket and key. `str` gives its address, s3://bucket/key."""

    bucket: str
    key: str

    @property
    def name(self) -> str:
        return PurePosixPath(self.key).name

    @property
    def suffix(self) -> str:
        return PurePosixPath(self.key).suffix

    @property
    def folder(self) -> str:
        """What stands before the name in the key: "" or text that ends with a slash."""
        return self.key[: -len(self.name)]

    def __str__(self) -> str:
        return f"{SCHEME}{self.bucket}/{self.key}"


class Part(NamedTuple):
    """An object of a slide: its name from the folder of the slide on, bytes, and entity tag.

    The tag is another one whenever the content is, and does not change with the date.
    """

    name: str
    size: int
    etag: str


def parse_address(text: str) -> ObjectPath | None:
    """The object that s3://bucket/key names; None for any other text."""
    found = ADDRESS.fullmatch(text)
    return ObjectPath(found[1], found[2]) if found and found[3] not in (".", "..") else None


def find_parts(path: ObjectPath) -> list[Part]:
    """The objects that a slide consists of, itself first, then by name.

    The objects of a MIRAX slide lie under the name of the .mrxs; a DICOM or Hamamatsu slide is all
    that lies in its folder. Nothing is read. Raises StorageError.
    """
    suffix = path.suffix.lower()
    with _telling(path):
        head = _client().head_object(Bucket=path.bucket, Key=path.key)
        whole = Part(path.name, head["ContentLength"], head["ETag"])
        if suffix == ".mrxs":
            others = list(_listed(path, f"{path.key.removesuffix(path.suffix)}/"))
        elif suffix in FOLDERED:
            others = list(_listed(path, path.folder, Delimiter="/"))
        else:
            others = []
    return [whole, *sorted(part for part in others if part.name != path.name)]


def ask(
    paths: Iterable[ObjectPath],
) -> tuple[dict[ObjectPath, list[Part]], list[StorageError]]:
    """The parts of those slides that are there, and what is wrong with the others.

    Where nothing answers for the first slide, only that is said.
    """

    def one(path: ObjectPath) -> list[Part] | StorageError:
        try:
            return find_parts(path)
        except StorageError as error:
            return error

    paths = sorted(set(paths))
    answers = [one(path) for path in paths[:1]]
    if any(isinstance(answer, StorageError) and answer.code == "E_ENDPOINT" for answer in answers):
        return {}, answers
    with ThreadPoolExecutor(ASKED) as pool:
        answers += pool.map(one, paths[1:])
    pairs = list(zip(paths, answers, strict=True))
    found = {path: answer for path, answer in pairs if isinstance(answer, list)}
    return found, [answer for answer in answers if isinstance(answer, StorageError)]


def fetch(path: ObjectPath, part: Part, target: Path) -> None:
    """Write the bytes of a part to `target`, going on by range where a transfer breaks.

    Raises StorageError, also where the object was replaced since `find_parts`, and OSError of the
    disk.
    """
    from botocore.exceptions import HTTPClientError, IncompleteReadError

    attempts = ATTEMPTS
    with _telling(path), target.open("wb") as stream:
        while stream.tell() < part.size:
            try:
                _pour(path, part, stream)
            except (HTTPClientError, IncompleteReadError):
                attempts -= 1
                if not attempts:
                    raise
    if target.stat().st_size != part.size:
        raise StorageError("E_OBJECT", f"{path}: it was replaced while it was read.")


def _pour(path: ObjectPath, part: Part, stream: BinaryIO) -> None:
    """Append what `stream` lacks of a part."""
    start = stream.tell()
    extra = {"Range": f"bytes={start}-"} if start else {}
    answer = _client().get_object(
        Bucket=path.bucket, Key=path.folder + part.name, IfMatch=part.etag, **extra
    )
    if answer["ETag"] != part.etag:  # some servers do not know IfMatch
        answer["Body"].close()
        raise StorageError("E_OBJECT", f"{path}: it was replaced while it was read.")
    for chunk in answer["Body"].iter_chunks(CHUNK_BYTES):
        stream.write(chunk)


def _listed(path: ObjectPath, prefix: str, **options: str) -> Iterator[Part]:
    """The objects whose keys begin with `prefix`."""
    lists = _client().get_paginator("list_objects_v2")
    pages = lists.paginate(Bucket=path.bucket, Prefix=prefix, **options)
    for entry in (entry for page in pages for entry in page.get("Contents", ())):
        name = entry["Key"].removeprefix(path.folder)
        if name.endswith("/") or not name:
            continue  # how some tools mark a folder
        if set(name.split("/")) & {"", ".", ".."}:  # would be written elsewhere than its slide
            raise StorageError("E_OBJECT", f"{path}: {name!r} beside it is no name of a file.")
        yield Part(name, entry["Size"], entry["ETag"])


@cache
def _client() -> object:
    """What speaks to the storage of the environment; for any number of threads."""
    import botocore.session
    from botocore.config import Config

    # Checksums that a server has of whole objects do not fit ranges; sizes and tags do.
    settings = Config(
        retries={"mode": "standard"},
        response_checksum_validation="when_required",
        max_pool_connections=ASKED,
        **TIMEOUTS_S,
    )
    return botocore.session.get_session().create_client("s3", config=settings)


@contextmanager
def _telling(path: ObjectPath) -> Iterator[None]:
    """Errors of the storage as StorageError, alone: what a library says may quote a request."""
    from botocore import exceptions as errors

    try:
        yield
    except errors.ClientError as error:
        said = error.response["ResponseMetadata"].get("HTTPStatusCode")
        if said in (404, 412):
            what = "there is no such object" if said == 404 else "it was replaced while it was read"
            raise StorageError("E_OBJECT", f"{path}: {what}.") from None
        if said in REFUSALS:
            what = f"{_host()} does not let it be read ({said})"
            raise StorageError("E_ACCESS", f"{path}: {what}.") from None
        raise StorageError("E_ENDPOINT", f"{path}: {_host()} failed ({said}).") from None
    except (
        errors.NoCredentialsError,
        errors.PartialCredentialsError,
        errors.CredentialRetrievalError,
        errors.ProfileNotFound,
    ) as error:
        what = f"there are no credentials to read it with ({type(error).__name__})"
        raise StorageError("E_ACCESS", f"{path}: {what}.") from None
    except (errors.BotoCoreError, ValueError) as error:  # ValueError: an endpoint that is no URL
        what = f"{_host()} does not answer ({type(error).__name__})"
        raise StorageError("E_ENDPOINT", f"{path}: {what}.") from None


def _host() -> str:
    """The name of the server, without what else an address may hold."""
    from botocore.exceptions import BotoCoreError

    try:
        return urlsplit(_client().meta.endpoint_url).netloc.rpartition("@")[2]
    except (BotoCoreError, ValueError):
        return "the endpoint of the environment"
