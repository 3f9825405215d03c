"""Weights of networks: which file is meant, who it is by its content, and whether it fits.

A checkpoint setting is one of
    random      seeded initialisation, nothing to load
    imagenet    `<backbone>-imagenet*` in the weights folder, else what torchvision offers for it
    hub         what the Hugging Face hub holds under the encoder's own name (timm encoders only)
    deepcluster what train_deepcluster learnt in the same fold (train_classifier only)
    <stem>      `<stem>.safetensors`, `.pth`, `.pt` or `.bin` in the weights folder
Beside a file may lie a card, `<stem>.json`, with what the weights expect: `sha256` of the file,
`mean` and `std` of the RGB input in 0..1, `tile_px` and `mpp`; and their `license`, for the report.

Snakemake calls `identity` whenever it parses, so torch is imported only where tensors are read.
"""

import functools
import hashlib
import json
import logging
import pickle
from collections.abc import Collection
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import torch

log = logging.getLogger(__name__)

SUFFIXES = (".safetensors", ".pth", ".pt", ".bin")  # in this order when a stem has several
CARD_KEYS = {"sha256", "mean", "std", "tile_px", "mpp", "license"}
WRAPPERS = ("state_dict", "model")  # under which training programs file the weights themselves


def identity(backbone: str, checkpoint: str, weights: Path | str | None) -> str:
    """What `checkpoint` is for `backbone`: a word for weights without a file, else a hash.

    The same content gives the same identity wherever the weights folder lies and however old its
    files are; the card counts as content, but for the licence, which changes no number. Raises
    FileNotFoundError or ValueError like `locate`.
    """
    if checkpoint == "deepcluster":
        return checkpoint  # the unit that holds it is an input of the rule, and known by its recipe
    path = locate(backbone, checkpoint, weights)
    if path is None:
        return {
            "random": "random",
            "hub": f"hub:{backbone}",
            "imagenet": f"torchvision:{backbone}:IMAGENET1K_V1",
        }[checkpoint]
    about = {key: value for key, value in card(path).items() if key != "license"}
    stated = json.dumps(about, sort_keys=True)
    return f"sha256:{sha256(path)}" + (f" card:{stated}" if stated != "{}" else "")


def locate(backbone: str, checkpoint: str, weights: Path | str | None) -> Path | None:
    """The file behind `checkpoint`, or None for weights that have no file in the folder.

    Raises FileNotFoundError, saying what the folder holds, when a named file is not there, and
    ValueError when several files could be meant, and for deepcluster, whose network never lies
    in the folder.
    """
    if checkpoint == "deepcluster":
        raise ValueError(
            "deepcluster stands for the network that train_deepcluster learnt in the fold, which "
            "only train_classifier starts from; set checkpoint to random, imagenet or the name of "
            "a file in the weights folder"
        )
    folder = Path(weights) if weights is not None else None
    if checkpoint in ("random", "hub"):
        return None
    if checkpoint == "imagenet":
        found = _named(folder, f"{backbone}-imagenet*")
        if len({path.stem for path in found}) > 1:
            raise ValueError(
                f"{folder} holds several ImageNet checkpoints of {backbone} "
                f"({', '.join(path.name for path in found)}); set checkpoint to the one you mean, "
                "without its ending"
            )
        return found[0] if found else None
    if folder is None:
        raise FileNotFoundError(
            f"The checkpoint {checkpoint!r} is a file, but no weights folder is set; set `weights` "
            "to the folder that holds it, or checkpoint to random or imagenet"
        )
    if Path(checkpoint).name != checkpoint:
        raise ValueError(
            f"The checkpoint {checkpoint!r} is a path; give only the name of a file in {folder}"
        )
    for suffix in SUFFIXES:
        if (path := folder / f"{checkpoint}{suffix}").is_file():
            return path
    here = sorted({path.stem for path in _named(folder, "*")})
    raise FileNotFoundError(
        f"There is no checkpoint {checkpoint!r} in {folder}, which holds "
        f"{', '.join(here) or 'none'}; put {checkpoint}.safetensors there, or set checkpoint to "
        "random, imagenet or a name from this list"
    )


