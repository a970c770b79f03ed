"""Reading: every format gives the voxels and the place in the patient; every unusable input is refused in one line."""

from __future__ import annotations

import gzip
import os
import shutil
import struct
from pathlib import Path

import numpy as np
import pydicom
import pytest
import SimpleITK as sitk
from dicom_folder import FLIP, write_dicom, write_frames
from PIL import Image as Picture
from pydicom.uid import generate_uid

from medsegdiff.errors import RequestError
from medsegdiff.image import read_image, write_volume
from medsegdiff.image.labels import read_labels

FORMATS = ["nii", "nii.gz", "nrrd", "mha", "mhd"]


def itk_image(array: np.ndarray, affine: np.ndarray) -> sitk.Image:
    """SimpleITK image (LPS) of an array (I, J, K) with an affine to RAS, made without the backend."""
    image = sitk.GetImageFromArray(np.ascontiguousarray(array.T))
    lps = FLIP @ affine
    spacing = np.sqrt((lps[:3, :3] ** 2).sum(0))
    image.SetSpacing(spacing.tolist())
    image.SetDirection((lps[:3, :3] / spacing).ravel().tolist())
    image.SetOrigin(lps[:3, 3].tolist())
    return image


def noise(shape=(7, 6, 5), dtype=np.float32) -> np.ndarray:
    return np.random.default_rng(0).integers(0, 1000, shape).astype(dtype)


def refusal(paths) -> str:
    """The message with which `paths` are refused: one line, and nothing else is printed by the libraries below."""
    with pytest.raises(RequestError) as caught:
        read_image(paths)
    message = str(caught.value)
    assert "\n" not in message
    return message


@pytest.mark.parametrize("ending", FORMATS)
def test_voxels_and_geometry(tmp_path, affine, ending):
    array = noise()
    sitk.WriteImage(itk_image(array, affine), str(tmp_path / f"a.{ending}"))
    image = read_image(tmp_path / f"a.{ending}")
    np.testing.assert_array_equal(image.array[0], array)
    assert image.array.dtype == np.float32
    corner = np.array([*array.shape, 1.0])
    np.testing.assert_allclose(image.affine @ corner, affine @ corner, atol=1e-4)
    np.testing.assert_allclose(image.affine, affine, atol=1e-4)
    assert image.channel_names == ("a",)


def test_voxel_type_is_kept(tmp_path):
    sitk.WriteImage(itk_image(noise(dtype=np.int16), np.eye(4)), str(tmp_path / "a.nii.gz"))
    assert read_image(str(tmp_path / "a.nii.gz")).array.dtype == np.int16


def test_several_files_are_channels(tmp_path, affine):
    first, second = noise(), noise() + 5
    sitk.WriteImage(itk_image(first, affine), str(tmp_path / "t1.nii.gz"))
    sitk.WriteImage(itk_image(second, affine), str(tmp_path / "t2.nrrd"))
    image = read_image([tmp_path / "t1.nii.gz", tmp_path / "t2.nrrd"])
    np.testing.assert_array_equal(image.array, np.stack([first, second]))
    assert image.channel_names == ("t1", "t2")


def test_components_are_channels(tmp_path, affine):
    channels = [noise(), noise() + 1, noise() + 2]
    sitk.WriteImage(sitk.Compose([itk_image(one, affine) for one in channels]), str(tmp_path / "v.nrrd"))
    image = read_image(tmp_path / "v.nrrd")
    np.testing.assert_array_equal(image.array, np.stack(channels))
    np.testing.assert_allclose(image.affine, affine, atol=1e-4)
    assert image.channel_names == ("v 1", "v 2", "v 3")


@pytest.mark.parametrize("mode, channels", [("L", 1), ("RGB", 3), ("RGBA", 3)])
@pytest.mark.parametrize("ending", ["png", "tif"])
def test_picture(tmp_path, mode, channels, ending):
    pixels = noise((4, 6, len(mode)), np.uint8)
    Picture.fromarray(pixels.squeeze(), mode=mode).save(tmp_path / f"p.{ending}")
    image = read_image(tmp_path / f"p.{ending}")
    assert image.array.shape == (channels, 6, 4, 1)
    np.testing.assert_array_equal(image.array[..., 0], pixels[..., :channels].transpose(2, 1, 0))
    np.testing.assert_allclose(image.affine, FLIP)
    assert len(image.channel_names) == channels


