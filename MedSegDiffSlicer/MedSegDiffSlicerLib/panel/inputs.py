"""One node selector for each channel of the chosen model, filled with suggestions."""

from __future__ import annotations

from collections.abc import Sequence

import slicer
from slicer.i18n import tr as _

from ..jobs.batch_cases import scans
from ..jobs.channels import chosen_inputs, doubts, is_complete, missing_channels, suggest, title_of
from ..jobs.field_of_view import too_much
from ..nodes.scene_change import is_in_scene
from ..nodes.slicer_result import RUN
from .fitting_label import fit_height

FIRST_ROW = 1  # of the form; the first channel's selector is in the .ui file
KINDS = ["vtkMRMLScalarVolumeNode", "vtkMRMLVectorVolumeNode"]  # of nodes that are offered


class InputRows:
    """The selectors; the parameter node holds what is chosen in them."""

    def __init__(self, ui):
        self._ui = ui
        self._further: list = []
        self._package = None  # the model
        self._channels: tuple = ()
        self._parameters = None
        self._before: list = []  # what was chosen for the channels
        self._emptied: set[int] = set()  # channels whose volume was taken away, which the model can do without

    @property
    def selectors(self) -> list:
        """One a channel."""
        return [self._ui.inputSelector, *self._further]

    def show(self, parameters, package) -> None:
        """Shows the channels of a model and what the parameter node holds for them; empty ones get a suggestion.

        Volumes that were chosen for other channels are forgotten.
        """
        self._package, channels = package, tuple(package.channels)
        if channels != self._channels:
            was = [channel["name"] for channel in self._channels]
            self._make_rows(channels)
            if parameters is not None and self._parameters is parameters and was != [c["name"] for c in channels]:
                self._put(parameters, [None] * len(channels))
        self._parameters = parameters
        self.fill()

    def offer(self, chosen) -> None:
        """Colours, too, in the first selector, which knows but the parameter's own kind of node once it is connected.
        chosen: before that."""
        self._ui.inputSelector.nodeTypes = KINDS
        self._ui.inputSelector.setCurrentNode(chosen)

    def fill(self) -> None:
        """Suggests a volume for each channel that has none, and shows what is chosen."""
        if self._parameters is None:
            return
        volumes = self.volumes()
        self._note_emptied(volumes)
        if None in volumes and not is_complete(self._channels, volumes[0]):
            scene = slicer.mrmlScene
            proposed = suggest(
                self._channels, scans(scene), volumes[0] if volumes[0] is not None else _looked_at(scene)
            )
            taken = [volume for volume in volumes if volume is not None]
            filled = [
                old or (new if new not in taken and number not in self._emptied else None)
                for number, (old, new) in enumerate(zip(volumes, proposed))
            ]
            if filled != volumes:
                self._put(self._parameters, filled)
        self.update()

    def update(self) -> None:
        """Shows in the further selectors what is chosen, which volumes are needed, and doubts about them."""
        if self._parameters is None:
            return
        volumes = self.volumes()
        self._note_emptied(volumes)
        complete = is_complete(self._channels, volumes[0])
        hidden = [
            node.GetID() for node in slicer.util.getNodesByClass("vtkMRMLScalarVolumeNode") if node.GetAttribute(RUN)
        ]
        for selector in self.selectors:
            selector.sortFilterProxyModel().hiddenNodeIDs = hidden
        for selector, volume in zip(self._further, volumes[1:]):
            blocked = selector.blockSignals(True)
            selector.setCurrentNode(volume)
            selector.blockSignals(blocked)
            selector.enabled = not complete
        told = doubts(self._channels, volumes)
        if self._package is not None and (much := too_much(self._package, volumes[0])):
            advice = _(
                "Crop it around the structure first, with the module Crop Volume, or take a box in the Segment "
                "Editor's effect MedSegDiff."
            )
            told.append(f"{much} {advice}")
        self._ui.doubtLabel.text = "\n".join(told)
        self._ui.doubtLabel.visible = bool(told)
        fit_height(self._ui.doubtLabel)

    def let_go(self, node) -> None:
        """A node is about to be removed: its selector would take any other volume instead."""
        if self._parameters is not None and node in self.volumes():
            self._put(self._parameters, [None if volume is node else volume for volume in self.volumes()])

    def volumes(self) -> list:
        """What is chosen, None for a channel without a volume."""
        return self._parameters.inputs(len(self._channels))

    def chosen(self) -> list:
        """The volumes to be segmented; what `lacking` names is missing among them."""
        return chosen_inputs(self._channels, self.volumes())

    def lacking(self) -> list[str]:
        """Names of the channels for which a volume is to be chosen yet."""
        return missing_channels(self._channels, self.volumes()) if self._parameters is not None else []

    def _note_emptied(self, volumes: list) -> None:
        """Keeps in mind which optional channels the user does without, so that nothing is suggested for them again."""
        for number, (channel, now, before) in enumerate(zip(self._channels, volumes, self._before)):
            if now is not None:
                self._emptied.discard(number)
            elif before is not None and is_in_scene(before) and channel.get("optional", False):
                self._emptied.add(number)
        self._before = volumes

    def _put(self, parameters, volumes: Sequence) -> None:
        parameters.inputVolume = volumes[0]
        parameters.furtherInputs = list(volumes[1:])

    def _make_rows(self, channels: tuple) -> None:
        form = self._ui.segmentLayout
        for selector in self._further:
            form.removeRow(selector)
        self._channels, self._further, self._before, self._emptied = channels, [], [], set()
        several = len(channels) > 1
        self._ui.inputLabel.text = f"{title_of(channels[0])}:" if several else _("Input volume:")
        self._ui.inputSelector.toolTip = _("The scan to segment: {channel}.").format(channel=title_of(channels[0]))
        self._ui.inputSelector.noneDisplay = _nothing(channels[0])
        for number, channel in enumerate(channels[1:], 1):
            selector = _new_selector(_("Volume for the channel {channel}.").format(channel=title_of(channel)))
            selector.noneDisplay = _nothing(channel)
            selector.connect("currentNodeChanged(vtkMRMLNode*)", self._on_chosen)
            form.insertRow(FIRST_ROW + number, f"{title_of(channel)}:", selector)
            self._further.append(selector)

    def _on_chosen(self, _node) -> None:
        if self._parameters is not None:
            self._parameters.furtherInputs = [selector.currentNode() for selector in self._further]


def _new_selector(tip: str):
    selector = slicer.qMRMLNodeComboBox()
    selector.nodeTypes = KINDS
    selector.showChildNodeTypes = selector.addEnabled = selector.removeEnabled = False
    selector.noneEnabled = True
    selector.toolTip = tip
    selector.setMRMLScene(slicer.mrmlScene)
    return selector


def _nothing(channel: dict) -> str:
    """What a selector shows without a volume."""
    return _("None (can be missing)") if channel.get("optional", False) else _("Choose a volume")


def _looked_at(scene):
    """The scan in the slice views, None where there is none or it is a map."""
    active = scene.GetNodeByID(slicer.app.applicationLogic().GetSelectionNode().GetActiveVolumeID() or "")
    return active if active in scans(scene) else None
