"""Look up every package of envs/lock.txt among known vulnerabilities: `make audit`.

    python -m workflow.tools.audit path/to/pip-audit

It needs the network. pip-audit itself exits with 0 and "No known vulnerabilities found" where it
could look nothing up. Here whatever was not looked up is a failure, and so is a database that knows
nothing of CONTROL, a release that has holes.

Exits with 0 when every package was looked up and nothing is known of any, with 1 when something is
known, with 2 when it could not be checked.
"""

import argparse
import importlib.metadata
import json
import re
import subprocess
import sys
import tempfile
from collections import defaultdict
from collections.abc import Iterable
from pathlib import Path

LOCK = Path(__file__).resolve().parents[2] / "envs/lock.txt"
CONTROL = "Jinja2==3.1.2"  # CVE-2024-22195, CVE-2025-27516
# Libraries that the wheels of a distribution carry, such as pillow.libs/libtiff-20b7e810.so.6.3.0
BUNDLED = re.compile(r"[^/]+\.libs/(lib[^/]+?)(?:-[0-9a-f]{8})?((?:\.\d+)*\.so[^/]*)")


def main(arguments: list[str]) -> int:
    """Ask pip-audit, believe it no more than it says; the exit status says what is known."""
    parser = argparse.ArgumentParser(
        "audit", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("pip_audit", type=Path, help="the program, installed anywhere")
    parser.add_argument("--lock", type=Path, default=LOCK, help="pins, one a line")
    given = parser.parse_args(arguments)
    pins = re.findall(r"^([\w.-]+)==", given.lock.read_text(encoding="utf-8"), re.MULTILINE)

    sys.stdout.write("Nobody looks up the libraries inside of wheels. Those that are installed:\n")
    sys.stdout.writelines(f"  {line}\n" for line in bundled())
    with tempfile.NamedTemporaryFile("w", suffix=".txt") as control:
        control.write(f"{CONTROL}\n")
        control.flush()
        if not judge(ask(given.pip_audit, Path(control.name)), [])[0]:
            sys.stdout.write(
                f"Nothing could be checked: pip-audit finds no hole in {CONTROL}, which has some. "
                "Run this where the vulnerabilities of PyPI can be read, not a mirror of it.\n"
            )
            return 2
    holes, unknown = judge(ask(given.pip_audit, given.lock), pins)
    sys.stdout.writelines(f"{hole}\n" for hole in holes)
    if unknown:
        sys.stdout.write(
            f"{len(unknown)} of {len(pins)} packages were not looked up, so that nothing is known "
            f"of them: {', '.join(unknown)}. Run it again, or look for these by hand.\n"
        )
    if not holes and not unknown:
        sys.stdout.write(f"{len(pins)} packages looked up, no known vulnerability.\n")
    return 1 if holes else 2 * bool(unknown)


def ask(pip_audit: Path, requirements: Path) -> list[dict]:
    """What pip-audit answers of each package; nothing where it gives no answer."""
    command = [pip_audit, "--requirement", requirements, "--no-deps", "--disable-pip"]
    command += ["--format", "json", "--progress-spinner", "off"]
    try:
        done = subprocess.run(  # noqa: S603 - the program is the user's own
            command, capture_output=True, text=True, check=False
        )
        return json.loads(done.stdout)["dependencies"]
    except (OSError, ValueError, KeyError) as error:
        sys.stdout.write(f"{pip_audit} gave no answer: {error}\n")
        return []


def judge(answers: Iterable[dict], pins: Iterable[str]) -> tuple[list[str], list[str]]:
    """Sentences on what is known of `answers`, and those of `pins` that were not looked up."""
    looked_up = {_normal(answer["name"]): answer for answer in answers if "vulns" in answer}
    holes = [
        f"{name} {answer['version']}: {' '.join([hole['id'], *hole.get('aliases', [])])}, "
        f"fixed in {', '.join(hole['fix_versions']) or 'no release yet'}"
        for name, answer in looked_up.items()
        for hole in answer["vulns"]
    ]
    return holes, sorted({_normal(pin) for pin in pins} - looked_up.keys())


def bundled() -> list[str]:
    """The native libraries that installed wheels carry, one line a distribution."""
    found = defaultdict(set)
    for distribution in importlib.metadata.distributions():
        for file in distribution.files or ():
            if carried := BUNDLED.fullmatch(file.as_posix()):
                found[distribution.name].add("".join(carried.groups()))
    return [f"{name}: {', '.join(sorted(libraries))}" for name, libraries in sorted(found.items())]


def _normal(name: str) -> str:
    return re.sub(r"[-_.]+", "-", name).lower()


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
