"""Volumes are matched to a model's channels by what they are called, and doubts are told."""

from __future__ import annotations

import numpy as np
import pytest

T1 = {"name": "T1", "modality": "MR"}
BRATS = [{"name": name, "modality": "MR"} for name in ("T1", "T1ce", "T2", "FLAIR")]
COLOURS = [{"name": name} for name in ("red", "green", "blue")]


@pytest.fixture
def channels(scene):
    from MedSegDiffSlicerLib.jobs import channels

    return channels


@pytest.fixture
def volumes(make_volume):
    """volumes("T1", "CT chest") adds a volume of each name."""
    return lambda *names: [make_volume(np.zeros((4, 5, 6), np.int16), name=name) for name in names]


@pytest.mark.parametrize(
    ("name", "kind"),
    [
        ("4: Ax T2 FLAIR fs", "FLAIR"), ("BrainFLAIR", "FLAIR"), ("T1_MPRAGE_SAG", "T1"), ("sub-01_T1w", "T1"),
        ("T1Gd", "T1c"), ("BRATS_001_t1ce", "T1c"), ("t1 post contrast", "T1c"), ("AX T1 +C", "T1c"),
        ("post-op T2", "T2"), ("CT with contrast", "CT"), ("PET suv", "PET"), ("ICBM152HippocampusLeft", None),
        ("patient 12", None), ("ct1000 scan", None), ("CTChest", "CT"), ("CTACardio", "CT"),
        ("Case C T1", "T1"), ("T1_C", "T1c"), ("T1 C-spine", "T1"),
        ("T2FLAIR", "FLAIR"), ("ADCmap", "ADC"), ("DWIb1000", "DWI"), ("MP2RAGE", "T1"), ("T1CE", "T1c"),
    ],
)  # fmt: skip
def test_kind_by_name(scene, name, kind):
    from MedSegDiffSlicerLib.jobs.image_kinds import kind_of

    assert kind_of(name) == kind


def test_each_channel_gets_its_volume_whatever_their_order(channels, volumes):
    found = volumes("4: FLAIR", "2: T1 post gad", "3: T2 TSE", "1: T1 MPRAGE", "localizer")
    assert [v.GetName() for v in channels.suggest(BRATS, found)] == [
        "1: T1 MPRAGE",
        "2: T1 post gad",
        "3: T2 TSE",
        "4: FLAIR",
    ]
    assert channels.doubts(BRATS, channels.suggest(BRATS, found)) == []


def test_what_nothing_speaks_for_stays_open(channels, volumes):
    found = volumes("T2", "unknown", "T1")
    chosen = channels.suggest(BRATS, found)
    assert chosen == [found[2], None, found[0], None]
    assert channels.missing_channels(BRATS, chosen) == ["T1ce", "FLAIR"]


def test_one_channel_takes_what_is_looked_at_unless_it_is_something_else(channels, volumes):
    scan, ct, t1 = volumes("scan", "CT", "T1")
    assert channels.suggest([T1], [scan, ct]) == [scan]
    assert channels.suggest([T1], [ct, scan, t1], active=scan) == [t1]
    assert channels.suggest([T1], [scan, t1][:1] + [ct], active=ct) == [scan]
    assert channels.suggest([T1], [ct]) == [None]
    assert channels.suggest([T1], []) == [None]


def test_volumes_of_the_study_looked_at_come_first(channels, scene, volumes):
    import slicer

    hierarchy = slicer.vtkMRMLSubjectHierarchyNode.GetSubjectHierarchyNode(scene)
    old, new, flair = volumes("T1", "T1", "FLAIR")
    for name, inside in (("2019", [old]), ("2024", [new, flair])):
        study = hierarchy.CreateFolderItem(hierarchy.GetSceneItemID(), name)
        for volume in inside:
            hierarchy.CreateItem(study, volume)
    assert channels.suggest(BRATS, [old, new, flair], active=flair)[0] is new


def test_what_is_looked_at_comes_first_beside_others_of_its_study(channels, volumes):
    left, right = volumes("left", "right")
    assert channels.suggest([T1], [left, right], active=right) == [right]


