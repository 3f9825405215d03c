import json

from workflow.lib.masked_slides import count_masks, masked, teachers


def write(folder, name, mask, verdict="ok"):
    (folder / name).mkdir(parents=True)
    facts = {"mask": mask} if verdict == "ok" else {}
    found = {"verdict": verdict, "facts": facts}
    (folder / name / "manifest.json").write_text(json.dumps(found))


def test_only_slides_that_a_fold_learnt_from_are_its_teachers(tmp_path):
    indices = [tmp_path / f"fold{fold}" / f"{shard}.json" for fold in (0, 1) for shard in "xy"]
    placed = []
    for fold, tested in (("0", "a"), ("1", "b")):
        for name, mask in {"a": True, "b": True, "c": True, "plain": False}.items():
            write(tmp_path / f"fold{fold}", name, mask)
            split = "test" if name == tested else "val" if name == "c" else "train"
            placed.append({"fold": fold, "slide": name, "split": split})
        write(tmp_path / f"fold{fold}", "lost", None, verdict="E_MPP")
        placed.append({"fold": fold, "slide": "lost", "split": "train"})
    taught = teachers(indices, placed)
    assert taught == {"0": {"b", "c"}, "1": {"a", "c"}}
    assert masked(tmp_path / "fold0", ["a", "plain", "never_made"]) == {"a"}
    assert [count_masks(folds, taught) for folds in (["0"], ["0", "1"], ["2"])] == [2, 3, 0]
    assert count_masks(["0"], taught, {"c", "d"}, {"d"}) == 3
    assert teachers([], placed) == {} and count_masks(["0", "1"], {}) == 0
