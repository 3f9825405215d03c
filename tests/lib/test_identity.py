"""A slide is its content: not its name's date, not its place."""

import json
import os

from workflow.lib.identity import SAMPLE_BYTES, WHOLE_BYTES, Identities, companions, identity


def test_content_decides_and_time_does_not(tmp_path):
    slide = tmp_path / "a.svs"
    slide.write_bytes(b"x" * 1000)
    before = identity(slide)
    os.utime(slide, (1, 1))
    assert identity(slide) == before
    slide.write_bytes(b"x" * 999 + b"y")
    os.utime(slide, (1, 1))
    assert identity(slide) != before


def test_a_large_file_is_sampled_at_head_and_tail(tmp_path):
    slide = tmp_path / "a.svs"
    with slide.open("wb") as stream:
        stream.truncate(WHOLE_BYTES * 2)
    before = identity(slide)
    with slide.open("r+b") as stream:
        stream.seek(-1, os.SEEK_END)
        stream.write(b"!")
    assert identity(slide) != before
    with slide.open("r+b") as stream:
        stream.seek(SAMPLE_BYTES + 10)  # between the samples: documented as unseen
        stream.write(b"!")
        stream.seek(-1, os.SEEK_END)
        stream.write(b"\0")
    assert identity(slide) == before


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
        data = b"DICM" + b"\x20\x00\x0e\x00UI" + bytes([len(series), 0]) + series
        (tmp_path / name).write_bytes(data)
        return tmp_path / name

    first = instance("1.dcm", b"1.2.3")
    instance("2.dcm", b"1.2.3")
    instance("3.dcm", b"1.2.4")
    assert [part.name for part in companions(first)] == ["2.dcm"]


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
