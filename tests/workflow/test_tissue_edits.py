"""The tissue of one slide corrected by hand: what runs again is of that slide and no other."""

import csv
import gzip
import json

import shapely

from tests.workflow.study import Study

STAGES = ("tissue", "tiles", "features")


def give_back(study, slide, features):
    """Put corrected tissue into the sheet, as somebody who comes from QuPath does."""
    (study.sheet.parent / "corrected.geojson").write_text(
        json.dumps({"type": "FeatureCollection", "features": features})
    )
    with study.sheet.open(newline="") as file:
        rows = list(csv.DictReader(file, delimiter="\t"))
    with study.sheet.open("w", newline="") as file:
        table = csv.DictWriter(file, [*rows[0], "tissue"], delimiter="\t", lineterminator="\n")
        table.writeheader()
        for row in rows:
            given = "corrected.geojson" if row["slide"] == slide else ""
            table.writerow(row | {"tissue": given})


def made(study):
    """When each unit was made, and what it says of itself."""
    units = study.results.glob("*/s*/manifest.json")
    units = [file for file in units if file.parts[-3] in STAGES]
    return {
        file.parts[-3:-1]: (file.stat().st_mtime_ns, json.loads(file.read_text())) for file in units
    }


def test_only_the_corrected_slide_is_made_again(tmp_path):
    study = Study.make(tmp_path, slides=4, slides_per_shard=2)
    study.run("--", "results/small/exports/tissue.json")
    shards = sorted(file.name for file in (study.results / "tissue").glob("*.json"))
    wanted = ["--", *(f"results/small/features/{name}" for name in shards)]
    study.run(*wanted)
    assert study.would_run(*wanted).total() == 0
    before = made(study)
    assert len(shards) == 2
    assert len(before) == 4 * len(STAGES)

    drawn = study.results / "exports/tissue/s02.geojson.gz"
    (piece,) = json.loads(gzip.decompress(drawn.read_bytes()))["features"]
    whole = shapely.geometry.shape(piece["geometry"])
    half = whole.intersection(shapely.box(0, 0, 512, 1024))  # of 1024: somebody erased the right
    give_back(study, "s02", [piece | {"geometry": shapely.geometry.mapping(half)}])

    assert study.would_run(*wanted) == {"mask_tissue": 1, "tile_slide": 1, "extract_features": 1}
    study.run(*wanted)
    after = made(study)
    again = {unit for unit in before if after[unit] != before[unit]}
    assert again == {(stage, "s02") for stage in STAGES}

    def facts(unit):
        return before[unit][1]["facts"], after[unit][1]["facts"]

    old, new = facts(("tissue", "s02"))
    assert abs(new["tissue_fraction"] / old["tissue_fraction"] - half.area / whole.area) < 0.005
    old, new = facts(("tiles", "s02"))
    assert 0.4 * old["tiles"] < new["tiles"] < 0.7 * old["tiles"]
