"""
From tiles to features.
    needs   tiles/, a checkpoint for the encoder
    gives   features/{shard}.json   features.zarr (N, D) per slide
"""


rule extract_features:
    input:
        tiles=f"{RESULTS}/tiles/{{shard}}.json",
    output:
        features=f"{RESULTS}/features/{{shard}}.json",
    log:
        f"{LOGS}/extract_features/{{shard}}.log",
    conda:
        "../../envs/learning.yaml"
    resources:
        mem_mb=memory(3000),
    params:
        recipe=recipe(
            "extract_features",
            shared=["seed"],
            made_of=checkpoint(
                "extract_features",
                "encoder",
                openvino=(
                    release("openvino")  # of the features that it computes alone
                    if config["extract_features"]["engine"] == "openvino"
                    else None
                ),
            ),
        ),
    script:
        "../scripts/extract_features.py"