@pytest.mark.parametrize("ending", ["jpg", "jpeg", "JPG"])
def test_photograph(tmp_path, ending):
    pixels = np.zeros((32, 48, 3), np.uint8)
    pixels[:16, :, 0], pixels[16:, :24, 1], pixels[16:, 24:, 2] = 250, 250, 250
    Picture.fromarray(pixels).save(tmp_path / f"p.{ending}", format="JPEG", quality=95)
    image = read_image(tmp_path / f"p.{ending}")
    assert image.array.shape == (3, 48, 32, 1) and image.array.dtype == np.uint8
    assert np.abs(image.array[..., 0].astype(int) - pixels.transpose(2, 1, 0)).mean() < 8
    np.testing.assert_allclose(image.affine, FLIP)


@pytest.mark.parametrize("kind, values, expected", [
    (np.uint8, (0, 255), (0, 1)), (np.uint8, (0, 1, 255), (0, 1, 255)), (np.float32, (0, 2), (0, 2)),
    (np.uint8, (0,), (0,)),
])  # fmt: skip
def test_masks_in_black_and_white_are_labels(tmp_path, kind, values, expected):
    array = np.resize(np.array(values, kind), (4, 5, 1))
    sitk.WriteImage(itk_image(array, np.eye(4)), str(tmp_path / "m.nrrd"))
    labels = read_labels(tmp_path / "m.nrrd").array
    np.testing.assert_array_equal(labels[0], np.resize(np.array(expected), (4, 5, 1)))


def test_colours_and_fractions_are_no_labels(tmp_path):
    Picture.fromarray(noise((4, 6, 3), np.uint8)).save(tmp_path / "p.png")
    with pytest.raises(RequestError, match="3 channels; a label map has one"):
        read_labels(tmp_path / "p.png")
    sitk.WriteImage(itk_image(np.full((3, 3, 3), 0.5, np.float32), np.eye(4)), str(tmp_path / "p.nrrd"))
    with pytest.raises(RequestError, match="it holds fractions"):
        read_labels(tmp_path / "p.nrrd")


@pytest.mark.parametrize("ending", ["png", "tif"])
def test_grey_picture_with_alpha_is_refused(tmp_path, ending):
    """ITK knows no such pixels in PNG, and in TIFF takes alpha for grey values."""
    Picture.fromarray(noise((4, 6, 2), np.uint8), mode="LA").save(tmp_path / f"p.{ending}")
    assert "save it without transparency" in refusal(tmp_path / f"p.{ending}")


@pytest.mark.parametrize("ending", ["png", "tif"])
def test_black_and_white_picture_has_one_channel(tmp_path, ending):
    pixels = noise((4, 6), np.uint8) > 100
    Picture.fromarray(pixels).save(tmp_path / f"p.{ending}")
    np.testing.assert_array_equal(read_image(tmp_path / f"p.{ending}").array[..., 0], 255 * pixels.T[np.newaxis])
    np.testing.assert_array_equal(read_labels(tmp_path / f"p.{ending}").array[0, ..., 0], pixels.T)


def test_pixel_size_of_a_tiff_is_kept(tmp_path):
    Picture.fromarray(noise((4, 6), np.uint8)).save(tmp_path / "p.tiff", dpi=(254, 254))
    assert read_image(tmp_path / "p.tiff").spacing == pytest.approx((0.1, 0.1, 1.0), abs=1e-6)


def test_single_volume_with_a_time_axis(tmp_path, affine):
    array = noise()
    sitk.WriteImage(sitk.JoinSeries([itk_image(array, affine)]), str(tmp_path / "a.nii"))
    image = read_image(tmp_path / "a.nii")
    np.testing.assert_array_equal(image.array[0], array)
    np.testing.assert_allclose(image.affine, affine, atol=1e-4)


def test_dicom_is_ordered_by_position(tmp_path, affine):
    array = noise()
    if np.linalg.det((FLIP @ affine)[:3, :3]) < 0:  # DICOM's third axis is the cross product of the first two
        array, affine[:3, 3], affine[:3, 2] = array[:, :, ::-1], affine[:3, 3] + 4 * affine[:3, 2], -affine[:3, 2]
    files = write_dicom(tmp_path / "series", array, affine)
    assert [file.name for file in files] != sorted(file.name for file in files)
    for path in (tmp_path / "series", files[2], tmp_path):
        image = read_image(path)
        np.testing.assert_array_equal(image.array[0], array)
        np.testing.assert_allclose(image.affine, affine, atol=1e-4)


