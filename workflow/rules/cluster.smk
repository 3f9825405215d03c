"""
Which tiles look alike. Clusters are fitted on the training slides of a fold, or on all of them.
    needs   features/, tiles/, splits.tsv, tissue/
    gives   clusters/{clustering}/fold{fold}.json               centroids, and the network if one learnt
            embeddings/{clustering}/fold{fold}/{shard}.json     features of that network, all slides
            assignments/{clustering}/fold{fold}/{shard}.json    a cluster per tile, all slides
            montages/{clustering}/fold{fold}.json               typical tiles of every cluster
            cluster_maps/{clustering}/{shard}.json              where the clusters are on a slide
"""

CLUSTERING = config["cluster"]["method"]


def tile_features(wildcards):
    """Input function: what tiles are clustered by, of the shard or of every shard."""
    learnt = wildcards.clustering != "kmeans"
    folder = "embeddings/{clustering}/fold{fold}" if learnt else "features"
    shards = [wildcards.shard] if "shard" in wildcards.keys() else SHARDS
    return expand(
        f"{RESULTS}/{folder}/{{shard}}.json",
        clustering=wildcards.clustering,
        fold=wildcards.fold,
        shard=shards,
    )


rule train_clusters:
    input:
        features=every(f"{RESULTS}/features/{{shard}}.json"),
        splits=f"{RESULTS}/splits.tsv",
        verdicts=f"{RESULTS}/verdicts.tsv",
    output:
        clusters=f"{RESULTS}/clusters/kmeans/fold{{fold}}.json",
    log:
        f"{LOGS}/train_clusters/fold{{fold}}.log",
    conda:
        "../../envs/imaging.yaml"
    threads: 4
    resources:
        mem_mb=memory(2000),
    params:
        recipe=recipe("train_clusters", shared=["seed", "fit_on"]),
    script:
        "../scripts/train_clusters.py"


rule train_deepcluster:
    input:
        tiles=every(f"{RESULTS}/tiles/{{shard}}.json"),
        splits=f"{RESULTS}/splits.tsv",
        verdicts=f"{RESULTS}/verdicts.tsv",
    output:
        clusters=f"{RESULTS}/clusters/deepcluster/fold{{fold}}.json",
    log:
        f"{LOGS}/train_deepcluster/fold{{fold}}.log",
    conda:
        "../../envs/learning.yaml"
    threads: 4
    resources:
        mem_mb=memory(4000),
    params:
        recipe=recipe(
            "train_deepcluster",
            shared=["seed", "fit_on", "classes"],
            made_of=(
                checkpoint("train_deepcluster", "backbone")
                if CLUSTERING == "deepcluster"
                else lambda wildcards: {}  # not in use: its file need not be there
            ),
        ),
    script:
        "../scripts/train_deepcluster.py"


rule train_dcec:
    input:
        tiles=every(f"{RESULTS}/tiles/{{shard}}.json"),
        splits=f"{RESULTS}/splits.tsv",
        verdicts=f"{RESULTS}/verdicts.tsv",
    output:
        clusters=f"{RESULTS}/clusters/dcec/fold{{fold}}.json",
    log:
        f"{LOGS}/train_dcec/fold{{fold}}.log",
    conda:
        "../../envs/learning.yaml"
    threads: 4
    resources:
        mem_mb=memory(4000),
    params:
        recipe=recipe("train_dcec", shared=["seed", "fit_on", "classes"]),
    script:
        "../scripts/train_dcec.py"


rule embed_tiles:
    input:
        tiles=f"{RESULTS}/tiles/{{shard}}.json",
        clusters=f"{RESULTS}/clusters/{{clustering}}/fold{{fold}}.json",
    output:
        embeddings=f"{RESULTS}/embeddings/{{clustering}}/fold{{fold}}/{{shard}}.json",
    log:
        f"{LOGS}/embed_tiles/{{clustering}}.fold{{fold}}.{{shard}}.log",
    conda:
        "../../envs/learning.yaml"
    resources:
        mem_mb=memory(3000),
    params:
        recipe=recipe("embed_tiles"),
    script:
        "../scripts/embed_tiles.py"


rule assign_clusters:
    input:
        features=tile_features,
        clusters=f"{RESULTS}/clusters/{{clustering}}/fold{{fold}}.json",
    output:
        assignments=f"{RESULTS}/assignments/{{clustering}}/fold{{fold}}/{{shard}}.json",
    log:
        f"{LOGS}/assign_clusters/{{clustering}}.fold{{fold}}.{{shard}}.log",
    conda:
        "../../envs/imaging.yaml"
    params:
        recipe=recipe("assign_clusters"),
    script:
        "../scripts/assign_clusters.py"


rule draw_montages:
    input:
        tiles=every(f"{RESULTS}/tiles/{{shard}}.json"),
        assignments=every(f"{RESULTS}/assignments/{{clustering}}/fold{{fold}}/{{shard}}.json"),
        splits=f"{RESULTS}/splits.tsv",
    output:
        montages=f"{RESULTS}/montages/{{clustering}}/fold{{fold}}.json",
    log:
        f"{LOGS}/draw_montages/{{clustering}}.fold{{fold}}.log",
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
            f"{RESULTS}/assignments/{{clustering}}/fold{{fold}}/{{shard}}.json",
            fold=FOLDS,
            allow_missing=True,
        ),
        splits=f"{RESULTS}/splits.tsv",
    output:
        cluster_maps=f"{RESULTS}/cluster_maps/{{clustering}}/{{shard}}.json",
    log:
        f"{LOGS}/draw_cluster_maps/{{clustering}}.{{shard}}.log",
    conda:
        "../../envs/imaging.yaml"
    params:
        recipe=recipe("draw_cluster_maps"),
    script:
        "../scripts/draw_cluster_maps.py"
