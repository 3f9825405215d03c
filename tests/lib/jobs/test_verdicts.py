import pytest

from workflow.lib.jobs.verdicts import REMEDIES, Quarantine


def test_a_quarantine_carries_code_and_sentence() -> None:
    verdict = Quarantine("E_MPP", "a.svs: no pixel size.")
    assert (verdict.code, verdict.sentence) == ("E_MPP", "a.svs: no pixel size.")
    assert str(verdict) == "E_MPP: a.svs: no pixel size."


def test_an_unknown_code_is_a_mistake_in_the_program() -> None:
    with pytest.raises(ValueError, match="E_MMP is no verdict; the verdicts are E_EMPTY"):
        Quarantine("E_MMP", "a.svs")


def test_every_remedy_is_a_sentence_for_the_report() -> None:
    for code, remedy in REMEDIES.items():
        assert code.startswith("E_")
        assert remedy[0].isupper() and remedy.endswith(".") and "\t" not in remedy
