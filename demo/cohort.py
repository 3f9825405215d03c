"""The cohort as a table: who the patients are, what was cut, how it was stained and scanned.

config/slides.tsv says the same to the pipeline; a test holds the two together.
"""

from dataclasses import dataclass

from demo.stain import Scanner, Stain

SEED = 0
MPP = 0.5  # of level 0 of every slide
MASK_MPP = 2.0  # of the truth


@dataclass(frozen=True)
class Patient:
    """What all slides of a patient share."""

    stain: Stain
    goblets: float  # share of the cells of normal glands that hold mucus
    inflammation: float  # density of lymphocytes, 1 = as usual


@dataclass(frozen=True)
class Specimen:
    """One slide: what is on it and what is wrong with its file."""

    slide: str
    patient: str
    label: str
    site: str
    pieces: str | None  # "block", "pair" or "cores"; None = empty glass
    shape: tuple[int, int]  # (height, width) of level 0, multiples of 8
    area: float = 0.4  # share of the glass that is tissue
    tumour_share: float = 0.0  # share of the tissue that is tumour
    ink: str | None = None  # colour of a pen mark
    scaled: bool = True  # False: the file does not say its mpp
    truncated: bool = False  # True: the copy of the file broke off

    @property
    def usable(self) -> bool:
        """Whether it comes with tissue, an mpp and a whole file, and so with pixel truth."""
        return self.pieces is not None and self.scaled and not self.truncated


SITES = {
    "north": Scanner(glass=(244, 243, 241), blur_px=0.65, noise=2.2, subsampling=(2, 2)),
    "south": Scanner(glass=(236, 239, 243), blur_px=0.85, noise=3.0, subsampling=(1, 1)),
}

# The stains of p01 to p04, who are healthy, come back much alike in p06 to p09: dyes tell no
# class, and differ more between patients than between the classes. Tumour is denser, though:
# the mean colour of a tile still tells it with an AUROC of 0.82 (tests/test_demo.py).
PATIENTS = {
    "p01": Patient(Stain(0.51, 0.46, haematoxylin=1.10, eosin=1.02), 0.48, 1.28),
    "p02": Patient(Stain(0.39, 0.41, haematoxylin=0.93, eosin=0.93), 0.61, 0.92),
    "p03": Patient(Stain(0.62, 0.56, haematoxylin=0.99, eosin=1.10), 0.41, 1.10),
    "p04": Patient(Stain(0.36, 0.63, haematoxylin=1.08, eosin=0.93), 0.55, 1.37),
    "p05": Patient(Stain(0.56, 0.36, haematoxylin=0.98, eosin=1.00), 0.46, 1.06),
    "p06": Patient(Stain(0.47, 0.41, haematoxylin=1.06, eosin=1.05), 0.50, 1.19),
    "p07": Patient(Stain(0.43, 0.46, haematoxylin=0.91, eosin=0.95), 0.46, 0.97),
    "p08": Patient(Stain(0.59, 0.61, haematoxylin=0.95, eosin=1.07), 0.59, 1.06),
    "p09": Patient(Stain(0.40, 0.58, haematoxylin=1.04, eosin=0.95), 0.52, 1.28),
}

SPECIMENS = [
    Specimen("normal-01", "p01", "normal", "north", "block", (3200, 3400), 0.40),
    Specimen("normal-02", "p02", "normal", "south", "pair", (3400, 3200), 0.38, ink="blue"),
    Specimen("normal-03", "p03", "normal", "north", "cores", (3200, 3608), 0.38),
    Specimen("normal-04", "p04", "normal", "south", "block", (3000, 3512), 0.42),
    Specimen("normal-05", "p05", "normal", "north", "pair", (3600, 3096), 0.40),
    Specimen("tumour-01", "p05", "tumour", "north", "block", (3304, 3200), 0.42, 0.62),
    Specimen("tumour-02", "p06", "tumour", "south", "block", (3208, 3512), 0.40, 0.64),
    Specimen("tumour-03", "p07", "tumour", "north", "pair", (3512, 3304), 0.38, 0.66),
    Specimen("tumour-04", "p08", "tumour", "south", "cores", (3304, 3608), 0.38, 0.66),
    Specimen("tumour-05", "p09", "tumour", "north", "block", (3096, 3304), 0.42, 0.62),
    Specimen("blank-01", "p01", "normal", "north", None, (3000, 3000)),
    Specimen("truncated-01", "p04", "normal", "south", "block", (3000, 3000), truncated=True),
    Specimen(
        "unscaled-01", "p09", "tumour", "north", "block", (3000, 3000), 0.38, 0.5, scaled=False
    ),
]
