"""What can be wrong with a slide: a code, a sentence for this slide, a remedy for the code.

A verdict is `ok`, `ok_empty` (a good slide without tissue) or one of the codes below. A slide with
a code is quarantined: the study goes on without it and every table names it.
"""

OK = "ok"
OK_EMPTY = "ok_empty"

REMEDIES: dict[str, str] = {
    "E_EMPTY": "The file holds no bytes: copy the slide again from the scanner or the archive.",
    "E_FORMAT": "The file is damaged or is not a slide: copy it again, or export it as a pyramidal"
    " TIFF, OME-TIFF or DICOM.",
    "E_HASH": "The file is not the one that the sheet describes: copy it again, or correct the"
    " sha256 column if the slide was replaced on purpose.",
    "E_COMPANION": "The slide is made of several files: put the missing folder or files beside it,"
    " under their original names.",
    "E_TILE": "Too many stored tiles cannot be decoded: copy or scan the slide again, or raise"
    " max_bad_tiles if the damage is outside the tissue.",
    "E_NO_PIXELS": "The file describes a slide but stores no pixels: export it again.",
    "E_MPP": "Write the pixel size in micrometres into the mpp column of the slide sheet; if"
    " the slide really is that fine or coarse, widen check_slide.mpp_min and mpp_max.",
    "E_COARSE": "The slide was scanned coarser than the study asks for: raise tile_slide.mpp or"
    " leave the slide out.",
    "E_MASK": "The tissue file of the sheet does not fit the slide or cannot be read: correct it,"
    " or empty the tissue column to have the tissue found.",
    "E_POINTS": "The points file of the sheet does not fit the slide or the study, or cannot be"
    " read: correct it, or empty the points column; until then nothing is learnt from it.",
    "E_DIM": "The slide claims an impossible or refused size: export it again, or raise"
    " check_slide.max_side_px0 if the size is real.",
    "E_CRASH": "Reading the file stopped the reader: the file is damaged; copy or export it again.",
    "E_TIMEOUT": "Reading the file took too long: check the storage, then raise"
    " compute.check_timeout_s and run again with -R check_slide, or copy the slide again.",
    "E_ZSTACK": "The file holds several focal planes or time points: export one plane as a slide.",
    "E_MODALITY": "The file is not a brightfield 8-bit RGB slide (fluorescence, 16 bit, more"
    " channels): leave it out, or set check_slide.allow_fluorescence if it is wanted.",
    "E_IO": "The file cannot be read or changed while it was read: check that it exists, its"
    " permissions and the storage, then run again.",
    "E_OOM": "Reading the file needed more memory than allowed: raise"
    " compute.check_memory_mb and run again with -R check_slide, or export the slide as a tiled"
    " pyramid.",
}


class Quarantine(Exception):
    """This slide cannot go on; the study can.

    `code` is a key of `REMEDIES`; `sentence` names the value that was found.
    """

    def __init__(self, code: str, sentence: str) -> None:
        if code not in REMEDIES:
            raise ValueError(f"{code} is no verdict; the verdicts are {', '.join(REMEDIES)}.")
        super().__init__(code, sentence)
        self.code = code
        self.sentence = sentence

    def __str__(self) -> str:
        return f"{self.code}: {self.sentence}"


class BadPixels(Exception):
    """A region that the file stores but nobody can decode; the rest of the slide is readable."""