def test_patients_are_kept_apart_by_their_names(channels, scene, volumes):
    from MedSegDiffSlicerLib.jobs.batch_cases import possible_cases

    one, two, flair_two, flair_one = volumes("p1_T1", "p2_T1", "p2_FLAIR", "p1_FLAIR")
    wanted = [BRATS[0], BRATS[3]]
    for active, found in ((one, [one, flair_one]), (flair_one, [one, flair_one]), (flair_two, [two, flair_two])):
        assert channels.suggest(wanted, [one, two, flair_two, flair_one], active=active) == found
    cases = possible_cases(scene, wanted)
    assert cases == [("p1_T1", [one, flair_one]), ("p2_T1", [two, flair_two])]


def test_patients_whose_names_share_words_are_kept_apart(channels, scene, volumes):
    from MedSegDiffSlicerLib.jobs.batch_cases import possible_cases

    one, flair_two, flair_one, two = volumes("sub-01_T1w", "sub-02_FLAIR", "sub-01_FLAIR", "sub-02_T1w")
    wanted = [BRATS[0], BRATS[3]]
    assert channels.suggest(wanted, [one, flair_two, flair_one], active=one) == [one, flair_one]
    assert possible_cases(scene, wanted) == [("sub-01_T1w", [one, flair_one]), ("sub-02_T1w", [two, flair_two])]
    assert channels.doubts(wanted, [one, flair_one]) == []
    assert "one patient?" in channels.doubts(wanted, [one, flair_two])[0]


def test_a_patient_without_a_channel_gets_none_of_another_patient(channels, scene, volumes):
    from MedSegDiffSlicerLib.jobs.batch_cases import possible_cases

    volumes("localizer", "p1_T1")
    two, flair = volumes("p2_T1", "p2_FLAIR")
    wanted = [BRATS[0], BRATS[3]]
    assert possible_cases(scene, wanted) == [("p2_T1", [two, flair])]
    optional = [BRATS[0], {**BRATS[3], "optional": True}]
    assert [name for name, _given in possible_cases(scene, optional)] == ["p1_T1", "p2_T1"]


def test_patients_without_numbers_in_their_names_are_kept_apart(channels, scene, volumes):
    from MedSegDiffSlicerLib.jobs.batch_cases import possible_cases

    anna, bert, flair = volumes("anna_T1", "bert_T1", "bert_FLAIR")
    wanted = [BRATS[0], BRATS[3]]
    assert channels.suggest(wanted, [anna, bert, flair], active=anna) == [anna, None]
    assert possible_cases(scene, wanted) == [("bert_T1", [bert, flair])]


@pytest.mark.parametrize(
    "names",
    [
        ("sub01T1", "sub01FLAIR"), ("BraTS001T1", "BraTS001FLAIR"), ("P01_t1n", "P01_t2f"),
        ("sub01_T1_3D", "sub01_FLAIR_2D"), ("MPRAGE_3T", "FLAIR_1.5T"), ("anna_T1_0.8mm", "anna_FLAIR_1.0mm"),
        ("T1 1x1x1mm", "FLAIR 0.5x0.5x3mm"), ("head T1", "brain FLAIR"), ("T1MPRAGE", "T2FLAIR"),
        ("anna T1W3D", "anna T2FLAIR"), ("pt1_T1", "pt1_T2FLAIR"), ("T1FFE", "FLAIR"),
        ("anna_T1_20200101120000_3", "anna_FLAIR_20200101120000_4"),
    ],
)  # fmt: skip
def test_what_is_no_patients_number_does_not_keep_volumes_apart(channels, scene, volumes, names):
    from MedSegDiffSlicerLib.jobs.batch_cases import possible_cases

    t1, flair = volumes(*names)
    wanted = [BRATS[0], BRATS[3]]
    assert possible_cases(scene, wanted) == [(names[0], [t1, flair])]
    assert channels.doubts(wanted, [t1, flair]) == []
    assert channels.suggest(wanted, [t1, flair], active=flair) == [t1, flair]


def test_names_as_long_as_a_uid_cost_no_time(channels, volumes):
    (scan,) = volumes("1.3.12.2.1107.5.2.32.35162." + 3 * "2013030808110258")  # hours, where each digit doubled it
    assert channels.doubts([T1], [scan]) == []


