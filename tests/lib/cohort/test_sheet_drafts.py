"""First slide sheets: ids that sheets accept, patients and labels only where names are sure."""

import re
from pathlib import PurePath

import pytest
from hypothesis import given
from hypothesis import strategies as st

from workflow.lib.cohort.sheet_drafts import alike, folder_labels, guess_patient, slide_ids
from workflow.lib.cohort.sheet_faults import SLIDE_ID


def paths(*names):
    return [PurePath(name) for name in names]


@pytest.mark.parametrize(
    ("name", "patient"),
    [
        ("TCGA-02-0001-01Z-00-DX1.83fce43e-42ac-4dcd-b156-2908e75f2e47", "TCGA-02-0001"),
        ("TCGA-3C-AALI-01Z-00-DX2", "TCGA-3C-AALI"),
        ("C3L-00001-21", "C3L-00001"),
        ("C3N-01234-22", "C3N-01234"),
        ("GTEX-1117F-0126", "GTEX-1117F"),
        ("patient_010_node_4", "patient_010"),
        ("TCGA-02-00012-01Z", None),  # one digit more: something else
        ("my-TCGA-02-0001", None),
        ("tcga-02-0001", None),
        ("patient_010", None),  # a patient, or a slide: nobody says
        ("GTEX-1117F", None),
        ("slide-17", None),
    ],
)
def test_a_patient_is_guessed_only_where_a_collection_defines_it(name, patient):
    assert guess_patient(name) == patient


@pytest.mark.parametrize(
    ("slides", "asked"),
    [
        (["S22-2107_C1", "S22-2107_C2", "S22-2044_A1"], [["S22-2107_C1", "S22-2107_C2"]]),
        (["P01-HE", "P01-Ki67", "P02-HE"], [["P01-HE", "P01-Ki67"]]),
        (["normal-01", "normal-02"], []),  # a number and no case
        (["slide1", "slide2"], []),
        (["S22-2044_A1"], []),
        ([], []),
    ],
)
def test_blocks_of_one_case_are_asked_about(slides, asked):
    assert alike(slides) == asked


def test_ids_are_names_of_files_and_of_folders_where_these_repeat():
    files = paths("a/s1", "b/S1", "b/s2", "Präparat 3 (neu)", "../-x", "data.json", "...")
    assert slide_ids(files) == [
        *("a_s1", "b_S1", "s2", "Praparat_3_neu_", "x", "data.json_", "slide"),
    ]


def test_ids_are_numbered_where_folders_do_not_help():
    assert slide_ids(paths("a/b", "a/b", "a_b")) == ["a_b", "a_b-2", "a_b-3"]


NAMES = st.text(max_size=120).filter(lambda name: "/" not in name and name not in ("", ".", ".."))


@given(st.lists(st.lists(NAMES, min_size=1, max_size=3), max_size=6))
def test_ids_are_such_as_a_sheet_takes(parts):
    ids = slide_ids([PurePath(*names) for names in parts])
    assert len({name.casefold() for name in ids}) == len(ids) == len(parts)
    assert all(SLIDE_ID.fullmatch(name) and not name.lower().endswith(".json") for name in ids)


def test_labels_are_sub_folders_with_slides_enough():
    labels, said = folder_labels(paths("normal/a", "tumour/b", "tumour/p1/c", "normal/d"))
    assert labels == ["normal", "tumour", "tumour", "normal"]
    assert said == "the names of the sub-folders: normal (2), tumour (2)"


@pytest.mark.parametrize(
    ("files", "why"),
    [
        (("a", "normal/b", "normal/c"), "not all slides lie in sub-folders"),
        (("one/a", "one/b"), "one sub-folder only"),
        (("train/x/a", "train/y/b", "Test/c", "Test/d"), "Test, train are parts of a split"),
        (("p1/a", "p1/b", "p2/c"), "2 sub-folders, of 1 to 2 slides, look like patients"),
        ([f"p{n}/{slide}" for n in range(11) for slide in "ab"], "11 sub-folders, of 2 to 2"),
        (("a!/a", "a!/b", "c/c", "c/d"), "'a!' has no name that a class may have"),
        (("no/a", "no/b", "No/c", "No/d"), "differ only in case"),
        ((), "not all slides"),
    ],
)
def test_other_sub_folders_are_no_labels_and_it_is_said_why(files, why):
    labels, said = folder_labels(paths(*files))
    assert labels is None
    assert re.search(why, said)
