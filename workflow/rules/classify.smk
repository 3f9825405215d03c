"""
What a tile is, learnt from the labels of the slides, one classifier per fold.
    needs   tiles/, splits.tsv, a checkpoint for the backbone
    gives   classifiers/fold{fold}.json        model.safetensors and its curves
            scores/fold{fold}/{shard}.json     class scores per tile of the val and test slides
"""


rule train_classifier:
    input:
        tiles=every(f"{RESULTS}/tiles/{{shard}}.json"),
        splits=f"{RESULTS}/splits.tsv",
        verdicts=f"{RESULTS}/verdicts.tsv",
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
            made_of=checkpoint("train_classifier", "backbone"),
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
