"""What networks that learn labels share: each class is there, and how well labels are told."""

from collections.abc import Sequence

import numpy as np
import torch
from torch.nn import functional

from workflow.lib.measures.label_metrics import macro_ranking


def check_classes(labels: torch.Tensor, classes: Sequence[str], fold: int) -> None:
    """Raise ValueError, naming `fold` and the remedy, when a class has no tile to learn from.

    labels: (M,) int64 of the training tiles, or of slides as bags of at least one tile.
    """
    missing = [name for index, name in enumerate(classes) if not (labels == index).any()]
    if missing:
        raise ValueError(
            f"Fold {fold} has no training tile of class {', '.join(missing)}: its training slides "
            "are quarantined, hold too little tissue or, at labels.level annotation, have no mask "
            "(verdicts.tsv and the logs of tile_slide and mark_tiles say which). Add slides of "
            "this class, or set split_patients.folds to fewer"
        )


def measure(
    logits: torch.Tensor, labels: torch.Tensor, weights: torch.Tensor
) -> dict[str, float | None]:
    """Weighted loss, accuracy and AUROC (None where a class is absent) of logits (M, C).

    labels: (M,) int64; weights: (M,), whatever their sum.
    """
    logits, weights = logits.double(), weights.double() / weights.sum()
    losses = functional.cross_entropy(logits, labels, reduction="none")
    loss = float(weights @ losses)
    accuracy = float(weights @ (logits.argmax(dim=1) == labels).double())
    auroc = None
    if np.isfinite(loss) and len(labels.unique()) == logits.shape[1] > 1:
        scores = torch.softmax(logits, dim=1).numpy()
        auroc = float(macro_ranking(scores, labels.numpy(), weights.numpy()[None])[0][0])
    return {"loss": loss, "accuracy": accuracy, "auroc": auroc}