@pytest.mark.parametrize("told, known", [("CT", ("CT",)), ("OT", ()), (None, ())])
@pytest.mark.parametrize("keep", [None, [0]], ids=["series", "slice"])
def test_dicom_tells_the_modality(tmp_path, told, known, keep):
    write_volume(tmp_path / "x.nrrd", noise(), np.eye(4))
    for file in write_dicom(tmp_path / "series", noise(), np.eye(4), keep=keep):
        slice_ = pydicom.dcmread(file)
        slice_.Modality = told
        slice_.save_as(file)
    for path in (tmp_path / "series", file):
        assert read_image(path).modalities == known
    if keep is None:
        assert read_image([tmp_path / "x.nrrd", file]).modalities == (known and ("", *known))


def test_one_dicom_slice(tmp_path):
    write_dicom(tmp_path / "series", noise(), np.diag([-1.0, -1.0, 2.0, 1.0]), keep=[3])
    image = read_image(tmp_path / "series")
    assert image.shape == (7, 6, 1) and image.spacing == (1, 1, 2)
    np.testing.assert_array_equal(image.array[0, ..., 0], noise()[..., 3])


def blank_out(file: Path, text: bytes, by: bytes) -> None:
    """Replaces a value in a DICOM file by another one of the same length."""
    content = file.read_bytes()
    assert content.count(text) == 1 and len(text) == len(by)
    file.write_bytes(content.replace(text, by))


@pytest.mark.parametrize("thickness", [b"    ", b"thin", b"-2.5"])
def test_dicom_slice_without_valid_thickness(tmp_path, thickness):
    [file] = write_dicom(tmp_path / "series", noise(), np.diag([-1.0, -1.0, 4.25, 1.0]), keep=[0])
    blank_out(file, b"4.25", thickness)
    assert read_image(tmp_path / "series").spacing == (1, 1, 1)


@pytest.mark.parametrize("position", [b"31.5\\?.250", b"         ", b"   nan\\1 "])
def test_dicom_slice_without_valid_position(tmp_path, position):
    affine = np.diag([-1.0, -1.0, 2.0, 1.0])
    affine[:3, 3] = (-31.5, -44.25, 7.125)
    files = write_dicom(tmp_path / "series", noise(), affine)
    blank_out(files[1], b"31.5\\44.25", position.ljust(10))
    assert "position" in refusal(tmp_path / "series")


def test_unreadable_ones_among_several_dicom_series_are_listed(tmp_path):
    write_dicom(tmp_path / "both", noise(), np.diag([-1.0, -1.0, 2.0, 1.0]), "T1 before")
    [file] = write_dicom(tmp_path / "both", noise(), np.diag([-1.0, -1.0, 2.0, 1.0]), names="other", keep=[0])
    broken = pydicom.dcmread(file)
    broken.BitsAllocated = 7
    broken.save_as(file)
    message = refusal(tmp_path / "both")
    assert "T1 before, 5 slices" in message and "unreadable, 1 slices" in message


def test_dicom_with_impossible_pixels_is_refused(tmp_path):
    [file] = write_dicom(tmp_path / "series", noise(), np.eye(4), keep=[0])
    broken = pydicom.dcmread(file)
    broken.SamplesPerPixel = 7
    broken.save_as(file)
    assert "cannot be read" in refusal(tmp_path / "series")


def test_several_dicom_series_are_listed(tmp_path):
    write_dicom(tmp_path / "both", noise(), np.diag([-1.0, -1.0, 2.0, 1.0]), "T1 before")
    files = write_dicom(tmp_path / "both", noise() + 1, np.diag([-1.0, -1.0, 2.0, 1.0]), "FLAIR", names="other")
    message = refusal(tmp_path / "both")
    assert "2 DICOM series" in message and "T1 before, 5 slices" in message and "FLAIR, 5 slices" in message
    np.testing.assert_array_equal(read_image(files[0]).array[0], noise() + 1)


@pytest.mark.parametrize("slices, words", [((0, 1, 2, 4), "missing"), ((0, 4, 3), "missing")])
def test_incomplete_dicom_series_is_refused(tmp_path, slices, words):
    write_dicom(tmp_path / "series", noise(), np.diag([-1.0, -1.0, 2.0, 1.0]), keep=slices)
    assert words in refusal(tmp_path / "series")


