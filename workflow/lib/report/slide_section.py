"""What the page says of the slides that are used: a card each, the first of them with pictures."""

from workflow.lib.report.pages import embed_pictures
from workflow.lib.report.study import Study


def describe_slides(study: Study, *, max_slides: int, picture_px: int) -> list[dict]:
    """The section on slides, as the template reads it: `Study.card` and its pictures.

    Beyond `max_slides` a slide has none; they are `picture_px` wide and high at most.
    """
    cards = []
    for place, slide in enumerate(study.used):
        shown = study.pictures(slide, max_side_px=picture_px) if place < max_slides else ()
        cards.append(study.card(slide) | {"pictures": embed_pictures(shown)})
    return cards