def test_numbered_patients_whose_numbers_follow_letters_are_kept_apart(channels, volumes):
    one, two = volumes("pt1_T1", "pt2_T2FLAIR")
    assert channels.suggest([BRATS[0], BRATS[3]], [one, two], active=one) == [one, None]


def test_numbers_of_series_behind_a_time_that_all_patients_share_are_no_more(channels, volumes):
    one, two = volumes("p1_T1_20000101000000_2", "p2_FLAIR_20000101000000_3")  # made anonymous
    wanted = [BRATS[0], BRATS[3]]
    assert channels.suggest(wanted, [one, two], active=one) == [one, None] and channels.doubts(wanted, [one, two])


def test_another_plane_of_a_kind_is_no_other_patient(channels, volumes):
    sagittal, axial, t2, flair = volumes("T1 sag", "T1 ax", "T2 ax", "FLAIR ax")
    wanted = [BRATS[0], BRATS[2], BRATS[3]]
    found = channels.suggest(wanted, [sagittal, axial, t2, flair], active=sagittal)
    assert found == [sagittal, t2, flair]


def test_colour_picture_does_not_displace_the_scans_that_are_looked_at(channels, scene, volumes, make_volume):
    from MedSegDiffSlicerLib.jobs.batch_cases import possible_cases

    photo = make_volume(np.zeros((4, 5, 1, 3), np.uint8), name="photo")
    t1, post, flair = volumes("T1", "T1ce", "FLAIR")
    wanted = [BRATS[0], BRATS[1], BRATS[3]]
    assert channels.suggest(wanted, [photo, t1, post, flair], active=t1) == [t1, post, flair]
    assert channels.suggest(wanted, [t1, post, flair, photo], active=photo) == [photo, None, None]
    assert possible_cases(scene, wanted) == [("photo", [photo]), ("T1", [t1, post, flair])]


@pytest.mark.parametrize("level", ["Study", "Folder"])
def test_numbers_of_names_do_not_count_in_a_study_or_alone_in_a_folder(channels, scene, volumes, level):
    import slicer
    from MedSegDiffSlicerLib.jobs.batch_cases import possible_cases

    hierarchy = slicer.vtkMRMLSubjectHierarchyNode.GetSubjectHierarchyNode(scene)
    folder = hierarchy.CreateFolderItem(hierarchy.GetSceneItemID(), "A")
    hierarchy.SetItemLevel(folder, level)
    t1, flair = volumes("se3 T1 3D", "se5 FLAIR 2D")
    wanted = [BRATS[0], BRATS[3]]
    assert possible_cases(scene, wanted) == []
    for volume in (t1, flair):
        hierarchy.CreateItem(folder, volume)
    assert possible_cases(scene, wanted) == [("A", [t1, flair])]
    assert len(channels.doubts(wanted, [t1, flair])) == (level == "Folder")


def test_volumes_of_different_studies_are_told(channels, scene, volumes):
    import slicer

    hierarchy = slicer.vtkMRMLSubjectHierarchyNode.GetSubjectHierarchyNode(scene)
    t1, flair = volumes("T1", "FLAIR")
    for name, volume in (("A", t1), ("B", flair)):
        hierarchy.CreateItem(hierarchy.CreateFolderItem(hierarchy.GetSceneItemID(), name), volume)
    wanted = [BRATS[0], BRATS[3]]
    assert "different studies" in channels.doubts(wanted, [t1, flair])[0]
    hierarchy.SetItemParent(hierarchy.GetItemByDataNode(flair), channels.study_of(t1))
    assert channels.doubts(wanted, [t1, flair]) == []


def test_modality_of_the_series_counts(channels, scene, volumes):
    import slicer

    hierarchy = slicer.vtkMRMLSubjectHierarchyNode.GetSubjectHierarchyNode(scene)
    (volume,) = volumes("301: head")
    item = hierarchy.CreateItem(hierarchy.GetSceneItemID(), volume)
    hierarchy.SetItemAttribute(item, "DICOM.Modality", "CT")
    assert channels.suggest([T1], [volume]) == [None]
    assert channels.doubts([T1], [volume]) == ["'301: head' does not look like T1 (MR)."]
    hierarchy.SetItemAttribute(item, "DICOM.Modality", "MR")
    assert channels.suggest([T1], [volume]) == [volume] and channels.doubts([T1], [volume]) == []


