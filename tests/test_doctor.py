"""doctor: one line per check, what is wrong with a study, and the exit status."""

import pytest
import yaml

from tests.stored import serving, use
from tests.synthetic import make_cohort
from workflow.tools import doctor


@pytest.fixture
def study(tmp_path, monkeypatch):
    """Writes a config for six drawn slides; the machine is taken to be well."""
    sheet = make_cohort(tmp_path / "cohort", slides=6, side_px=128)
    monkeypatch.chdir(tmp_path)
    for check in ("check_python", "check_libraries", "check_devices"):
        monkeypatch.setattr(doctor, check, lambda *_: doctor.Finding("machine", "is well"))
    monkeypatch.setattr(doctor, "check_codecs", lambda: [])

    def write(**changes):
        text = yaml.safe_dump({"study": "mine", "slides": str(sheet)} | changes)
        (tmp_path / "study.yaml").write_text(text)
        return sheet

    return write


def examine(capsys, *arguments):
    status = doctor.main(["--configfile", "study.yaml", *arguments])
    *lines, last = capsys.readouterr().out.splitlines()
    assert status == (last != "Nothing to fix.")
    return [line for line in lines if line.startswith("FIX")], lines, last


def test_a_study_that_can_run_has_nothing_to_fix(study, capsys):
    study()
    faults, lines, last = examine(capsys)
    assert faults == [] and last == "Nothing to fix."
    said = "6 slides, 6 patients, 3 normal, 3 tumour; each slide its own patient: is that so?"
    assert f"ok  sheet        {said}" in lines
    assert "ok  folds        3" in lines
    assert "ok  pixel sizes  none is known to be unfit for 1 um" in lines
    weights = [line for line in lines if line[4:11] == "weights"]
    used = "(extract_features, train_classifier)"
    assert weights == [f"ok  weights      resnet18, random {used}: no file needed"]
    assert all(line.startswith("ok  ") for line in lines)


@pytest.mark.parametrize(
    ("changes", "fault"),
    [
        ({"studdy": 1}, "did you mean study?"),
        ({"labels": {"classes": ["FILL_IN"]}}, "'FILL_IN' alone cannot be told from anything"),
        ({"slides": "nowhere.tsv"}, "the slide sheet cannot be read"),
        ({"labels": {"classes": ["normal", "tumor"]}}, "label 'tumour' is not in labels.classes"),
        ({"split_patients": {"folds": 7}}, "folds        cannot be drawn"),
        ({"refine_masks": {"methods": ["points"]}}, "points learns from points"),
        ({"train_negev": {"choose_by": "masks"}, "labels": {"permute": True}}, "set it to labels"),
    ],
)
def test_what_would_stop_a_run_is_said_before_it(study, capsys, changes, fault):
    study(**changes)
    faults, _, last = examine(capsys)
    assert any(fault in line and " -> " in line for line in faults), faults
    assert last == f"{len(faults)} to fix."


def test_slides_that_a_run_would_set_aside_are_counted(study, capsys):
    sheet = study()
    header, *rows = sheet.read_text().splitlines()
    cells = [row.split("\t") for row in rows]
    for n, row in enumerate(cells):
        row[5] = "" if n < 2 else "1.2"  # mpp
    image = sheet.parent / "plain.PNG"
    image.touch()
    cells[0][1] = image.name
    sheet.write_text("\n".join([header, *("\t".join(row) for row in cells)]) + "\n")
    (fault,), _, _ = examine(capsys)
    assert (
        "1 plain images have no mpp (such as s01); 4 are coarser than 1 um (such as s03)" in fault
    )
    assert fault.endswith(" -> fill in the column mpp, raise tile_slide.mpp")
    study(tile_slide={"mpp": 1.1})
    faults, lines, _ = examine(capsys)
    said = "1 plain images have no mpp (such as s01): these will be set aside"
    assert faults == [] and f"ok  pixel sizes  {said}" in lines


def test_object_storage_is_asked_for_its_slides(study, capsys, monkeypatch, tmp_path):
    sheet = study()
    text = sheet.read_text()
    with serving() as storage:
        use(storage, monkeypatch, tmp_path)
        path = storage.put("s01.tif", sheet.parent / "slides/s01.tif")
        sheet.write_text(text.replace("slides/s01.tif", str(path)))
        faults, lines, _ = examine(capsys)
        assert faults == [] and any(
            line.startswith("ok  storage      1 slides, ") for line in lines
        )
        sheet.write_text(sheet.read_text().replace("slides/s02.tif", f"{path}.gone"))
        (fault,), _, _ = examine(capsys)
    assert fault.startswith("FIX storage      1 of 2 slides cannot be read (E_OBJECT: s3://")
    assert "-> Correct the path in the sheet" in fault


def test_weights_that_are_not_here_come_with_the_command(study, capsys, monkeypatch, tmp_path):
    monkeypatch.setenv("TORCH_HOME", str(tmp_path))
    study(extract_features={"checkpoint": "imagenet"}, cluster={"method": "deepcluster"})
    faults, lines, _ = examine(capsys)
    (fault,) = faults
    assert "resnet18, imagenet (extract_features): not on this machine" in fault
    assert "python -c 'from torchvision" in fault
    assert any("random (train_deepcluster, train_classifier)" in line for line in lines)
    study(train_classifier={"checkpoint": "mine"}, weights=str(tmp_path))
    (fault,), _, _ = examine(capsys)
    assert "There is no checkpoint 'mine'" in fault


def test_of_a_sheet_with_many_faults_the_first_are_said(study, capsys):
    sheet = study()
    header, *rows = sheet.read_text().splitlines()
    sheet.write_text("\n".join([f"{header}\tx", *(f"{row}\ty\tz" for row in rows)]))
    (fault,), _, _ = examine(capsys)
    assert "problems in the slide sheet; line 1: " in fault and "unknown column 'x'" in fault
    assert fault.endswith("more lines") and len(fault.splitlines()) == 1


def test_a_demo_that_is_not_drawn_is_one_line(study, capsys, tmp_path):
    study(slides="config/slides.tsv")
    (tmp_path / "config").mkdir()
    row = "slide\tpath\tpatient\tlabel\na\t../data/demo/slides/a.tif\tp\tnormal\n"
    (tmp_path / "config/slides.tsv").write_text(row)
    (fault,), _, _ = examine(capsys)
    assert fault.endswith("config/slides.tsv: the demo is not drawn -> make demo")
    (tmp_path / "data/demo").mkdir(parents=True)
    (fault,), _, _ = examine(capsys)
    assert "'../data/demo/slides/a.tif' is not a file" in fault


def test_settings_of_the_command_line_count_and_slurm_is_asked_for(study, capsys):
    study(slides="nowhere.tsv")
    given = ["--config", "slides=cohort/slides.tsv", "--profile", "nowhere"]
    (fault,), _, _ = examine(capsys, *given)
    assert fault.startswith("FIX slurm        nowhere is not usable")


def test_a_config_that_is_no_yaml_or_not_there_is_said(study, capsys, tmp_path):
    study()
    (tmp_path / "study.yaml").write_text("a: [")
    (fault,), lines, _ = examine(capsys)
    assert fault.startswith("FIX config") and not any("sheet" in line for line in lines)
    (tmp_path / "study.yaml").unlink()
    (fault,), _, _ = examine(capsys)
    assert "No such file" in fault
