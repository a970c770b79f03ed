"""DICOM series made by pydicom, without the backend."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pydicom
from pydicom.sequence import Sequence
from pydicom.uid import EnhancedMRImageStorage, ExplicitVRLittleEndian, MRImageStorage, generate_uid

FLIP = np.diag([-1.0, -1.0, 1.0, 1.0])  # RAS to LPS


def write_dicom(
    folder: Path, array: np.ndarray, affine: np.ndarray, description: str = "T1", keep=None, names: str = "shuffled"
) -> list[Path]:
    """One DICOM file a slice, with file names and instance numbers that are not in the order of positions."""
    folder.mkdir(exist_ok=True)
    lps = FLIP @ affine
    spacing = np.linalg.norm(lps[:3, :3], axis=0)
    series, frame, study = generate_uid(), generate_uid(), generate_uid()
    shuffled = np.random.default_rng(1).permutation(array.shape[2])
    files = []
    for k in range(array.shape[2]) if keep is None else keep:
        slice_ = pydicom.Dataset()
        slice_.file_meta = pydicom.dataset.FileMetaDataset()
        slice_.file_meta.MediaStorageSOPClassUID = slice_.SOPClassUID = MRImageStorage
        slice_.file_meta.MediaStorageSOPInstanceUID = slice_.SOPInstanceUID = generate_uid()
        slice_.file_meta.TransferSyntaxUID = ExplicitVRLittleEndian
        slice_.Modality, slice_.SeriesDescription, slice_.PatientID = "MR", description, "nobody"
        slice_.StudyInstanceUID, slice_.SeriesInstanceUID, slice_.FrameOfReferenceUID = study, series, frame
        slice_.InstanceNumber = int(shuffled[k]) + 1
        slice_.ImagePositionPatient = [f"{v:.9g}" for v in lps[:3, :3] @ (0, 0, k) + lps[:3, 3]]
        slice_.ImageOrientationPatient = [f"{v:.9g}" for v in (lps[:3, :2] / spacing[:2]).T.ravel()]
        slice_.PixelSpacing, slice_.SliceThickness = [spacing[1], spacing[0]], spacing[2]
        slice_.Columns, slice_.Rows = array.shape[:2]
        slice_.BitsAllocated, slice_.BitsStored, slice_.HighBit, slice_.PixelRepresentation = 16, 16, 15, 0
        slice_.SamplesPerPixel, slice_.PhotometricInterpretation = 1, "MONOCHROME2"
        slice_.PixelData = np.ascontiguousarray(array[:, :, k].T.astype(np.uint16)).tobytes()
        files.append(folder / f"{names}-{shuffled[k]:03d}.dcm")
        slice_.save_as(files[-1], enforce_file_format=True)
    return files


def write_frames(file: Path, array: np.ndarray, affine: np.ndarray, frames) -> None:
    """One file of many frames (Enhanced MR): those of the array's slices that are named, in that order."""
    one = write_dicom(file.parent / "slices", array, affine, keep=[0])[0]
    whole, lps = pydicom.dcmread(one), FLIP @ affine
    one.unlink()
    one.parent.rmdir()
    whole.file_meta.MediaStorageSOPClassUID = whole.SOPClassUID = EnhancedMRImageStorage
    size, turn = pydicom.Dataset(), pydicom.Dataset()
    size.PixelSpacing, size.SliceThickness = whole.PixelSpacing, whole.SliceThickness
    turn.ImageOrientationPatient = whole.ImageOrientationPatient
    shared, groups = pydicom.Dataset(), []
    shared.PixelMeasuresSequence, shared.PlaneOrientationSequence = Sequence([size]), Sequence([turn])
    for k in frames:
        place, group = pydicom.Dataset(), pydicom.Dataset()
        place.ImagePositionPatient = [f"{v:.9g}" for v in lps[:3, :3] @ (0, 0, k) + lps[:3, 3]]
        group.PlanePositionSequence = Sequence([place])
        groups.append(group)
    for name in ("ImagePositionPatient", "ImageOrientationPatient", "PixelSpacing", "SliceThickness"):
        delattr(whole, name)
    whole.SharedFunctionalGroupsSequence, whole.PerFrameFunctionalGroupsSequence = Sequence([shared]), Sequence(groups)
    whole.NumberOfFrames = len(groups)
    whole.PixelData = np.ascontiguousarray(array[:, :, list(frames)].T.astype(np.uint16)).tobytes()
    whole.save_as(file, enforce_file_format=True)
