"""
From what the classifier saw to every pixel, by one method or several side by side.
    needs   tiles/, cams/, pseudo_masks/, classifiers/, splits.tsv; pixel masks where the sheet
            names them, for the methods of SUPERVISED alone
    gives   decoders/{method}/fold{fold}.json           what a method learns, and its curves
            refined/{method}/fold{fold}/{shard}.json    probability per pixel, val and test slides
"""

from workflow.lib.names import UNLEARNT


def refine_settings(wildcards):
    """The settings that a method reads: those of every method, and its own section."""
    read = ("downsample", "cam_scale", wildcards.method)
    return {key: value for key, value in config["refine_masks"].items() if key in read}


rule train_negev:
    input:
        tiles=every(f"{RESULTS}/tiles/{{shard}}.json"),
        cams=every(f"{RESULTS}/cams/fold{{fold}}/{{shard}}.json"),
        pseudo_masks=every(f"{RESULTS}/pseudo_masks/fold{{fold}}/{{shard}}.json"),
        splits=f"{RESULTS}/splits.tsv",
        classifier=f"{RESULTS}/classifiers/fold{{fold}}.json",
    output:
        decoder=f"{RESULTS}/decoders/negev/fold{{fold}}.json",
    log:
        f"{LOGS}/train_negev/fold{{fold}}.log",
    conda:
        "../../envs/learning.yaml"
    threads: 4
    resources:
        mem_mb=memory(4000),
    params:
        recipe=recipe("train_negev", shared=["seed", "negative", "cam_scale"]),
    script:
        "../scripts/train_negev.py"


rule train_unet:
    input:
        tiles=every(f"{RESULTS}/tiles/{{shard}}.json"),
        splits=f"{RESULTS}/splits.tsv",
        classifier=f"{RESULTS}/classifiers/fold{{fold}}.json",
    output:
        decoder=f"{RESULTS}/decoders/unet/fold{{fold}}.json",
    log:
        f"{LOGS}/train_unet/fold{{fold}}.log",
    conda:
        "../../envs/learning.yaml"
    threads: 4
    resources:
        mem_mb=memory(4000),
    params:
        recipe=recipe("train_unet", shared=["seed", "negative"], slide=lambda s: file_facts(s.mask)),
    script:
        "../scripts/train_unet.py"


rule train_svm:
    input:
        tiles=every(f"{RESULTS}/tiles/{{shard}}.json"),
        splits=f"{RESULTS}/splits.tsv",
    output:
        decoder=f"{RESULTS}/decoders/svm/fold{{fold}}.json",
    log:
        f"{LOGS}/train_svm/fold{{fold}}.log",
    conda:
        "../../envs/learning.yaml"
    threads: 4
    resources:
        mem_mb=memory(3000),
    params:
        recipe=recipe(
            "train_svm",
            shared=["seed", "negative"],
            slide=lambda s: file_facts(s.mask),
            made_of=lambda wildcards: {"checkpoint": "nothing"},
        ),
    script:
        "../scripts/train_svm.py"


rule refine_masks:
    input:
        tiles=f"{RESULTS}/tiles/{{shard}}.json",
        cams=f"{RESULTS}/cams/fold{{fold}}/{{shard}}.json",
        splits=f"{RESULTS}/splits.tsv",
        classifier=f"{RESULTS}/classifiers/fold{{fold}}.json",
        decoder=lambda wildcards: (
            []
            if wildcards.method in UNLEARNT
            else f"{RESULTS}/decoders/{{method}}/fold{{fold}}.json"
        ),
    output:
        refined=f"{RESULTS}/refined/{{method}}/fold{{fold}}/{{shard}}.json",
    log:
        f"{LOGS}/refine_masks/{{method}}.fold{{fold}}.{{shard}}.log",
    conda:
        "../../envs/learning.yaml"
    resources:
        mem_mb=memory(3000),
    params:
        recipe=recipe("refine_masks", section=refine_settings),
    script:
        "../scripts/refine_masks.py"
