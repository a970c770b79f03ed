"""Writing: voxels, geometry and names arrive; nothing partial is left, whatever happens."""

from __future__ import annotations

import os
import struct
import tempfile
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import pytest
import SimpleITK as sitk

from medsegdiff.cli.outputs import Outputs
from medsegdiff.errors import JobError, RequestError
from medsegdiff.image import check_output, read_image, replacing, write_labelmap, write_volume
from medsegdiff.models.package import Label

FORMATS = ["nii", "nii.gz", "nrrd", "mha"]
FLIP = np.diag([-1.0, -1.0, 1.0, 1.0])
TERMINOLOGY = (
    "Segmentation category and type - 3D Slicer General Anatomy list~SCT^123037004^Anatomical Structure"
    "~SCT^5366008^Hippocampus~^^~Anatomic codes - DICOM master list~^^~^^"
)
LABELS = (
    Label(0, "background", (0, 0, 0)),
    Label(1, "Anterior hippocampus", (10, 200, 30), TERMINOLOGY),
    Label(2, "Posterior hippocampus", (250, 100, 0)),
    Label(5, "Absent", (0, 0, 255)),
)


def volume(shape=(7, 6, 5)) -> np.ndarray:
    return np.random.default_rng(0).random(shape, dtype=np.float32)


def labelmap() -> np.ndarray:
    array = np.zeros((9, 8, 7), np.uint8)
    array[2:5, 3:6, 1:4] = 1
    array[5:8, 3:5, 2:6] = 2
    return array


def points(affine: np.ndarray, shape: tuple[int, ...]) -> np.ndarray:
    """RAS mm of the first voxel, the last one, and one on each axis."""
    index = [(0, 0, 0), shape, (shape[0], 0, 0), (0, shape[1], 0), (0, 0, shape[2])]
    return (affine @ np.array([(*i, 1) for i in index], dtype=float).T)[:3]


@contextmanager
def small_disk(size: int):
    """Let no file of this process grow beyond `size` bytes, as on a full disk."""
    resource = pytest.importorskip("resource", reason="no file size limits on this system")
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, before[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)


@pytest.mark.parametrize("ending", FORMATS)
def test_round_trip(tmp_path, affine, ending):
    array = volume()
    write_volume(tmp_path / f"a.{ending}", array, affine)
    image = read_image(tmp_path / f"a.{ending}")
    np.testing.assert_array_equal(image.array[0], array)
    np.testing.assert_allclose(points(image.affine, array.shape), points(affine, array.shape), atol=1e-4)
    assert [file.name for file in tmp_path.iterdir()] == [f"a.{ending}"]


def test_nifti_header_holds_the_affine(tmp_path, affine):
    write_volume(tmp_path / "a.nii", volume(), affine)
    header = (tmp_path / "a.nii").read_bytes()[:352]
    assert struct.unpack_from("<h", header, 254)[0] > 0
    np.testing.assert_allclose(np.reshape(struct.unpack_from("<12f", header, 280), (3, 4)), affine[:3], atol=1e-4)


@pytest.mark.parametrize("ending", ["nii", "nii.gz"])
def test_several_volumes_are_the_last_axis_of_a_nifti(tmp_path, affine, ending):
    array = volume((7, 6, 5, 3))
    write_volume(tmp_path / f"a.{ending}", array, affine)
    image = sitk.ReadImage(str(tmp_path / f"a.{ending}"))
    assert image.GetSize() == array.shape
    np.testing.assert_array_equal(sitk.GetArrayFromImage(image).T, array)
    direction = np.reshape(image.GetDirection(), (4, 4))[:3, :3] * image.GetSpacing()[:3]
    np.testing.assert_allclose(FLIP[:3, :3] @ direction, affine[:3, :3], atol=1e-4)
    np.testing.assert_allclose(FLIP[:3, :3] @ image.GetOrigin()[:3], affine[:3, 3], atol=1e-4)


