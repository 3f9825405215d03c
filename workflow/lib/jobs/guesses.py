"""What stages cost where no earlier run can tell: a guess, from a run of the demo."""

from workflow.lib.jobs.forecasts import Rate

# CPU s a job, CPU s and bytes per amount (`forecasts.GROWS`), files. Measured in November 2026 on
# the demo with its default config, on an AMD EPYC with AVX2 and without a GPU, and rounded. The
# demo is small, its tiles are lossless and its networks are ResNet-18; others differ tenfold.
OF_THE_DEMO = {
    "assign_clusters": (0.43, 0.017, 4900, 7),
    "audit_folds": (0, 0.039, 590, 2),
    "check_cohort": (0, 0.02, 930, 2),
    "check_slide": (0.49, 0.38, 940, 2),
    "classify_tiles": (3.5, 0.58, 3000, 4),
    "draw_cluster_maps": (0.43, 0.37, 540000, 2),
    "draw_embeddings": (2, 3.3, 1500000, 5),
    "draw_montages": (0.46, 0.5, 1500000, 4),
    "draw_overlay": (0.52, 0.12, 200000, 2),
    "evaluate_classifier": (0, 0.042, 44000, 6),
    "evaluate_clusters": (0, 0.67, 19000, 4),
    "evaluate_masks": (0, 0.14, 29000, 6),
    "evaluate_pseudo_masks": (0, 0.15, 800, 2),
    "explain_tiles": (0, 16, 1300000, 6),
    "extract_features": (3.5, 1, 120000, 5),
    "make_cams": (2.9, 0.8, 8100, 5),
    "make_pseudo_masks": (1.9, 0.029, 5700, 2),
    "mask_tissue": (0.51, 0.016, 13000, 3),
    "refine_masks": (4.8, 1.1, 760000, 2),
    "split_patients": (0, 0.11, 1100, 2),
    "stitch_heatmap": (0.42, 0.35, 2700000, 19),
    "summarise_study": (0, 0.02, 14000, 2),
    "tile_slide": (0.6, 0.11, 2500000, 12),
    "train_classifier": (0, 14, 45000000, 5),
    "train_clusters": (2, 0.12, 71000, 3),
    "train_negev": (0, 14, 13000000, 5),
    "write_report": (0, 0.69, 7700000, 4),
}
# Stages that the demo does not run, and what each is taken to resemble.
ALIKE = {
    "check_points": "check_slide",
    "draw_networks": "draw_embeddings",
    "embed_tiles": "extract_features",
    "evaluate_probes": "evaluate_clusters",
    "label_tiles": "assign_clusters",
    "map_glands": "make_cams",
    "mark_tiles": "assign_clusters",
    "pool_evidence": "make_cams",
    "probe_networks": "draw_embeddings",
    "score_bags": "assign_clusters",
    "train_aggregator": "train_clusters",
    "train_dcec": "train_classifier",
    "train_deepcluster": "train_classifier",
    "train_irn": "train_negev",
    "train_pixelcam": "train_negev",
    "train_points": "train_negev",
    "train_rpnet": "train_negev",
    "train_svm": "train_negev",
    "train_unet": "train_negev",
    "export_classes": "assign_clusters",
    "export_cohort": "stitch_heatmap",
    "export_features": "assign_clusters",
    "export_polygons": "assign_clusters",
    "export_tissue": "assign_clusters",
    "export_tiles": "assign_clusters",
    "gather_exports": "summarise_study",
}


def guess(rule: str) -> Rate:
    """A rate that was not measured here. Raises KeyError for a rule that nobody knows."""
    start_s, cpu_s, size, files = OF_THE_DEMO[ALIKE.get(rule, rule)]
    return Rate(start_s, cpu_s, None, size, files, None, "a guess", guessed=True)
