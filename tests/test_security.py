"""What the code may not do, whatever it is given."""

import ast
import importlib.metadata
import re
import tomllib
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())
CODE = sorted(
    file for folder in ("workflow", "demo", "benchmarks") for file in (ROOT / folder).rglob("*.py")
)
RULES = [ROOT / "Snakefile", *sorted((ROOT / "workflow/rules").glob("*.smk"))]

# What runs what it reads, or unpacks files to wherever these say. ruff's rules S know others.
BANNED = {
    "torch.hub.load", "torch.jit.load", "torch.export.load", "torch.package.PackageImporter",
    "torch._inductor.aoti_load_package", "joblib.load", "pickle.load", "pickle.loads",
    "pickle.Unpickler", "yaml.load", "yaml.unsafe_load", "yaml.full_load", "os.system", "os.popen",
    "subprocess.getoutput", "subprocess.getstatusoutput", "shutil.unpack_archive",
    "zipfile.ZipFile", "tarfile.open", "zarr.storage.ZipStore",
}  # fmt: skip
SERVERS = {"TCPServer", "HTTPServer", "ThreadingHTTPServer", "create_server", "bind", "listen"}


def offences(source: str) -> Iterator[str]:
    """Calls that could run what is read, by line."""
    for node in ast.walk(ast.parse(source)):
        if not isinstance(node, ast.Call):
            continue
        name, given = ast.unparse(node.func), {key.arg: key.value for key in node.keywords}
        said = {key: ast.unparse(value) for key, value in given.items() if key}
        if (
            name in BANNED
            or (name in ("eval", "exec"))
            or (name == "torch.load" and said.get("weights_only") != "True")
            or (name.endswith(".get_state_dict") and said.get("weights_only") != "True")
            or (name.endswith("load_state_dict_from_url") and said.get("weights_only") != "True")
            or said.get("shell", "False") != "False"
            or said.get("allow_pickle", "False") != "False"
            or said.get("weights_only", "True") != "True"
            or said.get("trust_remote_code", "False") != "False"
        ):
            yield f"line {node.lineno}: {name}"


@pytest.mark.parametrize(
    "source",
    [
        "torch.load(path)",
        "torch.load(path, weights_only=False)",
        "torch.load(path, weights_only=chosen)",
        "models.get_model_weights(name)['x'].get_state_dict(progress=False)",
        "np.load(path, allow_pickle=True)",
        "pickle.loads(content)",
        "subprocess.run(command, shell=True)",
        "with zipfile.ZipFile(path) as packed: packed.extractall()",
        "yaml.load(text)",
        "eval(label)",
    ],
)
def test_what_could_run_what_it_reads_is_found(source):
    assert list(offences(source))


def test_nothing_that_is_read_is_run():
    assert len(CODE) > 100
    found = {str(file.relative_to(ROOT)): list(offences(file.read_text())) for file in CODE}
    assert {file: lines for file, lines in found.items() if lines} == {}


def directives(text: str) -> list[str]:
    """What of a rule would be put together from text and then run."""
    return re.findall(r"^\s*(shell|run|notebook|wrapper|cwl|container)\s*:", text, re.MULTILINE)


def test_no_rule_has_a_command_line():
    """Nothing of a sheet can reach a shell where there is none: rules are scripts."""
    assert directives('rule a:\n    output: "x"\n    shell:\n        "cat {wildcards.slide}"\n')
    assert directives("rule a:\n    run:\n        shell('x')\n")
    assert len(RULES) > 10
    for file in RULES:
        text = file.read_text()
        assert directives(text) == [] and not re.search(r"\b(shell|os\.system)\(", text), file.name


def test_one_module_listens_and_on_this_machine_only():
    """tests/lib/viewer/test_server.py looks at the socket itself."""
    listening = set()
    for file in CODE:
        for node in ast.walk(ast.parse(file.read_text())):
            called = node.func if isinstance(node, ast.Call) else None
            named = [*getattr(node, "bases", []), called] if node else []
            if any(getattr(n, "attr", getattr(n, "id", None)) in SERVERS for n in named):
                listening.add(str(file.relative_to(ROOT)))
    assert listening == {"workflow/lib/viewer/server.py"}


def test_the_security_rules_of_ruff_are_on():
    """`make lint` runs them; single lines are let off with a reason."""
    lint = PROJECT["tool"]["ruff"]["lint"]
    assert "S" in lint["select"]
    assert not [rule for rule in lint["ignore"] if re.match(r"S\d|ALL", rule)]
    assert set(lint["per-file-ignores"]) == {"tests/**", "benchmarks/**"}
    assert not [rule for rule in lint.get("extend-ignore", []) if rule.startswith("S")]


def release(version: str) -> tuple[int, ...]:
    return tuple(int(part) for part in re.findall(r"\d+", version.split("+")[0]))


@pytest.mark.parametrize("floor", PROJECT["project"]["dependencies"])
def test_what_is_installed_has_no_hole_that_was_known(floor):
    name, least = floor.split(">=")
    assert release(importlib.metadata.version(name)) >= release(least)
    pinned = re.search(rf"(?mi)^{name}==(\S+)$", (ROOT / "envs/lock.txt").read_text())
    assert release(pinned[1]) >= release(least)


def test_versions_are_compared_by_number():
    assert release("2.9.1") < release("2.11") < release("2.14.1+cpu") < release("13.0.0")
