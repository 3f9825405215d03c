"""Settings that each are fine and contradict each other, and the sentence for it."""

import pytest

from tests.configs import edited, schema
from workflow.lib.jobs.configuration import schema_faults
from workflow.lib.jobs.contradictions import check_config, check_marks, check_named

CONTRADICTIONS = {
    "labels permuted where there are none": (
        edited(labels__permute=True, labels__classes=[], labels__negative=None),
        "labels.permute: a study without labels has none to permute; set it to false",
    ),
    "one class": (
        edited(labels__classes=["tumour"], labels__negative=None),
        "labels.classes: 'tumour' alone cannot be told from anything; name two classes, or none "
        "for a study without labels",
    ),
    "classes alike": (
        edited(labels__classes=["Tumour", "tumour"], labels__negative=None),
        "labels.classes: Tumour, tumour differ only in case; use other names",
    ),
    "negative of another study": (
        edited(labels__negative="benign"),
        "labels.negative: 'benign' is not in labels.classes (normal, tumour); write one of them "
        "or null",
    ),
    "gaps between tiles": (
        edited(tile_slide__stride_px=129),
        "tile_slide.stride_px: 129 leaves gaps between tiles of 128 px; use at most tile_px",
    ),
    "tiles hidden whole": (
        edited(explain_tiles__occlusion_px=129),
        "explain_tiles.occlusion_px: 129 px hide more than a whole tile of 128 px; use at most "
        "half of it",
    ),
    "downsample that does not divide": (
        edited(tile_slide__tile_px=130, refine_masks__downsample=4),
        "refine_masks.downsample: 4 does not divide tile_slide.tile_px, 130",
    ),
    "evidence of cams mixed into something else": (
        edited(make_cams__consistency=0.5, make_cams__methods=["layercam"]),
        "make_cams.consistency: 0.5 mixes in what training images say as a cam, and there is none; "
        "set it to 0 or name cam in make_cams.methods",
    ),
    "gland cells that do not fill a tile": (
        edited(make_cams__methods=["glands"], map_glands__cell_px=5),
        "map_glands.cell_px: 5 does not divide tile_slide.tile_px, 128; use a divisor",
    ),
    "lumens crossed": (
        edited(map_glands__min_lumen_um2=30000),
        "map_glands.min_lumen_um2: 30000 is not below max_lumen_um2, 20000.0",
    ),
    "thresholds crossed": (
        edited(make_pseudo_masks__background=0.6),
        "make_pseudo_masks.background: 0.6 is not below foreground, 0.6",
    ),
    "mpp crossed": (
        edited(check_slide__mpp_min=30, tile_slide__mpp=1.0),
        "check_slide.mpp_min: 30 is not below mpp_max, 20.0",
    ),
    "tiles that no slide has": (
        edited(tile_slide__mpp=25),
        "tile_slide.mpp: 25 is outside check_slide.mpp_min and mpp_max (0.05 to 20.0)",
    ),
    "file without a folder": (
        edited(extract_features__checkpoint="uni"),
        "extract_features.checkpoint: 'uni' is a file, but weights names no folder; set weights "
        "to the folder that holds it, or use random or imagenet",
    ),
    "encoder that is learnt later": (
        edited(extract_features__checkpoint="deepcluster"),
        "extract_features.checkpoint: deepcluster is a start for train_classifier alone",
    ),
    "network that starts from itself": (
        edited(cluster__method="deepcluster", train_deepcluster__checkpoint="deepcluster"),
        "train_deepcluster.checkpoint: deepcluster is a start for train_classifier alone",
    ),
    "start that nothing learns": (
        edited(train_classifier__checkpoint="deepcluster"),
        "train_classifier.checkpoint: deepcluster is not learnt where cluster.method is kmeans; "
        "set that to deepcluster, so that the report shows it",
    ),
    "classifier that draws by clusters of its test slides": (
        edited(cluster__fit_on="all", train_classifier__balance="clusters"),
        "cluster.fit_on: all fits clusters on the slides that a fold tests, which its classifier "
        "may then not use; set it to train, or train_classifier.checkpoint to another start and "
        "train_classifier.balance to classes",
    ),
    "start of another architecture": (
        edited(train_classifier__checkpoint="deepcluster", train_classifier__backbone="vgg16"),
        "train_classifier.backbone: vgg16 cannot start from the resnet18 of train_deepcluster; "
        "give both the same backbone",
    ),
    "regions crossed": (
        edited(train_rpnet__background=0.7),
        "train_rpnet.background: 0.7 is above foreground, 0.6",
    ),
    "boundaries from crossed thresholds": (
        edited(train_irn__background=0.7),
        "train_irn.background: 0.7 is not below foreground, 0.6",
    ),
    "seeds of pixels from crossed thresholds": (
        edited(train_pixelcam__background=0.7),
        "train_pixelcam.background: 0.7 is not below foreground, 0.6",
    ),
    "even dilation": (
        edited(train_negev__dilate_px=4),
        "train_negev.dilate_px: 4 has no middle pixel; use an odd number",
    ),
    "even dilation of another method": (
        edited(train_rpnet__dilate_px=2),
        "train_rpnet.dilate_px: 2 has no middle pixel; use an odd number",
    ),
    "margin as wide as a tile": (
        edited(
            train_unet__context_px=128,
            tile_slide__tile_px=128,
            tile_slide__stride_px=64,
            refine_masks__methods=["none", "unet"],
        ),
        "train_unet.context_px: 128 px cannot be mirrored from tiles of 128 px; use less than "
        "tile_px",
    ),
}


@pytest.mark.parametrize("config, said", CONTRADICTIONS.values(), ids=CONTRADICTIONS)
def test_check_refuses(config, said):
    assert schema_faults(config, schema()) == []
    assert said in check_config(config)


def test_the_margin_of_a_unet_that_is_not_trained_contradicts_nothing():
    config = edited(train_unet__context_px=128, refine_masks__methods=["none", "negev"])
    assert config["tile_slide"]["tile_px"] == 128
    assert check_config(config) == []


def test_check_lists_all_contradictions():
    config = edited(
        labels__negative="x", tile_slide__stride_px=999, make_pseudo_masks__background=1
    )
    assert len(check_config(config)) == 3


def test_methods_that_learn_from_marks_need_a_slide_that_has_some():
    methods = ["none", "unet", "negev", "points"]
    masks, points = check_marks(methods, masked=False, pointed=False)
    assert masks.startswith("refine_masks.methods: unet learns from pixel masks, and no slide of")
    assert points == (
        "refine_masks.methods: points learns from points, and no slide of the sheet has any; give "
        "some in its column points, or leave the method out"
    )
    assert check_marks(methods, masked=True, pointed=False) == [points]
    assert check_marks(methods, masked=True, pointed=True) == []
    assert check_marks(["none", "negev"], masked=False, pointed=False) == []


def test_tiles_to_explain_are_of_slides_of_the_sheet():
    named = ["a:0", "b.1:20,30", "A:0", "a:b:7"]
    assert check_named(named, ["a", "b.1"]) == [
        f"explain_tiles.named: {tile} is of no slide of the sheet; write slide:number or slide:x,y"
        for tile in ("A:0", "a:b:7")
    ]
