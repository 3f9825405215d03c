"""Which files of a folder are slides: one of each, whatever lies beside them."""

import pytest

from workflow.lib.slides.folders import find_slides


@pytest.fixture
def place(tmp_path):
    """Makes empty files, or files of so many bytes."""

    def make(*names, size=0):
        for name in names:
            file = tmp_path / name
            file.parent.mkdir(parents=True, exist_ok=True)
            file.write_bytes(bytes(size))
        return tmp_path

    return make


@pytest.fixture
def dicom(tmp_path):
    """Writes heads of DICOM files of a series."""

    def make(series, *names, size=0):
        for name in names:
            file = tmp_path / name
            file.parent.mkdir(exist_ok=True)
            element = b"\x20\x00\x0e\x00UI" + bytes([len(series), 0]) + series
            file.write_bytes(bytes(128) + b"DICM" + element + bytes(size))
        return tmp_path

    return make


def called(folder):
    return {
        str(file.relative_to(folder)): str(name) for file, name in find_slides(folder)[0].items()
    }


def test_slides_and_images_are_found_whatever_case_and_nothing_else(place):
    folder = place("a.svs", "sub/B.NDPI", "c.ome.tif", "d.v2.png", "notes.txt", "e.csv", ".x.svs")
    place("m.mrxs", "m/Slidedat.ini", "m/Data0001.dat", "store.zarr/c.png", ".cache/f.svs")
    assert called(folder) == {
        "a.svs": "a",
        "c.ome.tif": "c",
        "d.v2.png": "d.v2",
        "m.mrxs": "m",
        "sub/B.NDPI": "sub/B",
    }


def test_truth_and_names_that_no_table_holds_are_left_out_and_said(place):
    folder = place("masks/a.png", "b_anno.bmp", "b.bmp", "tab\there.svs", "masks.svs")
    found, left_out = find_slides(folder)
    assert [file.name for file in found] == ["b.bmp", "masks.svs"]
    reasons = {str(file.relative_to(folder)): why for file, why in left_out.items()}
    assert reasons["masks/a.png"] == reasons["b_anno.bmp"] != reasons["tab\there.svs"]
    assert "rename it" in reasons["tab\there.svs"]


def test_links_are_followed_and_nothing_is_found_twice(place, tmp_path):
    folder = place("in/a.svs", "out/b.svs", "out/deep/c.svs") / "in"
    (folder / "linked").symlink_to(tmp_path / "out")
    (folder / "again.svs").symlink_to(folder / "a.svs")
    (tmp_path / "out/deep/round").symlink_to(folder)
    (folder / "gone.svs").symlink_to(tmp_path / "nowhere.svs")
    assert set(called(folder)) == {"a.svs", "linked/b.svs", "linked/deep/c.svs"}


def test_of_a_dicom_slide_the_largest_file_is_named_by_its_folder(dicom):
    dicom(b"1.2.3", "s/1.dcm", "s/3.dcm")
    folder = dicom(b"1.2.3", "s/2.dcm", "s/9", size=9)  # not every instance is called .dcm
    assert called(folder) == {"s/2.dcm": "s"}


def test_dicom_slides_that_share_a_folder_keep_their_names(dicom):
    folder = dicom(b"1.2.3", "s/a.dcm", "s/b.dcm", "c.dcm", "d.dcm")
    dicom(b"1.2.4", "s/e.dcm", "t/f.dcm")
    assert called(folder) == {
        "s/b.dcm": "s/b",
        "s/e.dcm": "s/e",
        "d.dcm": "d",  # in no folder that could name it
        "t/f.dcm": "t/f",
    }


def test_pictures_of_a_hamamatsu_slide_are_no_slides(place):
    folder = place("a.vms", "a.jpg", "a_map.JPG", "b.jpg")
    (folder / "a.vms").write_text(
        "[Virtual Microscope Specimen]\nImageFile=a.jpg\nMapFile=a_map.JPG"
    )
    assert called(folder) == {"a.vms": "a", "b.jpg": "b"}
