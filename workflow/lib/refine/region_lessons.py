"""RPNet as a lesson: NEGEV's seeds, through a decoder that compares the tiles of a batch."""

from collections.abc import Mapping, Sequence

import torch

from workflow.lib.jobs.devices import mixed
from workflow.lib.networks.fitting import derive_seed
from workflow.lib.refine.negev import negev_loss, thin_seeds
from workflow.lib.refine.prototypes import (
    choose_sources,
    consistency_loss,
    has_region,
    own_source,
    pool_regions,
    region_weights,
)
from workflow.lib.refine.region_decoders import RegionDecoder
from workflow.lib.refine.seed_bags import SeedBag
from workflow.lib.refine.seed_lessons import SeedLesson
from workflow.lib.refine.shares import share_out
from workflow.lib.tiles.inference import read_ahead, to_input

# Tiles that a bank is made from: at two sides, three resolutions and 64 numbers a location, 100 MB,
# and some thousand for each centroid that is kept of them.
MOST_TILES = 1 << 16


class RegionLesson(SeedLesson):
    """A region decoder that learns from seeds and from agreement between tiles, on cams.

    labels: class of every slide, by name
    foreground, background: evidence at which the regions of a tile are cut
    consistency_weight: of the agreement against the seeds
    Others as in SeedLesson.
    """

    terms = (*SeedLesson.terms, "consistency_loss")
    model: RegionDecoder

    def __init__(
        self,
        *given: object,
        labels: Mapping[str, str],
        foreground: float,
        background: float,
        consistency_weight: float,
        **settings: object,
    ) -> None:
        super().__init__(*given, **settings)
        self.cuts = {"foreground": foreground, "background": background}
        self.consistency_weight = consistency_weight
        self.labels, self.kinds = labels, sorted(set(labels.values()))

    @torch.no_grad()
    def fill_bank(self) -> None:
        """Fill the decoder's bank with the prototypes of the training tiles, as they are stored."""
        found, known = [], []
        batches = list(self._sources().split(self.batch_size))
        for indices, pixels in read_ahead(self.training.tiles.read, batches):
            tiles = to_input(pixels, self.device)
            maps = self.training.maps(indices).to(self.device, tiles.dtype)
            with mixed(self.device, self.precision):
                _, projected = self.model.look(tiles)
            regions = self._regions(self.training, indices, maps)
            found.append(pool_regions(projected, regions))
            known.append(has_region(regions))
        self.model.learnt["bank"].fill(torch.cat(found), torch.cat(known), seed=self.seed)

    def _sources(self) -> torch.Tensor:
        """The tiles behind the bank, ascending: all, or MOST_TILES that slides share evenly."""
        tiles = self.training.tiles
        if len(tiles) <= MOST_TILES:
            return torch.arange(len(tiles))
        generator = torch.Generator().manual_seed(derive_seed(self.seed))
        by_slide = torch.arange(len(tiles)).split(tiles.slide.bincount().tolist())
        shares = share_out([len(own) for own in by_slide], MOST_TILES)
        drawn = [
            own[torch.randperm(len(own), generator=generator)[:share]]
            for own, share in zip(by_slide, shares, strict=True)
        ]
        return torch.cat(drawn).sort().values

    def _regions(self, bag: SeedBag, indices: torch.Tensor, maps: torch.Tensor) -> torch.Tensor:
        return region_weights(maps, bag.negative[indices].to(self.device), **self.cuts)

    def _kinds(self, bag: SeedBag, slides: torch.Tensor) -> torch.Tensor:
        kinds = [self.kinds.index(self.labels[slide]) for slide in bag.tiles.slides]
        return torch.tensor(kinds, device=self.device)[slides]

    def _terms(
        self,
        bag: SeedBag,
        indices: torch.Tensor,
        tiles: torch.Tensor,
        maps: torch.Tensor,
        generator: torch.Generator,
    ) -> Sequence[torch.Tensor]:
        seeds = thin_seeds(self.sample(maps, generator), maps, generator)
        negative = bag.negative[indices].to(self.device)
        slides = bag.tiles.slide[indices].to(self.device)
        with mixed(self.device, self.precision):
            features, projected = self.model.look(tiles)
        regions = self._regions(bag, indices, maps)
        known, prototypes = has_region(regions), pool_regions(projected, regions)
        sources = choose_sources(slides, self._kinds(bag, slides), negative, known)
        others = self.model.compare(projected, prototypes, sources)
        own = self.model.compare(projected, prototypes, own_source(known))
        with mixed(self.device, self.precision):
            logits = self.model.decode(tiles, features, others).float()
        total, seeded, emptied = negev_loss(logits, seeds, negative, seed_weight=self.seed_weight)
        consistent = consistency_loss(prototypes, sources, known, own, others)
        terms = (total + self.consistency_weight * consistent, seeded, emptied, consistent)
        self.seen.append([term.item() for term in terms])
        return terms
