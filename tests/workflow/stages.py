"""Which rules run again when the result of one is stale: itself and what is made of it."""

REPORT = {"write_report"}
SUMMARY = {"summarise_study"} | REPORT
AUDIT = {"audit_folds"} | SUMMARY
EVIDENCE = {"evaluate_pseudo_masks"} | REPORT
MASK_SCORES = {"evaluate_masks"} | SUMMARY
STITCH = {"stitch_heatmap", "draw_overlay"} | MASK_SCORES | AUDIT
REFINE = {"refine_masks"} | STITCH
DECODER = {"train_negev"} | REFINE
PSEUDO_MASKS = {"make_pseudo_masks"} | EVIDENCE | DECODER
CAMS = {"make_cams", "explain_tiles"} | PSEUDO_MASKS
CLASSIFIER = {"train_classifier", "classify_tiles", "evaluate_classifier"} | CAMS
CLUSTERED = {
    "assign_clusters", "draw_montages", "draw_cluster_maps", "draw_embeddings", "evaluate_clusters",
} | EVIDENCE | AUDIT  # fmt: skip
CLUSTERS = {"train_clusters"} | CLUSTERED
# Where a network learns the clusters ...
LEARNING = {
    "train_deepcluster", "embed_tiles", "draw_networks", "probe_networks", "evaluate_probes",
} | CLUSTERED  # fmt: skip
# ... and the classifier starts from it and draws by its clusters, and evidence is pooled.
NETWORK = {"pool_evidence"} | LEARNING | CLASSIFIER
FEATURES = {"extract_features"} | CLUSTERS
TILES = {"tile_slide"} | FEATURES | CLASSIFIER
TISSUE = {"mask_tissue"} | TILES
CHECK = {"check_slide", "check_cohort"} | TISSUE
SPLITS = {"split_patients"} | CLUSTERS | CLASSIFIER
# What `snakemake export` makes of them; nothing of it is in the default target.
TILES_OUT = {"export_tiles", "export_cohort", "gather_exports"}
CLASSES_OUT = {"export_classes", "gather_exports"}
POLYGONS_OUT = {"export_polygons", "gather_exports"}
FEATURES_OUT = {"export_features", "gather_exports"}
