"""The review: from one doubtful place to the next, with a verdict on each."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
from slicer.i18n import tr as _

from medsegdiff.errors import RequestError

from ..nodes.opinions import Opinions, other_alternative
from ..nodes.scene_change import is_in_scene
from ..nodes.segment_grid import Block
from ..nodes.segment_writer import SegmentWriter
from ..nodes.segments import segment_ids
from ..nodes.slicer_result import BELONGS_TO
from .place import hide_row, position_of, show_row
from .status import ACCEPTED, ALTERNATIVE, REPAINT, update_status
from .table import REVIEW, SAMPLES, VOLUME, Place, places, reviews, set_verdict, start, voxels_of

__all__ = ["ACCEPTED", "ALTERNATIVE", "REPAINT", "ReviewController", "reviews", "start"]


class _Changed(NamedTuple):
    """What a verdict changed.  before, after: segment ID to (I, J, K) bool, what these segments hold in the block."""

    block: Block
    before: dict[str, np.ndarray]
    after: dict[str, np.ndarray]


@dataclass(frozen=True, eq=False)
class _Said:
    """A verdict of this session.  number: how many were given before."""

    number: int
    row: int
    verdict: str
    verdict_before: str
    changed: _Changed | None


class ReviewController:
    """Steps through the places of a review table (see `start`), and keeps in it what was said of them.

    result: the backend's result, or None after a scene was loaded: the opinions are then read from their sequence, if
    they are not given.
    save_state: see SegmentWriter.  open_editor(segmentation node, volume node, segment ID): opens it for painting, and
    returns what is to be told of that.
    painting: whether the current place is being repainted, until the review goes on.
    Methods raise RequestError where segmentation, volume or table were removed: the review is then over.
    """

    def __init__(
        self, table, result=None, save_state: Callable[[], None] | None = None,
        open_editor: Callable[..., str] | None = None, opinions: Opinions | None = None,
    ):  # fmt: skip
        self.table, self._result, self._open_editor = table, result, open_editor
        self._scene = table.GetScene()
        self._writer = SegmentWriter(self.segmentation, table.GetNodeReference(VOLUME), save_state)
        self._opinions = opinions
        self._said: list[_Said] = []
        self._given = 0  # verdicts in all
        self._undone: list[_Said] = []  # which the Segment Editor may bring back
        self.painting = False

    @property
    def segmentation(self):
        """The segmentation under review."""
        return self.table.GetNodeReference(BELONGS_TO)

    @property
    def writer(self) -> SegmentWriter:
        """What writes into the segments; its logic undoes where no other was given."""
        return self._writer

    @property
    def is_alive(self) -> bool:
        """Whether all that the review needs is still in the scene."""
        return all(map(is_in_scene, (self.table, self.segmentation, self.table.GetNodeReference(VOLUME))))

    @property
    def places(self) -> list[Place]:
        """The places, the one that matters most first."""
        return places(self.table)

    @property
    def current(self) -> int:
        """The row looked at last, from 0."""
        return min(int(self.table.GetAttribute(REVIEW)), max(self.table.GetNumberOfRows() - 1, 0))

    @property
    def judged(self) -> int:
        """How many places have a verdict, but those that are to be repainted yet."""
        return sum(place.verdict not in ("", REPAINT) for place in self.places)

    def go(self, row: int) -> None:
        """Brings a place into all slice views, framed and outlined."""
        self._check()
        found = self.places
        if not found:
            return
        row %= len(found)
        self.painting = False
        self.table.SetAttribute(REVIEW, str(row))
        show_row(self.table, row, found[row])

    def next(self) -> None:
        """The place after this one; after the last comes the first."""
        self.go(self.current + 1)

    def previous(self) -> None:
        """The place before this one."""
        self.go(self.current - 1)

    def go_on(self) -> bool:
        """The first place from here on without a verdict, or else one to be repainted; False, and nothing moves, where
        all are judged."""
        found, here = self.places, self.current
        for open_verdict in ("", REPAINT):
            for row in (*range(here, len(found)), *range(here)):
                if found[row].verdict == open_verdict:
                    self.go(row)
                    return True
        return False

    def verdict(self, kind: str) -> str:
        """Judges the current place; returns what happened, in words.

        kind: ACCEPTED (goes on to the next place), ALTERNATIVE (writes the likeliest other labelling of the place; once
        more: the next one) or REPAINT (opens the editor there).
        """
        self._check()
        row, found, changed = self.current, self.places, None
        if not found:
            raise RequestError(_("there is no doubtful place to judge"))
        segment_id = segment_ids(self.segmentation).get(found[row].label)
        if kind != ACCEPTED and segment_id is None:
            text = _("the segment of '{structure}' was removed; there is nothing to change here")
            raise RequestError(text.format(structure=found[row].structure))
        if kind == ALTERNATIVE:
            text, changed = self._take_alternative(row)
        elif kind == REPAINT:
            text = _("Paint what is right here; then accept.")
        else:
            text = _("Accepted.")
        self._undone = [said for said in self._undone if said.row != row]
        if not kind == found[row].verdict == ACCEPTED:  # else there is nothing to take back
            self._said.append(_Said(self._given, row, kind, found[row].verdict, changed))
            self._given += 1
        self._set_verdict(row, kind)
        if kind == REPAINT and self._open_editor is not None:
            told = self._open_editor(self.segmentation, self.table.GetNodeReference(VOLUME), segment_id)
            text = "\n".join(filter(None, (text, told)))
            self.go(row)
        elif kind == ACCEPTED and not self.go_on():
            text = _("All {count} places are judged.").format(count=len(found))
        self.painting = kind == REPAINT
        return text

    def take_back(self) -> str:
        """Takes the last verdict back, with what it changed; where none was given since the review was begun anew, that
        on the current place, alone.  Returns what happened, in words."""
        count, told = len(self._said), self.notice_undo()
        if len(self._said) < count:
            return told
        if not self._said:
            return self._clear(self.current)
        said = self._said[-1]
        if said.changed is not None:
            self._writer.write(said.changed.before, said.changed.block, alone=True)
            if not self._hold(said.changed.before, said.changed):
                raise RequestError(
                    _("the Segment Editor's masking settings do not let it be taken back; change them first")
                )
        self._said.pop()
        if said.changed is not None:
            self._undone.append(said)
        painted = self.places[said.row].verdict == REPAINT
        self._set_verdict(said.row, said.verdict_before)
        self.go(said.row)
        if painted:
            return _("The verdict was taken back; what was painted, if anything, stays: the Segment Editor undoes it.")
        return _("The verdict was taken back.")

    def notice_undo(self) -> str:
        """Takes back the verdicts of what was undone in the Segment Editor meanwhile, and gives again those of what it
        brought back; returns what happened, in words: none where nothing did."""
        before = len(self._said)
        self._check()
        if len(self._said) < before:
            return _("What the verdict had changed was undone, and the verdict with it.")
        if len(self._said) > before:
            return _("What the verdict had changed is there again, and the verdict with it.")
        return ""

    def name(self, place: Place) -> str:
        """The structure's, as its segment is called now."""
        segment_id = segment_ids(self.segmentation).get(place.label)
        return self.segmentation.GetSegmentation().GetSegment(segment_id).GetName() if segment_id else place.structure

    def position(self, place: Place) -> np.ndarray:
        """Where it is now, R, A, S in mm."""
        return position_of(self.table, place)

    def stop(self) -> None:
        """Takes the outline away; the verdicts stay."""
        hide_row(self._scene)

    def _clear(self, row: int) -> str:
        verdict = self.places[row].verdict if self.places else ""
        if not verdict and any(place.verdict for place in self.places):
            raise RequestError(_("this place has no verdict; go to the one whose verdict is to be taken back"))
        if not verdict:
            raise RequestError(_("there is no verdict to take back"))
        self._set_verdict(row, "")
        self.go(row)
        if verdict == ACCEPTED:
            return _("The verdict was taken back.")
        return _("The verdict was taken back; what it changed stays: L, or the Segment Editor, changes it again.")

    def _take_alternative(self, row: int) -> tuple[str, _Changed]:
        if self._opinions is None:
            self._opinions = Opinions.of(self._result, self.table.GetNodeReference(SAMPLES))
        if self._opinions is None:
            raise RequestError(_("the single opinions of this result were removed; accept the place, or repaint it"))
        start, voxels = voxels_of(self.table, row)
        numbers = np.zeros(voxels.shape, np.int32)
        numbers[voxels] = np.arange(1, np.count_nonzero(voxels) + 1)
        block, ids = self._writer.place(numbers, start), segment_ids(self.segmentation)
        where = block.where
        if not where.any():
            raise RequestError(_("the segmentation has no voxel at this place; accept it, or repaint it"))
        at = np.ravel_multi_index((np.argwhere(voxels) + start).T, self._opinions.shape)[block.values[where] - 1]
        before = self._writer.read(block)
        now = {value: before[segment_id][where] for value, segment_id in ids.items()}
        labels = np.zeros(where.shape, np.uint8)
        chosen = other_alternative(self._opinions.at(at), now)
        labels[where] = chosen.labels
        count = self._writer.write({segment_id: labels == value for value, segment_id in ids.items()}, block)
        if not count:
            raise RequestError(_("the Segment Editor's masking settings leave nothing to change here"))
        after = self._writer.read(block, before)
        changed = [segment_id for segment_id, mask in before.items() if (after[segment_id] != mask).any()]
        before, after = ({segment_id: masks[segment_id] for segment_id in changed} for masks in (before, after))
        told = _("{share:.0%} of the opinions see it like this: {count} voxels changed.")
        return told.format(share=chosen.probability, count=count), _Changed(block, before, after)

    def _set_verdict(self, row: int, verdict: str) -> None:
        set_verdict(self.table, row, verdict)
        places = self.places
        update_status(self.segmentation, places, {places[row].label})

    def _check(self) -> None:
        if not is_in_scene(self.table):
            raise RequestError(_("the review was removed; start it anew"))
        self._writer.check()
        self._notice_undo()

    def _notice_undo(self) -> None:
        """Takes back what the user undid in the Segment Editor: the last verdict on a place, if what it changed is
        gone. Gives again what is there again."""
        gone = [said for row in {said.row for said in self._said} for said in self._gone(row)]
        back = [] if gone else [said for row in {said.row for said in self._undone} for said in self._back(row)]
        self._said = sorted((said for said in (*self._said, *back) if said not in gone), key=lambda said: said.number)
        self._undone = [said for said in self._undone if said not in back] + gone
        for said in gone:
            set_verdict(self.table, said.row, said.verdict_before)
        for said in back:
            set_verdict(self.table, said.row, said.verdict)
        # Also where none changed: the Segment Editor undoes the status with the voxels. No more than needed is written,
        # as it forgets what could be redone then.
        update_status(self.segmentation, self.places)

    def _gone(self, row: int) -> list[_Said]:
        """The verdicts on a place of which nothing is left, the last one first."""
        said = [one for one in reversed(self._said) if one.row == row]
        accepted = next((n for n, one in enumerate(said) if one.verdict != ACCEPTED), len(said))  # what is gone then
        count = next((n for n, one in enumerate(said[accepted:], accepted) if one.changed is None), len(said))
        if count == accepted or self._hold(said[accepted].changed.after, said[accepted].changed):
            return []
        held = [n for n in range(accepted, count) if self._hold(said[n].changed.before, said[n].changed)]
        return said[: held[0] + 1] if held else []

    def _back(self, row: int) -> list[_Said]:
        """The verdicts on a place that were undone and of which all is there again, the first one first."""
        undone = [one for one in reversed(self._undone) if one.row == row]
        count = next((n for n, one in enumerate(undone) if one.changed is None), len(undone))
        if not count or self.places[row].verdict != undone[0].verdict_before:
            return []
        if self._hold(undone[0].changed.before, undone[0].changed):
            return []
        held = [n for n in range(count) if self._hold(undone[n].changed.after, undone[n].changed)]
        if not held:
            return []
        all_of_them = held[-1] + 1 == count and all(one.verdict == ACCEPTED for one in undone[count:])
        return undone if all_of_them else undone[: held[-1] + 1]

    def _hold(self, held: dict[str, np.ndarray], changed: _Changed) -> bool:
        """Whether the segments that were changed, as far as they are still there, hold that."""
        now, where = self._writer.read(changed.block, held), changed.block.where
        return bool(now) and all(np.array_equal(now[id][where], held[id][where]) for id in now)
