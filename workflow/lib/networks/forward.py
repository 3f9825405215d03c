"""The forward pass of a frozen network by one of three engines, held against plain float32."""

import hashlib
import json
import logging
import os
from collections.abc import Callable
from pathlib import Path

import torch
from torch import nn

from workflow.lib.jobs.devices import mixed

log = logging.getLogger(__name__)

ENGINES = ("eager", "compiled", "openvino")
FAITHFUL = 0.9999  # the least cosine between a tile's features and those of eager float32
PIECES = 8  # what is left of a batch is computed in pieces of an eighth: two shapes to compile

Network = Callable[[torch.Tensor], torch.Tensor]


class NotCompiled(RuntimeError):
    """An engine cannot take the network, or has no compiler here."""


class Forward:
    """Features (B, D) of tiles (B, 3, t, t), float in 0..1 on `device`, in evaluation.

    engine: "eager" is torch as it comes; "compiled" is torch.compile, on a processor with frozen
    weights; "openvino" needs that package, and a processor. The last two take the same shapes
    again and again: fewer tiles than `batch` go in pieces of an eighth of it, the last one filled
    up with its last tile, and what that gives is dropped. A network that they cannot compile is
    computed by "eager", which is then what `engine` says, with a warning.
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
        self._faster: Network = network
        if engine == "compiled":
            self._faster = _compiled(network, device, precision)
        if engine == "openvino":
            self._faster = _converted(network, precision)

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
        if self.engine != "eager" and len(tiles):
            try:
                return self._faster(tiles)
            except NotCompiled as error:
                log.warning(
                    "The network cannot be compiled here by engine %s (%s): eager instead, which "
                    "differs by rounding.",
                    self.engine,
                    error,
                )
                self.engine = "eager"
        with mixed(self.device, self.precision):
            return self.network(tiles)

    def _compare(self, tiles: torch.Tensor, found: torch.Tensor) -> None:
        plain = self.network(tiles).double()
        alike = torch.cosine_similarity(plain, found.double())
        alike = torch.where((plain == found).all(dim=1), 1.0, alike)  # nothing is like nothing
        finite = plain.isfinite().all(dim=1) & found.isfinite().all(dim=1)  # others are told of
        if finite.any() and (least := alike[finite].min().item()) < FAITHFUL:
            raise ValueError(
                f"E_PRECISION: Features by engine {self.engine} in {self.precision} are too far "
                f"from float32: their cosine is {least:.5f}, below {FAITHFUL}; set precision to "
                "fp32, or engine to eager"
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


def _compiled(network: nn.Module, device: torch.device, precision: str) -> Network:
    os.environ["TORCHINDUCTOR_CACHE_DIR"] = str(cache_folder(torch.cpu.get_capabilities()))
    options = {"deterministic": True, "freezing": device.type == "cpu"}  # no choice by stopwatch
    compiled = torch.compile(network, dynamic=False, options=options)

    def call(tiles: torch.Tensor) -> torch.Tensor:
        try:
            with mixed(device, precision):
                return compiled(tiles)
        except torch._dynamo.exc.TorchDynamoException as error:
            raise NotCompiled(_first_line(error)) from error

    return call


def _converted(network: nn.Module, precision: str) -> Network:
    try:
        import openvino
    except ImportError as error:
        raise ImportError(
            "engine is openvino, which is not installed: pip install openvino, or set engine to "
            "eager"
        ) from error
    wishes = {
        "INFERENCE_NUM_THREADS": torch.get_num_threads(),
        "INFERENCE_PRECISION_HINT": "bf16" if precision == "bf16" else "f32",
        "NUM_STREAMS": 1,
    }
    by_shape: dict[torch.Size, Callable] = {}

    def convert(shape: torch.Size) -> Callable:
        try:
            with torch.inference_mode(False), torch.no_grad():
                model = openvino.convert_model(
                    network, example_input=torch.zeros(shape), input=[tuple(shape)]
                )
            return openvino.Core().compile_model(model, "CPU", wishes)
        except Exception as error:  # its errors have no base of their own
            raise NotCompiled(_first_line(error)) from error

    def call(tiles: torch.Tensor) -> torch.Tensor:
        if tiles.shape not in by_shape:
            by_shape[tiles.shape] = convert(tiles.shape)
        found = by_shape[tiles.shape](tiles.contiguous().numpy())[0]
        return torch.from_numpy(found.copy())  # its memory is used again

    return call


def _first_line(error: Exception) -> str:
    return next(iter(str(error).strip().splitlines()), type(error).__name__)
