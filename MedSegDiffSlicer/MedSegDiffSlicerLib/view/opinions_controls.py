"""The single opinions of a result on the screen: the outlines of all, or one alternative after the other."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial

import qt
import slicer
from slicer.i18n import tr as _

from medsegdiff.errors import RequestError

from ..jobs.background import Background
from ..nodes.opinions import Opinions
from ..nodes.slicer_result import SlicerResult
from .alternatives import AlternativesBrowser, Choice, choices_of
from .contour_fan import FAN, drawn, hide_fan, show_fan
from .segment_editor import save_state
from .sentences import sentences


_FAN, _CHOICES = "opinions for the fan", "alternatives"  # questions to the background


class OpinionsControls(qt.QWidget):
    """A box for the outlines, buttons to page through alternatives and to take one.

    setResult(added): whose opinions, None for nothing; whatever was shown goes.  hide(): nothing is shown any more.
    background: works them out.
    """

    def __init__(self, background: Background):
        qt.QWidget.__init__(self)
        self._background = background
        self._added: SlicerResult | None = None
        self._opinions: Opinions | None = None
        self._browser: AlternativesBrowser | None = None
        column = qt.QVBoxLayout(self)
        column.setContentsMargins(0, 0, 0, 0)
        self.fanBox = qt.QCheckBox()
        self._nameFan()
        self.fanBox.objectName = "fanBox"
        self.fanBox.connect("toggled(bool)", self._onFan)
        column.addWidget(self.fanBox)
        pages = qt.QHBoxLayout()
        pages.addWidget(qt.QLabel(_("Alternatives:")))
        back, on, take = (partial(self._try, *what) for what in ((self._page, -1), (self._page, 1), (self._take,)))
        self.previousButton = _button("previousButton", "◀", _("The alternative before"), back)
        self.nextButton = _button("nextButton", "▶", _("The next alternative"), on)
        self.takeButton = _button("takeButton", _("Take"), _("Make the segments what is shown"), take)
        self.hideButton = _button("hideButton", _("Hide"), _("Show the segments only"), self._hide)
        for button in (self.previousButton, self.nextButton, self.takeButton, self.hideButton):
            pages.addWidget(button)
        column.addLayout(pages)
        self.messageLabel = qt.QLabel()
        self.messageLabel.objectName = "opinionsLabel"
        self.messageLabel.wordWrap = True
        column.addWidget(self.messageLabel)

    def setResult(self, added: SlicerResult | None) -> None:
        """Whose opinions are shown; its segmentation and volume are in the scene."""
        self.hide()
        self._opinions = self._browser = None
        self._added = added
        self.enabled = added is not None and Opinions.source(added.result, added.samplesSequenceNode) is not None

    def hide(self) -> None:
        """Takes all outlines off the views."""
        self.fanBox.checked = False
        hide_fan(slicer.mrmlScene)
        self._hide()

    def _onFan(self, visible: bool) -> None:
        self._background.forget(_FAN, FAN)
        if visible:
            self._try(self._withOpinions, _FAN, lambda opinions: None, self._showFan)
        else:
            hide_fan(slicer.mrmlScene)
            self._nameFan()

    def _showFan(self, _nothing: None) -> None:
        self._nameFan(len(self._opinions))
        nodes = self._added.segmentationNode, self._added.volumeNode
        show_fan(slicer.mrmlScene, self._opinions, *nodes, self._background)

    def _nameFan(self, count: int = 0) -> None:
        """count: opinions there are, 0 where nothing is drawn."""
        few, text = len(drawn(count)), _("Outlines of all opinions")
        if few < count:
            text = _("Outlines of {few} of {count} opinions").format(few=few, count=count)
        self.fanBox.text = text

    def _page(self, step: int) -> None:
        if self._browser is None:
            self._withOpinions(_CHOICES, choices_of, partial(self._onChoices, step))
            return
        choice = self._browser.next() if step > 0 else self._browser.previous()
        self.messageLabel.text = f"{choice.title} ({choice.probability:.0%})"
        self._updateButtons()

    def _onChoices(self, step: int, choices: list[Choice]) -> None:
        nodes = self._added.segmentationNode, self._added.volumeNode
        self._browser = AlternativesBrowser(choices, *nodes, self._background, partial(save_state, *nodes))
        self._try(self._page, step)

    def _take(self) -> None:
        changed = self._browser.take()
        text = _("Taken; {count} voxels changed.") if changed else _("The segments are like this already.")
        self.messageLabel.text = text.format(count=changed)

    def _hide(self) -> None:
        self._background.forget(_CHOICES)
        if self._browser is not None:
            self._browser.hide()
        self.messageLabel.text = ""
        self._updateButtons()

    def _withOpinions(self, topic: str, work: Callable[[Opinions], object], done: Callable[[object], None]) -> None:
        """done(work(opinions)), where the work is done in the background.

        Raises RequestError where the opinions were removed.
        """
        known = self._opinions
        read = (lambda: known) if known else Opinions.source(self._added.result, self._added.samplesSequenceNode)
        if read is None:
            raise RequestError(_("the single opinions of this result were removed; run the model again"))

        def answer() -> tuple:
            opinions = read()
            return opinions, work(opinions)

        def keep(answered: tuple) -> None:
            self._opinions = answered[0]
            done(answered[1])

        self._background.ask(topic, answer, keep)

    def _try(self, action, *arguments) -> None:
        """Does something; what cannot be done is said."""
        try:
            if self._added is not None:
                action(*arguments)
        except RequestError as error:
            self.messageLabel.text = sentences(error)

    def _updateButtons(self) -> None:
        shown = self._browser is not None and self._browser.index is not None
        self.takeButton.enabled = self.hideButton.enabled = shown


def _button(name: str, text: str, tip: str, clicked):
    button = qt.QPushButton(text)
    button.objectName, button.toolTip = name, tip
    button.connect("clicked()", clicked)
    return button
