"""An epoch chosen by pixels: which tiles are looked at, and PxAP on them by hand."""

import numpy as np
import pytest

from tests.scripts import cohort
from workflow.lib.measures.pixel_metrics import histograms, pxap
from workflow.lib.refine.epoch_choices import EpochChoice, open_choice
from workflow.lib.tiles.stores import Tiles

MASKS = {"p2": 255, "p1": 255, "p3": 255}
PLACED = {
    name: {"split": split, "label": cohort.label(name)} for name, split in cohort.SPLITS.items()
}


@pytest.fixture(scope="module")
def root(tmp_path_factory):
    root = tmp_path_factory.mktemp("study")
    cohort.build(root)
    return root


def choose(root, masks=MASKS, *, splits=None, negative="normal", count=6) -> EpochChoice:
    slides = cohort.masked("train_negev", root, masks).slides
    placed = PLACED | {name: PLACED[name] | {"split": s} for name, s in (splits or {}).items()}
    where = (root / "tiles", slides, placed, root / "chosen")
    return open_choice(*where, negative=negative, count=count, seed=0, fold=3)


def test_validation_slides_with_known_pixels_choose_and_masks_are_counted(root):
    choice = choose(root)
    assert choice.tiles.slides == ["n2", "p2"]  # n2 has no mask: it is all background
    facts = choice.facts()
    assert facts["masks"] == ["p2"] and facts["chosen_on"] == ["n2", "p2"]
    assert facts["chosen_by"] == "highest PxAP on 2 validation slides whose pixels are known"
    alone = choose(root, negative=None)
    assert alone.tiles.slides == alone.masks == ["p2"]


def test_no_more_are_looked_at_than_asked_for(root):
    more = {"p1": "val", "p3": "val", "n1": "val", "n3": "val"}
    choice = choose(root, splits=more, count=4)
    kinds = [cohort.label(slide) for slide in choice.tiles.slides]
    assert sorted(kinds) == ["normal", "normal", "tumour", "tumour"]
    assert choice.masks == [s for s in choice.tiles.slides if s.startswith("p")]


def test_truth_is_that_of_the_readable_tiles(root):
    """Tile 2 of p1 is unreadable: it is not there, and the others keep their own truth."""
    choice = choose(root, splits={"p1": "val", "p2": "test", "n2": "test"})
    truth, half = choice.truth[0][:], cohort.TILE_PX // 2
    assert truth.shape == (4, cohort.TILE_PX, cohort.TILE_PX) and len(choice.tiles) == 4
    assert truth[:, :half, :half].all() and truth.sum() == 4 * half**2


def test_pxap_is_that_of_all_pixels_in_one_pool(root):
    choice, rng, seen = choose(root), np.random.default_rng(0), []

    def show(slide, read, count):
        store = Tiles(root / "tiles" / slide / "tiles.zarr")
        assert np.array_equal(read(range(1, 3)), store.batch([1, 2])) and count == 5
        for rows in (slice(0, 3), slice(3, 5)):
            seen.append((slide, rng.random((rows.stop - rows.start, 64, 64))))
            yield rows, seen[-1][1]

    found = choice.pxap(show)
    scores = np.concatenate([maps for _, maps in seen])
    truth = np.zeros(scores.shape, np.uint8)
    truth[[name == "p2" for name, maps in seen for _ in maps], :32, :32] = 1
    assert found == pytest.approx(float(pxap(histograms(scores, truth))), abs=0.05)
    assert choice.pxap(lambda s, _, n: [(slice(0, n), choice.truth[s == "p2"][:])]) == 100


@pytest.mark.parametrize(
    ("masks", "said"),
    [
        ({"p1": 1, "p3": 1}, r"Fold 3 has no validation slide .* \(n2\); give masks in .* labels"),
        ({"p2": 0}, r"Fold 3 has no validation slide with foreground .* \(n2, p2\)"),
    ],
)
def test_a_fold_where_nothing_can_choose_is_a_sentence(root, masks, said):
    with pytest.raises(ValueError, match=said):
        choose(root, masks)


def test_a_mask_that_does_not_fit_has_no_say(root, caplog):
    slides = cohort.masked("train_negev", root, MASKS).slides
    (root / "p2.png").write_bytes((root / "splits.tsv").read_bytes())
    placed = PLACED | {"p1": PLACED["p1"] | {"split": "val"}}
    about = {"negative": None, "count": 6, "seed": 0, "fold": 3}
    choice = open_choice(root / "tiles", slides, placed, root / "chosen", **about)
    assert choice.masks == ["p1"] and choice.facts()["chosen_on"] == ["p1"]
    assert choice.warnings == [r.message for r in caplog.records if r.levelname == "WARNING"]
    assert choice.warnings[0].startswith("p2 has no say in the choice of the epoch: p2.png")
