"""Write docs/errors.md from the code: `python -m workflow.tools.write_errors`."""

from pathlib import Path

from workflow.lib.jobs.errors import EXITS, catalogue

ROOT = Path(__file__).resolve().parents[2]
INTRODUCTION = """\
# Errors

<!-- Written by `make docs` from workflow/lib/jobs/errors.py; edit that. -->

Every error that a slide, a sheet, a config or a machine can cause has a code. It stands in the
terminal, in the log of the job, and of slides in `verdicts.tsv` and in the report, with what was
found and what to do. `python -m workflow.tools.run` (`make run`) ends with what failed, what stands
and what to type next.
"""
HEADINGS = {
    "study": (
        "A run that stops",
        "Before anything runs (config, sheet, storage, weights, lock), or in a job; other jobs"
        " go on.",
    ),
    "slide": (
        "A slide that is put aside",
        "The study goes on without it; repairing it makes only this slide anew.",
    ),
    "audit": ("A study that leaks", "Found by `audit_folds`; no number is reported until then."),
}


def page() -> str:
    """The text of docs/errors.md."""
    lines = [INTRODUCTION]
    for kind, problems in catalogue().items():
        title, sentence = HEADINGS[kind]
        lines += [f"## {title}\n", f"{sentence}\n", "| code | what it means | what to do |"]
        lines.append("|---|---|---|")
        lines += [f"| `{code}` | {p.meaning} | {p.remedy} |" for code, p in problems.items()]
        lines.append("")
    lines += ["## Exit codes\n", "| command | exit | meaning |", "|---|---:|---|"]
    for command, exits in EXITS.items():
        lines += [f"| `{command}` | {status} | {meaning} |" for status, meaning in exits.items()]
    return "\n".join(lines) + "\n"


if __name__ == "__main__":
    (ROOT / "docs" / "errors.md").write_text(page())
