"""
From what the classifier saw to every pixel, by one method or several side by side.
    needs   tiles/, cams/, classifiers/, decoders/, splits.tsv
    gives   refined/{method}/fold{fold}/{shard}.json    probability per pixel, val and test slides;
                                                        a method is a refiner or a cam beside the first
"""

from workflow.lib.jobs.names import SEEDED, SPREADING, UNLEARNT


def refine_settings(wildcards):
    """The settings that a method reads: the scale of evidence that it spreads, its own section."""
    method, settings = wildcards.method, config["refine_masks"]
    mixed = method in SEEDED and settings["evidence_share"] > 0
    read = ["downsample", method] + ["cam_scale"] * (mixed or method in SPREADING)
    read += ["evidence_share"] * mixed
    return {key: value for key, value in settings.items() if key in read}


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
        recipe=recipe(
            "refine_masks",
            made_of=lambda wildcards: {"cam": shown_by(wildcards.method)},
            section=refine_settings,
        ),
    script:
        "../scripts/refine_masks.py"
