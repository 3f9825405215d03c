"""Every code that a user can meet is in the catalogue, and docs/errors.md is that catalogue."""

import re
from pathlib import Path

from workflow.lib.cohort import audit
from workflow.lib.jobs import errors, verdicts
from workflow.tools.write_errors import page

ROOT = Path(__file__).resolve().parents[3]
SAID = re.compile(r"\"(E_[A-Z_]+)(?:: |\")")  # a code that begins or is a text of the program


def test_the_page_is_written_from_the_code() -> None:
    assert (ROOT / "docs" / "errors.md").read_text() == page()


def test_every_code_has_one_meaning_and_one_remedy() -> None:
    assert set(errors.SLIDE_MEANINGS) == set(verdicts.REMEDIES)
    assert set(errors.AUDIT_MEANINGS) == set(audit.REMEDIES)
    kinds = errors.catalogue()
    assert sum(map(len, kinds.values())) == len(set().union(*kinds.values()))
    for problems in kinds.values():
        for problem in problems.values():
            for text in problem:
                assert text[0].isupper() or text.startswith(("make", "splits"))
                assert text.endswith(".") and "|" not in text


def test_the_catalogue_has_what_the_program_says_and_nothing_else() -> None:
    said = set()
    for file in [*ROOT.glob("workflow/**/*.py"), *ROOT.glob("workflow/**/*.smk")]:
        if file != Path(errors.__file__):
            said |= set(SAID.findall(file.read_text()))
    assert said == set().union(*errors.catalogue().values())


def test_every_command_says_that_0_is_well() -> None:
    assert all(set(exits) <= {0, 1, 2, 130} and 0 in exits for exits in errors.EXITS.values())


def test_every_command_says_what_its_exit_means() -> None:
    tools = {file for file in ROOT.glob("workflow/tools/*.py") if "def main(" in file.read_text()}
    commands = {f"python -m workflow.tools.{file.stem}" for file in tools}
    assert set(errors.EXITS) == commands | {"python -m workflow.scripts.STAGE", "make"}
