"""A damaged slice, above all at an end of its series, is named; what is no slice of it does no harm."""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np
import pydicom
import pytest
from command_line import fails
from dicom_folder import write_dicom
from medsegdiff.errors import RequestError
from medsegdiff.image import read_image
from pydicom.uid import (
    BasicTextSRStorage, GrayscaleSoftcopyPresentationStateStorage, MediaStorageDirectoryStorage, MRImageStorage,
    RawDataStorage, RTStructureSetStorage, generate_uid,
)  # fmt: skip

AFFINE = np.diag([-1.0, -1.0, 2.0, 1.0])


def series(folder: Path, plain: bool = False) -> list[Path]:
    """The slices in a folder, by position.  plain: with names that say nothing of DICOM."""
    array = np.random.default_rng(0).integers(0, 1000, (9, 8, 6)).astype(np.float32)
    files = write_dicom(folder, array, AFFINE)
    return [file.rename(file.with_name(f"IM{file.stem[-3:]}")) for file in files] if plain else files


def without_pixels(file: Path) -> bytes:
    slice_ = pydicom.dcmread(file)
    del slice_.PixelData
    slice_.save_as(file)
    return file.read_bytes()


DAMAGE = {
    "end cut off": lambda file: file.read_bytes()[:-40],
    "half": lambda file: file.read_bytes()[: file.stat().st_size // 2],
    "first lines alone": lambda file: file.read_bytes()[:140],
    "empty": lambda file: b"",
    "zeros": lambda file: bytes(file.stat().st_size),
    "no pixels": without_pixels,
}


@pytest.mark.parametrize("damage", DAMAGE.values(), ids=DAMAGE.keys())
@pytest.mark.parametrize("plain", [False, True])
@pytest.mark.parametrize("which", [0, 3, -1])
def test_a_damaged_slice_is_named(tmp_path, damage, plain, which):
    files = series(tmp_path / "series", plain)
    assert read_image(tmp_path / "series").shape == (9, 8, 6)
    files[which].write_bytes(damage(files[which]))
    for path in (tmp_path / "series", files[1]):
        with pytest.raises(RequestError) as caught:
            read_image(path)
        assert str(caught.value).startswith(f"{files[which]}: cannot be read")


def test_the_command_refuses_a_series_without_its_last_two_slices(tmp_path, out, capsys):
    files = series(tmp_path / "series")
    for file in files[-2:]:
        file.write_bytes(DAMAGE["half"](file))
    first = min(files[-2:])
    fails(capsys, 2, rf"{first.name} \(and 1 more\): cannot be read", "segment", tmp_path / "series", "-m",
          "hippocampus-unet", "-o", out / "o.nii.gz")  # fmt: skip
    assert not any(out.iterdir())


def test_files_of_other_kinds_do_no_harm(tmp_path):
    files = series(tmp_path / "series", plain=True)
    for name in ("notes.txt", "export.xml", ".DS_Store", "._IM001", "README", "VERSION", "LOCKFILE", "picture.png"):
        (tmp_path / "series" / name).write_bytes(b"no slice " * 100 if name != "LOCKFILE" else b"")
    (tmp_path / "series" / "IM999").mkdir()
    assert read_image(tmp_path / "series").shape == (9, 8, 6)
    assert read_image(files[0]).shape == (9, 8, 6)


@pytest.mark.parametrize("same_series", [False, True])
@pytest.mark.parametrize("kind", [
    BasicTextSRStorage, GrayscaleSoftcopyPresentationStateStorage, RTStructureSetStorage, RawDataStorage,
    MediaStorageDirectoryStorage,
])  # fmt: skip
def test_dicom_files_that_are_no_images_do_no_harm(tmp_path, kind, same_series):
    files = series(tmp_path / "series")
    other = pydicom.dcmread(files[0])
    for tag in ("PixelData", "Rows", "Columns", "ImagePositionPatient"):
        del other[tag]
    other.SOPClassUID = other.file_meta.MediaStorageSOPClassUID = kind
    if not same_series:
        other.SeriesInstanceUID = generate_uid()
    other.save_as(tmp_path / "series" / ("DICOMDIR" if kind == MediaStorageDirectoryStorage else "other-099.dcm"))
    assert read_image(tmp_path / "series").shape == (9, 8, 6)


def test_a_damaged_slice_of_another_series_does_no_harm(tmp_path):
    series(tmp_path / "series")
    [other] = write_dicom(tmp_path / "series", np.ones((9, 8, 1)), AFFINE, names="other")
    assert pydicom.dcmread(other).SOPClassUID == MRImageStorage
    other.write_bytes(DAMAGE["end cut off"](other))
    assert read_image(tmp_path / "series").shape == (9, 8, 6)


def test_what_tells_nothing_counts_by_the_names_of_its_series_alone(tmp_path):
    files = series(tmp_path / "series")
    for name, content in (("readme.dcm", b"about these scans"), ("other.dcm", b"")):
        (tmp_path / "series" / name).write_bytes(content)
    assert read_image(tmp_path / "series").shape == (9, 8, 6)
    others = write_dicom(tmp_path / "series", np.ones((9, 8, 4), np.float32), AFFINE, names="other")
    others[-1].write_bytes(b"")
    assert read_image(files[0]).shape == (9, 8, 6), "it is none of this series"


def test_pictures_of_one_file_are_not_refused_for_an_empty_one_beside_them(tmp_path):
    (file,) = write_dicom(tmp_path / "pictures", np.ones((9, 8, 1), np.float32), AFFINE)
    file.with_name(file.name.replace("000", "001")).write_bytes(b"")
    assert read_image(file).shape == (9, 8, 1)


@pytest.mark.skipif(sys.platform == "win32", reason="links need rights on Windows")
@pytest.mark.parametrize("name", ["a.dcm", "z.dcm", "README"])
def test_a_link_to_what_is_not_there_is_named(tmp_path, name):
    files = series(tmp_path / "series")
    (tmp_path / "series" / name).symlink_to("annex")
    for path in (tmp_path / "series", files[2]):
        with pytest.raises(RequestError, match=rf"{name}: a link to annex, which is not there"):
            read_image(path)
