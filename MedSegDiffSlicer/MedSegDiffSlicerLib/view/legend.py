"""What the colours of a map mean, shown in the slice views."""

from __future__ import annotations

import slicer
from slicer.i18n import tr as _

from ..nodes.overlay import MEASURE, OPEN

UNITS = {"variance": "", "probability": ""}  # of the measures; the others are in nats
_POSITION, _SIZE = (0.98, 0.03), (0.1, 0.3)  # of the view: in the corner, where structures are seldom
_FONT_SIZE = 11
_LABELS = 3


def show_legend(map_node, measure: str):
    """Adds the legend of a map, or shows the one it has; returns the vtkMRMLColorLegendDisplayNode."""
    legend = slicer.modules.colors.logic().AddDefaultColorLegendDisplayNode(map_node)
    unit = UNITS.get(measure, _("nats"))
    title = f"{measure} [{unit}]" if unit else measure
    if map_node.GetAttribute(OPEN):
        title += "\n" + _("top: or more")
    legend.SetTitleText(title)
    legend.SetLabelFormat("%.2f")
    legend.SetNumberOfLabels(_LABELS)
    legend.SetPosition(*_POSITION)
    legend.SetSize(*_SIZE)
    for text in (legend.GetTitleTextProperty(), legend.GetLabelTextProperty()):
        text.SetFontSize(_FONT_SIZE)
        text.SetShadow(True)
    legend.SetVisibility(True)
    return legend


def has_legend(map_node) -> bool:
    """Whether the map has one."""
    return any(node is map_node for _legend, node in _legends(map_node.GetScene()))


def hide_legends(scene, but=None) -> None:
    """Removes the legends of all maps of uncertainty but one, also those that came with a scene."""
    for legend, node in _legends(scene):
        if node is not but and node.GetAttribute(MEASURE) not in (None, "probability"):
            scene.RemoveNode(legend)


def _legends(scene) -> list[tuple]:
    """Each with the node that it explains."""
    legends = scene.GetNodesByClass("vtkMRMLColorLegendDisplayNode")
    legends.UnRegister(None)
    found = [(legend, legend.GetDisplayableNode()) for legend in list(legends)]
    return [(legend, node) for legend, node in found if node is not None]
