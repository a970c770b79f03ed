"""Names of imaging modalities: the codes of DICOM (PS3.3, C.7.3.1.1.1), and what others call the same."""

from __future__ import annotations

# The DICOM codes that a name in use elsewhere stands for; other names stand for themselves.
_CODES = {
    "mri": {"mr"},
    "cbct": {"ct"},
    "pet": {"pt"},
    "spect": {"nm"},
    "oct": {"opt"},
    "ultrasound": {"us"},
    "mammography": {"mg"},
    "fluoroscopy": {"rf"},
    "angiography": {"xa"},
    "endoscopy": {"es"},
    "dermoscopy": {"dms"},
    "microscopy": {"gm", "sm"},
    "fundus": {"op"},
    "x-ray": {"cr", "dx"},
    "xray": {"cr", "dx"},
    "cr": {"cr", "dx"},  # computed and digital radiography: one picture, two detectors
    "dx": {"cr", "dx"},
    "photograph": {"xc", "es", "op", "gm", "sm", "dms"},  # all that is in visible light
}


def same_modality(one: str, other: str) -> bool:
    """Whether two names may mean the same modality, whatever their case: "PET" and DICOM's "PT" do."""
    ours, theirs = (_CODES.get(name.casefold(), {name.casefold()}) for name in (one.strip(), other.strip()))
    return not ours.isdisjoint(theirs)
