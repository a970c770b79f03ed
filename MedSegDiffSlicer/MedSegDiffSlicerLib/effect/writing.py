"""What the effect wrote into segments: whether it is what is shown, and its review."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable

import numpy as np
import slicer
from slicer.i18n import tr as _

from ..jobs.opinions_session import OpinionsSession
from ..review.table import verdicts_of
from ..view.gui_background import GuiBackground
from .applied import Applied
from .applying import apply, destination
from .messages import EffectMessages
from .options import EffectOptions
from .reviewing import EffectReview

KEPT = 4  # the last one, and those that its undo brings back


class EffectWriting:
    """Apply and Review.

    effect: the scripted effect (C++ side).  panel(), background: see EffectReview.
    """

    def __init__(
        self, effect, session: OpinionsSession, options: EffectOptions, messages: EffectMessages, panel: Callable,
        background: GuiBackground,
    ):  # fmt: skip
        self._effect, self._session, self._options, self._messages = effect, session, options, messages
        self._review = EffectReview(panel, background, messages.say, messages.refuse)
        self._written: deque[tuple[Applied, tuple]] = deque(maxlen=KEPT)  # each with its destination
        self._aside: np.ndarray | None = None  # the label map that was shown when the review was begun

    @property
    def applied(self) -> Applied | None:
        """What was written last into the segmentation of the moment and was not undone; the last at all where each was;
        None where nothing was written."""
        return _latest(self._here)

    @property
    def shown(self) -> Applied | None:
        """Likewise of what is shown."""
        return _latest([applied for applied in self._here if applied.labelmap is self._session.labelmap])

    @property
    def holds_shown(self) -> bool:
        """Whether the segments hold what is shown."""
        return self.shown is not None and self.shown.holds

    @property
    def covers_preview(self) -> bool:
        """Whether it is the segments that are to be seen: they hold what is shown, or are reviewed, and what is shown
        was not put together anew since that was begun."""
        return self.holds_shown or (self._session.labelmap is self._aside and self._review.is_open(self._segmentation))

    @property
    def is_there(self) -> bool:
        """Whether what is shown is written already to where Apply would write it now, and nothing was done to it since.
        """
        now, shown = destination(self._effect, self._options), self.shown
        written = any(applied is shown and where == now for applied, where in self._written)
        return written and shown.holds and shown.is_untouched

    @property
    def holds_any(self) -> bool:
        """Whether anything that was written is in the segments."""
        return self.applied is not None and self.applied.holds

    def apply(self) -> bool:
        """Writes what is shown; False where nothing was written, as the user did not want it or has to choose first."""
        lost = self._review.verdicts(self._segmentation)
        if lost and not slicer.util.confirmOkCancelDisplay(
            _(
                "The review of what was written before ends when it is written anew, with {count} verdict(s); "
                "the Segment Editor's undo brings both back."
            ).format(count=lost),
            _("Apply"),
        ):
            return False
        judged = sum(map(bool, verdicts_of(slicer.mrmlScene, self._segmentation))) if self._segmentation else 0
        if not lost and judged and not slicer.util.confirmOkCancelDisplay(
            _(
                "'{segmentation}' was reviewed in the module MedSegDiff. Its {count} verdict(s) stay, though they are "
                "about what is in the segments now."
            ).format(segmentation=self._segmentation.GetName(), count=judged),
            _("Apply"),
        ):
            return False
        applied = apply(self._effect, self._session, self._options, self._messages.refuse)
        if applied is None:
            return False
        self._written.append((applied, destination(self._effect, self._options)))
        return True

    def review(self) -> bool:
        """Goes through the doubtful places of what was written; False where it was undone."""
        if not self.holds_any:
            return False
        self._aside = self._session.labelmap
        self._messages.attempt(lambda: self._review.begin(self.applied))
        return True

    def turned(self) -> bool:
        """Whether anything was undone, redone or removed since the last call."""
        return any([applied.turned() for applied, _where in self._written])

    def forget(self) -> None:
        """Knows of nothing that was written; segments and review stay."""
        self._written.clear()
        self._aside = None

    def close(self) -> None:
        """Before it is given up."""
        self.forget()
        self._review.close()

    @property
    def _segmentation(self):
        node = self._effect.parameterSetNode()
        return node and node.GetSegmentationNode()

    @property
    def _here(self) -> list[Applied]:
        """What was written into the segmentation of the moment."""
        return [applied for applied, _where in self._written if applied.segmentation is self._segmentation]


def _latest(written: list[Applied]) -> Applied | None:
    """The last one that holds, or else the last one."""
    held = [applied for applied in written if applied.holds]
    return (held or written or [None])[-1]
