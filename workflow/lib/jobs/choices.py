"""What the config says about choices that only the sheet can tell to be possible."""

from collections.abc import Container, Iterable, Iterator, Mapping


def check_choices(config: Mapping, methods: Iterable[str], *, masked: bool) -> list[str]:
    """A sentence for each stage in use whose epoch masks are to choose, where they cannot.

    methods: of the refine stage that are run; masked: whether a slide of the sheet has a mask.
    """
    learnt = ("classifier", *methods) if config["labels"]["classes"] else ()
    stages = [f"train_{method}" for method in learnt]
    chosen = [s for s in stages if config.get(s, {}).get("choose_by") == "masks"]
    return [sentence for stage in chosen for sentence in _faults(stage, config, masked)]


def check_chosen(chosen: Iterable[str], slides: Container[str]) -> list[str]:
    """A sentence for each slide that the page is to show first and that the sheet has not."""
    return [
        f"write_report.chosen: there is no slide {name} in the sheet; correct it or leave it out"
        for name in chosen
        if name not in slides
    ]


def _faults(stage: str, config: Mapping, masked: bool) -> Iterator[str]:
    if not masked:
        yield (
            f"{stage}.choose_by: masks looks at pixel masks of validation slides, and no slide of "
            "the sheet has any; give some in its column mask, or set it to labels"
        )
    if config["labels"]["permute"]:
        yield (
            f"{stage}.choose_by: masks stay what they are where labels.permute is on, so that the "
            "epoch that finds something would be chosen; set it to labels"
        )
