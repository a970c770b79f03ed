"""What DICOM headers tell of the places of slices and frames: volumes of a wrong shape are refused."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pydicom
import pytest
from dicom_folder import write_dicom, write_frames
from medsegdiff.errors import RequestError
from medsegdiff.image import read_image

AFFINE = np.diag([-1.5, -1.25, 2.0, 1.0])
ARRAY = np.random.default_rng(0).integers(0, 1000, (7, 6, 5)).astype(np.float32)


def changed(files: list[Path], change) -> None:
    for number, file in enumerate(files):
        slice_ = pydicom.dcmread(file)
        change(number, slice_)
        slice_.save_as(file)


@pytest.mark.parametrize("frames", [range(5), range(4, -1, -1), [2]], ids=["forth", "back", "one"])
def test_frames_of_one_file_lie_where_they_say(tmp_path, frames):
    write_frames(tmp_path / "all.dcm", ARRAY, AFFINE, frames)
    for path in (tmp_path, tmp_path / "all.dcm"):
        image = read_image(path)
        np.testing.assert_array_equal(image.array[0], ARRAY[:, :, list(frames)])
        for number, k in enumerate(frames):
            np.testing.assert_allclose(image.affine @ (1, 2, number, 1), AFFINE @ (1, 2, k, 1), atol=1e-5)
        assert image.placed and image.notes == ()


@pytest.mark.parametrize(
    ("frames", "words"),
    [((0, 1, 2, 4), "missing"), ((0, 3, 1, 2, 4), "no regular grid"), ((0, 1, 2, 0, 1, 2), "time series")],
)
def test_frames_that_make_no_volume_are_refused(tmp_path, frames, words):
    write_frames(tmp_path / "all.dcm", ARRAY, AFFINE, frames)
    with pytest.raises(RequestError, match=words):
        read_image(tmp_path)


@pytest.mark.parametrize("left", [0, 3])
def test_frames_without_positions_are_refused(tmp_path, left):
    def change(number, whole):
        whole.PerFrameFunctionalGroupsSequence = whole.PerFrameFunctionalGroupsSequence[:left]

    write_frames(tmp_path / "all.dcm", ARRAY, AFFINE, range(5))
    changed([tmp_path / "all.dcm"], change)
    with pytest.raises(RequestError, match="lack a valid position"):
        read_image(tmp_path)


@pytest.mark.parametrize(
    ("name", "value", "words"),
    [("ImageOrientationPatient", [1, 0, 0, 0, 0, -1], "directions"), ("PixelSpacing", [0.5, 0.5], "pixel sizes"),
     ("PixelSpacing", None, "pixel sizes")],
)  # fmt: skip
def test_slices_unlike_the_others_are_refused(tmp_path, name, value, words):
    def change(number, slice_):
        if number == 3:
            setattr(slice_, name, value)

    changed(write_dicom(tmp_path / "series", ARRAY, AFFINE), change)
    with pytest.raises(RequestError, match=f"different {words}"):
        read_image(tmp_path / "series")


def test_rounding_makes_no_difference(tmp_path):
    def change(number, slice_):
        slice_.PixelSpacing = [1.25 + number / 1000, 1.5]
        slice_.ImageOrientationPatient = [1, number / 10000, 0, 0, 1, 0]

    changed(write_dicom(tmp_path / "series", ARRAY, AFFINE), change)
    assert read_image(tmp_path / "series").shape == ARRAY.shape


@pytest.mark.parametrize("keep", [None, [2]], ids=["series", "slice"])
@pytest.mark.parametrize("name", ["ImageOrientationPatient", "ImagePositionPatient", "PixelSpacing"])
def test_what_is_not_told_is_not_taken_for_known(tmp_path, keep, name):
    changed(write_dicom(tmp_path / "series", ARRAY, AFFINE, keep=keep), lambda _, slice_: delattr(slice_, name))
    if name == "ImagePositionPatient" and keep is None:
        with pytest.raises(RequestError, match="lack a valid position"):
            read_image(tmp_path / "series")
        return
    image = read_image(tmp_path / "series")
    assert image.placed == (name == "PixelSpacing")
    assert [note.partition(":")[0] for note in image.notes] == (
        [f"{tmp_path / 'series'} does not tell the size of its pixels"] if name == "PixelSpacing" else []
    )
