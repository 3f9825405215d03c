"""The pinned environments say the same, and hold what the code imports."""

import ast
import importlib.metadata
import re
import sys
import tomllib
from collections.abc import Iterator
from pathlib import Path

import pytest
import yaml

ROOT = Path(__file__).resolve().parents[1]
PIN = re.compile(r"([A-Za-z0-9._-]+)==(\S+)")
OURS = {"workflow", "demo", "tests", "benchmarks"}

# Import names of distributions that are called otherwise.
MODULES = {
    "cv2": "opencv-python-headless",
    "faiss": "faiss-cpu",
    "jinja2": "jinja2",
    "openslide": "openslide-python",
    "PIL": "pillow",
    "skimage": "scikit-image",
    "sklearn": "scikit-learn",
    "umap": "umap-learn",
    "yaml": "pyyaml",
}
# Imported only where a user asks for it, who is told to install it.
OPTIONAL = {"openvino", "umap-learn"}
# Needed without being imported: command lines, libraries behind others, the build of `-e .`.
TOOLS = {
    "flask": "the server of moto",
    "flask-cors": "the server of moto",
    "huggingface-hub": "timm fetches from the hub with it",
    "openslide-bin": "the C library behind openslide-python",
    "pytest-xdist": "make test",
    "ruff": "make lint",
    "setuptools": "make env",
    "snakefmt": "make lint",
    "snakemake": "the workflow",
    "snakemake-executor-plugin-slurm": "the Slurm profile",
}


def normal(name: str) -> str:
    return re.sub(r"[-_.]+", "-", name).lower()


def pins(lines: list[str]) -> dict[str, str]:
    found = {}
    for line in lines:
        line = line.split("#")[0].strip()
        if line and not line.startswith("-c "):
            name, version = PIN.fullmatch(line).groups()  # anything but an exact pin fails here
            assert normal(name) not in found, f"{name} is pinned twice"
            found[normal(name)] = version
    return found


def requirements() -> dict[str, str]:
    return pins((ROOT / "envs/requirements.txt").read_text().splitlines())


def lock() -> dict[str, str]:
    return pins((ROOT / "envs/lock.txt").read_text().splitlines())


def conda(name: str) -> dict[str, str]:
    listed = yaml.safe_load((ROOT / "envs" / name).read_text())["dependencies"]
    (packages,) = [entry["pip"] for entry in listed if isinstance(entry, dict)]
    return pins(packages)


def nodes(file: Path, *, at_import: bool = False) -> Iterator[ast.AST]:
    """All that stands in a file; `at_import`: without what functions do when they are called."""
    waiting = [ast.parse(file.read_text())]
    while waiting:
        node = waiting.pop()
        yield node
        called = isinstance(node, ast.FunctionDef | ast.Lambda)
        waiting += [] if at_import and called else ast.iter_child_nodes(node)


def third_party(files: list[Path], *, at_import: bool = False) -> set[str]:
    """Distributions that `files` import themselves."""
    names = set()
    for file in files:
        for node in nodes(file, at_import=at_import):
            if isinstance(node, ast.Import):
                names |= {alias.name.split(".")[0] for alias in node.names}
            elif isinstance(node, ast.ImportFrom) and node.level == 0:
                names.add(node.module.split(".")[0])
    names -= set(sys.stdlib_module_names) | OURS
    return {normal(MODULES.get(name, name)) for name in names} - OPTIONAL


def reachable(script: Path, *, at_import: bool = False) -> list[Path]:
    """The script and every module of the project that it imports, directly or not."""
    found, waiting = set(), [script]
    while waiting:
        file = waiting.pop()
        if file in found:
            continue
        found.add(file)
        for node in nodes(file, at_import=at_import):
            if isinstance(node, ast.Import):
                names = [alias.name for alias in node.names]
            elif isinstance(node, ast.ImportFrom) and node.module:
                names = [node.module, *(f"{node.module}.{alias.name}" for alias in node.names)]
            else:
                continue
            files = [ROOT / Path(*name.split(".")).with_suffix(".py") for name in names]
            waiting += [path for path in files if path.is_file()]
    return sorted(found)


SCRIPTS = sorted(
    path for path in (ROOT / "workflow/scripts").glob("*.py") if path.stem != "__init__"
)


def test_requirements_are_what_the_lock_holds():
    assert requirements().items() <= lock().items()


def test_lock_holds_what_the_requirements_need():
    """Every dependency, to the last, of every requirement that this platform installs."""
    missing, seen, waiting = set(), set(), list(requirements())
    while waiting:
        name = waiting.pop()
        if name in seen:
            continue
        seen.add(name)
        if name not in lock():
            missing.add(name)
        for need in importlib.metadata.requires(name) or ():
            dependency, _, marker = need.partition(";")
            known = normal(re.match(r"[A-Za-z0-9._-]+", dependency)[0])
            if not marker and known not in seen:
                waiting.append(known)
    assert not missing


def test_environment_is_the_locked_one():
    installed = {
        normal(found.metadata["Name"]): found.version
        for found in importlib.metadata.distributions()
    }
    other = {
        name: (installed[name], version)
        for name, version in lock().items()
        if installed.get(name, version) != version
    }
    assert not other, "installed and locked versions differ: run make env"


@pytest.mark.parametrize("name", ["imaging.yaml", "learning.yaml"])
def test_conda_files_hold_the_same_versions(name):
    assert conda(name).items() <= requirements().items()


def test_learning_extends_imaging():
    assert conda("imaging.yaml").items() < conda("learning.yaml").items()


def test_torch_and_torchvision_are_the_pair_that_imports():
    assert (requirements()["torch"], requirements()["torchvision"]) == ("2.14.1", "0.29.1")


def test_every_import_is_a_requirement():
    files = [file for folder in OURS for file in (ROOT / folder).rglob("*.py")]
    assert third_party(files) <= set(requirements())


def test_extras_are_what_the_code_does_without():
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    wanted = [need for needs in project["optional-dependencies"].values() for need in needs]
    assert {re.match(r"[\w-]+", need)[0] for need in wanted} <= OPTIONAL
    assert all("<" in need for need in wanted)  # a major release may draw another map


def test_every_requirement_is_imported_or_a_tool():
    files = [file for folder in OURS for file in (ROOT / folder).rglob("*.py")]
    assert set(requirements()) - third_party(files) <= set(TOOLS)


@pytest.mark.parametrize("script", SCRIPTS, ids=lambda script: script.stem)
def test_conda_environment_holds_what_a_script_imports(script):
    """learning.yaml is enough for every rule, imaging.yaml for those without torch."""
    needed = third_party(reachable(script))
    name = "learning.yaml" if "torch" in needed else "imaging.yaml"
    assert needed <= set(conda(name))


def rules():
    """Rule -> the conda file that it names."""
    text = "\n".join(file.read_text() for file in (ROOT / "workflow" / "rules").glob("*.smk"))
    blocks = re.split(r"^rule (\w+):", text, flags=re.MULTILINE)[1:]
    found = zip(blocks[::2], blocks[1::2], strict=True)
    return {rule: re.search(r"envs/(\w+\.yaml)", block).group(1) for rule, block in found}


@pytest.mark.parametrize("script", SCRIPTS, ids=lambda script: script.stem)
def test_the_conda_environment_of_a_rule_holds_what_its_script_imports(script):
    """What a function imports when it is called, a job of that rule may never call."""
    needed = third_party(reachable(script, at_import=True), at_import=True)
    assert needed <= set(conda(rules()[script.stem]))
