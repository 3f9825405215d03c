"""Labels permuted among patients: what a study finds when there is nothing to find.

A permutation test (Good, Permutation, Parametric and Bootstrap Tests of Hypotheses, 2005; for
cross-validated classifiers Ojala and Garriga, JMLR 2010). With labels that mean nothing, an AUROC
away from 0.5 is chance or a leak; over several seeds, it is a leak.
"""

import dataclasses
from collections import defaultdict
from collections.abc import Sequence

import numpy as np

from workflow.lib.cohort.sheet import Slide

STREAM = 54  # keeps these draws apart from all others that are made with the same seed


def permute_labels(slides: Sequence[Slide], *, seed: int) -> list[Slide]:
    """The same slides, in their order, every patient with the labels of one drawn at random.

    Patients are exchanged whole and whatever their class, because slides of a patient are alike. A
    patient with more slides than the one it is given the labels of starts again from the first; so
    the number of slides of a class may change a little, and that of patients does not where every
    patient has one label.
    """
    members = defaultdict(list)
    for slide in sorted(slides, key=lambda slide: slide.slide):
        members[slide.patient].append(slide)
    patients = sorted(members)
    order = np.random.default_rng([STREAM, seed]).permutation(len(patients))
    labels = {
        slide.slide: members[patients[other]][place % len(members[patients[other]])].label
        for patient, other in zip(patients, order, strict=True)
        for place, slide in enumerate(members[patient])
    }
    return [dataclasses.replace(slide, label=labels[slide.slide]) for slide in slides]
