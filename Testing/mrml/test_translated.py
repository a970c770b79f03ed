"""What the backend says can be told in the application's language."""

import ast
import importlib
import re
import sys
from pathlib import Path

import backend_texts
import numpy as np
import pytest



@pytest.fixture
def words(monkeypatch, untranslated):
    """Translations of templates by their English; what is asked for stands in `words.contexts`, too."""

    class Words(dict):
        contexts: set = set()

    words = Words()
    module = sys.modules["slicer.i18n"]
    module.getContext = lambda path: f"{Path(path).parent.name}.{Path(path).stem}"

    def translate(context, text):
        words.contexts.add(context)
        return words.get(text, text)

    monkeypatch.setattr(module, "translate", translate)
    monkeypatch.delitem(sys.modules, "MedSegDiffSlicerLib.view.translated", raising=False)
    return words


def translated(message):
    return importlib.import_module("MedSegDiffSlicerLib.view.translated").translated(message)


def test_all_that_the_backend_says_is_listed(words):
    listed = importlib.import_module("MedSegDiffSlicerLib.view.backend_texts").TEXTS
    assert list(listed) == backend_texts.texts(), "run `python Testing/mrml/backend_texts.py`"


def test_the_list_is_what_slicers_translation_tools_find():
    """They take `_("...")`, and know no f-strings."""
    source = backend_texts.LIST.read_text(encoding="utf-8")
    found = re.findall(r'[^_]_\(\s*?(".+?")\s*?\)', source, flags=re.DOTALL)
    assert [ast.literal_eval(f"({each})") for each in found] == backend_texts.texts()


def test_words_come_in_the_applications_language(words):
    words["{0}: no such file or folder; check the path"] = "{0}: nicht gefunden; Pfad pruefen"
    told = translated("/a: b/c.nii: no such file or folder; check the path")
    assert told == "/a: b/c.nii: nicht gefunden; Pfad pruefen"
    assert words.contexts == {"view.backend_texts"}


def test_what_is_filled_in_is_translated_too(words):
    words["it is noisier"], words["it is blurrier"] = "es rauscht mehr", "es ist unschaerfer"
    words["the image is unlike those that the model was trained on"] = "das Bild ist ungewohnt"
    told = (
        "the image is unlike those that the model was trained on (it is noisier, it is blurrier; score 3.1, below 1 "
        "for 99 % of them): do not trust the numbers without a look at the result"
    )
    assert translated(told).startswith("das Bild ist ungewohnt (es rauscht mehr, es ist unschaerfer; score 3.1, ")


def test_parts_may_change_places(words):
    words["{0} channel names for {1} channels"] = "fuer {1} Kanaele {0} Namen"
    assert translated("3 channel names for 1 channels") == "fuer 1 Kanaele 3 Namen"


@pytest.mark.parametrize(
    "wrong", ["{0} Namen", "{0} Namen, {1} Kanaele, {2}", "{names} fuer {0} {1}", "{0} } {1}", "{ {0} {1}"]
)
def test_a_wrong_translation_leaves_the_words(words, wrong):
    words["{0} channel names for {1} channels"] = wrong
    assert translated("3 channel names for 1 channels") == "3 channel names for 1 channels"


def test_other_texts_stay(words):
    for text in ("", "Anterior 1.2 ml {x}", "1, 2, 3", "{0} channel names for {1} channels"):
        assert translated(text) == text


def test_real_messages_are_known(words):
    from medsegdiff.errors import MedSegDiffError
    from medsegdiff.image.image import Image
    from medsegdiff.image.reading import read_image
    from medsegdiff.inference.request import SegmentRequest

    said = []
    for ask in (
        lambda: read_image("/nowhere/scan.nii.gz"), lambda: SegmentRequest("a", samples=0),
        lambda: SegmentRequest("a", threshold=2), lambda: SegmentRequest("a", fusion="guess"),
        lambda: Image(np.full((1, 2, 2, 2), np.nan), np.eye(4)), lambda: Image(np.zeros((1, 0, 2, 2)), np.eye(4)),
    ):  # fmt: skip
        with pytest.raises(MedSegDiffError) as caught:
            ask()
        said.append(str(caught.value))
    before = [translated(each) for each in said]
    assert before == said
    words.update({text: "! " + text for text in backend_texts.texts()})
    assert all(translated(each).startswith("! ") for each in said)


def test_lines_begin_with_a_capital_unless_with_a_models_name():
    from MedSegDiffSlicerLib.view.sentences import sentences

    said = "the volume is empty\nhippocampus-unet is deterministic: 1 opinion(s), not 8\nmy_model.2 is not there"
    assert sentences(said) == "T" + said[1:]
