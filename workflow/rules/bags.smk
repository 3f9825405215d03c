"""
What each tile of a slide shows, where a label is of the slide, or of what is marked on it.
    needs   features/, tiles/, splits.tsv; pixel masks at labels.level annotation
    gives   aggregators/fold{fold}.json              which tiles make a slide's class (level slide)
            bag_scores/fold{fold}/{shard}.json       attention and evidence per tile, all slides
            tile_labels/fold{fold}/{shard}.json      a class per tile, -1 = not learnt from
            tile_labels/marked/{shard}.json          the same by masks (level annotation)

At level image every tile carries the label of its slide and none of this runs.
"""

LEVEL = config["labels"]["level"]
# What mark_tiles says of all slides, which is learnt from and measured against.
MARKS = expand(f"{RESULTS}/tile_labels/marked/{{shard}}.json", shard=SHARDS) * (
    LEVEL == "annotation"
)


def aggregator_settings(wildcards):
    """The settings of the aggregator, without the number of tiles that attention does not read."""
    section = config["train_aggregator"]
    return {k: v for k, v in section.items() if k != "top_tiles" or section["pooling"] == "top_k"}


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
            section=aggregator_settings,
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
        bag_scores=f"{RESULTS}/bag_scores/fold{{fold}}/{{shard}}.json",
    output:
        tile_labels=f"{RESULTS}/tile_labels/fold{{fold}}/{{shard}}.json",
    log:
        f"{LOGS}/label_tiles/fold{{fold}}.{{shard}}.log",
    conda:
        "../../envs/imaging.yaml"
    resources:
        mem_mb=memory(1500),
    params:
        recipe=recipe("label_tiles", shared=["classes", "negative"]),
    script:
        "../scripts/label_tiles.py"


rule mark_tiles:
    input:
        tiles=f"{RESULTS}/tiles/{{shard}}.json",
    output:
        tile_labels=f"{RESULTS}/tile_labels/marked/{{shard}}.json",
    log:
        f"{LOGS}/mark_tiles/{{shard}}.log",
    conda:
        "../../envs/imaging.yaml"
    resources:
        mem_mb=memory(1500),
    params:
        recipe=recipe(
            "mark_tiles",
            shared=["classes", "negative"],
            slide=lambda s: file_facts(s.mask, label=s.label),
        ),
    script:
        "../scripts/mark_tiles.py"
