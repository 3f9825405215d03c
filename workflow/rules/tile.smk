"""
From slides to tiles.
    needs   checks/, the slide files, the user's own tissue masks where the sheet names them
    gives   tissue/{shard}.json   tissue.png and thumbnail.jpg per slide
            tiles/{shard}.json    tiles.zarr per slide
"""


rule mask_tissue:
    input:
        checks=f"{RESULTS}/checks/{{shard}}.json",
    output:
        tissue=f"{RESULTS}/tissue/{{shard}}.json",
    log:
        f"{LOGS}/mask_tissue/{{shard}}.log",
    conda:
        "../../envs/imaging.yaml"
    resources:
        mem_mb=memory(1500),
    params:
        recipe=recipe("mask_tissue", slide=lambda s: file_facts(s.tissue)),
    script:
        "../scripts/mask_tissue.py"


rule tile_slide:
    input:
        checks=f"{RESULTS}/checks/{{shard}}.json",
        tissue=f"{RESULTS}/tissue/{{shard}}.json",
    output:
        tiles=f"{RESULTS}/tiles/{{shard}}.json",
    log:
        f"{LOGS}/tile_slide/{{shard}}.log",
    conda:
        "../../envs/imaging.yaml"
    resources:
        mem_mb=memory(1500),
    params:
        recipe=recipe("tile_slide"),
    script:
        "../scripts/tile_slide.py"
