"""The forward pass of a frozen network by one of three engines, held against plain float32."""

import hashlib
import json
import os
from collections.abc import Callable
from pathlib import Path

import torch
from torch import nn

from workflow.lib.jobs.devices import mixed

ENGINES = ("eager", "compiled", "openvino")
FAITHFUL = 0.9999  # the least cosine between a tile's features and those of eager float32
PIECES = 8  # what is left of a batch is computed in pieces of an eighth: two shapes to compile

Network = Callable[[torch.Tensor], torch.Tensor]


class Forward:
    """Features (B, D) of tiles (B, 3, t, t), float in 0..1 on `device`, in evaluation.

    engine: "eager" is torch as it comes; "compiled" is torch.compile, on a processor with frozen
    weights; "openvino" needs that package, and a processor. The last two take the same shapes
    again and again: fewer tiles than `batch` go in pieces of an eighth of it, the last one filled
    up with its last tile, and what that gives is dropped.
    precision: "fp32" or "bf16" (devices.choose_precision)

    Anything but eager float32 is compared with it on the first tiles: ValueError when a cosine is
    below FAITHFUL.
    """

    def __init__(
        self, network: nn.Module, *, engine: str, precision: str, batch: int, device: torch.device
    ) -> None:
        if engine not in ENGINES:
            raise ValueError(f"engine is {engine!r}; write {', '.join(ENGINES)}")
        if engine == "openvino" and device.type != "cpu":
            raise ValueError(
                "engine is openvino, which computes on the processor here: set compute.device to "
                "cpu, or engine to eager"
            )
        self.network, self.engine, self.precision = network, engine, precision
        self.batch, self.device = batch, device
        self.exact = engine == "eager" and precision == "fp32"
        self._compiled = _compile(network, device) if engine == "compiled" else None
        self._converted: dict[torch.Size, Network] = {}

    def __call__(self, tiles: torch.Tensor) -> torch.Tensor:
        found = self._in_shapes(tiles)
        if not self.exact and len(tiles):
            self._compare(tiles, found)
            self.exact = True  # enough, and only when it was
        return found

    def _in_shapes(self, tiles: torch.Tensor) -> torch.Tensor:
        count = len(tiles)
        if self.engine == "eager" or count in (0, self.batch):
            return self._compute(tiles)  # of a reader: channels last already
        size = max(1, self.batch // PIECES)
        if missing := -count % size:
            tiles = torch.cat([tiles, tiles[-1:].expand(missing, -1, -1, -1)])
        tiles = tiles.contiguous(memory_format=torch.channels_last)
        return torch.cat([self._compute(piece) for piece in tiles.split(size)])[:count]

    def _compute(self, tiles: torch.Tensor) -> torch.Tensor:
        if self.engine == "openvino" and len(tiles):
            if tiles.shape not in self._converted:
                self._converted[tiles.shape] = _convert(self.network, tiles, self.precision)
            return self._converted[tiles.shape](tiles)
        with mixed(self.device, self.precision):
            if self.engine != "compiled" or not len(tiles):
                return self.network(tiles)
            try:
                return self._compiled(tiles).clone()  # its memory may be used again
            except torch._dynamo.exc.TorchDynamoException as error:
                raise RuntimeError(
                    f"The network cannot be compiled here ({str(error).splitlines()[0]}): install "
                    "a C++ compiler, or set engine to eager"
                ) from error

    def _compare(self, tiles: torch.Tensor, found: torch.Tensor) -> None:
        plain = self.network(tiles).double()
        alike = torch.cosine_similarity(plain, found.double())
        alike = torch.where((plain == found).all(dim=1), 1.0, alike)  # nothing is like nothing
        finite = plain.isfinite().all(dim=1) & found.isfinite().all(dim=1)  # others are told of
        if finite.any() and (least := alike[finite].min().item()) < FAITHFUL:
            raise ValueError(
                f"Features by engine {self.engine} in {self.precision} are too far from float32: "
                f"their cosine is {least:.5f}, below {FAITHFUL}; set precision to fp32, or engine "
                "to eager"
            )


def cache_folder(capabilities: dict) -> Path:
    """Where compiled networks are kept between jobs, for processors with these `capabilities`.

    TORCHINDUCTOR_CACHE_DIR where that is set. A folder for each kind of machine, because homes
    are shared by several and code of one may not run on another; torch writes there atomically.
    """
    if chosen := os.environ.get("TORCHINDUCTOR_CACHE_DIR"):
        return Path(chosen)
    home = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache")
    kind = json.dumps([torch.__version__, capabilities], sort_keys=True)
    return home / "microtome" / f"compiled-{hashlib.sha256(kind.encode()).hexdigest()[:12]}"


def _compile(network: nn.Module, device: torch.device) -> Network:
    os.environ["TORCHINDUCTOR_CACHE_DIR"] = str(cache_folder(torch.cpu.get_capabilities()))
    options = {"deterministic": True, "freezing": device.type == "cpu"}  # no choice by stopwatch
    return torch.compile(network, dynamic=False, options=options)


def _convert(network: nn.Module, tiles: torch.Tensor, precision: str) -> Network:
    try:
        import openvino
    except ImportError as error:
        raise ImportError(
            "engine is openvino, which is not installed: pip install openvino, or set engine to "
            "eager"
        ) from error
    with torch.inference_mode(False), torch.no_grad():
        example = torch.zeros(tiles.shape)
        model = openvino.convert_model(network, example_input=example, input=[tuple(tiles.shape)])
    wishes = {
        "INFERENCE_NUM_THREADS": torch.get_num_threads(),
        "INFERENCE_PRECISION_HINT": "bf16" if precision == "bf16" else "f32",
        "NUM_STREAMS": 1,
    }
    compiled = openvino.Core().compile_model(model, "CPU", wishes)
    return lambda tiles: torch.from_numpy(compiled(tiles.contiguous().numpy())[0].copy())
