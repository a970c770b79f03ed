"""One doubtful place in the slice views: centred, framed and outlined."""

from __future__ import annotations

import numpy as np
import slicer

from medsegdiff.errors import RequestError

from ..nodes.scene_change import is_in_scene
from ..nodes.temporary_outlines import hide_outlines, show_outlines, solids
from ..nodes.volume_to_image import affine_of
from ..view.slice_views import is_seen, show_in_views, show_place
from .table import PLACES, VOLUME, Place, box_of

_KIND = "doubtful place"
_GREEN, _OPACITY, _THICKNESS = (0.25, 1.0, 0.35), 1.0, 2  # a colour that no map has


def show_row(table, row: int, place: Place) -> None:
    """Brings the place of a row of a review's table into all slice views, where the volume is now; with the volume
    where these look at a scan that does not reach there."""
    scene, voxels, volume = table.GetScene(), table.GetNodeReference(PLACES), table.GetNodeReference(VOLUME)
    position = position_of(table, place)
    if not is_seen(scene, position):
        show_in_views(volume)
    show_place(scene, position, place.frame)
    if not is_in_scene(voxels):
        hide_row(scene)
    else:
        box = box_of(table, place)
        found = solids(slicer.util.arrayFromVolume(voxels).T[box], {row + 1: _GREEN}, [side.start for side in box])
        show_outlines(scene, _KIND, found, volume, _OPACITY, _THICKNESS)


def hide_row(scene) -> None:
    """Takes the outline away."""
    hide_outlines(scene, _KIND)


def position_of(table, place: Place) -> np.ndarray:
    """RAS mm, where the volume is now."""
    try:
        affine = affine_of(table.GetNodeReference(VOLUME))
    except RequestError:  # under a transform that is not linear: where the place was then
        return np.array(place.position)
    return affine[:3, :3] @ place.voxel + affine[:3, 3]
