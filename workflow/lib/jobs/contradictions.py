"""Settings that each are fine and contradict each other or the sheet, in sentences with the fix."""

from collections.abc import Iterable, Iterator

from workflow.lib.jobs.names import SUPERVISED

WITHOUT_FILE = ("random", "imagenet", "hub", "deepcluster")


def check_config(config: dict) -> list[str]:
    """What no schema can see in a `config` that fits it: keys that contradict each other."""
    return [
        *_label_faults(config),
        *_checkpoint_faults(config),
        *_cluster_faults(config),
        *_cam_faults(config),
        *_tile_faults(config),
        *_threshold_faults(config),
    ]


def check_marks(methods: Iterable[str], *, masked: bool, pointed: bool) -> list[str]:
    """A sentence for each method that learns from what no slide has: pixel masks, or points."""
    needs = dict.fromkeys(SUPERVISED, ("pixel masks", "mask", masked))
    needs["points"] = ("points", "points", pointed)
    return [
        f"refine_masks.methods: {method} learns from {needs[method][0]}, and no slide of the sheet "
        f"has any; give some in its column {needs[method][1]}, or leave the method out"
        for method in methods
        if method in needs and not needs[method][2]
    ]


def check_named(named: Iterable[str], slides: Iterable[str]) -> list[str]:
    """A sentence for each of the tiles `named` to be explained that is of none of the `slides`."""
    known = set(slides)
    return [
        f"explain_tiles.named: {tile} is of no slide of the sheet; write slide:number or slide:x,y"
        for tile in named
        if tile.rpartition(":")[0] not in known
    ]


def _label_faults(config: dict) -> Iterator[str]:
    classes, negative = config["labels"]["classes"], config["labels"]["negative"]
    if len(classes) == 1:
        yield (
            f"labels.classes: {classes[0]!r} alone cannot be told from anything; "
            "name two classes, or none for a study without labels"
        )
    if len({name.casefold() for name in classes}) < len(classes):
        yield f"labels.classes: {', '.join(classes)} differ only in case; use other names"
    if config["labels"]["permute"] and not classes:
        yield "labels.permute: a study without labels has none to permute; set it to false"
    if negative is not None and negative not in classes:
        yield (
            f"labels.negative: {negative!r} is not in labels.classes ({', '.join(classes)}); "
            "write one of them or null"
        )
    if config["labels"]["level"] != "image" and not classes:
        yield (
            f"labels.level: {config['labels']['level']} says which tiles show a label, but "
            "labels.classes names none; write image for a study without labels"
        )
    if config["labels"]["permute"] and config["labels"]["level"] == "annotation":
        yield (
            "labels.permute: at level annotation masks teach which tile shows what, and they stay "
            "what they are, so that labels are not without meaning; use level image or slide"
        )
    if config["labels"]["level"] == "annotation" and classes and negative is None:
        yield (
            "labels.negative: at level annotation, tiles that nobody marked need a class; name the "
            "negative one"
        )
    label = config["label_tiles"]
    if label["top_share"] + label["bottom_share"] > 1:
        yield (
            f"label_tiles.top_share: {label['top_share']} and bottom_share, "
            f"{label['bottom_share']}, are more than the whole slide; use at most 1 together"
        )


def _checkpoint_faults(config: dict) -> Iterator[str]:
    for section in ("extract_features", "train_deepcluster", "train_classifier"):
        if section == "train_deepcluster" and config["cluster"]["method"] != "deepcluster":
            continue  # not in use
        checkpoint = config[section]["checkpoint"]
        if checkpoint == "deepcluster" and section != "train_classifier":
            yield f"{section}.checkpoint: deepcluster is a start for train_classifier alone"
        if checkpoint not in WITHOUT_FILE and config["weights"] is None:
            yield (
                f"{section}.checkpoint: {checkpoint!r} is a file, but weights names no folder; "
                "set weights to the folder that holds it, or use random or imagenet"
            )


