"""What the page says of the slides that are used: a card each, some with pictures and layers."""

import json
from collections.abc import Sequence

from workflow.lib.cohort.sheet import Slide
from workflow.lib.report.cards import slide_mm
from workflow.lib.report.pages import embed_pictures
from workflow.lib.report.study import Study


def describe_slides(
    study: Study, *, max_slides: int, picture_px: int, layers_mb: float, chosen: Sequence[str]
) -> list[dict]:
    """The section on slides, as the template reads it: `Study.card`, pictures, and a view.

    The first `max_slides` of `Study.ranked` have pictures, `picture_px` wide and high at most. The
    first of these have a view, the layers over the picture of the slide, as long as all layers
    are `layers_mb` at most; the others have None.
    """
    pictures: dict[str, list] = {}
    views: dict[str, dict] = {}
    room = layers_mb * 1e6
    for slide in study.ranked(chosen)[:max_slides]:
        drawn = list(study.pictures(slide, max_side_px=picture_px))
        pictures[slide.slide] = embed_pictures(drawn)
        if room > 0:
            view = _view(study, slide, drawn[0][1].shape[:2])
            room -= len(json.dumps(view))
            if room >= 0:
                views[slide.slide] = view
    return [
        study.card(slide)
        | {"pictures": pictures.get(slide.slide, []), "view": views.get(slide.slide)}
        for slide in study.used
    ]


def _view(study: Study, slide: Slide, shape: tuple[int, int]) -> dict:
    """The layers of a slide, how large its picture is in px, and um per px of it."""
    width_mm = slide_mm(study.checked[slide.slide])[1]
    layers = [layer.describe() for layer in study.layers(slide, shape)]
    about = {"slide": slide.slide, "height": shape[0], "width": shape[1]}
    return about | {"um": 1000 * width_mm / shape[1], "layers": layers}
