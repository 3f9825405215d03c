"""NEGEV as a lesson whose loss has further terms."""

import torch

from workflow.lib.refine.regularisers import Regularisers
from workflow.lib.refine.seed_lessons import SeedLesson


class RegularisedLesson(SeedLesson):
    """A decoder that learns from seeds and from `regularisers`. Others as in SeedLesson.

    epoch: what the barrier gets steeper by; set by the loop.
    """

    epoch = 0

    def __init__(self, *given: object, regularisers: Regularisers, **settings: object) -> None:
        super().__init__(*given, **settings)
        self.regularisers = regularisers
        self.terms = (*self.terms, *regularisers.terms)

    def _losses(
        self,
        logits: torch.Tensor,
        seeds: torch.Tensor,
        negative: torch.Tensor,
        tiles: torch.Tensor,
    ) -> tuple[torch.Tensor, ...]:
        losses = super()._losses(logits, seeds, negative, tiles)
        return self.regularisers.add(losses, logits, tiles, negative, self.epoch)
