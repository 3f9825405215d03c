"""
Where the classifier looks.
    needs   tiles/, splits.tsv, classifiers/
    gives   evidence/fold{fold}.json               class evidence of locations that look alike
            cams/fold{fold}/{shard}.json           class evidence (N, C, h, w) per tile
            pseudo_masks/fold{fold}/{shard}.json   foreground, background, 255 = ignore
"""


rule pool_evidence:
    input:
        tiles=every(f"{RESULTS}/tiles/{{shard}}.json"),
        splits=f"{RESULTS}/splits.tsv",
        classifier=f"{RESULTS}/classifiers/fold{{fold}}.json",
    output:
        evidence=f"{RESULTS}/evidence/fold{{fold}}.json",
    log:
        f"{LOGS}/pool_evidence/fold{{fold}}.log",
    conda:
        "../../envs/learning.yaml"
    threads: 4
    resources:
        mem_mb=memory(3000),
    params:
        recipe=recipe("pool_evidence", shared=["seed"]),
    script:
        "../scripts/pool_evidence.py"


rule make_cams:
    input:
        tiles=f"{RESULTS}/tiles/{{shard}}.json",
        splits=f"{RESULTS}/splits.tsv",
        classifier=f"{RESULTS}/classifiers/fold{{fold}}.json",
        evidence=(
            f"{RESULTS}/evidence/fold{{fold}}.json"
            if config["make_cams"]["consistency"] > 0
            else []
        ),
    output:
        cams=f"{RESULTS}/cams/fold{{fold}}/{{shard}}.json",
    log:
        f"{LOGS}/make_cams/fold{{fold}}.{{shard}}.log",
    conda:
        "../../envs/learning.yaml"
    resources:
        mem_mb=memory(3000),
    params:
        recipe=recipe("make_cams", shared=["classes", "negative", "pooling"]),
    script:
        "../scripts/make_cams.py"


rule make_pseudo_masks:
    input:
        cams=f"{RESULTS}/cams/fold{{fold}}/{{shard}}.json",
        tiles=f"{RESULTS}/tiles/{{shard}}.json",
        splits=f"{RESULTS}/splits.tsv",
    output:
        pseudo_masks=f"{RESULTS}/pseudo_masks/fold{{fold}}/{{shard}}.json",
    log:
        f"{LOGS}/make_pseudo_masks/fold{{fold}}.{{shard}}.log",
    conda:
        "../../envs/learning.yaml"
    params:
        recipe=recipe("make_pseudo_masks", shared=["negative", "cam_scale"]),
    script:
        "../scripts/make_pseudo_masks.py"
