"""
From what the classifier saw to every pixel, one decoder per fold and method.
    needs   tiles/, cams/, pseudo_masks/, classifiers/, splits.tsv
    gives   decoders/{method}/fold{fold}.json           model.safetensors and its curves
            refined/{method}/fold{fold}/{shard}.json    probability per pixel, val and test slides;
                                                        a method is a refiner or a cam beside the first
"""


rule train_decoder:
    input:
        tiles=every(f"{RESULTS}/tiles/{{shard}}.json"),
        cams=every(f"{RESULTS}/cams/{CAMS[0]}/fold{{fold}}/{{shard}}.json"),
        pseudo_masks=every(f"{RESULTS}/pseudo_masks/fold{{fold}}/{{shard}}.json"),
        splits=f"{RESULTS}/splits.tsv",
        classifier=f"{RESULTS}/classifiers/fold{{fold}}.json",
    output:
        decoder=f"{RESULTS}/decoders/{{method}}/fold{{fold}}.json",
    log:
        f"{LOGS}/train_decoder/{{method}}.fold{{fold}}.log",
    conda:
        "../../envs/learning.yaml"
    threads: 4
    resources:
        mem_mb=memory(4000),
    params:
        recipe=recipe(
            "train_decoder",
            shared=["seed", "negative", "cam_scale"],
            made_of=lambda wildcards: {"cam": CAMS[0]},
        ),
    script:
        "../scripts/train_decoder.py"


rule refine_masks:
    input:
        tiles=f"{RESULTS}/tiles/{{shard}}.json",
        cams=lambda wildcards: (
            f"{RESULTS}/cams/{shown_by(wildcards.method)}/fold{{fold}}/{{shard}}.json"
        ),
        splits=f"{RESULTS}/splits.tsv",
        classifier=f"{RESULTS}/classifiers/fold{{fold}}.json",
        decoder=lambda wildcards: (
            []
            if wildcards.method in ("none", *CAMS[1:])
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
        recipe=recipe(
            "refine_masks",
            made_of=lambda wildcards: {"cam": shown_by(wildcards.method)},
            drop=lambda wildcards: ["methods"],
        ),
    script:
        "../scripts/refine_masks.py"