def test_dicom_time_series_is_refused(tmp_path):
    affine = np.diag([-1.0, -1.0, 2.0, 1.0])
    files = write_dicom(tmp_path / "series", noise(), affine)
    for file in files:
        twin = pydicom.dcmread(file)
        twin.SOPInstanceUID = twin.file_meta.MediaStorageSOPInstanceUID = generate_uid()
        twin.save_as(file.with_name(f"second-{file.name}"))
    assert "time series" in refusal(tmp_path / "series")


@pytest.mark.parametrize("first", [{"RescaleIntercept": 0}, {"RescaleSlope": 1}, {"PixelRepresentation": 1}])
def test_dicom_slices_whose_numbers_mean_different_things(tmp_path, first):
    """ITK takes the type of the first one for all."""
    array, slope, intercept = noise((6, 7, 5), np.uint16) * 0 + 7, 1.0, 0.0
    files = write_dicom(tmp_path / "series", array, np.diag([-1.0, -1.0, 2.0, 1.0]))
    expected = np.zeros(array.shape)
    for number, file in enumerate(files):
        one = pydicom.dcmread(file)
        if "PixelRepresentation" in first:
            one.PixelRepresentation = int(number > 0)
            one.PixelData = np.full((7, 6), 7 if number == 0 else -7, np.int16).tobytes()
            expected[..., number] = 7 if number == 0 else -7
        else:
            slope, intercept = (1, 0) if number == 0 else (0.25, 0) if "RescaleSlope" in first else (1, -1024)
            one.RescaleSlope, one.RescaleIntercept = str(slope), str(intercept)
            expected[..., number] = 7 * slope + intercept
        one.save_as(file)
    np.testing.assert_allclose(read_image(tmp_path / "series").array[0], expected)


def test_frames_that_are_scaled_differently_are_refused(tmp_path):
    write_frames(tmp_path / "a.dcm", noise(), np.diag([-1.0, -1.0, 2.0, 1.0]), range(5))
    whole = pydicom.dcmread(tmp_path / "a.dcm")
    for slope in ("2", "2", "3"):
        for group in whole.PerFrameFunctionalGroupsSequence[: 5 if slope == "2" else 1]:
            scaled = pydicom.Dataset()
            scaled.RescaleSlope, scaled.RescaleIntercept, scaled.RescaleType = slope, "0", "US"
            group.PixelValueTransformationSequence = pydicom.Sequence([scaled])
        whole.save_as(tmp_path / "a.dcm")
        if slope == "2":
            read_image(tmp_path / "a.dcm")
    assert "scaled differently" in refusal(tmp_path / "a.dcm")


def test_tilted_dicom_series_is_refused(tmp_path):
    affine = np.diag([-1.0, -1.0, 2.0, 1.0])
    affine[1, 2] = 0.5
    write_dicom(tmp_path / "series", noise(), affine)
    assert "tilted" in refusal(tmp_path / "series")


def test_folder_without_dicom(tmp_path, capfd):
    (tmp_path / "notes.txt").write_text("no image")
    assert "no DICOM series" in refusal(tmp_path)
    assert capfd.readouterr().err == ""


def test_missing_file(tmp_path):
    assert "no such file" in refusal(tmp_path / "nothing.nii.gz")


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="this system has no named pipes")
@pytest.mark.parametrize("name", ["a", "a.nii.gz", "a.png", "a.dcm"])
def test_pipe(tmp_path, name):
    os.mkfifo(tmp_path / name)
    assert "a device or a pipe" in refusal(tmp_path / name)


def test_no_path_at_all():
    assert "no input image" in refusal([])


def test_unknown_extension(tmp_path):
    (tmp_path / "a.txt").write_text("voxels")
    assert "not a known image type" in refusal(tmp_path / "a.txt")


@pytest.mark.parametrize("ending", [*FORMATS, "png", "tif", "jpeg", "dcm"])
@pytest.mark.parametrize("content", [b"", b"this is no image " * 100], ids=["empty", "junk"])
def test_not_an_image(tmp_path, capfd, ending, content):
    (tmp_path / f"a.{ending}").write_bytes(content)
    assert f"a.{ending}" in refusal(tmp_path / f"a.{ending}")
    assert capfd.readouterr().err == ""