def _cluster_faults(config: dict) -> Iterator[str]:
    learnt, classifier = config["train_deepcluster"], config["train_classifier"]
    starts = classifier["checkpoint"] == "deepcluster"
    balances = classifier["balance"] == "clusters"
    if starts and config["cluster"]["method"] != "deepcluster":
        yield (
            f"train_classifier.checkpoint: deepcluster is not learnt where cluster.method is "
            f"{config['cluster']['method']}; set that to deepcluster, so that the report shows it"
        )
    if (starts or balances) and config["cluster"]["fit_on"] == "all":
        yield (
            "cluster.fit_on: all fits clusters on the slides that a fold tests, which its "
            "classifier may then not use; set it to train, or train_classifier.checkpoint to "
            "another start and train_classifier.balance to classes"
        )
    if starts and classifier["backbone"] != learnt["backbone"]:
        yield (
            f"train_classifier.backbone: {classifier['backbone']} cannot start from the "
            f"{learnt['backbone']} of train_deepcluster; give both the same backbone"
        )


def _cam_faults(config: dict) -> Iterator[str]:
    cams, tile, cell = config["make_cams"], config["tile_slide"]["tile_px"], config["map_glands"]
    if cams["consistency"] > 0 and "cam" not in cams["methods"]:
        yield (
            f"make_cams.consistency: {cams['consistency']} mixes in what training images say as a "
            "cam, and there is none; set it to 0 or name cam in make_cams.methods"
        )
    if "glands" in cams["methods"] and tile % cell["cell_px"]:
        yield (
            f"map_glands.cell_px: {cell['cell_px']} does not divide tile_slide.tile_px, {tile}; "
            "use a divisor"
        )
    if cell["min_lumen_um2"] >= cell["max_lumen_um2"]:
        yield (
            f"map_glands.min_lumen_um2: {cell['min_lumen_um2']} is not below max_lumen_um2, "
            f"{cell['max_lumen_um2']}"
        )


def _tile_faults(config: dict) -> Iterator[str]:
    tile, refine, check = config["tile_slide"], config["refine_masks"], config["check_slide"]
    if tile["stride_px"] > tile["tile_px"]:
        yield (
            f"tile_slide.stride_px: {tile['stride_px']} leaves gaps between tiles of "
            f"{tile['tile_px']} px; use at most tile_px"
        )
    margin = config["train_unet"]["context_px"]
    if "unet" in refine["methods"] and margin >= tile["tile_px"]:
        yield (
            f"train_unet.context_px: {margin} px cannot be mirrored from tiles of "
            f"{tile['tile_px']} px; use less than tile_px"
        )
    if config["explain_tiles"]["occlusion_px"] > tile["tile_px"]:
        yield (
            f"explain_tiles.occlusion_px: {config['explain_tiles']['occlusion_px']} px hide more "
            f"than a whole tile of {tile['tile_px']} px; use at most half of it"
        )
    if tile["tile_px"] % refine["downsample"]:
        yield (
            f"refine_masks.downsample: {refine['downsample']} does not divide "
            f"tile_slide.tile_px, {tile['tile_px']}"
        )
    if check["mpp_min"] >= check["mpp_max"]:
        yield f"check_slide.mpp_min: {check['mpp_min']} is not below mpp_max, {check['mpp_max']}"
    if not check["mpp_min"] <= tile["mpp"] <= check["mpp_max"]:
        yield (
            f"tile_slide.mpp: {tile['mpp']} is outside check_slide.mpp_min and mpp_max "
            f"({check['mpp_min']} to {check['mpp_max']})"
        )


def _threshold_faults(config: dict) -> Iterator[str]:
    for section in ("make_pseudo_masks", "train_pixelcam", "train_irn"):
        cuts = config[section]
        if cuts["background"] >= cuts["foreground"]:
            yield (
                f"{section}.background: {cuts['background']} is not below foreground, "
                f"{cuts['foreground']}"
            )
    regions = config["train_rpnet"]
    if regions["background"] > regions["foreground"]:
        yield (
            f"train_rpnet.background: {regions['background']} is above foreground, "
            f"{regions['foreground']}"
        )
    for section in ("train_negev", "train_rpnet", "train_points"):
        if (side := config[section]["dilate_px"]) % 2 == 0:
            yield f"{section}.dilate_px: {side} has no middle pixel; use an odd number"
