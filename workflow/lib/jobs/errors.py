"""Every error that a user can cause: its code, what it means, what to do.

Verdicts on slides and findings of the audit have their remedies where they are found; what they
mean stands here, where no stage's recipe sees it. docs/errors.md is written from this module.
"""

from typing import NamedTuple

from workflow.lib.cohort.audit import REMEDIES as AUDIT_REMEDIES
from workflow.lib.jobs.verdicts import REMEDIES as SLIDE_REMEDIES


class Problem(NamedTuple):
    """What a code means, and what to do about it, a sentence or two each."""

    meaning: str
    remedy: str


SLIDE_MEANINGS = {
    "E_EMPTY": "The file of a slide holds no bytes.",
    "E_FORMAT": "The file is no slide that can be read, or is cut short.",
    "E_HASH": "The content of the file is not that of the sheet's sha256 column.",
    "E_COMPANION": "A slide of several files (MIRAX, Hamamatsu, DICOM) lacks some of them.",
    "E_TILE": "More stored tiles than max_bad_tiles allows cannot be decoded.",
    "E_NO_PIXELS": "The file says what it shows, and stores no pixel of it.",
    "E_MPP": "The pixel size is missing, impossible, or not the same in both directions.",
    "E_COARSE": "The slide has less detail than the pixel size that the study works at.",
    "E_MASK": "The tissue mask that the sheet names does not fit the slide or cannot be read.",
    "E_POINTS": "The points that the sheet names do not fit the slide or cannot be read.",
    "E_DIM": "The slide claims sides that are impossible, or longer than max_side_px0.",
    "E_CRASH": "The process that read the slide died of it; it was a process of its own.",
    "E_TIMEOUT": "The slide was not read within compute.check_timeout_s.",
    "E_ZSTACK": "The file holds several focal planes or time points.",
    "E_MODALITY": "The slide is not brightfield with three channels of 8 bits.",
    "E_IO": "The file cannot be opened, or changed while it was read.",
    "E_OOM": "Reading the slide took more memory than compute.check_memory_mb.",
}
AUDIT_MEANINGS = {
    "E_PATIENT": "A patient is on two sides of a fold.",
    "E_SITE": "A site is learnt from and tested in one fold, where sites are to be kept apart.",
    "E_TESTED": "A slide is tested in no fold, or in several.",
    "E_TWIN": "Two slides of different patients show the same tissue.",
    "E_SPLITS": "splits.tsv is not the one that the sheet gives.",
    "E_LEARNT": "A model learnt from, or was chosen on, slides that it must not see.",
    "E_FOLD": "A result comes from a model of another fold.",
    "E_SOURCE": "What a result was made from is not there any more, or is another one.",
}
STUDY = {
    "E_CONFIG": Problem(
        "A key or a value of the config cannot be used, or two contradict each other.",
        "Correct what the lines below it name; config/README.md has every key. Nothing has run.",
    ),
    "E_SHEET": Problem(
        "Rows or columns of the slide sheet cannot be used, or two rows name the same file.",
        "Correct the lines of the sheet that are named, then run again. Nothing has run.",
    ),
    "E_WEIGHTS": Problem(
        "The checkpoint that a stage starts from is not there, or cannot be fetched.",
        "Put it into the folder that weights names, or set the checkpoint of that stage to random;"
        " for one of a hub that asks for a licence, accept it there and set HF_TOKEN.",
    ),
    "E_FIT": Problem(
        "The tiles of the study are not those that an encoder or another model was made for.",
        "Set tile_slide.tile_px and tile_slide.mpp to the values in the sentence, or choose"
        " another model.",
    ),
    "E_NUMBER": Problem(
        "A feature, a score, a loss or a gradient is NaN or infinite.",
        "Look at the slides that are named; set the precision of that stage to fp32, lower its"
        " learning_rate, or choose another checkpoint. Nothing was made of it.",
    ),
    "E_PRECISION": Problem(
        "The features of a faster engine or precision are too far from those of float32.",
        "Set extract_features.precision to fp32, or extract_features.engine to eager.",
    ),
    "E_OBJECT": Problem(
        "A slide is not in the object storage where the sheet says, or was replaced while it was"
        " read.",
        "Correct the path in the sheet, or put the object there under this key; then run again.",
    ),
    "E_ACCESS": Problem(
        "The object storage does not let a slide be read, or there are no credentials.",
        "Give this run credentials that may read and list the bucket (AWS_ACCESS_KEY_ID and"
        " AWS_SECRET_ACCESS_KEY, or AWS_PROFILE), then run again; docs/storage.md.",
    ),
    "E_ENDPOINT": Problem(
        "The object storage does not answer, or fails.",
        "Look at AWS_ENDPOINT_URL (of a server that is not Amazon's), AWS_REGION and the network,"
        " then run again: what was finished is kept.",
    ),
    "E_SCRATCH": Problem(
        "A slide cannot be copied to the folder where slides are read: it is full, or cannot be"
        " written.",
        "Make room there, or set compute.scratch to a folder on a larger disk; then run again.",
    ),
    "E_LOCKED": Problem(
        "Another run holds the lock of this folder, or plain Snakemake was killed and left it.",
        "Wait for the other run. If there is none on any machine: snakemake --unlock, with the"
        " --configfile of the study; then run again. What make run began is unlocked by itself.",
    ),
    "E_SLURM": Problem(
        "The cluster cannot take the jobs of the profile.",
        "Do what the line says in the profile, or give another one; docs/cluster.md.",
    ),
    "E_LOST": Problem(
        "More slides cannot be used than max_quarantined allows.",
        "Repair the slides that are named, or raise max_quarantined; then run again.",
    ),
    "E_LEAK": Problem(
        "The audit found that something crosses a fold; codes of its own say what.",
        "Do what the log says of each code, then run again. Until then there are no numbers.",
    ),
    "E_DISK": Problem(
        "The disk is full, or a quota is used up.",
        "Make room, then run again: what was finished is kept.",
    ),
    "E_MEMORY": Problem(
        "A job asked for more memory than there is.",
        "Run again with fewer jobs at once (--cores), a smaller batch_size, or more memory.",
    ),
    "E_KILLED": Problem(
        "A job ended without a word: it was killed, often because memory ran out.",
        "Look at the memory of the machine (a cluster: at mem_mb), then run again: what was"
        " finished is kept.",
    ),
    "E_STOPPED": Problem(
        "A training was asked to end (SIGTERM: by a queue's time limit, by kill) and saved itself.",
        "Run again: it goes on from that step, to the same result.",
    ),
    "E_JOB": Problem(
        "A job stopped at an error of its own, which its log tells.",
        "Read the sentence, and the log for the whole story. If a result that was read is damaged,"
        " make repair (workflow.tools.verify --repair) makes it again; then run again.",
    ),
    "E_DAMAGED": Problem(
        "A stored result is not as it was written, or is gone.",
        "make repair, or workflow.tools.verify RESULTS --repair with Snakemake's arguments.",
    ),
}
STOPS = {0: "done", 1: "not done; the sentence says why", 2: "the command line cannot be used"}
EXITS = {  # command -> exit status -> what it means
    "python -m workflow.tools.run": {
        0: "all is made, or was before; slides may be put aside, and are named",
        1: "jobs failed; the last lines say which, what is there, and what to type next",
        2: "nothing was run: the config, the sheet or the arguments cannot be used, storage does"
        " not give a slide, or the folder is locked",
    },
    "python -m workflow.tools.explain": {
        0: "said what a run would do",
        2: "the config, the sheet or the arguments cannot be used",
    },
    "python -m workflow.tools.verify": {
        0: "every result is as it was written, or is again, with --repair",
        1: "something is damaged, or was not repaired",
        2: "a repair was refused, and nothing was changed",
    },
    "python -m workflow.tools.doctor": STOPS
    | {0: "nothing has to be fixed", 1: "something has to be; the lines that say FIX name it"},
    "python -m workflow.tools.audit": {
        0: "every package was looked up, and nothing is known of any",
        1: "a vulnerability is known",
        2: "it could not be checked, or the command line cannot be used",
    },
    "python -m workflow.tools.new_study": STOPS | {1: "nothing was written"},
    "python -m workflow.tools.compare_studies": STOPS | {1: "the two cannot be compared"},
    "python -m workflow.tools.compare_methods": STOPS | {1: "a study has no metrics, or no truth"},
    "python -m workflow.tools.view": STOPS
    | {0: "stopped by Ctrl-C", 1: "there is nothing to look at, or the port is taken"},
    "python -m workflow.tools.ablate": STOPS
    | {1: "the plan cannot be used, or a run failed", 130: "stopped by Ctrl-C"},
    "python -m workflow.tools.reproduce": STOPS
    | {1: "the plan cannot be used, or a run failed", 130: "stopped by Ctrl-C"},
    "python -m workflow.tools.prepare_glas": STOPS,
    "python -m workflow.tools.prepare_camelyon16": STOPS,
    "python -m workflow.scripts.STAGE": {
        0: "made, or made before",
        1: "the stage stopped at an error, which it says",
        2: "the command line cannot be used",
    },
    "make": {
        0: "the command that it ran ended with 0",
        2: "it did not: make gives 2 for whatever else, and says which above (Error 1)",
    },
}


def catalogue() -> dict[str, dict[str, Problem]]:
    """Where a code is found -> code -> what it means and what to do."""
    audit = {c: Problem(AUDIT_MEANINGS[c], remedy) for c, remedy in AUDIT_REMEDIES.items()}
    slides = {c: Problem(SLIDE_MEANINGS[c], remedy) for c, remedy in SLIDE_REMEDIES.items()}
    return {"study": STUDY, "slide": slides, "audit": audit}