@pytest.mark.parametrize("ending", ["nrrd", "mha"])
def test_several_volumes_are_components_elsewhere(tmp_path, affine, ending):
    array = volume((7, 6, 5, 3))
    write_volume(tmp_path / f"a.{ending}", array, affine)
    image = read_image(tmp_path / f"a.{ending}")
    np.testing.assert_array_equal(image.array, array.transpose(3, 0, 1, 2))
    np.testing.assert_allclose(image.affine, affine, atol=1e-4)


@pytest.mark.parametrize("ending", FORMATS)
def test_labelmap(tmp_path, affine, ending):
    write_labelmap(tmp_path / f"a.{ending}", labelmap(), affine, LABELS)
    image = read_image(tmp_path / f"a.{ending}")
    assert image.array.dtype == np.uint8
    np.testing.assert_array_equal(image.array[0], labelmap())


def test_slicer_reads_the_segmentation(tmp_path, affine):
    slicer = pytest.importorskip("slicer", reason="slicer-core is not installed")
    vtk = pytest.importorskip("vtk")
    numpy_support = pytest.importorskip("vtk.util.numpy_support")
    path = tmp_path / "a.seg.nrrd"
    write_labelmap(path, labelmap(), affine, LABELS)
    scene = slicer.vtkMRMLScene()
    node, storage = slicer.vtkMRMLSegmentationNode(), slicer.vtkMRMLSegmentationStorageNode()
    scene.AddNode(node), scene.AddNode(storage)
    storage.SetFileName(str(path))
    assert storage.ReadData(node) == 1
    segmentation = node.GetSegmentation()
    assert segmentation.GetNumberOfSegments() == 3
    assert segmentation.GetSourceRepresentationName() == "Binary labelmap"
    for index, label in enumerate(LABELS[1:]):
        segment = segmentation.GetNthSegment(index)
        assert segment.GetName() == label.name
        assert segment.GetLabelValue() == label.value
        np.testing.assert_allclose(np.multiply(segment.GetColor(), 255), label.color, atol=0.01)
        if label.terminology:
            tag = vtk.reference("")
            assert segment.GetTag("TerminologyEntry", tag)
            assert str(tag) == label.terminology
        binary, matrix = slicer.vtkOrientedImageData(), vtk.vtkMatrix4x4()
        node.GetBinaryLabelmapRepresentation(segmentation.GetNthSegmentID(index), binary)
        binary.GetImageToWorldMatrix(matrix)
        found = np.array([[matrix.GetElement(row, column) for column in range(4)] for row in range(4)])
        np.testing.assert_allclose(found, affine, atol=1e-4)
        voxels = numpy_support.vtk_to_numpy(binary.GetPointData().GetScalars()).reshape(labelmap().shape, order="F")
        assert binary.GetExtent() == (0, 8, 0, 7, 0, 6)
        np.testing.assert_array_equal(voxels > 0, labelmap() == label.value)


@pytest.mark.parametrize("name", ["a.nii", "a.seg.nrrd"])
def test_file_is_replaced(tmp_path, name):
    (tmp_path / name).write_text("before")
    write_labelmap(tmp_path / name, labelmap(), np.eye(4), LABELS)
    np.testing.assert_array_equal(read_image(tmp_path / name).array[0], labelmap())


def test_sheared_grid(tmp_path):
    affine = np.eye(4)
    affine[0, 1] = 0.3
    write_volume(tmp_path / "a.nrrd", volume(), affine)
    np.testing.assert_allclose(read_image(tmp_path / "a.nrrd").affine, affine, atol=1e-4)
    with pytest.raises(RequestError, match="nrrd"):
        write_volume(tmp_path / "a.nii.gz", volume(), affine)
    assert [file.name for file in tmp_path.iterdir()] == ["a.nrrd"]


