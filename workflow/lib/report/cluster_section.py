"""What the page shows of the clusters: how they came about, what they hold, what they are worth."""

from collections.abc import Sequence
from pathlib import Path

from workflow.lib.jobs.names import CLUSTERINGS
from workflow.lib.jobs.tables import read_table
from workflow.lib.jobs.units import manifest
from workflow.lib.report.charts import learning_charts
from workflow.lib.report.cluster_tables import enrichment_table, origin_sentences, probe_table
from workflow.lib.report.montage import count
from workflow.lib.report.pages import embed_picture
from workflow.lib.report.pictures import read_picture, shrink
from workflow.lib.report.summary import Row, cluster_table

WIDE_PX = 1340  # px; as wide as the page
# Stage -> its pictures and how the page calls them, in the order in which they are shown.
PICTURES = {
    "montages": {"montage.png": "typical tiles, and tiles drawn at random"},
    "embedding_maps": {
        "embedding.png": "tiles on a plane: neighbours look alike, larger distances mean little",
        "neighbours.png": "nearest neighbours in features and in pixels",
    },
    "networks": {
        "filters.png": "filters of the first layer; grey is a weight of 0",
        "activations.png": "tiles that channels of the last feature map respond to most",
    },
}
MADE = {
    "kmeans": "k-means on the features of {encoder}",
    "deepcluster": "DeepCluster: {encoder} learns to tell its own clusters of tiles apart, in turns"
    " with k-means",
    "dcec": "DCEC: an autoencoder learns to draw tiles again, and its code is sharpened into"
    " clusters",
}
TRAINING = (
    "Fitted on the training slides of each fold; a slide's picture shows the fold that tests it."
)
TRANSDUCTIVE = (
    "Fitted on all slides of each fold, the test slides included, without their labels: what is"
    " said of test slides is transductive, not a forecast for slides that come later."
)
WHOLE = "There are no labels, so nothing is held out: the clusters are fitted on every slide."


def describe_clusters(
    clusters: Sequence[Path],
    pages: Sequence[Path],
    *,
    metrics: Sequence[Row],
    enrichment: Sequence[Row],
    config: dict,
) -> dict:
    """The section on clusters, as the template reads it.

    clusters  indices of the clusters of each fold
    pages     indices of the stages in PICTURES, in a folder per stage, then one per clustering
    """
    clustering, units = clusters[0].parent.name, [index.with_suffix("") for index in clusters]
    encoder = manifest(units[0])["facts"]["made_by"]["encoder"].removeprefix("deepcluster:")
    learnt = config["labels"]["classes"]
    everywhere = config["cluster"]["fit_on"] == "all"
    return {
        "made": MADE[clustering].format(encoder=encoder),
        "fitted": (TRANSDUCTIVE if everywhere else TRAINING) if learnt else WHOLE,
        "transductive": bool(learnt) and everywhere,
        "agreement": cluster_table(metrics, clustering),
        "origins": origin_sentences(metrics, clustering),
        "probes": probe_table(metrics, clustering),
        "folds": [
            _fold(unit, [index for index in pages if index.stem == unit.name], enrichment)
            for unit in units
        ],
    }


def learnt_networks(clusters: Sequence[Path]) -> dict[str, dict]:
    """Name -> manifest of each network that was trained to cluster; none for k-means."""
    found = {}
    for index in clusters:
        unit = manifest(index.with_suffix(""))
        if "model.safetensors" in unit["files"]:
            made_of = {"checkpoint": "random"} | unit["made_from"]["made_of"]
            fold = index.stem.replace("fold", "fold ")
            name = f"{CLUSTERINGS[index.parent.name]}, {fold}"
            found[name] = unit | {"made_from": unit["made_from"] | {"made_of": made_of}}
    return found


def encoded(
    features: Path, clusters: Sequence[Path], slides: Sequence[str], *, bags: bool
) -> list[dict]:
    """Manifests of the features that clusters are of, or slides as `bags`; none where neither is.

    Where a network learnt features of its own and slides are no bags, a study has none of an
    encoder, or has them from a time when its config was another.
    """
    own = all("model.safetensors" in manifest(i.with_suffix(""))["files"] for i in clusters)
    return [manifest(features / slide) for slide in slides] if bags or not own else []


def _fold(unit: Path, pages: Sequence[Path], enrichment: Sequence[Row]) -> dict:
    """A fold: its name, how it was learnt, charts of that, pictures, and what clusters hold."""
    fold, made = unit.name.removeprefix("fold"), manifest(unit)
    facts, settings = made["facts"], made["made_from"]["settings"]
    step = "round" if unit.parent.name == "deepcluster" else "epoch"
    rows, charts = [], []
    if (unit / "curves.tsv").is_file():
        rows, start = read_table(unit / "curves.tsv"), facts.get("start_probe")
        charts = learning_charts(
            rows, facts["best_epoch"], step=step, settings=settings, start_probe=start
        )
    folders = {index.parent.parent.name: index.with_suffix("") for index in pages}
    pictures = [
        {
            "title": f"Fold {fold}: {title}",
            "source": embed_picture(
                shrink(read_picture(folders[stage] / name), max_width_px=WIDE_PX)
            ),
        }
        for stage, names in PICTURES.items()
        if stage in folders
        for name, title in names.items()
    ]
    return {
        "fold": fold,
        "size": f"{count(facts['k'], 'cluster')}, fitted on {count(facts['n_tiles'], 'tile')}",
        "choice": _choice(facts, rows, step) if rows else "",
        "charts": charts,
        "pictures": pictures,
        "enrichment": enrichment_table(enrichment, fold),
    }


def _choice(facts: dict, rows: Sequence[Row], step: str) -> str:
    """Which round was kept and why, and why no further one came."""
    last = max(int(row["epoch"]) for row in rows)
    return (
        f"Kept is {step} {facts['best_epoch']} of {last}, where the dots are: "
        f"{facts['chosen_by']}. Learning ended with {step} {last}: {facts['stopped_by']}."
    )
