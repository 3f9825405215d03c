"""A first config for a cohort: the few settings that only its owner can decide."""

import statistics
from collections.abc import Sequence
from dataclasses import dataclass

import yaml

WHOLE_PX = 5000  # the longer side above which a slide is a whole one and not a crop
TILE_PX, STEP_PX, LEAST_PX = 224, 32, 64
MPP = 0.5  # um: about 20x, what most encoders were made for
CROPS_A_JOB = 50
UNKNOWN_CLASS = "FILL_IN"
UNKNOWN_MPP = (
    ">>> No slide says how fine it is: fill in the column mpp of the sheet, and choose here."
)

_TEXT = """\
# {study}: only what differs from config/config.yaml, where every setting stands with its reason.
#   python -m workflow.tools.run --configfile {file}
# Look at each line once; what has to be decided is marked with >>>.

study: {study_yaml}
slides: {slides}
slides_per_shard: {per_shard}    # {per_shard_why}
weights: null          # folder of checkpoints (*.safetensors, *.pth), where you have one

labels:
  # >>> What is a label about? image: all that a slide shows, as in a crop of one tissue.
  #     slide: some of its tissue, nobody says which. annotation: what is marked in its mask.
  level: {level}
  # >>> {classes_why}
  classes: {classes}
  # >>> The class that holds nothing of what is looked for (such as normal), or null for none.
  negative: null

split_patients:
  folds: 3             # each class needs three patients at least, better ten

tile_slide:
  # {mpp_why}
  mpp: {mpp}             # um per pixel
  tile_px: {tile_px}
  stride_px: {tile_px}

# imagenet is fetched once from the network, unless `weights` holds resnet18-imagenet.pth; random
# needs no file, for a trial. Encoders made for pathology (hf-hub:owner/model) see more.
extract_features:
  encoder: resnet18
  checkpoint: imagenet

train_classifier:
  backbone: resnet18
  checkpoint: imagenet
"""


@dataclass(frozen=True)
class Shape:
    """Size of a slide at level 0, and um per pixel where that is known."""

    height_px0: int
    width_px0: int
    mpp: float | None


def choose_tiles(shapes: Sequence[Shape]) -> tuple[float, int, str]:
    """um per pixel and side of tiles that suit most of the slides, and why.

    MPP, or that of the slides (the median) where they are coarser, or where a tile of TILE_PX
    would not fit them otherwise; then tiles may be smaller too.
    """
    known = [shape for shape in shapes if shape.mpp]
    if not known:
        return MPP, TILE_PX, UNKNOWN_MPP
    own = float(f"{statistics.median_high(shape.mpp for shape in known):.6g}")
    mpp, why = MPP, "About 20x, what most encoders were made for."
    if own > mpp:
        mpp, why = own, "That of the slides, which are coarser than 20x."
    shorter = statistics.median_low(min(s.height_px0, s.width_px0) * s.mpp for s in known)
    if shorter >= TILE_PX * mpp:
        return mpp, TILE_PX, why
    fitting = int(shorter / own + 1e-6) // STEP_PX * STEP_PX
    why = "That of the slides, which are small."
    return own, max(LEAST_PX, min(TILE_PX, fitting)), why


def config_text(
    study: str, slides: str, file: str, shapes: Sequence[Shape], classes: Sequence[str]
) -> str:
    """The text of a config, `file`, for the sheet `slides`; without `classes` some to fill in."""
    sides = [max(shape.height_px0, shape.width_px0) for shape in shapes]
    whole = not sides or statistics.median(sides) >= WHOLE_PX
    mpp, tile_px, mpp_why = choose_tiles(shapes)
    why = "two at least, as in the column label; or [] (and level: image) for no labels"
    values = {
        "study": study,
        "study_yaml": _inline(study),
        "slides": _inline(slides),
        "file": file,
        "per_shard": 1 if whole else CROPS_A_JOB,
        "per_shard_why": "whole slides: one a job" if whole else "small images: many a job",
        "level": "slide" if whole else "image",
        "classes": _inline(list(classes) or [UNKNOWN_CLASS]),
        "classes_why": "Names of the sub-folders, in the order of every score." * bool(classes)
        or f"The classes: {why}.",
        "mpp": mpp,
        "mpp_why": mpp_why,
        "tile_px": tile_px,
    }
    return _TEXT.format(**values)


def _inline(value: object) -> str:
    """A value as YAML has it, on one line, in quotes where it needs them."""
    style = {"default_flow_style": True, "allow_unicode": True, "width": 10_000}
    return yaml.safe_dump(value, **style).removesuffix("...\n").strip()
