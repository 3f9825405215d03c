"""The recipe of a stage: the settings, code, versions and slides that its results are made from.

Two runs with the same recipe give the same results, so a result is stale exactly when its recipe
is no longer the current one. What only changes speed (threads, device, batch, paths) stays out.
"""

import ast
import hashlib
import importlib.metadata
import json
from functools import cache
from pathlib import Path
from typing import NamedTuple

ROOT = Path(__file__).resolve().parents[3]

# Modules that bind, commit, copy and log but never touch a number: editing them reruns nothing.
PLUMBING = {
    f"workflow.lib.jobs.{name}"
    for name in ("job", "arguments", "shard", "units", "drafts", "recipe")
} | {"workflow.lib.slides.buckets", "workflow.lib.slides.staging"}

DOCUMENTED = (ast.Module, ast.ClassDef, ast.FunctionDef, ast.AsyncFunctionDef)

# Third-party imports whose release can change a number, and the distribution that ships each.
DISTRIBUTIONS = {
    "PIL": "pillow",
    "cv2": "opencv-python-headless",
    "faiss": "faiss-cpu",
    "h5py": "h5py",
    "imagecodecs": "imagecodecs",
    "numpy": "numpy",
    "openTSNE": "openTSNE",
    "openslide": "openslide-bin",
    "pyarrow": "pyarrow",
    "scipy": "scipy",
    "segmentation_models_pytorch": "segmentation-models-pytorch",
    "shapely": "shapely",
    "simplejpeg": "simplejpeg",
    "skimage": "scikit-image",
    "sklearn": "scikit-learn",
    "tifffile": "tifffile",
    "timm": "timm",
    "torch": "torch",
    "torchvision": "torchvision",
    "umap": "umap-learn",
    "zarr": "zarr",
}
# Libraries that decode through another one, without its name in any import of the project.
IMPLIED = {"tifffile": {"imagecodecs"}}


class Module(NamedTuple):
    """A module as fingerprints see it: dotted names that it imports, hash of its code."""

    imports: frozenset[str]
    digest: str


def canon(value: object) -> str:
    """Canonical JSON of plain values: sorted keys, 3.0 written as 3.

    >>> canon({"b": 3.0, "a": [1, None]})
    '{"a":[1,null],"b":3}'

    Raises TypeError for anything but None, bool, int, float, str, list, tuple and dict, because
    a value without a stable text would make a stage rerun always or never.
    """
    return json.dumps(_plain(value), sort_keys=True, separators=(",", ":"), ensure_ascii=False)


def _plain(value: object) -> object:
    if isinstance(value, dict):
        return {str(key): _plain(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(item) for item in value]
    if isinstance(value, float) and value.is_integer():
        return int(value)
    if value is None or isinstance(value, str | bool | int | float):
        return value
    raise TypeError(f"{value!r} ({type(value).__name__}) is not a plain setting; use text, numbers")


def as_param(recipe: dict) -> str:
    """A recipe as the param that Snakemake records: canonical JSON without markup.

    Recipes hold words of the sheet, and Snakemake's own report puts params into a script as they
    are. So <, > and & are written as escapes of JSON, which read as the same.

    >>> as_param({"label": "<b>"})
    '{"label":"\\\\u003cb\\\\u003e"}'
    """
    return canon(recipe).translate({ord(sign): f"\\u{ord(sign):04x}" for sign in "<>&"})


def digest(value: object) -> str:
    """SHA-256 of the canonical JSON of `value`, in hexadecimal."""
    return hashlib.sha256(canon(value).encode()).hexdigest()


@cache
def fingerprint(script: Path, root: Path = ROOT) -> str:
    """Hash of a script and of every project module that it imports, directly or not.

    Comments, formatting and docstrings do not count; imports inside functions do.
    """
    parts = {name: _read(path.read_bytes()).digest for name, path in _modules(script, root).items()}
    return digest(parts)[:16]


@cache
def versions(script: Path, root: Path = ROOT) -> dict[str, str]:
    """Releases of the third-party libraries that a script and its modules compute with."""
    imported = set()
    for path in _modules(script, root).values():
        imported |= {name.split(".")[0] for name in _read(path.read_bytes()).imports}
    imported |= {implied for name in imported for implied in IMPLIED.get(name, ())}
    used = sorted(DISTRIBUTIONS[name] for name in imported & set(DISTRIBUTIONS))
    return {distribution: release(distribution) for distribution in used}


def recipe(
    rule: str, settings: dict, slides: dict[str, object], made_of: dict | None = None
) -> dict:
    """The recipe of one job: rule, settings, code, versions, slides and whatever else it reads.

    `slides` maps the slide ids of the job to what identifies their content (None where an
    upstream stage already stands for it); `made_of` names other inputs (a checkpoint's hash).
    """
    script = ROOT / "workflow" / "scripts" / f"{rule}.py"
    return {
        "rule": rule,
        "settings": settings,
        "code": fingerprint(script),
        "versions": versions(script),
        "slides": slides,
        "made_of": made_of or {},
    }


def shared_settings(config: dict) -> dict[str, object]:
    """Settings that scripts of several rules ask for, wherever they stand in a whole config."""
    return {
        "seed": config["seed"],
        "max_quarantined": config["max_quarantined"],
        **config["labels"],
        "clustering": config["cluster"]["method"],
        "fit_on": config["cluster"]["fit_on"],
        "group_by": config["split_patients"]["group_by"],
        "cam_scale": config["refine_masks"]["cam_scale"],
        "crf": config["refine_masks"]["crf"],
        "pooling": config["classify_tiles"]["pooling"],
        "window": config["stitch_heatmap"]["window"],
        "map": config["draw_embeddings"]["map"],
    }


def _modules(script: Path, root: Path) -> dict[str, Path]:
    """Project modules reachable from `script`: dotted name -> file, plumbing left out."""
    found: dict[str, Path] = {}
    waiting = [(script.stem, script)]
    while waiting:
        name, path = waiting.pop()
        if name in found:
            continue
        found[name] = path
        for imported in _read(path.read_bytes()).imports:
            file = root / Path(*imported.split(".")).with_suffix(".py")
            if imported.startswith("workflow.") and imported not in PLUMBING and file.is_file():
                waiting.append((imported, file))
    return found


@cache
def _read(source: bytes) -> Module:
    """What a module imports, and what it computes; each is parsed once, many scripts share it."""
    tree, imports = ast.parse(source), set()
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            imports |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module:
            imports |= {node.module} | {f"{node.module}.{alias.name}" for alias in node.names}
        elif isinstance(node, DOCUMENTED) and ast.get_docstring(node, clean=False) is not None:
            node.body = node.body[1:]
    return Module(frozenset(imports), hashlib.sha256(ast.dump(tree).encode()).hexdigest())


@cache
def release(distribution: str) -> str:
    """The version of a distribution that is installed, or "absent"."""
    try:
        return importlib.metadata.version(distribution)
    except importlib.metadata.PackageNotFoundError:
        return "absent"
