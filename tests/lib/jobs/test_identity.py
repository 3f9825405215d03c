"""A slide is its content and its suffix: not its date, not its place."""

import json
import os

import pytest

from tests.stored import serving, use
from workflow.lib.jobs.identity import Identities, companions, identity
from workflow.lib.slides.buckets import ObjectPath


def test_content_decides_and_time_does_not(tmp_path):
    slide = tmp_path / "a.svs"
    slide.write_bytes(b"x" * 1000)
    before = identity(slide)
    os.utime(slide, (1, 1))
    assert identity(slide) == before
    slide.write_bytes(b"x" * 999 + b"y")
    os.utime(slide, (1, 1))
    assert identity(slide) != before


def test_a_large_file_is_sampled_at_both_ends_and_in_between(tmp_path):
    slide = tmp_path / "a.svs"
    with slide.open("wb") as stream:
        stream.truncate(40 << 20)
    seen = {identity(slide)}
    for place in (0, (40 << 20) - 1, ((40 << 20) - (64 << 10)) * 7 // 15):
        with slide.open("r+b") as stream:
            stream.seek(place)
            stream.write(b"!")
        seen.add(identity(slide))
    assert len(seen) == 4


def test_the_name_does_not_count_but_its_suffix_does(tmp_path):
    for name in ("a.svs", "b.SVS", "c.png"):
        (tmp_path / name).write_bytes(b"x")
    same, other = identity(tmp_path / "a.svs"), identity(tmp_path / "c.png")
    assert identity(tmp_path / "b.SVS") == same != other


@pytest.mark.parametrize("suffix", [".vms", ".vmu"])
def test_the_images_that_a_hamamatsu_index_names_belong_to_it(tmp_path, suffix):
    slide = tmp_path / f"a{suffix}"
    slide.write_text(
        "[Virtual Microscope Specimen]\nImageFile=a.jpg\nMapFile=a_map.jpg\nNoLayers=1\n"
        "Other=../secret.jpg\nEmpty=\n"
    )
    (tmp_path / "b.jpg").write_bytes(b"another slide")
    (tmp_path / "a_map.jpg").write_bytes(b"map")
    alone = identity(slide)
    (tmp_path / "a.jpg").write_bytes(b"pixels")
    assert [part.name for part in companions(slide)] == ["a.jpg", "a_map.jpg"]
    assert identity(slide) != alone


def test_twins_are_named_whatever_their_suffix_and_empty_files_are_not(tmp_path):
    contents = {"a.svs": b"x", "b.tif": b"x", "c.svs": b"y", "d.svs": b"", "e.svs": b""}
    for name, content in contents.items():
        (tmp_path / name).write_bytes(content)
    slides = {name[0]: tmp_path / name for name in contents} | {"f": tmp_path / "absent.svs"}
    slides["g"] = slides["f"]
    found = Identities(tmp_path / "identities.json").twins(slides)
    assert found == [
        "slides a and b are the same file; keep one of the two rows, or correct the path"
        " of the wrong one"
    ]


def test_the_data_folder_of_a_mirax_slide_belongs_to_it(tmp_path):
    slide = tmp_path / "a.mrxs"
    slide.write_bytes(b"preview")
    alone = identity(slide)
    (tmp_path / "a").mkdir()
    (tmp_path / "a" / "Dat0000.dat").write_bytes(b"pixels")
    assert [part.name for part in companions(slide)] == ["Dat0000.dat"]
    whole = identity(slide)
    (tmp_path / "a" / "Dat0000.dat").write_bytes(b"pixel!")
    assert len({alone, whole, identity(slide)}) == 3


def test_instances_of_one_dicom_series_belong_together(tmp_path):
    def instance(name, series):
        data = bytes(128) + b"DICM" + b"\x20\x00\x0e\x00UI" + bytes([len(series), 0]) + series
        (tmp_path / name).write_bytes(data)
        return tmp_path / name

    first = instance("1.dcm", b"1.2.3")
    instance("2.dcm", b"1.2.3")
    instance("3.dcm", b"1.2.4")
    unnamed = instance("1.2.840.5", b"1.2.3")
    (tmp_path / "notes.txt").write_text("1.2.3")
    (tmp_path / "folder").mkdir()
    assert [part.name for part in companions(first)] == ["1.2.840.5", "2.dcm"]
    assert [part.name for part in companions(unnamed)] == ["1.dcm", "2.dcm"]


def test_identities_are_remembered_and_survive_a_torn_file(tmp_path):
    slide, memory = tmp_path / "a.svs", tmp_path / "identities.json"
    slide.write_bytes(b"one")
    first = Identities(memory)
    assert first.of(slide) == identity(slide)
    first.save()
    again = Identities(memory)
    assert again.of(slide) == identity(slide)
    assert not again.changed
    memory.write_text("{")
    assert Identities(memory).of(slide) == identity(slide)


def test_replacing_a_slide_and_setting_its_time_back_is_seen(tmp_path):
    slide, memory = tmp_path / "a.svs", tmp_path / "identities.json"
    slide.write_bytes(b"one")
    known = Identities(memory)
    before = known.of(slide)
    stat = slide.stat()
    fresh = tmp_path / "fresh"
    fresh.write_bytes(b"two")
    os.replace(fresh, slide)
    os.utime(slide, ns=(stat.st_atime_ns, stat.st_mtime_ns))
    assert known.of(slide) != before


def test_an_absent_slide_is_unreadable_not_an_error(tmp_path):
    known = Identities(tmp_path / "identities.json")
    assert known.of(tmp_path / "none.svs") == "unreadable"
    known.save()
    assert not (tmp_path / "identities.json").exists() or json.loads(
        (tmp_path / "identities.json").read_text()
    )


def test_an_object_is_its_content_and_its_suffix(tmp_path, monkeypatch):
    """Not its date, not its key; and whatever belongs to it counts."""
    with serving() as storage:
        use(storage, monkeypatch, tmp_path)

        def of(path):
            return Identities(tmp_path / "identities.json").of(path)

        slide = storage.put("a.mrxs", b"x")
        first = of(slide)
        assert first.endswith(".mrxs") and storage.put("a.mrxs", b"x") and of(slide) == first
        assert of(storage.put("copy/b.mrxs", b"x")) == first != of(storage.put("c.svs", b"x"))
        storage.put("a/Data0.dat", b"pixels")
        whole = of(slide)
        storage.put("a/Data0.dat", b"PIXELS")
        assert len({first, whole, of(slide)}) == 3
        storage.put("a.mrxs", b"y")
        assert of(slide) not in (first, whole)
        assert of(ObjectPath(slide.bucket, "gone.svs")) == "unreadable"


def test_objects_are_asked_for_once_and_twins_among_them_are_named(tmp_path, monkeypatch):
    with serving() as storage:
        use(storage, monkeypatch, tmp_path)
        contents = {"a": b"x", "b": b"x", "c": b"", "d": b""}
        slides = {name: storage.put(f"{name}.svs", held) for name, held in contents.items()}
        slides["e"] = tmp_path / "e.svs"
        slides["e"].write_bytes(b"x")
        known = Identities(tmp_path / "identities.json")
        assert known.meet(slides.values()) == []
    use(None, monkeypatch, tmp_path)
    (twins,) = known.twins(slides)
    assert twins.startswith("slides a and b are the same file")
    anew = Identities(tmp_path / "identities.json")
    (fault,) = anew.meet(slides.values())
    assert fault.code == "E_ENDPOINT" and anew.of(slides["a"]) == "unreadable"
