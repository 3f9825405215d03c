"""run shows what matters while it goes, and ends with what failed, what stands, what is next."""

import io
import json
import os

from tests.disks import fill, small_disk
from workflow.tools import resume, run

OUTPUT = """
rule tile_slide:
    output: results/demo/tiles/a.json
    log: logs/demo/tile_slide/a.log
    jobid: 3
rule tile_slide:
    output: results/demo/tiles/b.json
    log: logs/demo/tile_slide/b.log
    jobid: 4
Error in rule tile_slide:
    message: None
    jobid: 3
    output: results/demo/tiles/a.json
    log: logs/demo/tile_slide/a.log (check log file(s) for error details)
Error in rule tile_slide:
    jobid: 4
    log: logs/demo/tile_slide/b.log (check log file(s) for error details)
Trying to restart job 4.
Finished jobid: 4 (Rule: tile_slide)
"""


def test_run_shows_sentences_and_trouble_only(capsys):
    run.show(
        io.StringIO(
            "Building DAG of jobs...\nrule tile_slide:\n    output: x\n"
            "tile_slide s1: cut 4 slides into 80 tiles.\n3 of 9 steps (33%) done\n"
            "Error in rule tile_slide:\n    jobid: 3\n"
            "Logfile a.log:\n=======\nTraceback\n=======\nLogfile b.log not found.\nAt the end\n"
        )
    )
    shown = capsys.readouterr().err
    assert "tile_slide s1: cut 4 slides into 80 tiles.\n3/9 steps 00:00\nError in" in shown
    assert "jobid: 3" in shown and "Building DAG" not in shown
    assert "Traceback" not in shown and "b.log not found" in shown and "At the end" in shown
    assert json.dumps("output: x") not in shown


def test_where_the_code_found_a_fault_of_the_sheet_is_not_shown(capsys):
    place = '  File "/x/workflow/rules/common.smk", line 45, in <module>\n'
    run.show(io.StringIO(f"WorkflowError in file x:\nE_SHEET: 2 problems\n  line 1: a\n{place}"))
    shown = capsys.readouterr().err
    assert "line 1: a" in shown and "in <module>" not in shown
    run.show(io.StringIO(f"NameError in file x:\n{place}"))
    assert "in <module>" in capsys.readouterr().err


def test_a_target_that_was_taken_for_a_config_is_told_where_to_stand(capsys):
    said = "FileNotFoundError: [Errno 2] No such file or directory: 'export'\n"
    lines = run.farewell(run.show(io.StringIO(said)), 1, "run --configfile a.yaml export")
    assert "  If export is to be made: name it before the options, or after --." in lines
    other = run.show(io.StringIO(said.replace("export", "x/a.yaml")))
    assert "  The lines above say why." in run.farewell(other, 1, "run")


def test_the_bar_knows_from_the_beginning_how_much_there_is_to_do(capsys):
    run.show(
        io.StringIO(
            "Job stats:\njob          count\n---------  -------\ntile_slide        8\n"
            "total             9\n\nSelect jobs to execute...\n"
        )
    )
    assert "0/9 steps" in capsys.readouterr().err


def test_a_sentence_of_a_stage_is_no_trouble(capsys):
    """Of a slide that was put aside, several stages say that it cannot be used."""
    run.show(
        io.StringIO(
            "audit_folds all: Of 9 slides 1 has too little tissue, or cannot be used.\n"
            "Finished jobid: 25 (Rule: audit_folds)\nSelect jobs to execute...\n"
        )
    )
    shown = capsys.readouterr().err
    assert "cannot be used" in shown
    assert "Finished jobid" not in shown and "Select jobs" not in shown


def test_run_knows_the_jobs_that_never_went_well(capsys):
    seen = run.show(io.StringIO(OUTPUT))
    assert seen.failed == {"3": ("tile_slide", "logs/demo/tile_slide/a.log")}
    assert [str(folder) for folder in seen.studies()] == ["results/demo"]


def test_run_ends_with_what_failed_and_what_to_type(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    lines = run.farewell(run.show(io.StringIO(OUTPUT)), 1, "python -m workflow.tools.run -c2")
    assert lines[0] == "What failed:"
    assert lines[1].startswith("  tile_slide: E_KILLED: ") and "tile_slide/a.log" in lines[1]
    assert lines[-1] == "  python -m workflow.tools.run -c2"
    assert run.farewell(run.Seen(logs={"logs/demo/x/a.log"}), 0, "again") == []
    stopped = run.farewell(run.Seen(logs={"logs/demo/x/a.log"}), 1, "again")
    assert stopped[0].startswith("The run was stopped") and stopped[-1] == "  again"


def test_run_says_when_nothing_was_run(capsys):
    for said, remedy in (
        ("E_CONFIG: The config cannot be used:", "config/README.md has every key"),
        ("E_SHEET: slides.tsv: 1 problem", "lines of the sheet"),
        ("E_ENDPOINT: s3://b/k: 127.0.0.1:9 does not answer", "AWS_ENDPOINT_URL"),
        ("FileNotFoundError: No such file: 'mine.yaml'", "The lines above say why."),
        ("LockException:\nError: Directory cannot be locked.", "snakemake --unlock"),
    ):
        lines = run.farewell(run.show(io.StringIO(said + "\n")), 1, "again")
        assert lines[0] == "Nothing was run." and remedy in lines[1] and lines[-1] == "Then: again"
    killed = run.farewell(run.Seen(), -9, "again")
    assert killed[1:] == ["  Snakemake was killed before a job began.", "Then: again"]


def test_run_says_who_holds_the_lock(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    (tmp_path / ".snakemake/controllers").mkdir(parents=True)
    resume.write_note(os.getpid(), None)
    monkeypatch.setattr(run, "watch", lambda given: (run.Seen(codes={"LockException"}), 1))
    assert run.main([]) == 2
    first, second, *_ = capsys.readouterr().err.splitlines()
    assert (
        first == f"The run of process {os.getpid()} is at work here. Wait for it, or interrupt it."
    )
    assert second == "Nothing was run."


def test_a_run_that_finds_no_room_to_begin_in_says_so(tmp_path, monkeypatch):
    with small_disk(tmp_path / "disk", 1) as disk:
        monkeypatch.chdir(disk)
        ballast = fill(disk)
        assert run.farewell(run.Seen(), 1, "again")[1].startswith("  What to do, E_DISK: ")
        ballast.unlink()
        assert run.farewell(run.Seen(), 1, "again")[1] == "  The lines above say why."
        monkeypatch.chdir(tmp_path)


def test_nothing_is_begun_where_no_job_could_be_handed_in(tmp_path, monkeypatch, capsys):
    profile = ["--profile", str(tmp_path)]
    (tmp_path / "config.yaml").write_text("# of a site\nexecutor: slurm  # 22.05\n")
    monkeypatch.setenv("PATH", "/nowhere")
    assert run.main([*profile, "--cores", "2"]) == 2
    assert capsys.readouterr().err == (
        "E_SLURM: Nothing was run. there is no sbatch here: log in where jobs are submitted.\n"
    )
    for others in (["--dry-run"], ["--executor", "local"], ["--default-resources", "mem_mb=9"]):
        assert run.refused_by_slurm([*profile, *others]) is None
    (tmp_path / "config.yaml").write_text("executor: local\n")
    assert run.refused_by_slurm(profile) is None
    assert run.refused_by_slurm(["--profile", "a-name-of-snakemake"]) is None
