"""Write the page that people open."""

import logging
from pathlib import Path

import yaml

from workflow.lib.evidence.cam_quality import quality_table
from workflow.lib.jobs.job import run
from workflow.lib.jobs.names import PERMUTED, SEEDED, SUPERVISED
from workflow.lib.jobs.shard import Shard
from workflow.lib.jobs.tables import read_table, write_table
from workflow.lib.jobs.units import manifest
from workflow.lib.measures.label_tables import positive_class
from workflow.lib.measures.method_tables import COLUMNS, compare_methods
from workflow.lib.measures.timings import measure
from workflow.lib.report import summary
from workflow.lib.report.charts import label_charts
from workflow.lib.report.cluster_section import describe_clusters, encoded, learnt_networks
from workflow.lib.report.explanation_section import describe_explanations
from workflow.lib.report.method_section import describe_methods
from workflow.lib.report.models import describe_training, name_models
from workflow.lib.report.pages import render
from workflow.lib.report.provenance import list_versions, list_weights, read_usage, sum_usage
from workflow.lib.report.slide_section import describe_slides, list_slides
from workflow.lib.report.study import Study

log = logging.getLogger(__name__)

COMFORTABLE_MB = 100  # docs/stages/report.md says what larger pages cost in a browser
TEMPLATE = Path(__file__).resolve().parents[1] / "report" / "report.html"


def write_report(
    verdicts: Path,
    splits: Path,
    metrics: Path,
    audit: Path,
    cluster_maps: list[Path],
    montages: list[Path],
    clusters: list[Path],
    embedding_maps: list[Path],
    networks: list[Path],
    overlays: list[Path],
    aggregators: list[Path],
    classifiers: list[Path],
    explanations: list[Path],
    decoders: list[Path],
    evaluation: list[Path],
    report: Path,
    methods: Path,
    *,
    shard: Shard,
    classes: list[str],
    max_slides: int,
    picture_px: int,
    pictures_mb: float,
    layers_mb: float,
    thumbnails_mb: float,
    chosen: list[str],
) -> None:
    """Gather tables and pictures of the study into one self-contained page.

    The table of methods is written as `methods` too. Like the page it tells how long jobs took, so
    that it is not the same from run to run.
    """
    results, made_of = metrics.parent, shard.recipe["made_of"]
    config = made_of["config"]
    measured = read_table(metrics)
    numbers = [row | {"method": row["method"].removesuffix(PERMUTED)} for row in measured]
    tables = {path.stem: read_table(path) for path in evaluation}
    study = Study(
        results,
        shard.slides,
        checked=read_table(verdicts),
        placed=read_table(splits),
        tables=tables,
        cluster_maps=cluster_maps,
        overlays=overlays,
        cams=config["make_cams"]["methods"],
    )
    cards = describe_slides(
        study,
        max_slides=max_slides,
        picture_px=picture_px,
        pictures_mb=pictures_mb,
        layers_mb=layers_mb,
        chosen=chosen,
    )
    models = name_models([*aggregators, *classifiers, *decoders])
    made = {name: manifest(folder) for name, folder in models.items()}
    checks = [manifest(results / "checks" / slide.slide) for slide in shard.slides]
    names = [slide.slide for slide in study.used]
    features = encoded(results / "features", clusters, names, bags=bool(aggregators))
    drawn = [manifest(i.with_suffix("")) for i in [*clusters, *embedding_maps]] + [*made.values()]
    cohort = study.cohort(read_table(montages[0].with_suffix("") / "sizes.tsv"))
    counts = summary.confusion_counts(numbers, config["labels"]["level"], classes)
    jobs = read_usage(Path("logs", config["study"]))
    tested = {slide: row["fold"] for slide, row in study.tested.items()}
    mixed = SEEDED if config["refine_masks"]["evidence_share"] > 0 else ()
    costs = measure(jobs, tested, cams=study.cams, mixed=mixed)
    compared = compare_methods(measured, study.methods, costs, cams=study.cams)
    write_table(methods, COLUMNS, compared)
    page = render(
        TEMPLATE,
        config=config,
        settings=yaml.safe_dump(config, sort_keys=False, allow_unicode=True),
        cohort=cohort,
        numbers=summary.five_numbers(numbers, cohort, config),
        methods=describe_methods(study, compared, metrics=numbers, curves=study.curves),
        method_names=list(study.methods.values()),
        supervised=[name for method, name in study.methods.items() if method in SUPERVISED],
        pointed=study.methods.get("points"),
        masked=any(slide.mask for slide in shard.slides),
        labels=summary.label_table(numbers),
        positive=positive_class(classes, config["labels"]["negative"]),
        label_charts=label_charts(tables.get("classifier_curves", []), counts, classes),
        slides=cards,
        rows=list_slides(study, cards, thumbnails_mb=thumbnails_mb, chosen=chosen),
        quarantined=study.quarantined(),
        clusters=describe_clusters(
            clusters,
            [*montages, *embedding_maps, *networks],
            metrics=numbers,
            enrichment=tables["cluster_enrichment"],
            config=config,
        ),
        evidence=quality_table(tables.get("pseudo_masks", [])),
        explanations=describe_explanations(explanations),
        audit=read_table(audit),
        training=describe_training(models),
        usage=sum_usage(job for job in jobs if job["rule"] != "write_report"),
        versions=list_versions([*checks, *study.standing.values(), *features, *drawn]),
        weights=list_weights(features, learnt_networks(clusters) | made, made_of["licences"]),
    )
    report.write_text(page, encoding="utf-8")
    size_mb = report.stat().st_size / 1e6
    log.info("%s shows %d slides in %.1f MB.", report, len(cards), size_mb)
    if size_mb > COMFORTABLE_MB:
        log.warning(
            "%s has %.0f MB, and above %d a browser takes long to open it: show fewer pictures "
            "(write_report.pictures_mb, now %g) or smaller ones (write_report.picture_px).",
            report,
            size_mb,
            COMFORTABLE_MB,
            pictures_mb,
        )


if __name__ == "__main__":
    run(write_report, globals().get("snakemake"))
