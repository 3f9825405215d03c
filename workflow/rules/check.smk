"""
Which slides can be used.
    needs   the slide files
    gives   checks/{shard}.json   a verdict per slide (ok, or quarantined with a code)
            verdicts.tsv          all of them; fails the run above max_quarantined.
                                  What later stages put aside is in the report.
"""


rule check_slide:
    output:
        checks=f"{RESULTS}/checks/{{shard}}.json",
    log:
        f"{LOGS}/check_slide/{{shard}}.log",
    conda:
        "../../envs/imaging.yaml"
    resources:
        mem_mb=memory(1000),
    params:
        recipe=recipe(
            "check_slide",
            slide=lambda s: file_facts(s.path, mpp=s.mpp, sha256=s.sha256),
        ),
    script:
        "../scripts/check_slide.py"


rule check_cohort:
    input:
        checks=every(f"{RESULTS}/checks/{{shard}}.json"),
    output:
        verdicts=report(
            f"{RESULTS}/verdicts.tsv",
            caption="../report/captions/verdicts.rst",
            category="Checks",
            labels={"table": "verdicts"},
        ),
    log:
        f"{LOGS}/check_cohort/all.log",
    conda:
        "../../envs/imaging.yaml"
    params:
        recipe=recipe("check_cohort", shared=["max_quarantined"]),
    script:
        "../scripts/check_cohort.py"
