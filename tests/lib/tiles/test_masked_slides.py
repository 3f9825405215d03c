import json

from workflow.lib.tiles.masked_slides import count_masks, masked, teachers


def write(folder, name, mask, verdict="ok"):
    (folder / name).mkdir(parents=True)
    facts = {"mask": mask} if verdict == "ok" else {}
    found = {"verdict": verdict, "facts": facts}
    (folder / name / "manifest.json").write_text(json.dumps(found))


def test_only_slides_that_a_fold_learnt_from_are_its_teachers(tmp_path):
    for name, mask in {"a": True, "b": True, "c": True, "plain": False}.items():
        write(tmp_path, name, mask)
    write(tmp_path, "lost", None, verdict="E_MPP")
    placed = []
    for fold, tested in (("0", "a"), ("1", "b")):
        for name in ("a", "b", "c", "plain", "lost"):
            split = "test" if name == tested else "val" if name == "c" else "train"
            placed.append({"fold": fold, "slide": name, "split": split})
    indices = [tmp_path / "x.json", tmp_path / "y.json"]
    taught = teachers(indices, placed)
    assert taught == {"0": {"b", "c"}, "1": {"a", "c"}}
    assert masked(tmp_path, ["a", "plain", "never_made"]) == {"a"}
    assert [count_masks(folds, taught) for folds in (["0"], ["0", "1"], ["2"])] == [2, 3, 0]
    assert count_masks(["0"], taught, {"c", "d"}, {"d"}) == 3
    assert teachers([], placed) == {} and count_masks(["0", "1"], {}) == 0
