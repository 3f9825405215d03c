"""What differs between recipes of two studies, each difference once."""

from workflow.lib.jobs.setting_changes import differing


def recipe(rule, *, code="c", torch="2", made_of=None, **settings):
    versions = {"torch": torch}
    about = {"rule": rule, "settings": settings, "code": code, "versions": versions}
    return about | {"made_of": made_of or {}, "slides": {"s1": {"identity": id(settings)}}}


def test_studies_alike_differ_in_nothing_but_their_slides():
    a, b = ({"tiles": recipe("tile_slide", mpp=1)} for _ in range(2))
    assert differing(a, b) == []


def test_a_setting_of_several_rules_is_one_row():
    a = {"x": recipe("train", seed=0, epochs=2), "y": recipe("judge", seed=0)}
    b = {"x": recipe("train", seed=1, epochs=3), "y": recipe("judge", seed=1)}
    assert differing(a, b) == [
        {"setting": "epochs", "a": "2", "b": "3", "rules": "train"},
        {"setting": "seed", "a": "0", "b": "1", "rules": "judge, train"},
    ]


def test_nested_settings_lists_and_absent_ones_have_their_values():
    a = {"x": recipe("train", augment={"crop": 1}, methods=["cam"])}
    b = {"x": recipe("train", augment={"crop": 0.5}, methods=["cam", "irn"], new=None, late=4)}
    rows = {row["setting"]: (row["a"], row["b"]) for row in differing(a, b)}
    assert rows == {
        "augment.crop": ("1", "0.5"),
        "methods": ("['cam']", "['cam', 'irn']"),
        "late": ("absent", "4"),
    }


def test_code_and_weights_are_of_one_rule_and_releases_of_all():
    a = {place: recipe(place, made_of={"checkpoint": "random"}) for place in ("train", "judge")}
    b = {
        "train": recipe("train", torch="3", code="d", made_of={"checkpoint": "sha256:1"}),
        "judge": recipe("judge", torch="3", made_of={"checkpoint": "random"}),
    }
    assert [(row["setting"], row["rules"]) for row in differing(a, b)] == [
        ("train.code", "train"),
        ("train.made_of.checkpoint", "train"),
        ("versions.torch", "judge, train"),
    ]


def test_what_one_study_has_alone_and_the_page_are_left_out():
    a = {"x": recipe("train", seed=0), "page": recipe("write_report", seed=0)}
    b = {"y": recipe("train", seed=1), "page": recipe("write_report", seed=1)}
    assert differing(a, b) == []
