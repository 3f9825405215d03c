"""The page of a study that lacks something: labels, masks, numbers, room."""

import re

import numpy as np

from tests.scripts.page import Page
from tests.scripts.reported import slide_with
from workflow.lib.jobs.shard import commit


def test_a_study_without_labels(made_study):
    page = Page(made_study(classes=(), methods=()).report())
    assert page.numbers() == [
        "3 of 4 slides used 1 quarantined",
        "4 tiles 100 px at 1 µm per pixel",
        "3.0 mm² tissue on the slides used",
        "2 clusters of the tiles of all slides",
        "1 of 2 clusters of several patients one of a single patient may be a stain",
    ]
    ids = set(page.attributes("id"))
    assert {"slides", "quarantined", "clusters", "run", "config"} <= ids
    assert not {"methods", "labels", "training"} & ids
    words = page.words()
    assert "label" not in Page(page.cards()["good"]).words()
    assert "no labels; nothing is held out" in words
    assert "95%" not in words


def test_a_study_without_masks_shows_heatmaps_and_measures_none(made_study):
    study = made_study()
    study.has_truth = lambda slide: False
    study.write_tables()
    study.write_metrics([row for row in study.metrics() if row["level"] != "pixel"])
    for method in study.methods:
        curves = study.root / f"evaluation/masks_{method}_curves.tsv"
        curves.write_text(curves.read_text().splitlines()[0] + "\n")
    page = Page(study.report())
    assert "No tested slide has pixel truth, so the heatmaps" in page.words()
    study.slides = [slide_with(slide, mask=study.root / "gone.png") for slide in study.slides]
    assert "pixel truth, or none could be used (see the notes" in Page(study.report()).words()
    assert "NEGEV: 0.25 mm² marked" in Page(page.cards()["good"]).words()
    assert len(page.numbers()) == 5


def test_a_study_of_slides_as_bags(made_study):
    study = made_study()
    study.config["labels"] = study.config["labels"] | {"level": "slide"}
    index = study.root / "aggregators/fold0.json"
    commit(index, study.shard("train_aggregator", {"a": 1}), study.train)
    auroc = next(r for r in study.metrics() if (r["level"], r["metric"]) == ("image", "auroc"))
    bag = auroc | {"level": "slide", "method": "abmil", "value": 0.625}
    study.write_metrics([*study.metrics(), bag])
    page = Page(study.report(aggregators=[index]))
    words = page.words()
    assert "It learnt from the tiles with the most evidence in each training slide" in words
    assert "slide, by attention all folds 2 0.62" in words
    assert "Bags of tiles: the second; 0 pixel masks used" in words
    assert "Bags of tiles, fold 0" in words


def test_a_study_whose_tiles_are_labelled_by_masks(made_study):
    study = made_study()
    study.config["labels"] = study.config["labels"] | {"level": "annotation"}
    rows = [row | {"pixel_masks_used": 3} for row in study.metrics()]
    rows = [row | {"level": row["level"].replace("image", "annotation")} for row in rows]
    study.write_metrics(rows)
    page = Page(study.report())
    assert "the others of a slide as normal, so that these numbers" in page.words()
    assert "every method that builds on it: no row is a result of slide labels" in page.words()
    assert "learn without" not in page.words()
    assert [number.count("; 3 pixel masks used") for number in page.numbers()] == [0, 0, 1, 1, 1]


def test_a_study_whose_epochs_masks_chose_says_so(made_study):
    study = made_study()
    said = "Pixel masks of some validation slides chose epochs"
    assert said not in Page(study.report()).words()
    study.config["train_negev"] = {"choose_by": "masks"}
    assert said in Page(study.report()).words()


def test_a_pixel_supervised_method_is_marked_and_no_number_of_the_study(made_study):
    page = Page(made_study(methods=("none", "crf", "svm", "unet")).report())
    words = page.words()
    both = "SVM (pixel-supervised) and U-Net (pixel-supervised)"
    assert f"{both} learnt from the pixel masks of training slides." in words
    assert "Such rows say what pixel labels would be worth" in words
    assert "The other methods learn without." in words
    apart = words.index("learnt from pixel masks or points")
    assert words.index("CAM, CRF 2 81.2") < apart < words.index("U-Net (pixel-supervised) 2 81.2")
    assert "U-Net (pixel-supervised): Dice 0.75" in Page(page.cards()["good"]).words()
    assert "U-Net (pixel-supervised): the second; 0 pixel masks used" in words
    assert "U-Net (pixel-supervised), fold 0: AUROC" in words  # a chart of its training
    assert "SVM (pixel-supervised), fold 0: AUROC" not in words  # which has no epochs
    assert not [number for number in page.numbers() if "supervised" in number]
    assert [number for number in page.numbers() if "PxAP of CAM, CRF" in number]


