"""The console call for what was just done."""

from __future__ import annotations

import re
from collections.abc import Sequence

import slicer
from slicer.i18n import tr as _

from ..nodes.frame import frame_of
from ..nodes.slicer_result import CALL, volume_of_run
from .channels import first_of

LOGIC = 'logic = slicer.util.getModuleLogic("MedSegDiffSlicer")'
_NODE = re.compile(  # as node_text writes it
    r"""slicer\.util\.(?:getNode\(|getFirstNodeByClassByName\('\w+', )(?:'.*?'|".*?")\)"""
)


def segment_call(volumes: Sequence, model: str | Sequence[str], arguments: dict) -> str:
    """Lines that do the same when they are run in Slicer's Python console; the result is called `result`.

    volumes: the input nodes.  arguments: further ones of logic.segment; nodes among them are looked up.
    """
    inputs = node_text(volumes[0]) if len(volumes) == 1 else _list_of_nodes(volumes)
    call = f"result = logic.segment({inputs}, model={model!r}{_further(arguments)})"
    for volume in filter(None, volumes[:1]):
        if (frame := frame_of(volume)) is not None:
            call += "  # " + _("while '{volume}' shows {frame}").format(volume=volume.GetName(), frame=frame)
    return f"{LOGIC}\n{call}\n"


def batch_call(cases: Sequence[Sequence], model: str | Sequence[str], arguments: dict, names: Sequence[str]) -> str:
    """Likewise for a batch of volumes. cases: the input nodes of each.  names: of the cases, told where they are not
    those of their volumes."""
    if list(names) != [first_of(case).GetName() for case in cases]:
        arguments = {"names": list(names), **arguments}
    inputs = ", ".join(node_text(case[0]) if len(case) == 1 else _list_of_nodes(case) for case in cases)
    call = f"logic.startBatch([{inputs}], model={model!r}{_further(arguments)})"
    return "\n".join([LOGIC, f"batch = {call}", "batch.wait()"]) + "\n"


def sequence_call(browser, volumes: Sequence, model: str | Sequence[str], arguments: dict) -> str:
    """Likewise for all frames of a sequence."""
    inputs = f"{node_text(browser)}, {_list_of_nodes(volumes)}"
    call = f"logic.startSequenceBatch({inputs}, model={model!r}{_further(arguments)})"
    return "\n".join([LOGIC, f"batch = {call}", "batch.wait()"]) + "\n"


def recalled_call(segmentation) -> str:
    """The call that a run left with its segmentation; empty where it is not sure to name the same nodes any more.

    A scene that is loaded gives its nodes other IDs, and names may be taken twice by then.
    """
    call, volume = segmentation.GetAttribute(CALL) or "", volume_of_run(segmentation)
    named = [node for node in segmentation.GetScene().GetNodes() if repr(node.GetName()) in call]
    sure = {node_text(node) for node in named if repr(node.GetName()) in node_text(node)}
    sure |= {node_text(volume), node_text(segmentation)}
    return call if node_text(volume) in call and sure.issuperset(_NODE.findall(call)) else ""


def node_text(node) -> str:
    """How the node is found again: by its name where it is the only one of it, or the only one of its class (a frame
    of a sequence has the name of the sequence), else by its ID; None where there is none."""
    if node is None:
        return "None"
    name, scene = node.GetName(), node.GetScene()
    plain = name and not set(name) & set("*?[]")  # what getNode takes for a pattern
    same = [other for other in scene.GetNodes() if other.GetName() == name or other.GetID() == name]
    if plain and len(same) > 1 and sum(other.IsA(node.GetClassName()) for other in same) == 1:
        return f"slicer.util.getFirstNodeByClassByName({node.GetClassName()!r}, {name!r})"
    return f"slicer.util.getNode({(name if plain and len(same) == 1 else node.GetID())!r})"


def _list_of_nodes(nodes: Sequence) -> str:
    return "[" + ", ".join(node_text(node) for node in nodes) + "]"


def _further(arguments: dict) -> str:
    texts = [
        f"{name}={node_text(value) if isinstance(value, slicer.vtkMRMLNode) else repr(value)}"
        for name, value in arguments.items()
    ]
    return "".join(f", {text}" for text in texts)