def card(path: Path) -> dict:
    """What the card beside the weights in `path` states; {} without one.

    Raises ValueError when the card is no JSON object, has a key outside `CARD_KEYS`, or a licence
    that is no text.
    """
    file = path.with_name(f"{path.name.removesuffix(path.suffix)}.json")
    if not file.is_file():
        return {}
    try:
        stated = json.loads(file.read_text())
        unknown = sorted(set(stated) - CARD_KEYS)
    except (ValueError, TypeError) as error:
        raise ValueError(f"{file} is not a card of weights: {error}") from error
    if unknown or not isinstance(stated, dict):
        raise ValueError(f"{file} states {unknown}; a card may state {sorted(CARD_KEYS)}")
    if not isinstance(stated.get("license", ""), str):
        raise ValueError(f'{file} states a license that is no text: write it as in "CC-BY-NC-4.0"')
    return stated


def sha256(path: Path) -> str:
    """Hash of the whole file, remembered while size and times stay the same."""
    stat = path.stat()
    return _sha256(path, stat.st_size, stat.st_mtime_ns, stat.st_ctime_ns)


def read(path: Path) -> dict[str, "torch.Tensor"]:
    """The tensors of a checkpoint file by name, on the CPU.

    Nothing in the file is executed: safetensors, or torch's tensors-only reader. The `module.`
    that torch's parallel training puts before every name is taken off. Raises ValueError, naming
    the file and the remedy, when it is damaged, holds other things than tensors, or is not the
    file that its card describes.
    """
    import torch
    from safetensors import SafetensorError
    from safetensors.torch import load_file

    expected, found = card(path).get("sha256"), sha256(path)
    if expected and expected != found:
        raise ValueError(
            f"{path} has sha256 {found}, but its card says {expected}: the file is damaged or "
            "another one; fetch it again, or correct the card"
        )
    try:
        if path.suffix == ".safetensors":
            state = load_file(path)
        else:
            state = torch.load(path, map_location="cpu", weights_only=True)
    except pickle.UnpicklingError as error:
        raise ValueError(
            f"{path} is damaged or holds Python objects besides tensors, which are never executed "
            "here; fetch it again, or save its tensors as safetensors where you trust it"
        ) from error
    except (SafetensorError, RuntimeError, EOFError, ValueError) as error:
        raise ValueError(
            f"{path} cannot be read ({error}); it is cut or damaged: fetch it again"
        ) from error
    for wrapper in WRAPPERS:
        if isinstance(state, dict) and isinstance(state.get(wrapper), dict):
            state = state[wrapper]
    if not isinstance(state, dict) or not all(torch.is_tensor(value) for value in state.values()):
        raise ValueError(f"{path} is not a table of tensors by name; save the model's state_dict")
    if state and all(name.startswith("module.") for name in state):
        log.info("%s: took `module.` off every name (saved by parallel training).", path.name)
        state = {name.removeprefix("module."): tensor for name, tensor in state.items()}
    return state


def load(
    module: "torch.nn.Module",
    state: dict[str, "torch.Tensor"],
    *,
    source: Path | str,
    heads: Collection[str] = (),
) -> None:
    """Put `state` into `module`, every tensor in its place; raises ValueError saying what is not.

    heads: first parts of names that belong to a head which `module` does not have; tensors under
    them are left out. `source` is named in errors.
    """
    import torch

    state = {name: value for name, value in state.items() if name.split(".")[0] not in heads}
    own = module.state_dict()
    # Counters that old torch did not write and that nothing here reads.
    optional = {name for name in own if name.endswith("num_batches_tracked")}
    complaints = {
        "missing": sorted(set(own) - set(state) - optional),
        "unexpected": sorted(set(state) - set(own)),
        "of another shape": sorted(
            f"{name} {tuple(state[name].shape)} for {tuple(own[name].shape)}"
            for name in set(own) & set(state)
            if state[name].shape != own[name].shape
        ),
        "not finite": sorted(
            name for name in set(own) & set(state) if not torch.isfinite(state[name]).all()
        ),
    }
    if any(complaints.values()):
        said = "; ".join(f"{what}: {_few(names)}" for what, names in complaints.items() if names)
        raise ValueError(
            f"The weights in {source} do not fit the network ({said}); they belong to another "
            "one, so correct the encoder, the backbone or the checkpoint"
        )
    own.update(state)  # not a new dict: some networks look for the version that theirs carries
    module.load_state_dict(own)


def _named(folder: Path | None, pattern: str) -> list[Path]:
    """Checkpoint files in `folder` whose stem matches `pattern`, preferred endings first."""
    if folder is None:
        return []
    return [path for suffix in SUFFIXES for path in sorted(folder.glob(f"{pattern}{suffix}"))]


def _few(names: list[str], most: int = 5) -> str:
    more = f" and {len(names) - most} more" if len(names) > most else ""
    return ", ".join(names[:most]) + more


@functools.cache
def _sha256(path: Path, *_stat: int) -> str:
    with path.open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()
