import json

from workflow.lib.tiles.masked_slides import count_masks, masked, teachers


def write(unit, facts, verdict="ok"):
    unit.mkdir(parents=True)
    found = {"verdict": verdict, "facts": facts if verdict == "ok" else {}}
    (unit / "manifest.json").write_text(json.dumps(found))


def test_slides_that_a_mask_labels(tmp_path):
    for name, mask in {"a": True, "b": True, "plain": False}.items():
        write(tmp_path / name, {"mask": mask})
    write(tmp_path / "lost", None, verdict="E_MPP")
    assert masked(tmp_path, ["a", "plain", "lost", "never_made"]) == {"a"}


def test_the_teachers_of_a_fold_are_the_masks_behind_its_classifier(tmp_path):
    for fold, masks in enumerate((["b", "c"], ["a", "c"], [])):
        write(tmp_path / f"fold{fold}", {"masks": masks})
    taught = teachers([tmp_path / f"fold{fold}.json" for fold in range(3)])
    assert taught == {"0": {"b", "c"}, "1": {"a", "c"}, "2": set()}
    assert [count_masks(folds, taught) for folds in (["0"], ["0", "1"], ["2"])] == [2, 3, 0]
    assert count_masks(["0"], taught, {"c", "d"}, {"d"}) == 3
    assert teachers([]) == {} and count_masks(["0", "1"], {}) == 0
