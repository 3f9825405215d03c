"""What the page says of the slides: a table of all, cards of those used, pictures and layers."""

import json
from collections.abc import Mapping, Sequence

from workflow.lib.cohort.sheet import Slide
from workflow.lib.report.cards import make_row, slide_mm
from workflow.lib.report.pages import embed_picture, embed_pictures
from workflow.lib.report.study import Study

THUMBNAIL_PX = 64  # longer side in the table; about 1.3 kB of the page


def describe_slides(
    study: Study,
    *,
    max_slides: int,
    picture_px: int,
    pictures_mb: float,
    layers_mb: float,
    chosen: Sequence[str],
) -> list[dict]:
    """The section on slides, as the template reads it: `Study.card`, pictures, and a view.

    The first `max_slides` of `Study.ranked` have pictures, `picture_px` wide and high at most, as
    long as all are `pictures_mb` at most; the first slide has them whatever their size. The first
    of these have a view, the layers over the picture of the slide, as long as all layers are
    `layers_mb` at most; the others have None.
    """
    pictures: dict[str, list] = {}
    views: dict[str, dict] = {}
    room, space = layers_mb * 1e6, pictures_mb * 1e6
    for slide in study.ranked(chosen)[:max_slides]:
        drawn = list(study.pictures(slide, max_side_px=picture_px))
        embedded = embed_pictures(drawn)
        space -= sum(len(picture["source"]) for picture in embedded)
        if space < 0 and pictures:
            break
        pictures[slide.slide] = embedded
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


def list_slides(
    study: Study, cards: Sequence[Mapping], *, thumbnails_mb: float, chosen: Sequence[str]
) -> list[dict]:
    """A row of the table for every slide of the sheet (`cards.make_row`), also if quarantined.

    `thumbnail` is a small picture of a slide, None where there is none and where all of them would
    take more than `thumbnails_mb`; those of `Study.ranked` come first. `card` is the number of its
    card among those of `describe_slides`, None where that has no pictures.
    """
    cards_of = {card["slide"]: card for card in cards}
    numbers = {card["slide"]: n for n, card in enumerate(cards, 1) if card["pictures"]}
    thumbnails = _thumbnails(study, thumbnails_mb, chosen)
    return [
        make_row(slide, study.standing[slide.slide]["verdict"], cards_of.get(slide.slide))
        | {"thumbnail": thumbnails.get(slide.slide), "card": numbers.get(slide.slide)}
        for slide in study.slides
    ]


def _thumbnails(study: Study, thumbnails_mb: float, chosen: Sequence[str]) -> dict[str, str]:
    """Slide -> its small picture as a data URI, as long as there is room."""
    found: dict[str, str] = {}
    room = thumbnails_mb * 1e6
    for slide in dict.fromkeys([*study.ranked(chosen), *study.slides]):
        picture = study.thumbnail(slide, max_side_px=THUMBNAIL_PX)
        if picture is None:
            continue
        source = embed_picture(picture)
        room -= len(source)
        if room < 0:
            break
        found[slide.slide] = source
    return found


def _view(study: Study, slide: Slide, shape: tuple[int, int]) -> dict:
    """The layers of a slide, how large its picture is in px, um and level-0 px per px of it."""
    checked = study.checked[slide.slide]
    steps = {"um": 1000 * slide_mm(checked)[1], "step": int(checked["width_px0"])}
    layers = [layer.describe() for layer in study.layers(slide, shape)]
    about = {"slide": slide.slide, "height": shape[0], "width": shape[1]}
    about |= {name: width / shape[1] for name, width in steps.items()}
    return about | {"layers": layers}
