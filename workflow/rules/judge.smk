"""
What the clusters and the network behind them are worth.
    needs   clusters/, features/ or embeddings/, assignments/, tiles/, splits.tsv
    gives   embedding_maps/{clustering}/fold{fold}.json   t-SNE, and neighbours in features and pixels
            networks/{clustering}/fold{fold}.json         first-layer filters, what channels respond to
            probes/{clustering}/fold{fold}.json           what a linear classifier reads from each layer
            evaluation/clusters.tsv, cluster_enrichment.tsv, probes.tsv
"""

PROBED = LABELLED and CLUSTERING != "kmeans"  # there is a network, and something to read from it


rule draw_embeddings:
    input:
        tiles=every(f"{RESULTS}/tiles/{{shard}}.json"),
        features=tile_features,
        assignments=every(f"{RESULTS}/assignments/{{clustering}}/fold{{fold}}/{{shard}}.json"),
        splits=f"{RESULTS}/splits.tsv",
    output:
        embedding_maps=f"{RESULTS}/embedding_maps/{{clustering}}/fold{{fold}}.json",
    log:
        f"{LOGS}/draw_embeddings/{{clustering}}.fold{{fold}}.log",
    conda:
        "../../envs/imaging.yaml"
    resources:
        mem_mb=memory(2000),
    params:
        recipe=recipe("draw_embeddings", shared=["seed"], slide=lambda s: s.site),
    script:
        "../scripts/draw_embeddings.py"


rule draw_networks:
    input:
        tiles=every(f"{RESULTS}/tiles/{{shard}}.json"),
        splits=f"{RESULTS}/splits.tsv",
        clusters=f"{RESULTS}/clusters/{{clustering}}/fold{{fold}}.json",
    output:
        networks=f"{RESULTS}/networks/{{clustering}}/fold{{fold}}.json",
    log:
        f"{LOGS}/draw_networks/{{clustering}}.fold{{fold}}.log",
    conda:
        "../../envs/learning.yaml"
    resources:
        mem_mb=memory(3000),
    params:
        recipe=recipe("draw_networks", shared=["seed"]),
    script:
        "../scripts/draw_networks.py"


rule probe_networks:
    input:
        tiles=every(f"{RESULTS}/tiles/{{shard}}.json"),
        splits=f"{RESULTS}/splits.tsv",
        clusters=f"{RESULTS}/clusters/{{clustering}}/fold{{fold}}.json",
    output:
        probes=f"{RESULTS}/probes/{{clustering}}/fold{{fold}}.json",
    log:
        f"{LOGS}/probe_networks/{{clustering}}.fold{{fold}}.log",
    conda:
        "../../envs/learning.yaml"
    threads: 4
    resources:
        mem_mb=memory(3000),
    params:
        recipe=recipe("probe_networks", shared=["seed", "classes"]),
    script:
        "../scripts/probe_networks.py"


rule evaluate_probes:
    input:
        probes=expand(f"{RESULTS}/probes/{CLUSTERING}/fold{{fold}}.json", fold=FOLDS),
        splits=f"{RESULTS}/splits.tsv",
    output:
        evaluation=f"{RESULTS}/evaluation/probes.tsv",
    log:
        f"{LOGS}/evaluate_probes/all.log",
    conda:
        "../../envs/imaging.yaml"
    params:
        recipe=recipe("evaluate_probes", shared=["seed", "classes", "negative", "clustering"]),
    script:
        "../scripts/evaluate_probes.py"


rule evaluate_clusters:
    input:
        assignments=expand(
            f"{RESULTS}/assignments/{CLUSTERING}/fold{{fold}}/{{shard}}.json",
            fold=FOLDS,
            shard=SHARDS,
        ),
        splits=f"{RESULTS}/splits.tsv",
    output:
        evaluation=report(
            f"{RESULTS}/evaluation/clusters.tsv",
            caption="../report/captions/clusters.rst",
            category="Results",
            labels={"table": "clusters"},
        ),
        enrichment=f"{RESULTS}/evaluation/cluster_enrichment.tsv",
    log:
        f"{LOGS}/evaluate_clusters/all.log",
    conda:
        "../../envs/imaging.yaml"
    params:
        recipe=recipe("evaluate_clusters", shared=["seed", "clustering"], slide=lambda s: s.site),
    script:
        "../scripts/evaluate_clusters.py"
