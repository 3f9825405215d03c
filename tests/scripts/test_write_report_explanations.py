"""The section on what the classifiers see: shown where there is something, with how to read it."""

from tests.scripts.clustered import pictures
from tests.scripts.page import Page, decode
from workflow.lib.jobs.shard import commit

PAGES = ("class0.png", "class1.png", "filters.png", "activations.png")


def explained(study):
    """The study with the explanations of a fold; their index."""

    def draw(folder):
        pictures(PAGES)(folder)
        return {"classes": ["normal", "a/b <i>"]}

    index = study.root / "explanations" / "fold0.json"
    commit(index, study.shard("explain_tiles"), draw)
    study.config["explain_tiles"] = {"named": [], "occlusion_px": 48}
    return index


def test_the_pages_of_a_fold_are_shown_with_what_they_are(made_study):
    study = made_study()
    page = Page(study.report(explanations=[explained(study)]))
    section = page.source.split('<h2 id="explanations">')[1].split("<h2")[0]
    shown = Page(section)
    titles = [title.removeprefix("Fold 0: ") for title in shown.attributes("alt")]
    assert titles[:2] == ["called normal", "called a/b <i>"]
    assert [title.split(" ")[0] for title in titles[2:]] == ["filters", "tiles"]
    assert all(decode(source).shape[1] <= 1340 for source in shown.attributes("src"))
    assert "hiding a square of 48 px lowers the score" in shown.words()
    assert "those that were named" not in shown.words()
    assert "#explanations" in page.attributes("href") and not page.strays


def test_tiles_that_were_named_are_spoken_of(made_study):
    study = made_study()
    index = explained(study)
    study.config["explain_tiles"]["named"] = ["good:1"]
    assert "and those that were named" in Page(study.report(explanations=[index])).words()


def test_without_explanations_there_is_no_section(report_page):
    assert "#explanations" not in report_page.attributes("href")
    assert 'id="explanations"' not in report_page.source
