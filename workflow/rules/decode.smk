"""
What the methods that learn where things are learn, fold by fold.
    needs   tiles/, cams/, pseudo_masks/, classifiers/, splits.tsv; checks/ and the points of the sheet;
            pixel masks where the sheet names them, for the methods of SUPERVISED and where masks choose
    gives   points/{shard}.json                   points of slides, where a method learns from them
            decoders/{method}/fold{fold}.json     what a method learns, and its curves
"""


def negev_settings(wildcards):
    """The settings of train_negev, of masks and of the random field only what is used."""
    own = choosing("train_negev")
    return {k: v for k, v in own.items() if own["crf_weight"] or k not in ("crf_px", "crf_colour")}


def irn_settings(wildcards):
    """The settings of train_irn, and the random field where its labels follow the picture."""
    own = config["train_irn"]
    return own | ({"crf": config["refine_masks"]["crf"]} if own["random_field"] else {})


rule train_negev:
    input:
        tiles=every(f"{RESULTS}/tiles/{{shard}}.json"),
        cams=every(f"{RESULTS}/cams/{CAMS[0]}/fold{{fold}}/{{shard}}.json"),
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
        recipe=recipe(
            "train_negev",
            shared=["seed", "negative", "cam_scale"],
            slide=choosing_masks("train_negev"),
            made_of=lambda wildcards: {"cam": CAMS[0]},
            section=negev_settings,
        ),
    script:
        "../scripts/train_negev.py"


rule train_pixelcam:
    input:
        tiles=every(f"{RESULTS}/tiles/{{shard}}.json"),
        cams=every(f"{RESULTS}/cams/{CAMS[0]}/fold{{fold}}/{{shard}}.json"),
        splits=f"{RESULTS}/splits.tsv",
        classifier=f"{RESULTS}/classifiers/fold{{fold}}.json",
    output:
        decoder=f"{RESULTS}/decoders/pixelcam/fold{{fold}}.json",
    log:
        f"{LOGS}/train_pixelcam/fold{{fold}}.log",
    conda:
        "../../envs/learning.yaml"
    threads: 4
    resources:
        mem_mb=memory(4000),
    params:
        recipe=recipe(
            "train_pixelcam",
            shared=["seed", "negative", "cam_scale"],
            made_of=lambda wildcards: {"cam": CAMS[0]},
        ),
    script:
        "../scripts/train_pixelcam.py"


rule train_irn:
    input:
        tiles=every(f"{RESULTS}/tiles/{{shard}}.json"),
        cams=every(f"{RESULTS}/cams/{CAMS[0]}/fold{{fold}}/{{shard}}.json"),
        splits=f"{RESULTS}/splits.tsv",
        classifier=f"{RESULTS}/classifiers/fold{{fold}}.json",
    output:
        decoder=f"{RESULTS}/decoders/irn/fold{{fold}}.json",
    log:
        f"{LOGS}/train_irn/fold{{fold}}.log",
    conda:
        "../../envs/learning.yaml"
    threads: 4
    resources:
        mem_mb=memory(4000),
    params:
        recipe=recipe(
            "train_irn",
            shared=["seed", "negative", "cam_scale"],
            made_of=lambda wildcards: {"cam": CAMS[0]},
            section=irn_settings,
        ),
    script:
        "../scripts/train_irn.py"


rule train_rpnet:
    input:
        tiles=every(f"{RESULTS}/tiles/{{shard}}.json"),
        cams=every(f"{RESULTS}/cams/{CAMS[0]}/fold{{fold}}/{{shard}}.json"),
        splits=f"{RESULTS}/splits.tsv",
        classifier=f"{RESULTS}/classifiers/fold{{fold}}.json",
    output:
        decoder=f"{RESULTS}/decoders/rpnet/fold{{fold}}.json",
    log:
        f"{LOGS}/train_rpnet/fold{{fold}}.log",
    conda:
        "../../envs/learning.yaml"
    threads: 4
    resources:
        mem_mb=memory(4000),
    params:
        recipe=recipe(
            "train_rpnet",
            shared=["seed", "negative", "cam_scale"],
            slide=choosing_masks("train_rpnet"),
            made_of=lambda wildcards: {"cam": CAMS[0]},
            section=lambda wildcards: choosing("train_rpnet"),
        ),
    script:
        "../scripts/train_rpnet.py"


rule check_points:
    input:
        checks=f"{RESULTS}/checks/{{shard}}.json",
    output:
        points=f"{RESULTS}/points/{{shard}}.json",
    log:
        f"{LOGS}/check_points/{{shard}}.log",
    conda:
        "../../envs/imaging.yaml"
    resources:
        mem_mb=memory(1000),
    params:
        recipe=recipe(
            "check_points",
            shared=["classes", "negative"],
            slide=lambda s: file_facts(s.points, label=s.label) if s.points else None,
        ),
    script:
        "../scripts/check_points.py"


rule train_points:
    input:
        tiles=every(f"{RESULTS}/tiles/{{shard}}.json"),
        cams=(
            every(f"{RESULTS}/cams/{CAMS[0]}/fold{{fold}}/{{shard}}.json")
            if config["train_points"]["use_cam"]
            else []
        ),
        points=every(f"{RESULTS}/points/{{shard}}.json"),
        splits=f"{RESULTS}/splits.tsv",
        classifier=f"{RESULTS}/classifiers/fold{{fold}}.json",
    output:
        decoder=f"{RESULTS}/decoders/points/fold{{fold}}.json",
    log:
        f"{LOGS}/train_points/fold{{fold}}.log",
    conda:
        "../../envs/learning.yaml"
    threads: 4
    resources:
        mem_mb=memory(4000),
    params:
        recipe=recipe(
            "train_points",
            shared=["seed", "negative"] + ["cam_scale"] * config["train_points"]["use_cam"],
            made_of=lambda wildcards: (
                {"cam": CAMS[0]} if config["train_points"]["use_cam"] else {}
            ),
        ),
    script:
        "../scripts/train_points.py"


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
