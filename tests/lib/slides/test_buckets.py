"""Slides in a bucket: what belongs to one, its bytes, and what is said where there is none."""

import hashlib
import traceback

import pytest

from tests.stored import BUCKET, KEY_ID, SECRET, TOKEN, serving, use
from workflow.lib.slides.buckets import (
    ObjectPath,
    StorageError,
    ask,
    fetch,
    find_parts,
    parse_address,
)


@pytest.fixture(scope="module")
def server():
    with serving() as storage:
        yield storage


@pytest.fixture
def storage(server, monkeypatch, tmp_path):
    use(server, monkeypatch, tmp_path)
    server.ranges.clear()
    yield server
    server.refuse(after=10**9)


def told(call, *given):
    """What an error says; it and its traceback must not tell of the credentials."""
    with pytest.raises(StorageError) as caught:
        call(*given)
    story = "".join(traceback.format_exception(caught.value))
    assert not any(canary in story for canary in (KEY_ID, SECRET, TOKEN))
    assert "During handling" not in story and "botocore.exceptions" not in story
    return str(caught.value)


@pytest.mark.parametrize(
    ("text", "bucket", "key"),
    [
        ("s3://slides/a.svs", "slides", "a.svs"),
        ("s3://my.bucket-1/2026/a b/ü.svs", "my.bucket-1", "2026/a b/ü.svs"),
        ("s3://slides//a.svs", "slides", "/a.svs"),
    ],
)
def test_an_address_is_a_bucket_and_a_key(text, bucket, key):
    path = parse_address(text)
    assert path == ObjectPath(bucket, key) and str(path) == text
    assert (path.name, path.suffix) == (key.rpartition("/")[2], ".svs")
    assert path.folder + path.name == key


@pytest.mark.parametrize(
    "text",
    ["", "a.svs", "s3:/b/a.svs", "s3://b", "s3://bucket/", "s3://bucket/a/", "s3://bucket/a/..",
     "s3://user:word@bucket/a.svs", "gs://bucket/a.svs", "S3://bucket/a.svs"],
)  # fmt: skip
def test_other_text_is_no_address(text):
    assert parse_address(text) is None


def test_a_slide_of_one_object_is_itself_by_its_tag(storage):
    path = storage.put("one/a.svs", b"pixels")
    storage.put("one/b.svs", b"another slide")
    tag = f'"{hashlib.md5(b"pixels").hexdigest()}"'  # noqa: S324 - as S3 defines it
    assert find_parts(path) == [("a.svs", 6, tag)]


def test_what_belongs_to_a_slide_of_many_objects(storage):
    path = storage.put("m/a.mrxs", b"jpeg")
    for key in ("m/a/Slidedat.ini", "m/a/deep/Data0.dat", "m/a/", "m/ab/no.dat", "m/b.mrxs"):
        storage.put(key, b"")
    assert [part.name for part in find_parts(path)] == [
        "a.mrxs", "a/Slidedat.ini", "a/deep/Data0.dat",
    ]  # fmt: skip
    series = storage.put("d/s1/2.dcm", b"DICM")
    for key in ("d/s1/1.dcm", "d/s1/10", "d/s1/more/1.dcm", "d/s2/1.dcm"):
        storage.put(key, b"DICM")
    assert [part.name for part in find_parts(series)] == ["2.dcm", "1.dcm", "10"]
    assert find_parts(storage.put("top.vms", b""))[0].name == "top.vms"


def test_an_object_that_would_be_written_elsewhere_is_refused(storage):
    path = storage.put("t/a.mrxs", b"jpeg")
    storage.put("t/a/../../x.dat", b"")
    assert "'a/../../x.dat' beside it is no name of a file." in told(find_parts, path)


@pytest.mark.parametrize("cut", [0, 1, 3])
def test_a_transfer_that_breaks_goes_on_where_it_broke(storage, tmp_path, cut):
    content = bytes(range(256)) * 1000
    path = storage.put("big.svs", content)
    (part,) = find_parts(path)
    storage.cut = cut
    fetch(path, part, tmp_path / "big.svs")
    assert (tmp_path / "big.svs").read_bytes() == content
    starts = [256_000 - (256_000 >> done) for done in range(cut + 1)]
    assert storage.ranges == [f"bytes={start}-" if start else None for start in starts]


