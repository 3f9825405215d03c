"""prepare_glas: squares, masks whose labels survive, and the two ways to divide the images."""

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from tests import configs
from workflow.lib.cohort.sheet import read_sheet
from workflow.lib.cohort.splits import split_patients
from workflow.tools import prepare_glas
from workflow.tools.prepare_glas import Graded, main, official_rows, read_grades

# What the challenge's table looks like, blanks behind the commas included.
HEAD = "name,patient ID, grade (GlaS), grade (Sirinukunwattana et al. 2015)\n"
IMAGES = [
    ("testA_1", 1, "benign"), ("testB_1", 2, "malignant"),
    *((f"train_{n}", 1 + n % 4, ("benign", "malignant")[n % 2]) for n in range(1, 13)),
]  # fmt: skip


@pytest.fixture
def challenge(tmp_path):
    """The challenge in small: 31 x 21 px, a mask of two objects and background."""
    folder = tmp_path / "Warwick QU Dataset (Released 2016_07_08)"
    folder.mkdir()
    lines = [f"{name},{patient}, {grade}, none\n" for name, patient, grade in IMAGES]
    (folder / "Grade.csv").write_text(HEAD + "".join(lines))
    for number, (name, _, _) in enumerate(IMAGES):
        picture = np.full((21, 31, 3), 10 * number, np.uint8)
        picture[:, 16:] = 255
        Image.fromarray(picture).save(folder / f"{name}.bmp")
        mask = np.zeros((21, 31), np.uint8)
        mask[:10, :10], mask[12:, 20:] = 1, 2
        Image.fromarray(mask).save(folder / f"{name}_anno.bmp")
    return tmp_path


@pytest.fixture
def ready(challenge):
    assert main([str(challenge), str(challenge / "out")]) == 0
    return challenge / "out"


def pixels(path):
    with Image.open(path) as image:
        return np.asarray(image)


def test_images_become_squares_and_labels_stay_labels(ready):
    image, mask = pixels(ready / "images/train_2.png"), pixels(ready / "masks/train_2.png")
    assert image.shape == (224, 224, 3) and mask.shape == (224, 224)
    assert set(np.unique(mask)) == {0, 1, 2} and mask.dtype == np.uint8
    # Nearest: pixel i shows the source pixel under its centre, (i + 0.5) * 31 / 224.
    rows, columns = (np.floor((np.arange(224) + 0.5) * side / 224).astype(int) for side in (21, 31))
    expected = np.zeros((21, 31), np.uint8)
    expected[:10, :10], expected[12:, 20:] = 1, 2
    assert (mask == expected[np.ix_(rows, columns)]).all()
    assert (image[:, :100] == image[0, 0]).all() and (image[:, 130:] == 255).all()


def test_a_palette_mask_keeps_its_indices(challenge):
    file = next(challenge.rglob("train_1_anno.bmp"))
    mask = Image.open(file).convert("L")
    mask.putpalette([v for n in range(256) for v in (255 - n, n, 7)])
    mask.save(file)
    assert main([str(challenge), str(challenge / "out")]) == 0
    assert set(np.unique(pixels(challenge / "out/masks/train_1.png"))) == {0, 1, 2}


def test_the_sheets_are_sheets_and_divide_as_they_say(ready):
    classes = ["benign", "malignant"]
    official = read_sheet(ready / "official-3.tsv", classes=classes, labels_needed=True)
    assert {s.slide for s in official if s.split == "test"} == {"testA_1", "testB_1"}
    assert sum(s.split == "val" for s in official) == 2  # 18 / 85 of 6, twice
    assert all(s.patient == s.slide for s in official)
    given = {"val_fraction": 0.25, "group_by": "patient", "seed": 0}
    placed = split_patients(official, folds=3, **given)
    assert {row.fold for row in placed} == {0}
    assert {row.slide: row.split for row in placed} == {s.slide: s.split for s in official}

    by_patient = read_sheet(ready / "patients.tsv", classes=classes, labels_needed=True)
    assert len(by_patient) == len(IMAGES) and not any(s.split for s in by_patient)
    assert {s.patient for s in by_patient} == {f"glas-{n}" for n in (1, 2, 3, 4)}
    assert {s.mpp for s in by_patient} == {configs.merged("glas-negev")["tile_slide"]["mpp"]}


def test_the_published_counts_come_out_and_draws_differ():
    grades = [("train", "benign", 37), ("train", "malignant", 48)]
    grades += [("testA", "benign", 33), ("testA", "malignant", 27)]
    grades += [("testB", "benign", 4), ("testB", "malignant", 16)]
    graded = [
        Graded(f"{part}_{label}{n}", "p", label)
        for part, label, count in grades
        for n in range(count)
    ]
    held = []
    for draw in range(prepare_glas.DRAWS):
        rows = list(official_rows(graded, draw))
        counts = {
            (split, label): sum((r["split"], r["label"]) == (split, label) for r in rows)
            for split in ("train", "val", "test")
            for label in ("benign", "malignant")
        }
        assert list(counts.values()) == [29, 38, 8, 10, 37, 43]
        assert rows == list(official_rows(graded, draw))
        held.append({r["slide"] for r in rows if r["split"] == "val"})
    assert len(set(map(frozenset, held))) == prepare_glas.DRAWS


def test_images_are_in_the_order_of_their_numbers(challenge):
    names = [item.name for item in read_grades(next(challenge.rglob("Grade.csv")))]
    assert names[:2] == ["testA_1", "testB_1"]
    assert names[2:] == [f"train_{n}" for n in range(1, 13)]


def test_without_test_images_there_is_no_official_sheet(challenge, caplog):
    table = next(challenge.rglob("Grade.csv"))
    lines = table.read_text().splitlines(keepends=True)
    table.write_text("".join(line for line in lines if not line.startswith("test")))
    assert main([str(challenge), str(challenge / "out")]) == 0
    assert {f.name for f in (challenge / "out").glob("*.tsv")} == {"patients.tsv"}
    assert "no test image" in caplog.text


def test_other_counts_than_the_published_ones_are_said(challenge, caplog):
    main([str(challenge), str(challenge / "out")])
    assert "Published are 67, 18 and 80" in caplog.text


@pytest.mark.parametrize(
    "damage, said",
    [
        (("testB_1_anno.bmp", None), "lacks the image or the mask ..._anno of testB_1"),
        (("Grade.csv", None), "there is no Grade.csv"),
        (("Grade.csv", "name,grade\na,b\n"), "no column grade (GlaS), patient ID"),
        (("Grade.csv", f"{HEAD}train_1,1, unsure, x\n"), "train_1 as 'unsure'"),
    ],
)
def test_what_is_missing_is_named(challenge, capsys, damage, said):
    name, text = damage
    file = next(challenge.rglob(name))
    if text is None:
        file.unlink()
    else:
        file.write_text(text)
    assert main([str(challenge), str(challenge / "out")]) == 1
    assert said in capsys.readouterr().err
    assert not (challenge / "out").exists()


def test_the_study_takes_the_sheet_that_is_written_by_default():
    sheet = Path(configs.merged("glas-negev")["slides"])
    assert sheet == Path("data/glas-negev/official-0.tsv")
