"""
What must never cross a fold. Without a passed audit there are no metrics and no report.
    needs   splits.tsv, tissue/, scores/, refined/, heatmaps/, assignments/, probes/; bag_scores/ at
            level slide; and all that these were made from
    gives   audit.tsv   every check, what it found, and a sentence
"""


rule audit_folds:
    input:
        splits=f"{RESULTS}/splits.tsv",
        tissue=expand(f"{RESULTS}/tissue/{{shard}}.json", shard=SHARDS),
        judged=expand(
            f"{RESULTS}/heatmaps/{{method}}/{{shard}}.json", method=METHODS, shard=SHARDS
        )
        + expand(
            f"{RESULTS}/refined/{{method}}/fold{{fold}}/{{shard}}.json",
            method=METHODS,
            fold=FOLDS,
            shard=SHARDS,
        )
        + expand(f"{RESULTS}/scores/fold{{fold}}/{{shard}}.json", fold=FOLDS, shard=SHARDS)
        * LABELLED,
        bag_scores=expand(
            f"{RESULTS}/bag_scores/fold{{fold}}/{{shard}}.json",
            fold=FOLDS if LEVEL == "slide" else [],
            shard=SHARDS,
        ),
        clustered=expand(
            f"{RESULTS}/assignments/{CLUSTERING}/fold{{fold}}/{{shard}}.json",
            fold=FOLDS,
            shard=SHARDS,
        )
        + expand(f"{RESULTS}/probes/{CLUSTERING}/fold{{fold}}.json", fold=FOLDS) * PROBED,
    output:
        audit=report(
            f"{RESULTS}/audit.tsv",
            caption="../report/captions/audit.rst",
            category="Checks",
            labels={"table": "audit"},
        ),
    log:
        f"{LOGS}/audit_folds/all.log",
    conda:
        "../../envs/imaging.yaml"
    resources:
        mem_mb=memory(1500),
    params:
        recipe=recipe("audit_folds", shared=["group_by"], slide=lambda s: [s.patient, s.site]),
    script:
        "../scripts/audit_folds.py"
