"""What the name of an image tells: its kind, and the words in it."""

from __future__ import annotations

import re
from functools import cache

import slicer

# Kind of image and the words it goes by; a kind that stands earlier wins ("T2 FLAIR" is FLAIR).
WORDS = {
    "FLAIR": ("flair", "tirm", "t2f"),
    "T1c": ("t1c", "t1ce", "t1gd", "t1gad", "t1post", "t1km", "gd", "gad", "gadolinium"),
    "ADC": ("adc",),
    "DWI": ("dwi", "trace"),
    "SWI": ("swi", "swan"),
    "PD": ("pd", "pdw"),
    "T2": ("t2", "t2w", "haste", "ciss", "fiesta"),
    "T1": ("t1", "t1w", "t1n", "mprage", "mp2rage", "spgr", "bravo", "vibe"),
    "CT": ("ct", "cbct", "cta"),
    "PET": ("pet", "suv", "fdg"),
}
AGENT = {"post", "contrast", "ce", "km"}  # beside a word for T1, as a "c" right behind it
_PLUS_C = re.compile(r"(?<![a-z0-9])t1w?[ _+.-]*c(?![a-z0-9]|[ _-]*spine)", re.IGNORECASE)
_LONG = r"(?<=[A-Z]{3})(?=[a-z])"  # the end of several capitals
KINDS = AGENT.union({"c"}, *WORDS.values())


def text_of(volume) -> str:
    """A volume's name, its series' description and protocol."""
    return f"{volume.GetName()} {dicom_value(volume, '0008,103e')} {dicom_value(volume, '0018,1030')}"


def kind_of(text: str) -> str | None:
    """The kind of image that a name tells of (see WORDS), None where it tells of none."""
    words = words_of(text)
    kind = next((kind for kind, known in WORDS.items() if words & set(known)), None)
    return "T1c" if kind == "T1" and (words & AGENT or _PLUS_C.search(text)) else kind


def kind_of_volume(volume) -> str | None:
    """Likewise of a volume's name and its series' description."""
    return kind_of(text_of(volume))


@cache
def words_of(text: str) -> frozenset[str]:
    """Lower-case words, which end at signs and where capitals begin or end ("BrainFLAIR", "T1Gd", "CTChest", "T2FLAIR",
    "ADCmap"): those of each way to read it."""
    parts = re.sub(r"(?<=[a-z])(?=[A-Z])|(?<=[0-9])(?=[A-Z][a-z])", " ", text)
    further = (re.sub(end, " ", parts) for end in (r"(?<=[A-Z])(?=[A-Z][a-z])|(?<=[0-9])(?=[A-Z])", _LONG))
    return frozenset(re.findall(r"[a-z0-9]+", " ".join([parts, *further]).lower()))


def dicom_value(volume, tag: str) -> str:
    """A value of the first file that the volume was read from; empty without application or database."""
    files = (volume.GetAttribute("DICOM.instanceUIDs") or "").split()
    database = getattr(slicer, "dicomDatabase", None)
    return database.instanceValue(files[0], tag) if files and database is not None else ""
