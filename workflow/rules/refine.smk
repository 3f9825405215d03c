"""
From what the classifier saw to every pixel, one decoder per fold and method.
    needs   tiles/, cams/, pseudo_masks/, classifiers/, splits.tsv
    gives   decoders/{method}/fold{fold}.json           model.safetensors and its curves
            refined/{method}/fold{fold}/{shard}.json    probability per pixel, val and test slides
"""


rule train_decoder:
    input:
        tiles=every(f"{RESULTS}/tiles/{{shard}}.json"),
        cams=every(f"{RESULTS}/cams/fold{{fold}}/{{shard}}.json"),
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
        recipe=recipe("train_decoder", shared=["seed", "negative", "cam_scale"]),
    script:
        "../scripts/train_decoder.py"


rule refine_masks:
    input:
        tiles=f"{RESULTS}/tiles/{{shard}}.json",
        cams=f"{RESULTS}/cams/fold{{fold}}/{{shard}}.json",
        splits=f"{RESULTS}/splits.tsv",
        classifier=f"{RESULTS}/classifiers/fold{{fold}}.json",
        decoder=lambda wildcards: (
            []
            if wildcards.method == "none"
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
        recipe=recipe("refine_masks", drop=["methods"]),
    script:
        "../scripts/refine_masks.py"