@pytest.mark.parametrize("ending", ["nii", "nii.gz", "nrrd", "mha"])
def test_truncated_volume(tmp_path, capfd, ending):
    path = tmp_path / f"a.{ending}"
    sitk.WriteImage(itk_image(np.random.default_rng(0).normal(size=(30, 30, 30)), np.eye(4)), str(path))
    content = path.read_bytes()
    path.write_bytes(content[: len(content) * 3 // 4])
    assert f"a.{ending}" in refusal(path)
    assert capfd.readouterr().err == ""


@pytest.mark.parametrize("ending", ["png", "tif", "jpg"])
def test_truncated_picture(tmp_path, capfd, ending):
    path = tmp_path / f"a.{ending}"
    Picture.fromarray(noise((90, 90), np.uint8)).save(path)
    content = path.read_bytes()
    path.write_bytes(content[: len(content) // 2])
    assert "copy or export it again" in refusal(path)
    assert capfd.readouterr().err == ""


def test_damaged_gzip(tmp_path):
    path = tmp_path / "a.nii.gz"
    sitk.WriteImage(itk_image(noise((30, 30, 30)), np.eye(4)), str(path))
    plain = gzip.decompress(path.read_bytes())
    path.write_bytes(gzip.compress(plain)[:-8] + b"\0" * 8)  # checksum and length
    assert "damaged" in refusal(path)


def test_zero_size(tmp_path):
    (tmp_path / "a.nrrd").write_text("NRRD0004\ntype: float\ndimension: 3\nsizes: 0 3 3\nencoding: raw\n\n")
    assert "a.nrrd" in refusal(tmp_path / "a.nrrd")


@pytest.mark.parametrize("value", [np.nan, np.inf])
def test_not_finite(tmp_path, value):
    array = noise()
    array[1, 2, 3] = value
    sitk.WriteImage(itk_image(array, np.eye(4)), str(tmp_path / "a.nii.gz"))
    message = refusal(tmp_path / "a.nii.gz")
    assert "a.nii.gz" in message and "1 voxel" in message


@pytest.mark.parametrize("order", "<>")
@pytest.mark.parametrize("value", [1.5, np.nan])
def test_byte_order_of_nifti(tmp_path, order, value):
    header = bytearray(352)
    for offset, kind, values in (
        (0, "i", [348]), (40, "h", [3, 2, 3, 4, 1, 1, 1, 1]), (70, "h", [16, 32]), (76, "f", [1, 2, 2, 2]),
        (108, "f", [352, 1]),
    ):  # fmt: skip
        struct.pack_into(f"{order}{len(values)}{kind}", header, offset, *values)
    header[344:348] = b"n+1\0"
    array = np.full((2, 3, 4), 7, np.float32)
    array[1, 2, 3] = value
    (tmp_path / "a.nii").write_bytes(bytes(header) + array.astype(f"{order}f4").tobytes("F"))
    if np.isnan(value):
        assert "1 voxels are NaN" in refusal(tmp_path / "a.nii")
    else:
        np.testing.assert_array_equal(read_image(tmp_path / "a.nii").array[0], array)


def test_4d_series(tmp_path):
    sitk.WriteImage(sitk.JoinSeries([itk_image(noise(), np.eye(4))] * 3), str(tmp_path / "a.nii.gz"))
    message = refusal(tmp_path / "a.nii.gz")
    assert "4D series of 3 volumes" in message and "split" in message


def test_sheared_nifti_is_told_from_a_damaged_one(tmp_path):
    sitk.WriteImage(itk_image(noise(), np.eye(4)), str(tmp_path / "a.nii"))
    header = bytearray((tmp_path / "a.nii").read_bytes())
    struct.pack_into("<2h", header, 252, 0, 1)  # qform_code and sform_code
    struct.pack_into("<12f", header, 280, 1, 0.4, 0, 0, 0, 1, 0, 0, 0, 0, 1, 0)
    (tmp_path / "a.nii").write_bytes(header)
    assert "axes at right angles" in refusal(tmp_path / "a.nii")


def test_complex_voxels(tmp_path):
    sitk.WriteImage(sitk.RealAndImaginaryToComplex(*[itk_image(noise(), np.eye(4))] * 2), str(tmp_path / "a.nii"))
    assert "complex" in refusal(tmp_path / "a.nii")


def test_pages_of_a_tiff(tmp_path):
    page = Picture.fromarray(noise((4, 6), np.uint8))
    page.save(tmp_path / "a.tif", save_all=True, append_images=[page, page])
    assert "3 pages" in refusal(tmp_path / "a.tif")


def test_pictures_of_different_size(tmp_path):
    for name, size in (("a", (7, 6)), ("b", (7, 4))):
        Picture.fromarray(noise(size, np.uint8)).save(tmp_path / f"{name}.png")
    assert (
        "b.png and" in (message := refusal([tmp_path / "a.png", tmp_path / "b.png"])) and "different sizes" in message
    )


def test_channels_that_lie_apart(tmp_path):
    moved = np.eye(4)
    moved[0, 3] = 5
    sitk.WriteImage(itk_image(noise(), np.eye(4)), str(tmp_path / "a.nii"))
    sitk.WriteImage(itk_image(noise(), moved), str(tmp_path / "b.nii"))
    message = refusal([tmp_path / "a.nii", tmp_path / "b.nii"])
    assert "b.nii" in message and "shows 29 % of what" in message


def test_real_dicom_agrees_with_simpleitk_and_its_tags(shared_data):
    folders = [*(shared_data / "brain_mr_dicom").iterdir(), *(shared_data / "hippocampus_dicom").iterdir()]
    assert len(folders) == 7
    for folder in folders:
        slices = [pydicom.dcmread(file) for file in folder.iterdir()]
        across, down = np.reshape(slices[0].ImageOrientationPatient, (2, 3)).astype(float)
        normal = np.cross(across, down)
        slices.sort(key=lambda one: float(normal @ np.array(one.ImagePositionPatient, dtype=float)))
        image = read_image(folder)
        assert image.shape == (slices[0].Columns, slices[0].Rows, len(slices))
        for k in (0, len(slices) // 2, len(slices) - 1):
            place = FLIP @ np.array([*slices[k].ImagePositionPatient, 1], dtype=float)
            np.testing.assert_allclose(image.affine @ (0, 0, k, 1), place, atol=1e-3)
            np.testing.assert_array_equal(image.array[0, :, :, k].T, slices[k].pixel_array)
        expected = sitk.ReadImage(sitk.ImageSeriesReader.GetGDCMSeriesFileNames(str(folder)))
        np.testing.assert_array_equal(image.array[0].T, sitk.GetArrayFromImage(expected))
        for index in ((0, 0, 0), (9, 0, 0), (0, 9, 0), (9, 9, 9)):
            point = FLIP @ np.array([*expected.TransformIndexToPhysicalPoint(index), 1])
            np.testing.assert_allclose(image.affine @ (*index, 1), point, atol=1e-6)


def test_study_of_four_dicom_series(shared_data):
    assert "4 DICOM series" in refusal(shared_data / "brain_mr_dicom")


def test_real_channels(shared_data):
    image = read_image(sorted((shared_data / "brats_met_4ch").glob("*.nii.gz")))
    assert image.array.shape == (4, 240, 240, 155) and image.spacing == pytest.approx((1, 1, 1))


def test_training_image(shared_data):
    folder = shared_data / "msd_hippocampus"
    image = read_image(folder / "imagesTr" / "hippocampus_001.nii.gz")
    label = read_image(folder / "labelsTr" / "hippocampus_001.nii.gz")
    assert image.shape == label.shape == (35, 51, 35)
    np.testing.assert_allclose(image.affine[:3, :3], np.eye(3), atol=1e-6)


def test_sample_data_is_framed_like_the_training_images(project_root):
    for side, sign in (("left", -1), ("right", 1)):
        image = read_image(project_root / "Resources" / "SampleData" / f"ICBM152_hippocampus_{side}.nii.gz")
        assert image.array.shape == (1, 40, 56, 40)
        np.testing.assert_allclose(image.affine[:3, :3], np.eye(3), atol=1e-6)
        centre = np.linalg.inv(image.affine) @ (27 * sign, -22, -15, 1)
        low = 0.433 if sign < 0 else 1 - 0.433
        np.testing.assert_allclose(centre[:3] / (39, 55, 39), (low, 0.527, 0.434), atol=0.02)


def test_file_names_of_any_case(tmp_path):
    sitk.WriteImage(itk_image(noise(), np.eye(4)), str(tmp_path / "a.nii.gz"))
    shutil.move(tmp_path / "a.nii.gz", tmp_path / "A.NII.GZ")
    np.testing.assert_array_equal(read_image(tmp_path / "A.NII.GZ").array[0], noise())


def test_what_may_be_damaged_or_only_named_oddly_is_told_both_ways_out(tmp_path):
    (tmp_path / "A.Nii.GZ").write_bytes(b"this is no image " * 100)
    told = refusal(tmp_path / "A.Nii.GZ")
    assert "rename it, so that it ends in .nii.gz" in told and "copy or export it again" in told


def test_files_that_do_not_say_where_the_axes_point(tmp_path):
    path = tmp_path / "x.nii"
    write_volume(path, np.zeros((4, 5, 6), np.float32), np.eye(4))
    assert read_image(path).placed
    header = bytearray(path.read_bytes())
    struct.pack_into("<f", header, 76, -1)  # pixdim[0]: by the qform alone left and right are exchanged
    path.write_bytes(header)
    assert not read_image(path).placed
    write_volume(tmp_path / "left.nii.gz", np.zeros((4, 5, 6), np.float32), np.diag([-1, 1, 1, 1]))
    assert read_image(tmp_path / "left.nii.gz").placed
    header[252:256] = bytes(4)  # qform_code and sform_code
    path.write_bytes(header)
    assert not read_image(path).placed
    assert not read_image([path, path]).placed
    plain = tmp_path / "x.nrrd"
    write_volume(plain, np.zeros((4, 5, 6), np.float32), np.eye(4))
    assert read_image(plain).placed
    lines = [line for line in plain.read_bytes().split(b"\n\n", 1)[0].split(b"\n") if not line.startswith(b"space")]
    plain.write_bytes(b"\n".join(lines) + b"\n\n" + plain.read_bytes().split(b"\n\n", 1)[1])
    assert not read_image(plain).placed
    lines = [line for line in lines if not line.startswith((b"kinds", b"measurement"))]  # as other programs write it
    plain.write_bytes(b"\n".join([*lines, b"spacings: 1 2 3"]) + b"\n\n" + plain.read_bytes().split(b"\n\n", 1)[1])
    assert not read_image(plain).placed


def test_nifti_whose_header_leaves_axes_or_sizes_open(tmp_path):
    path = tmp_path / "x.nii"
    write_volume(path, np.zeros((4, 5, 6), np.float32), np.diag([2, 2, 2, 1]))
    header = path.read_bytes()
    assert read_image(path).notes == ()
    twice = "twice and differently"
    for at, value, words in ((280, 4.0, twice), (284, 0.8, twice), (None, 0.0, "1 mm is taken")):
        changed = bytearray(header)
        struct.pack_into("<f", changed, 80 if at is None else at, value)  # pixdim[1], or of srow_x
        if at is None:
            struct.pack_into("<h", changed, 254, 0)  # sform_code
        path.write_bytes(changed)
        (note,) = read_image(path).notes
        assert words in note and str(path) in note


@pytest.mark.parametrize("beside", [False, True])
def test_damaged_metaimage_is_refused(tmp_path, beside):
    """Whose checksum ITK does not look at."""
    path = tmp_path / ("a.mhd" if beside else "a.mha")
    sitk.WriteImage(itk_image(noise((20, 20, 20)), np.eye(4)), str(path), True)
    read_image(path)
    file = tmp_path / "a.zraw" if beside else path
    content = bytearray(file.read_bytes())
    content[-4] ^= 1
    file.write_bytes(content)
    assert "damaged" in refusal(path)


@pytest.mark.parametrize(("at", "kind", "value"), [(0, "<i", 0), (108, "<f", -5.0)])  # sizeof_hdr, vox_offset
def test_nifti_headers_with_odd_sizes_are_read_as_itk_does(tmp_path, at, kind, value):
    path = tmp_path / "x.nii"
    write_volume(path, noise(), np.eye(4))
    header = bytearray(path.read_bytes())
    struct.pack_into(kind, header, at, value)
    path.write_bytes(header)
    assert read_image(path).array.shape == (1, *noise().shape)


def test_second_version_of_nifti_is_told(tmp_path):
    (tmp_path / "a.nii").write_bytes(struct.pack("<i", 540) + b"n+2\0\r\n\x1a\n" + bytes(1000))
    assert "NIfTI-2; convert it" in refusal(tmp_path / "a.nii")
