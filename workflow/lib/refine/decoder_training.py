"""What methods of the refine stage that learn have in common: from a lesson to a unit on disk."""

import shutil
from collections.abc import Callable, Collection, Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

import torch

from workflow.lib.jobs.devices import choose_precision, prepare
from workflow.lib.jobs.shard import Shard, commit
from workflow.lib.jobs.tables import write_table
from workflow.lib.jobs.units import manifest
from workflow.lib.networks.fitting import Lesson, fit
from workflow.lib.networks.resuming import make_key

LAST_EPOCH = "the last epoch, when the learning rate has come down to zero"


class Taught(NamedTuple):
    """What a method learns.

    lesson, groups: as fitting.fit takes them; the model of the lesson can be saved as a Decoder is
    facts: for the manifest: masks (slides whose pixel masks are learnt from), trained_on, and what
        else the method has to tell
    patience: None keeps the last epoch, because seeds are noisy and their loss says little about
        which epoch places best
    finish: called when all epochs are done, before the model is saved
    choose: what choosing the epoch by validation adds to the facts, `chosen_by` included
    judge: as fitting.fit takes it, with patience for all epochs
    """

    lesson: Lesson
    groups: list[dict]
    facts: dict
    patience: int | None = None
    finish: Callable[[], None] = lambda: None
    choose: Mapping = {}
    judge: Callable[[], float] | None = None


def train_decoder(
    teach: Callable[[torch.device, str], Taught],
    decoder: Path,
    shard: Shard,
    *,
    method: str,
    fold: int,
    classifier: Path,
    splits: Path,
    placed: Mapping[str, Mapping],
    sources: Sequence[Path],
    epochs: int,
    precision: str,
    seed: int,
    device: str,
    threads: int,
    work: Path,
    read: Collection[str] | None = None,
) -> None:
    """Write the unit of `method` and `fold`: weights, what they are, and the curves of training.

    teach(device, precision) gives what to learn, only if the unit is not there yet.
    classifier: the unit that the method starts from; placed: rows of splits.tsv of the slides that
    it may look at; sources: stage folders and units that it reads. `work` is a folder to resume
    from, which another mask or other points of a slide make anew as well; of the slides in `read`,
    where not all that are placed are read beyond their tiles.
    """
    facts_read = shard.facts(placed, read)

    def make(unit: Path) -> dict:
        where = prepare(device, threads=threads, seed=seed)
        used = choose_precision(precision, where)
        taught = teach(where, used)
        outcome = fit(
            taught.lesson,
            taught.groups,
            epochs=epochs,
            patience=taught.patience,
            seed=seed,
            work=work,
            key=make_key(shard.recipe, placed, sources, facts_read, used, fold),
            judge=taught.judge,
        )
        taught.finish()
        curves = outcome.pop("curves")
        write_table(unit / "curves.tsv", curves[0], curves)
        facts = {"best_epoch": outcome["best_epoch"], "chosen_by": LAST_EPOCH, "precision": used}
        facts |= {"chosen_on": [], **taught.facts}
        if outcome["validated"]:
            facts |= taught.choose
        about = {"method": method, "settings": shard.recipe["settings"], "fold": fold}
        identity = manifest(classifier)["recipe"]
        taught.lesson.model.cpu().save(unit, {**facts, **about}, trained_on=identity)
        return facts

    commit(decoder, shard, make, upstream=[splits, *sources], only=set(placed), read=read)
    shutil.rmtree(work, ignore_errors=True)
