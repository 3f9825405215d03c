"""
What each tile of a slide shows, where a label is of the slide, or of what is marked on it.
    needs   features/, tiles/, splits.tsv; pixel masks at labels.level annotation
    gives   aggregators/fold{fold}.json              attention over the tiles of a slide (level slide)
            bag_scores/fold{fold}/{shard}.json       attention and evidence per tile, all slides
            tile_labels/fold{fold}/{shard}.json      a class per tile, -1 = not learnt from

At level image every tile carries the label of its slide and none of this runs.
"""

LEVEL = config["labels"]["level"]


def tile_labels(*levels):
    """Input function: labels of the tiles of a fold at these levels, of all folds without one."""
    return lambda wildcards: (
        expand(
            f"{RESULTS}/tile_labels/fold{{fold}}/{{shard}}.json",
            fold=wildcards.fold if "fold" in wildcards.keys() else FOLDS,
            shard=SHARDS,
        )
        if LEVEL in levels
        else []
    )


rule train_aggregator:
    input:
        features=every(f"{RESULTS}/features/{{shard}}.json"),
        splits=f"{RESULTS}/splits.tsv",
        verdicts=f"{RESULTS}/verdicts.tsv",
    output:
        aggregator=f"{RESULTS}/aggregators/fold{{fold}}.json",
    log:
        f"{LOGS}/train_aggregator/fold{{fold}}.log",
    conda:
        "../../envs/learning.yaml"
    threads: 4
    resources:
        mem_mb=memory(2000),
    params:
        recipe=recipe(
            "train_aggregator",
            shared=["seed", "classes"],
            made_of=lambda wildcards: {"checkpoint": "random"},
        ),
    script:
        "../scripts/train_aggregator.py"


rule score_bags:
    input:
        features=f"{RESULTS}/features/{{shard}}.json",
        splits=f"{RESULTS}/splits.tsv",
        aggregator=f"{RESULTS}/aggregators/fold{{fold}}.json",
    output:
        bag_scores=f"{RESULTS}/bag_scores/fold{{fold}}/{{shard}}.json",
    log:
        f"{LOGS}/score_bags/fold{{fold}}.{{shard}}.log",
    conda:
        "../../envs/learning.yaml"
    resources:
        mem_mb=memory(2000),
    params:
        recipe=recipe("score_bags"),
    script:
        "../scripts/score_bags.py"


rule label_tiles:
    input:
        tiles=f"{RESULTS}/tiles/{{shard}}.json",
        splits=f"{RESULTS}/splits.tsv",
        bag_scores=(f"{RESULTS}/bag_scores/fold{{fold}}/{{shard}}.json" if LEVEL == "slide" else []),
    output:
        tile_labels=f"{RESULTS}/tile_labels/fold{{fold}}/{{shard}}.json",
    log:
        f"{LOGS}/label_tiles/fold{{fold}}.{{shard}}.log",
    conda:
        "../../envs/imaging.yaml"
    resources:
        mem_mb=memory(1500),
    params:
        recipe=recipe(
            "label_tiles",
            shared=["level", "classes", "negative", "annotated_share"],
            slide=lambda s: file_facts(s.mask) if LEVEL == "annotation" else None,
        ),
    script:
        "../scripts/label_tiles.py"
