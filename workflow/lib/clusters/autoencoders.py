"""A convolutional autoencoder: what it needs to remember of a tile to draw it again is its code.

The network of DCEC (Guo et al., "Deep clustering with convolutional autoencoders", ICONIP 2017),
with its weights drawn as published (Glorot and Bengio, AISTATS 2010; biases are zero).
"""

from pathlib import Path

import torch
from torch import nn
from torch.nn import functional

from workflow.lib.networks.saved_models import load_model, save_model

CHANNELS, KERNELS = (32, 64, 128), (5, 5, 3)
SIZES = ("embedding", "side_px", "tile_px", "mpp")  # what rebuilds it
STRIDE = 2 ** len(CHANNELS)  # tile pixels per pixel of the deepest map


class Autoencoder(nn.Module):
    """Codes (B, E) of RGB tiles (B, 3, t, t), float in 0..1, and tiles drawn from codes.

    embedding: E, numbers per code
    side_px: tiles are resampled to it (by area, the mean of the pixels that become one) before
        they are encoded, a multiple of 8; tiles smaller than it have their pixels repeated
    tile_px, mpp: of the tiles that it is trained on

    Three convolutions of stride 2 with ReLU, a dense layer without: the code; then a dense layer
    and the same three mirrored, without ReLU after the last. Raises ValueError for a side_px that
    the strides do not divide.
    """

    def __init__(self, embedding: int, side_px: int, *, tile_px: int, mpp: float) -> None:
        super().__init__()
        if side_px < STRIDE or side_px % STRIDE:
            raise ValueError(f"side_px is {side_px}; write a multiple of {STRIDE}")
        self.embedding, self.side_px = embedding, side_px
        self.dim, self.tile_px, self.mpp = embedding, tile_px, mpp
        self.deepest = (CHANNELS[-1], side_px // STRIDE, side_px // STRIDE)
        flat = self.deepest[0] * self.deepest[1] * self.deepest[2]
        self.convolutions, self.deconvolutions = nn.ModuleList(), nn.ModuleList()
        for wide, narrow, kernel in zip(CHANNELS, (3, *CHANNELS), KERNELS, strict=False):
            # Half a kernel of padding: every convolution halves the side, its mirror doubles it.
            size = {"kernel_size": kernel, "stride": 2, "padding": kernel // 2}
            self.convolutions.append(nn.Conv2d(narrow, wide, **size))
            mirror = nn.ConvTranspose2d(wide, narrow, **size, output_padding=1)
            self.deconvolutions.insert(0, mirror)
        self.to_code, self.from_code = nn.Linear(flat, embedding), nn.Linear(embedding, flat)
        for layer in (*self.convolutions, self.to_code, self.from_code, *self.deconvolutions):
            nn.init.xavier_uniform_(layer.weight)
            nn.init.zeros_(layer.bias)

    def forward(self, tiles: torch.Tensor) -> torch.Tensor:
        return self.embed(tiles)

    def embed(self, tiles: torch.Tensor) -> torch.Tensor:
        """Codes (B, E) of tiles (B, 3, t, t)."""
        return self.encode(self.shrink(tiles))

    def layers(self, tiles: torch.Tensor) -> dict[str, torch.Tensor]:
        """Feature maps (B, C, h, w) after ReLU, conv1 to conv3, and "embedding" (B, E)."""
        return self._layers(self.shrink(tiles))

    def shrink(self, tiles: torch.Tensor) -> torch.Tensor:
        """Tiles (B, 3, t, t) as the encoder takes them and the decoder draws them: (B, 3, s, s)."""
        if tiles.shape[-1] == self.side_px:
            return tiles
        return functional.interpolate(tiles, size=(self.side_px, self.side_px), mode="area")

    def encode(self, small: torch.Tensor) -> torch.Tensor:
        """Codes (B, E) of shrunk tiles (B, 3, s, s)."""
        return self._layers(small)["embedding"]

    def decode(self, codes: torch.Tensor) -> torch.Tensor:
        """Shrunk tiles (B, 3, s, s) drawn from codes (B, E); nothing confines them to 0..1."""
        maps = functional.relu(self.from_code(codes)).unflatten(1, self.deepest)
        for layer in self.deconvolutions[:-1]:
            maps = functional.relu(layer(maps))
        return self.deconvolutions[-1](maps)

    def first_filters(self) -> torch.Tensor:
        """The kernels of conv1, (32, 3, 5, 5)."""
        return self.convolutions[0].weight.detach()

    def untrained(self, seed: int) -> "Autoencoder":
        """The same architecture with the random weights of `seed`, in evaluation."""
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(seed)
            fresh = Autoencoder(self.embedding, self.side_px, tile_px=self.tile_px, mpp=self.mpp)
        return fresh.to(self.to_code.weight.device).eval()

    def start(self, weights: Path | None) -> None:
        """None: learning always starts from random weights."""

    def save(self, folder: Path, facts: dict) -> dict:
        """Write model.safetensors, and model.json with what rebuilds it and `facts`; the latter."""
        sizes = {name: getattr(self, name) for name in SIZES}
        return save_model(self, folder, {**facts, "kind": "dcec", **sizes})

    @classmethod
    def load(cls, folder: Path) -> "Autoencoder":
        """What `save` wrote into `folder`, in evaluation (saved_models.load_model)."""
        return load_model(folder, lambda record: cls(**{name: record[name] for name in SIZES}))

    def _layers(self, small: torch.Tensor) -> dict[str, torch.Tensor]:
        found, maps = {}, small
        for number, layer in enumerate(self.convolutions, start=1):
            maps = found[f"conv{number}"] = functional.relu(layer(maps))
        return found | {"embedding": self.to_code(maps.flatten(1))}