def test_a_transfer_that_always_breaks_is_given_up(storage, tmp_path):
    path = storage.put("big.svs", bytes(1 << 16))
    (part,) = find_parts(path)
    storage.cut = 99
    try:
        said = told(fetch, path, part, tmp_path / "big.svs")
    finally:
        storage.cut = 0
    assert said.startswith("E_ENDPOINT: s3://slides-of-a-test/big.svs: 127.0.0.1:")


def test_an_empty_object_is_an_empty_file(storage, tmp_path):
    path = storage.put("empty.svs", b"")
    fetch(path, find_parts(path)[0], tmp_path / "empty.svs")
    assert (tmp_path / "empty.svs").read_bytes() == b""


@pytest.mark.parametrize("careless", [False, True])
def test_an_object_that_was_replaced_meanwhile_is_not_mixed_with_the_old(
    storage, tmp_path, monkeypatch, careless
):
    monkeypatch.setattr(storage, "careless", careless)
    path = storage.put("a.svs", b"old")
    (part,) = find_parts(path)
    storage.put("a.svs", b"new")
    said = told(fetch, path, part, tmp_path / "a.svs")
    assert said == "E_OBJECT: s3://slides-of-a-test/a.svs: it was replaced while it was read."


@pytest.mark.parametrize("path", [ObjectPath(BUCKET, "no.svs"), ObjectPath("no-bucket", "a.mrxs")])
def test_a_missing_object_is_named(storage, path):
    assert told(find_parts, path) == f"E_OBJECT: {path}: there is no such object."


def test_credentials_that_are_refused_or_absent_are_said(storage, monkeypatch, tmp_path):
    path = storage.put("a.mrxs", b"pixels")
    host = storage.address.removeprefix("http://")
    storage.refuse()
    refused = f"E_ACCESS: {path}: {host} does not let it be read (403)."
    assert told(find_parts, path) == refused
    storage.refuse(after=1)  # it may be read, and not be listed
    assert told(find_parts, path) == refused
    use(storage, monkeypatch, tmp_path)
    for name in ("ACCESS_KEY_ID", "SECRET_ACCESS_KEY", "SESSION_TOKEN"):
        monkeypatch.delenv(f"AWS_{name}")
    assert "credentials to read it with (NoCredentialsError)" in told(find_parts, path)
    use(storage, monkeypatch, tmp_path, AWS_PROFILE="nobody")
    assert told(find_parts, path).startswith(f"E_ACCESS: {path}: there are no credentials")


@pytest.mark.parametrize(
    ("endpoint", "host"),
    [
        ("http://127.0.0.1:9", "127.0.0.1:9"),
        (f"http://me:{TOKEN}@127.0.0.1:9", "127.0.0.1:9"),
        ("nonsense", "the endpoint of the environment"),
    ],
)
def test_an_endpoint_that_does_not_answer_is_named_once(monkeypatch, tmp_path, endpoint, host):
    use(None, monkeypatch, tmp_path, AWS_ENDPOINT_URL=endpoint, AWS_MAX_ATTEMPTS="1")
    path = ObjectPath("bucket", "a.svs")
    assert told(find_parts, path).startswith(f"E_ENDPOINT: {path}: {host} does not answer (")
    found, faults = ask([ObjectPath("bucket", f"{name}.svs") for name in "cab"])
    assert found == {} and len(faults) == 1 and faults[0].code == "E_ENDPOINT"


def test_many_are_asked_for_and_each_fault_is_told(storage):
    there = [storage.put(f"many/{name}.svs", name.encode()) for name in "abc"]
    absent = [ObjectPath(BUCKET, f"many/{name}.svs") for name in "xy"]
    found, faults = ask([*absent, *there, *there])
    assert list(found) == there and [len(parts) for parts in found.values()] == [1, 1, 1]
    assert [str(fault) for fault in faults] == [
        f"E_OBJECT: {path}: there is no such object." for path in absent
    ]
    assert ask([]) == ({}, [])
