"""
Which patients train, validate and test.
    needs   the sheet
    gives   splits.tsv   fold, slide, patient, label, split: the one table that later stages read
"""


rule split_patients:
    output:
        splits=report(
            f"{RESULTS}/splits.tsv",
            caption="../report/captions/splits.rst",
            category="Checks",
            labels={"table": "splits"},
        ),
    log:
        f"{LOGS}/split_patients/all.log",
    conda:
        "../../envs/imaging.yaml"
    params:
        recipe=recipe(
            "split_patients",
            shared=["seed"],
            slide=lambda s: [s.patient, s.label, s.site, s.split, s.fold],
        ),
    script:
        "../scripts/split_patients.py"