@pytest.mark.parametrize("name", ["a.nii", "a.nii.gz", "a.nrrd", "a.mha", "a.seg.nrrd"])
def test_full_disk(tmp_path, capfd, name):
    (tmp_path / name).write_text("before")
    labels = np.random.default_rng(0).integers(0, 255, (50, 50, 50), np.uint8)
    with small_disk(20_000), pytest.raises(JobError) as caught:
        write_labelmap(tmp_path / name, labels, np.eye(4), LABELS)
    assert name in str(caught.value) and "disk space" in str(caught.value) and "\n" not in str(caught.value)
    assert capfd.readouterr().err == ""
    assert [file.name for file in tmp_path.iterdir()] == [name]
    assert (tmp_path / name).read_text() == "before"


def test_interrupt_leaves_nothing(tmp_path, monkeypatch):
    def half_written(image, path, **options):
        Path(path).write_bytes(b"half")
        raise KeyboardInterrupt

    monkeypatch.setattr(sitk, "WriteImage", half_written)
    with pytest.raises(KeyboardInterrupt):
        write_volume(tmp_path / "a.nii.gz", volume(), np.eye(4))
    assert list(tmp_path.iterdir()) == []


def test_replacing_reports_what_the_file_system_says(tmp_path):
    with pytest.raises(JobError, match="cannot be written"), replacing(tmp_path / "a.json"), small_disk(100):
        (tmp_path / "other").write_bytes(b"x" * 1000)
    with replacing(tmp_path / "b.json") as temporary:
        assert temporary.parent == tmp_path and temporary.suffix == ".json"
        temporary.write_text("{}")
    assert (tmp_path / "b.json").read_text() == "{}"


@pytest.mark.parametrize("name", ["a.nii", "a.nii.gz", "a.nrrd", "a.seg.nrrd", "A.NRRD", "a.mha"])
def test_usable_output(tmp_path, name):
    check_output(tmp_path / name)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("name", ["a.NII", "a.Nii.Gz", "a.MHA", "a.SEG.NRRD"])
def test_endings_in_capitals_are_written(tmp_path, name):
    """Image libraries know endings by their letters."""
    with Outputs() as outputs:
        write_labelmap(outputs.path(tmp_path / name), labelmap(), np.eye(4), LABELS)
    assert [path.name for path in tmp_path.iterdir()] == [name]
    lower = tmp_path / name.lower()
    (tmp_path / name).rename(lower)
    assert np.array_equal(read_image(lower).array[0] > 0, labelmap() > 0)


def test_names_as_long_as_the_file_system_takes_them(tmp_path):
    longest = f"{'a' * 248}.nii.gz"
    check_output(tmp_path / longest)
    with Outputs() as outputs:
        write_labelmap(outputs.path(tmp_path / longest), labelmap(), np.eye(4), LABELS)
    assert [path.name for path in tmp_path.iterdir()] == [longest]
    with pytest.raises(RequestError, match="cannot be a file's name"):
        check_output(tmp_path / f"a{longest}")


def test_unknown_output_extension(tmp_path):
    with pytest.raises(RequestError, match="must end in .nii or"):
        check_output(tmp_path / "a.jpg")
    with pytest.raises(RequestError, match="must end in .json"):
        check_output(tmp_path / "a.nii", (".json",))
    check_output(tmp_path / "a.json", (".json",))


def test_output_folder_missing(tmp_path):
    with pytest.raises(RequestError, match="there is no folder"):
        check_output(tmp_path / "nowhere" / "a.nii.gz")


def test_output_is_a_folder(tmp_path):
    (tmp_path / "a.nii.gz").mkdir()
    with pytest.raises(RequestError, match="is a folder"):
        check_output(tmp_path / "a.nii.gz")


@pytest.mark.skipif(not hasattr(os, "seteuid"), reason="folders of this system have no POSIX access rights")
def test_output_folder_read_only():
    with tempfile.TemporaryDirectory() as folder:
        os.chmod(folder, 0o555)
        user = os.geteuid()
        try:
            if user == 0:  # root may write anywhere
                os.seteuid(65534)
            with pytest.raises(RequestError, match="cannot write into the folder"):
                check_output(Path(folder) / "a.nii.gz")
        finally:
            os.seteuid(user)
