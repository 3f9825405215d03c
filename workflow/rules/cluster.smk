"""
Which tiles look alike. Clusters are fitted on the training slides of a fold.
    needs   features/, splits.tsv, tiles/, tissue/
    gives   clusters/fold{fold}.json               centroids
            assignments/fold{fold}/{shard}.json    a cluster per tile, all slides
            montages/fold{fold}.json               typical tiles of every cluster
            cluster_maps/{shard}.json              where the clusters are on a slide
"""


rule train_clusters:
    input:
        features=every(f"{RESULTS}/features/{{shard}}.json"),
        splits=f"{RESULTS}/splits.tsv",
        verdicts=f"{RESULTS}/verdicts.tsv",
    output:
        clusters=f"{RESULTS}/clusters/fold{{fold}}.json",
    log:
        f"{LOGS}/train_clusters/fold{{fold}}.log",
    conda:
        "../../envs/imaging.yaml"
    resources:
        mem_mb=memory(2000),
    params:
        recipe=recipe("train_clusters", shared=["seed"]),
    script:
        "../scripts/train_clusters.py"


rule assign_clusters:
    input:
        features=f"{RESULTS}/features/{{shard}}.json",
        clusters=f"{RESULTS}/clusters/fold{{fold}}.json",
    output:
        assignments=f"{RESULTS}/assignments/fold{{fold}}/{{shard}}.json",
    log:
        f"{LOGS}/assign_clusters/fold{{fold}}.{{shard}}.log",
    conda:
        "../../envs/imaging.yaml"
    params:
        recipe=recipe("assign_clusters"),
    script:
        "../scripts/assign_clusters.py"


rule draw_montages:
    input:
        tiles=every(f"{RESULTS}/tiles/{{shard}}.json"),
        assignments=every(f"{RESULTS}/assignments/fold{{fold}}/{{shard}}.json"),
        splits=f"{RESULTS}/splits.tsv",
    output:
        montages=f"{RESULTS}/montages/fold{{fold}}.json",
    log:
        f"{LOGS}/draw_montages/fold{{fold}}.log",
    conda:
        "../../envs/imaging.yaml"
    params:
        recipe=recipe("draw_montages", shared=["seed"]),
    script:
        "../scripts/draw_montages.py"


rule draw_cluster_maps:
    input:
        tiles=f"{RESULTS}/tiles/{{shard}}.json",
        tissue=f"{RESULTS}/tissue/{{shard}}.json",
        assignments=expand(
            f"{RESULTS}/assignments/fold{{fold}}/{{shard}}.json",
            fold=FOLDS,
            allow_missing=True,
        ),
        splits=f"{RESULTS}/splits.tsv",
    output:
        cluster_maps=f"{RESULTS}/cluster_maps/{{shard}}.json",
    log:
        f"{LOGS}/draw_cluster_maps/{{shard}}.log",
    conda:
        "../../envs/imaging.yaml"
    params:
        recipe=recipe("draw_cluster_maps"),
    script:
        "../scripts/draw_cluster_maps.py"
