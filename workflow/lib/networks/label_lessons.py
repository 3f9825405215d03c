"""What networks that learn labels share: each class is there, how well it is told, which epoch."""

from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
import torch
from torch.nn import functional

from workflow.lib.measures.label_metrics import macro_ranking
from workflow.lib.networks.fitting import Lesson, fit


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


def fit_labels(
    lesson: Lesson,
    groups: list[dict],
    *,
    labels: torch.Tensor,
    epochs: int,
    patience: int,
    seed: int,
    work: Path,
    key: str,
    best: str,
    last: str,
    judge: Callable[[], float] | None = None,
) -> dict:
    """What fitting.fit tells, with "chosen_by": `best` or `last`, how the epoch was chosen.

    labels: (M,) of what validates. Without one of the classes it would choose the epoch that never
    says it, so that the last epoch is kept. Others as in fitting.fit; a `judge` needs no
    labels, and sees all epochs.
    """
    complete = len(labels.unique()) == len(lesson.model.classes)
    stop = epochs if judge else patience if complete else None
    how = {"epochs": epochs, "patience": stop, "seed": seed, "judge": judge}
    outcome = fit(lesson, groups, **how, work=work, key=key)
    validated = outcome.pop("validated")
    return outcome | {"chosen_by": best if validated else last}
