"""What the effect says: of a long text the beginning."""

from __future__ import annotations

from types import SimpleNamespace

import pytest


@pytest.mark.parametrize("text", ["word " * 60, "x" * 300], ids=["words", "no blank"])
def test_beginning_of_a_long_text_is_shown(scene, text):
    from MedSegDiffSlicerLib.effect.messages import LONG, EffectMessages

    label, more = SimpleNamespace(), SimpleNamespace(checked=False)
    messages = EffectMessages(label, more, lambda: None)
    messages.say(text)
    shown = label.text.removesuffix(" ...")
    assert LONG - 10 < len(shown) <= LONG and label.toolTip.startswith(shown) and more.visible
    more.checked = True
    messages.show()
    assert label.text == messages._text and label.toolTip == ""
