"""What the layers of a network say of tiles: features, and what a linear probe makes of them."""

from collections.abc import Callable, Iterator, Sequence

import numpy as np
import torch

from workflow.lib.clusters.linear_probes import fit_probe
from workflow.lib.tiles.bags import TileBag
from workflow.lib.tiles.inference import infer

Layers = Callable[[torch.Tensor], dict[str, torch.Tensor]]


def layer_features(
    layers: Layers,
    read: Callable[[Sequence[int]], np.ndarray],
    count: int,
    *,
    batch: int,
    device: torch.device,
) -> Iterator[tuple[slice, dict[str, np.ndarray]]]:
    """Rows, and features (B, C) float32 by layer, of tiles 0 .. count - 1, batch by batch.

    layers: gives maps (B, C, h, w), which are averaged, or features (B, C) of tiles, by name.
    read: see inference.infer. Every tile passes the network once.
    Raises ValueError naming the layer and the first tile whose features are not finite.
    """
    dims: dict[str, int] = {}

    def pooled(tiles: torch.Tensor) -> torch.Tensor:
        found = {
            name: values.mean(dim=(2, 3)) if values.ndim == 4 else values
            for name, values in layers(tiles).items()
        }
        dims.update({name: values.shape[1] for name, values in found.items()})
        return torch.cat(list(found.values()), dim=1)

    for rows, values in infer(pooled, read, count, batch=batch, device=device):
        parts = np.split(values, np.cumsum(list(dims.values()))[:-1], axis=1)
        named = dict(zip(dims, parts, strict=True))
        for name, part in named.items():
            broken = np.flatnonzero(~np.isfinite(part).all(axis=1))
            if len(broken):
                raise ValueError(
                    f"E_NUMBER: {name} gives features that are not finite (NaN or infinite) for "
                    f"tile {rows.start + broken[0]}; lower the learning_rate of the "
                    "network's training"
                )
        yield rows, named


def probe_layers(
    layers: Layers,
    training: TileBag,
    testing: TileBag,
    *,
    penalty: float,
    batch: int,
    device: torch.device,
) -> list[tuple[str, int, np.ndarray]]:
    """Name, number of features and class probabilities (M, C) float32 of M tested tiles, by layer.

    training: what probes are fitted on; every class must be among these tiles.
    Features of tested tiles are scored batch by batch and not kept.
    """
    labels, slides = training.label.numpy(), training.slide.numpy()
    how = {"batch": batch, "device": device}
    blocks = [found for _, found in layer_features(layers, training.read, len(training), **how)]
    models, dims = {}, {name: values.shape[1] for name, values in blocks[0].items()}
    for name in dims:
        features = np.concatenate([block.pop(name) for block in blocks])
        models[name] = fit_probe(features, labels, slides, penalty=penalty)
    found = {name: [np.zeros((0, len(model.classes_)))] for name, model in models.items()}
    for _, block in layer_features(layers, testing.read, len(testing), **how):
        for name, model in models.items():
            found[name].append(model.predict_proba(block[name]))
    return [(name, dims[name], np.concatenate(found[name]).astype(np.float32)) for name in dims]
