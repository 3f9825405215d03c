"""
What people open.
    needs   everything
    gives   report.html              one page, opens by double-click, offline
            evaluation/methods.tsv   its table of methods, with what they cost
"""

from workflow.lib.jobs.names import UNLEARNT


rule write_report:
    input:
        verdicts=f"{RESULTS}/verdicts.tsv",
        splits=f"{RESULTS}/splits.tsv",
        metrics=f"{RESULTS}/metrics.tsv",
        audit=f"{RESULTS}/audit.tsv",
        cluster_maps=expand(f"{RESULTS}/cluster_maps/{CLUSTERING}/{{shard}}.json", shard=SHARDS),
        montages=expand(f"{RESULTS}/montages/{CLUSTERING}/fold{{fold}}.json", fold=FOLDS),
        clusters=expand(f"{RESULTS}/clusters/{CLUSTERING}/fold{{fold}}.json", fold=FOLDS),
        embedding_maps=expand(
            f"{RESULTS}/embedding_maps/{CLUSTERING}/fold{{fold}}.json", fold=FOLDS
        ),
        networks=expand(
            f"{RESULTS}/networks/{{clustering}}/fold{{fold}}.json",
            clustering=[CLUSTERING] if CLUSTERING != "kmeans" else [],
            fold=FOLDS,
        ),
        overlays=expand(
            f"{RESULTS}/overlays/{{method}}/{{shard}}.json",
            method=METHODS,
            shard=SHARDS,
        ),
        aggregators=expand(
            f"{RESULTS}/aggregators/fold{{fold}}.json",
            fold=FOLDS if LEVEL == "slide" else [],
        ),
        classifiers=(
            expand(f"{RESULTS}/classifiers/fold{{fold}}.json", fold=FOLDS) if LABELLED else []
        ),
        explanations=(
            expand(f"{RESULTS}/explanations/fold{{fold}}.json", fold=FOLDS) if EXPLAINED else []
        ),
        decoders=expand(
            f"{RESULTS}/decoders/{{method}}/fold{{fold}}.json",
            method=[method for method in REFINERS if method not in UNLEARNT],
            fold=FOLDS,
        ),
        evaluation=expand(
            f"{RESULTS}/evaluation/{{table}}.tsv",
            table=["cluster_enrichment"]
            + ["classifier_slides", "classifier_curves", "pseudo_masks"] * LABELLED
            + [f"masks_{method}_{table}" for method in METHODS for table in ("slides", "curves")],
        ),
    output:
        report=report(
            f"{RESULTS}/report.html",
            caption="../report/captions/page.rst",
            category="Results",
            labels={"table": "report"},
        ),
        methods=report(
            f"{RESULTS}/evaluation/methods.tsv",
            caption="../report/captions/methods.rst",
            category="Results",
            labels={"table": "methods"},
        ),
    log:
        f"{LOGS}/write_report/all.log",
    conda:
        "../../envs/imaging.yaml"
    params:
        recipe=recipe("write_report", shared=["classes"], slide=row_facts, made_of=page_facts),
    script:
        "../scripts/write_report.py"
