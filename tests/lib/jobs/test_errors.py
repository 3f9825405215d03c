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


def test_no_code_of_the_program_is_left_out() -> None:
    said = set()
    for file in [*ROOT.glob("workflow/**/*.py"), *ROOT.glob("workflow/**/*.smk")]:
        said |= set(SAID.findall(file.read_text()))
    known = set().union(*errors.catalogue().values())
    assert len(said) > 20 and said <= known


def test_every_command_says_that_0_is_well() -> None:
    assert all(set(exits) <= {0, 1, 2} and 0 in exits for exits in errors.EXITS.values())
