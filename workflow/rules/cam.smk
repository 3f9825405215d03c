"""
Where the classifier looks.
    needs   tiles/, splits.tsv, classifiers/
    gives   evidence/fold{fold}.json               class evidence of locations that look alike
            glands/{shard}.json                    glands by stain and shape, of whole slides
            cams/{cam}/fold{fold}/{shard}.json     class evidence (N, C, h, w) per tile and method
            pseudo_masks/fold{fold}/{shard}.json   foreground, background, 255 = ignore
"""

from workflow.lib.evidence.cam_names import CAMS as CAM_NAMES

# Settings that some methods alone read: editing them, or the list of methods, reruns no other.
READ_BY = {
    "consistency": ["cam"],
    "scales": [cam for cam in CAM_NAMES if cam != "glands"],
    "flips": [cam for cam in CAM_NAMES if cam != "glands"],
    "smooth_samples": ["smooth_gradcam_pp"],
    "smooth_noise": ["smooth_gradcam_pp"],
    "score_channels": ["scorecam"],
    "seed": ["smooth_gradcam_pp", "grabcut"],
    "methods": [],
}


def cam_settings(wildcards):
    """The settings that a method of the cams reads."""
    settings, cam = config["make_cams"] | {"seed": config["seed"]}, wildcards.cam
    return {key: value for key, value in settings.items() if cam in READ_BY.get(key, [cam])}


rule pool_evidence:
    input:
        tiles=every(f"{RESULTS}/tiles/{{shard}}.json"),
        splits=f"{RESULTS}/splits.tsv",
        classifier=f"{RESULTS}/classifiers/fold{{fold}}.json",
    output:
        evidence=f"{RESULTS}/evidence/fold{{fold}}.json",
    log:
        f"{LOGS}/pool_evidence/fold{{fold}}.log",
    conda:
        "../../envs/learning.yaml"
    threads: 4
    resources:
        mem_mb=memory(3000),
    params:
        recipe=recipe("pool_evidence", shared=["seed"]),
    script:
        "../scripts/pool_evidence.py"


rule map_glands:
    input:
        tiles=f"{RESULTS}/tiles/{{shard}}.json",
    output:
        glands=f"{RESULTS}/glands/{{shard}}.json",
    log:
        f"{LOGS}/map_glands/{{shard}}.log",
    conda:
        "../../envs/imaging.yaml"
    resources:
        mem_mb=memory(1500),
    params:
        recipe=recipe("map_glands"),
    script:
        "../scripts/map_glands.py"


rule make_cams:
    input:
        tiles=f"{RESULTS}/tiles/{{shard}}.json",
        splits=f"{RESULTS}/splits.tsv",
        classifier=f"{RESULTS}/classifiers/fold{{fold}}.json",
        evidence=lambda wildcards: (
            f"{RESULTS}/evidence/fold{{fold}}.json"
            if config["make_cams"]["consistency"] > 0 and wildcards.cam == "cam"
            else []
        ),
        glands=lambda wildcards: (
            f"{RESULTS}/glands/{{shard}}.json" if wildcards.cam == "glands" else []
        ),
    output:
        cams=f"{RESULTS}/cams/{{cam}}/fold{{fold}}/{{shard}}.json",
    log:
        f"{LOGS}/make_cams/{{cam}}.fold{{fold}}.{{shard}}.log",
    conda:
        "../../envs/learning.yaml"
    resources:
        mem_mb=memory(3000),
    params:
        recipe=recipe(
            "make_cams",
            shared=["classes", "negative", "pooling"],
            made_of=lambda wildcards: {"cam": wildcards.cam},
            section=cam_settings,
        ),
    script:
        "../scripts/make_cams.py"


rule make_pseudo_masks:
    input:
        cams=f"{RESULTS}/cams/{CAMS[0]}/fold{{fold}}/{{shard}}.json",
        tiles=f"{RESULTS}/tiles/{{shard}}.json",
        splits=f"{RESULTS}/splits.tsv",
    output:
        pseudo_masks=f"{RESULTS}/pseudo_masks/fold{{fold}}/{{shard}}.json",
    log:
        f"{LOGS}/make_pseudo_masks/fold{{fold}}.{{shard}}.log",
    conda:
        "../../envs/learning.yaml"
    params:
        recipe=recipe(
            "make_pseudo_masks",
            shared=["negative", "cam_scale"],
            made_of=lambda wildcards: {"cam": CAMS[0]},
        ),
    script:
        "../scripts/make_pseudo_masks.py"
