"""What the effect says of a session, and which of its widgets are of use then."""

from __future__ import annotations

from slicer.i18n import tr as _

from ..jobs.field_of_view import too_much
from ..jobs.opinions_session import OpinionsSession
from ..jobs.run_request import WHOLE
from ..view.translated import translated
from .applied import Applied
from .options import EffectOptions
from .writing import EffectWriting


def invite(effect, ui: EffectOptions) -> str:
    """What to do first.  effect: the scripted effect (C++ side)."""
    node, package = effect.parameterSetNode(), ui.package()
    source = node.GetSourceVolumeNode() if node is not None else None
    much = too_much(package, source) if package is not None and ui.choices().region == WHOLE else ""
    if much:
        return much + " " + _("Choose a box as region, and put it around the structure.")
    return _("Press Run; nothing is written before Apply.")


def describe(
    session: OpinionsSession, computing: bool, applied: Applied | None, model: str
) -> tuple[str, bool] | None:
    """A text for the user, and whether it is about an error; None where there is nothing to say.

    computing: whether the picture is about to change.  applied: the writing of what is shown, if it was written.
    model: the one that Run would ask.
    """
    if session.error is not None:
        return str(session.error), True
    if applied is not None and not session.running:
        if not applied.holds:
            return _("What is shown was taken back out of the segments. Apply writes it again."), False
        if not applied.count:
            text = _(
                "Nothing is in the segments: there was nothing to write, the masking let nothing through, or they were "
                "removed."
            )
            return text, False
        hint = " " + _("Review leads to the places where they may be wrong.") if applied.labels else ""
        return _("{count} segment(s) written.").format(count=applied.count) + hint, False
    if session.result is not None:
        done = _("{count} opinions").format(count=session.opinions) if session.opinions > 1 else _("1 opinion")
        asked = session.result.report.get("ensemble") or session.result.report["model"]
        if asked != model:
            done = _("{opinions} of {model}").format(opinions=done, model=asked)
        if len(session.volumes) > 1:  # which nobody has chosen one by one
            names = ", ".join(volume.GetName() for volume in session.volumes)
            done = _("{opinions}, from {volumes}").format(opinions=done, volumes=names)
        if session.running:
            done += " - " + _("asking again, with the clicks...")
        if computing:
            done += " - " + _("computing...")
        return "\n".join([done, *session.result.report.get("warnings", [])]), False
    if session.running:
        known = _("{message}; {count} opinion(s) so far") if session.opinions else "{message}"
        return known.format(message=translated(session.message) or _("Starting..."), count=session.opinions), False
    return None


def show_state(session: OpinionsSession, ui: EffectOptions, writing: EffectWriting, installing: bool) -> None:
    """Enables the widgets that are of use.  installing: whether Python packages are being installed."""
    asking, done, written = session.running and session.result is None, session.result is not None, writing.applied
    ui.run.enabled = not asking and not installing
    ui.cancel.enabled = session.running or installing or (done and not writing.holds_shown)
    ui.apply.enabled = done and not session.computing and not writing.is_there
    ui.review.enabled = written is not None and bool(written.labels and written.count) and written.holds
    ui.progress.visible = session.running
    ui.progress.value = round(1000 * session.fraction)
    ui.structure.enabled = ui.notIt.enabled = done
    ui.undoClick.enabled = bool(session.clicks)
