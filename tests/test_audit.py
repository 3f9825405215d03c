"""`make audit`, with what pip-audit answered: nothing looked up is no good news.

Of the answers in cases/pip_audit one was recorded behind a mirror that knows no vulnerabilities,
where pip-audit 2.10 ended with 0; the other has the form that its JSON formatter writes.
"""

import re
from pathlib import Path

import pytest

from workflow.tools import audit

ANSWERS = Path(__file__).parent / "cases/pip_audit"
RECORDED = {name: (ANSWERS / f"{name}.json").read_text() for name in
            ("looked_up", "nothing_looked_up")}  # fmt: skip
CLEAN = '{"dependencies": [{"name": "google-crc32c", "version": "1.9.0", "vulns": []}]}'
HOLE = "jinja2 3.1.2: GHSA-cpwx-vrp4-4pq7 CVE-2025-27516, fixed in 3.1.6"


@pytest.fixture
def audited(tmp_path, capsys):
    """Audits pins by a pip-audit that gives these answers on the control and on them."""

    def run(control, answer, pins="# words\nJinja2==3.1.2\ngoogle_crc32c==1.9.0\n"):
        (tmp_path / "lock.txt").write_text(pins)
        (tmp_path / "control").write_text(RECORDED.get(control, control))
        (tmp_path / "answer").write_text(RECORDED.get(answer, answer))
        program = tmp_path / "pip-audit"
        program.write_text(
            f'#!/bin/sh\ncd "{tmp_path}"\n'
            'case "$2" in *lock.txt) cat answer;; *) cat control;; esac\n'
        )
        program.chmod(0o755)
        status = audit.main([str(program), "--lock", str(tmp_path / "lock.txt")])
        return status, capsys.readouterr().out

    return run


def test_what_is_known_is_told_with_its_remedy(audited):
    status, said = audited("looked_up", "looked_up")
    assert status == 1 and said.endswith(f"{HOLE}\n")


def test_nothing_known_of_all_is_good(audited):
    status, said = audited("looked_up", CLEAN, "google_crc32c==1.9.0\n")
    assert status == 0 and said.endswith("1 packages looked up, no known vulnerability.\n")


@pytest.mark.parametrize("blind", ["nothing_looked_up", CLEAN, '{"dependencies": []}', "", "{}"])
def test_a_database_that_does_not_know_the_control_is_a_failure(audited, blind):
    """Also one that answers, and has no vulnerabilities to tell of, as a mirror does."""
    status, said = audited(blind, CLEAN)
    assert status == 2 and "Nothing could be checked" in said and "no known" not in said


@pytest.mark.parametrize(
    ("answer", "missing"),
    [
        ("nothing_looked_up", "2 of 2 packages were not looked up.*google-crc32c, jinja2"),
        (CLEAN, "1 of 2 packages were not looked up.*: jinja2"),
        ("", "gave no answer"),
    ],
)
def test_what_was_not_looked_up_is_a_failure_that_names_it(audited, answer, missing):
    status, said = audited("looked_up", answer)
    assert status == 2 and re.search(missing, said, re.DOTALL) and "no known" not in said


def test_a_program_that_is_not_there_is_a_failure(tmp_path, capsys):
    assert audit.main([str(tmp_path / "none")]) == 2
    assert "none gave no answer" in capsys.readouterr().out


def test_libraries_inside_of_wheels_are_listed():
    lines = audit.bundled()
    (pillow,) = [line for line in lines if line.startswith("pillow: ")]
    assert "libtiff.so." in pillow and "libwebp.so." in pillow
