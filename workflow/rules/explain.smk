"""
What a classifier sees in tiles that it has never seen.
    needs   tiles/, splits.tsv, classifiers/, cams/
    gives   explanations/fold{fold}.json   tiles with their maps per class, filters, what channels respond to
"""

EXPLAINED = LABELLED and any(
    config["explain_tiles"][key] for key in ("most_certain", "least_certain", "named")
)


rule explain_tiles:
    input:
        tiles=every(f"{RESULTS}/tiles/{{shard}}.json"),
        splits=f"{RESULTS}/splits.tsv",
        classifier=f"{RESULTS}/classifiers/fold{{fold}}.json",
        cams=every(f"{RESULTS}/cams/{CAMS[0]}/fold{{fold}}/{{shard}}.json"),
    output:
        explanations=f"{RESULTS}/explanations/fold{{fold}}.json",
    log:
        f"{LOGS}/explain_tiles/fold{{fold}}.log",
    conda:
        "../../envs/learning.yaml"
    threads: 4
    resources:
        mem_mb=memory(3000),
    params:
        recipe=recipe(
            "explain_tiles",
            shared=["seed", "cam_scale"],
            made_of=lambda wildcards: {"cam": CAMS[0]},
        ),
    script:
        "../scripts/explain_tiles.py"