def test_points_are_pixel_labels_too(made_study):
    words = Page(made_study(methods=("none", "points")).report()).words()
    assert "Points learnt from points marked on training slides. Such rows say" in words
    assert "pixel masks of training slides" not in words


def test_the_encoder_of_bags_is_told_whatever_learnt_the_clusters(made_study):
    study = made_study(methods=("none",), clustering="deepcluster")
    study.config["labels"] = study.config["labels"] | {"level": "slide"}
    study.visit("features", lambda slide, folder: {}, [study.root / "tiles"])
    index = study.root / "aggregators/fold0.json"
    commit(index, study.shard("train_aggregator"), study.train)
    words = Page(study.report(aggregators=[index])).words()
    assert "Encoder net9 random none needed: no weights of others not trained here" in words
    assert "Bags of tiles, fold 0 random" in words


def test_no_metrics_at_all(made_study):
    study = made_study()
    study.write_metrics([])
    page = Page(study.report())
    assert "No slide was classified" in page.words()
    assert len(page.numbers()) == 5


def test_a_mask_that_does_not_fit_is_said_and_not_drawn(made_study):
    page = Page(made_study(mask=np.ones((400, 90), np.uint8)).report())
    words = Page(page.cards()["good"]).words()
    assert "pixel truth cannot be shown: mask.png is 90 x 400 px" in words


def test_past_max_slides_the_table_goes_on(made_study):
    study = made_study()
    whole, short = (Page(study.report(max_slides=count)) for count in (3, 1))
    assert len(whole.cards()) == 3 and len(short.cards()) == 1
    said = "Pictures are shown of 1 of 3 slides (write_report.max_slides, pictures_mb)"
    assert said in short.words()
    for name in ("empty", "good", "plain"):
        assert f"<td>{name}</td>" in re.sub("</?a.*?>", "", short.source)


def test_past_pictures_mb_the_table_goes_on_and_the_chosen_slide_stays(made_study):
    study = made_study()
    whole = Page(study.report())
    taken = {
        name: sum(len(source) for source in Page(card).attributes("src"))
        for name, card in whole.cards().items()
    }
    assert len(taken) == 3 and min(taken.values()) > 0
    own = taken.pop("plain")
    for size, count in ((own + max(taken.values()), 2), (own, 1), (0, 1)):
        short = Page(study.report(pictures_mb=size / 1e6, chosen=["plain"]))
        assert len(short.cards()) == count and "plain" in short.cards()
        assert f"Pictures are shown of {count} of 3 slides" in short.words()
    for name in ("empty", "good", "plain"):
        assert f"<td>{name}</td>" in re.sub("</?a.*?>", "", short.source)


def test_a_page_that_browsers_open_slowly_is_warned_of(made_study, monkeypatch, caplog):
    study = made_study()
    study.report()
    assert "a browser takes long" not in caplog.text
    monkeypatch.setattr("workflow.scripts.write_report.COMFORTABLE_MB", 0.01)
    study.report(pictures_mb=2)
    assert "above 0 a browser takes long to open it" in caplog.text
    assert "(write_report.pictures_mb, now 2)" in caplog.text


def test_only_the_table_of_jobs_changes_from_run_to_run(made_study):
    study = made_study()
    first = study.report()
    assert study.report() == first
    study.log("tile_slide", "all", seconds=99.0)
    study.log("write_report", "all", seconds=50.0)
    second = study.report()
    assert second != first
    assert "99.0" in second and "write_report</td>" not in second
    parts = [re.split('<h2 id="(?:run|config)">', page) for page in (first, second)]
    assert parts[0][0] == parts[1][0]
    assert parts[0][2] == parts[1][2]


def test_a_torn_record_of_a_job_is_passed_over(made_study):
    study = made_study()
    study.log("train_irn", "fold0")
    record = study.root.parents[1] / "logs/flat/train_irn/fold0.run.json"
    record.write_text(record.read_text()[:20])
    assert "train_irn" not in study.report()


def test_permuted_labels_are_said_above_all_numbers(made_study):
    study = made_study()
    before = Page(study.report())
    study.config["labels"]["permute"] = True
    rows = study.metrics()
    study.write_metrics([row | {"method": f"{row['method']}, permuted labels"} for row in rows])
    page = Page(study.report())
    said = "The labels of this study were permuted among patients (labels.permute)."
    assert page.words().index(said) < page.words().index("slides used")
    assert said not in before.words()
    assert page.numbers() == before.numbers()
    assert "CAM, unrefined, permuted labels 2 81.2" in page.words()
