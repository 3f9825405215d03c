"""
What a tile is, learnt from the labels of the slides or of the tiles, one classifier per fold.
    needs   tiles/, splits.tsv, a checkpoint for the backbone; tile_labels/ unless at level image
    gives   classifiers/fold{fold}.json        model.safetensors and its curves
            scores/fold{fold}/{shard}.json     class scores per tile of the val and test slides
"""

# The clustering whose clusters are drawn equally often; None where clusters have no say.
BALANCED_BY = CLUSTERING if config["train_classifier"]["balance"] == "clusters" else None


def classifier_settings(wildcards):
    """The settings of the classifier, of its heads those of the chosen pooling alone.

    Where masks choose the epoch, also how cams become evidence and which class has none.
    """
    section = choosing("train_classifier")
    chosen = {name: own for name, own in section["heads"].items() if name == section["pooling"]}
    if section["choose_by"] == "masks":
        known = shared_settings(config)
        section |= {key: known[key] for key in ("negative", "cam_scale")}
    return section | {"heads": chosen}


rule train_classifier:
    input:
        tiles=every(f"{RESULTS}/tiles/{{shard}}.json"),
        splits=f"{RESULTS}/splits.tsv",
        verdicts=f"{RESULTS}/verdicts.tsv",
        network=(
            f"{RESULTS}/clusters/deepcluster/fold{{fold}}.json"
            if config["train_classifier"]["checkpoint"] == "deepcluster"
            else []
        ),
        assignments=(
            every(f"{RESULTS}/assignments/{CLUSTERING}/fold{{fold}}/{{shard}}.json")
            if BALANCED_BY
            else []
        ),
        tile_labels=(
            every(f"{RESULTS}/tile_labels/fold{{fold}}/{{shard}}.json")
            if LEVEL == "slide"
            else MARKS
        ),
    output:
        classifier=f"{RESULTS}/classifiers/fold{{fold}}.json",
    log:
        f"{LOGS}/train_classifier/fold{{fold}}.log",
    conda:
        "../../envs/learning.yaml"
    threads: 4
    resources:
        mem_mb=memory(4000),
    params:
        recipe=recipe(
            "train_classifier",
            shared=["seed", "classes"],
            slide=choosing_masks("train_classifier"),
            made_of=checkpoint(
                "train_classifier",
                "backbone",
                clustering=BALANCED_BY,
                level=None if LEVEL == "image" else LEVEL,
            ),
            section=classifier_settings,
        ),
    script:
        "../scripts/train_classifier.py"


rule classify_tiles:
    input:
        tiles=f"{RESULTS}/tiles/{{shard}}.json",
        splits=f"{RESULTS}/splits.tsv",
        classifier=f"{RESULTS}/classifiers/fold{{fold}}.json",
    output:
        scores=f"{RESULTS}/scores/fold{{fold}}/{{shard}}.json",
    log:
        f"{LOGS}/classify_tiles/fold{{fold}}.{{shard}}.log",
    conda:
        "../../envs/learning.yaml"
    resources:
        mem_mb=memory(3000),
    params:
        recipe=recipe("classify_tiles", shared=["negative"]),
    script:
        "../scripts/classify_tiles.py"
