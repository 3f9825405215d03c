"""
From tiles back to slides.
    needs   tiles/, refined/ of every fold, splits.tsv, tissue/
    gives   heatmaps/{method}/{shard}.json   OME-Zarr, OME-TIFF and QuPath polygons per test slide
            overlays/{method}/{shard}.json   a picture of each
"""


rule stitch_heatmap:
    input:
        tiles=f"{RESULTS}/tiles/{{shard}}.json",
        refined=expand(
            f"{RESULTS}/refined/{{method}}/fold{{fold}}/{{shard}}.json",
            fold=FOLDS,
            allow_missing=True,
        ),
        splits=f"{RESULTS}/splits.tsv",
    output:
        heatmaps=f"{RESULTS}/heatmaps/{{method}}/{{shard}}.json",
    log:
        f"{LOGS}/stitch_heatmap/{{method}}.{{shard}}.log",
    conda:
        "../../envs/imaging.yaml"
    resources:
        mem_mb=memory(1500),
    params:
        recipe=recipe("stitch_heatmap", shared=["classes"]),
    script:
        "../scripts/stitch_heatmap.py"


rule draw_overlay:
    input:
        tiles=f"{RESULTS}/tiles/{{shard}}.json",
        tissue=f"{RESULTS}/tissue/{{shard}}.json",
        heatmaps=f"{RESULTS}/heatmaps/{{method}}/{{shard}}.json",
    output:
        overlays=f"{RESULTS}/overlays/{{method}}/{{shard}}.json",
    log:
        f"{LOGS}/draw_overlay/{{method}}.{{shard}}.log",
    conda:
        "../../envs/imaging.yaml"
    params:
        recipe=recipe("draw_overlay"),
    script:
        "../scripts/draw_overlay.py"