def test_series_description_of_the_database_counts(channels, volumes, monkeypatch):
    import types

    import slicer

    (volume,) = volumes("301")
    volume.SetAttribute("DICOM.instanceUIDs", "1.2.3 1.2.4")
    told = {("1.2.3", "0008,103e"): "Sag T2 FLAIR"}
    database = types.SimpleNamespace(instanceValue=lambda uid, tag: told.get((uid, tag), ""))
    monkeypatch.setattr(slicer, "dicomDatabase", database, raising=False)
    assert channels.suggest(BRATS, [volume]) == [None, None, None, volume]


def test_names_that_no_list_knows_match_word_by_word(channels, volumes):
    found = volumes("case 7 late phase", "case 7 early phase")
    assert channels.suggest([{"name": "early"}, {"name": "late"}], found) == [found[1], found[0]]


def test_colour_picture_is_all_its_channels(channels, volumes, make_volume):
    grey, colour = volumes("grey")[0], make_volume(np.zeros((4, 5, 1, 3), np.uint8), name="photograph")
    chosen = channels.suggest(COLOURS, [grey, colour])
    assert chosen == [colour, None, None]
    assert channels.missing_channels(COLOURS, chosen) == []
    assert channels.chosen_inputs(COLOURS, chosen) == [colour]
    assert channels.missing_channels(COLOURS, [grey, None, None]) == ["green", "blue"]


def test_colour_picture_is_no_scan_for_a_model_of_one_channel(channels, scene, volumes, make_volume):
    from MedSegDiffSlicerLib.jobs.batch_cases import possible_cases

    colour = make_volume(np.zeros((4, 5, 1, 3), np.uint8), name="T1 in colours")
    assert channels.suggest(BRATS[:1], [colour], active=colour) == [None]
    assert channels.suggest(BRATS[:2], [colour], active=colour) == [None, None]
    (grey,) = volumes("grey")
    assert channels.suggest(BRATS[:1], [colour, grey], active=colour) == [grey]
    assert possible_cases(scene, BRATS[:1]) == [("grey", [grey])]


def test_one_volume_for_two_channels_is_told(channels, volumes):
    (volume,) = volumes("T1")
    assert channels.doubts(BRATS[:2], [volume, volume])[-1] == "The same volume is chosen for two channels."


def test_optional_channels_may_stay_without_a_volume(channels, volumes):
    wanted = [BRATS[0], *({**channel, "optional": True} for channel in BRATS[1:])]
    t1, flair = volumes("T1", "FLAIR")
    assert channels.missing_channels(wanted, [t1, None, None, flair]) == []
    assert channels.chosen_inputs(wanted, [t1, None, None, flair]) == [t1, None, None, flair]
    assert channels.missing_channels(wanted, [None, None, None, flair]) == ["T1"]
    assert channels.missing_channels(wanted[1:], [None] * 3) == ["T1ce", "T2", "FLAIR"]


def test_channels_without_a_volume_are_named_in_the_request(channels, volumes, tmp_path):
    import tiny_models
    from medsegdiff.inference.request import SegmentRequest
    from MedSegDiffSlicerLib.jobs.run_request import given_volumes

    network = {**tiny_models.NETWORKS["unet"], "in_channels": 4}
    model = tiny_models.write_tiny_model(tmp_path / "four", "unet", network, channels=tuple(BRATS))
    t1, flair = volumes("T1", "FLAIR")
    given, request = given_volumes([t1, None, None, flair], SegmentRequest(str(model.folder)))
    assert given == [t1, flair] and request.missing == ("T1ce", "T2")
    assert given_volumes([t1], SegmentRequest(str(model.folder))) == ([t1], SegmentRequest(str(model.folder)))
    assert given_volumes([None], SegmentRequest(str(model.folder)))[0] == []


def test_a_study_without_an_optional_channel_is_a_case(channels, scene, volumes):
    from MedSegDiffSlicerLib.jobs.batch_cases import possible_cases

    t1, flair = volumes("T1", "FLAIR")
    wanted = [BRATS[0], {**BRATS[1], "optional": True}, BRATS[3]]
    assert possible_cases(scene, wanted) == [("T1", [t1, None, flair])]
    assert possible_cases(scene, BRATS) == []
