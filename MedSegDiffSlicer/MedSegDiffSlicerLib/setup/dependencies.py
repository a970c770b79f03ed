"""The packages that inference needs beyond those of Slicer: found without importing them, installed only when asked."""

from __future__ import annotations

import importlib
import importlib.metadata
import importlib.util
import re
import subprocess
import sys
import tempfile
from pathlib import Path

from medsegdiff.errors import JobError, RequestError

REQUIRED = {"torch": "2.4", "monai": "1.5", "safetensors": "0.4"}  # package and oldest version that works
# Slicer's own packages, and those that other extensions share: never replaced by an installation from here.
PROTECTED = ("numpy", "scipy", "SimpleITK", "vtk", "pydicom", "Pillow", "torch", "requests")


def missing() -> list[str]:
    """Names of the packages that are absent or too old, for the Python that Slicer and its worker share."""
    importlib.invalidate_caches()
    return [name for name, oldest in REQUIRED.items() if not _is_present(name, oldest)]


def require() -> None:
    """Raises RequestError, saying how to install them, where packages are missing."""
    from slicer.i18n import tr as _

    names = missing()
    if names:
        raise RequestError(
            _(
                "Python packages are missing ({names}); press Run in the MedSegDiff panel to install "
                "them, or call MedSegDiffSlicerLib.setup.dependencies.install({list})"
            ).format(names=", ".join(names), list=names)
        )


def explanation(names: list[str]) -> str:
    """What would be installed, in words."""
    from slicer.i18n import tr as _

    parts = [_("{name} ({oldest} or later)").format(name=name, oldest=REQUIRED[name]) for name in names]
    text = _("MedSegDiff needs these Python packages, which are not installed yet: {packages}.").format(
        packages=", ".join(parts)
    )
    if "torch" in names:
        text += " " + _("PyTorch comes through the PyTorch extension and may be a download of more than 2 GB.")
    return text + " " + _("Slicer's own packages are left as they are.")


def install(names: list[str]) -> None:
    """Installs what `missing` found. Blocks, showing progress. Raises JobError with what to do where it cannot."""
    import slicer
    from slicer.i18n import tr as _

    if "torch" in names:
        _install_torch()
    names = [name for name in names if name != "torch"]
    if names:
        with tempfile.TemporaryDirectory() as folder:
            constraints = Path(folder) / "constraints.txt"
            constraints.write_text("\n".join(pins(names)) + "\n", encoding="utf-8")
            try:
                slicer.util.pip_install(["-c", str(constraints), *(f"{name}>={REQUIRED[name]}" for name in names)])
            except subprocess.CalledProcessError as error:
                raise JobError(
                    _("{names} could not be installed. {advice}").format(
                        names=", ".join(names), advice=offline_advice()
                    )
                ) from error
    still = missing()
    if still:
        raise JobError(
            _("{names} could not be installed; see the Python console, restart Slicer, try again").format(
                names=", ".join(still)
            )
        )


def require_pytorch_extension() -> None:
    """Raises JobError, saying what to do, where the PyTorch extension is not installed."""
    from slicer.i18n import tr as _

    try:
        import PyTorchUtils  # noqa: F401
    except ModuleNotFoundError:
        raise JobError(
            _(
                "PyTorch is not installed; install the extension 'PyTorch' in the Extensions Manager, restart Slicer "
                "and "
                "try again. {advice}"
            ).format(advice=offline_advice())
        ) from None


def offline_advice() -> str:
    """What can be done without a connection."""
    from slicer.i18n import tr as _

    text = _(
        "Without a connection: on a computer of the same kind run 'pip download {packages}' with Python {version}, "
        "copy the folder with the files here, and choose it in the section 'Support' as package folder."
    )
    packages = " ".join(f"'{name}>={oldest}'" for name, oldest in REQUIRED.items())
    return text.format(packages=packages, version=".".join(map(str, sys.version_info[:2])))


def _install_torch() -> None:
    require_pytorch_extension()
    import PyTorchUtils
    from slicer.i18n import tr as _

    requirement = f">={REQUIRED['torch']}"
    logic = PyTorchUtils.PyTorchUtilsLogic()
    if logic.installTorch(askConfirmation=False, torchVersionRequirement=requirement) is None:
        raise JobError(_("PyTorch was not installed; install it with the module 'PyTorch Utils' and try again"))


def _is_present(name: str, oldest: str) -> bool:
    if importlib.util.find_spec(name) is None:
        return False
    version = _version(name)
    return version is not None and _numbers(version) >= _numbers(oldest)


def _version(name: str) -> str | None:
    """None where the package has no record, or a damaged one: what an interrupted or removed installation left."""
    try:
        return importlib.metadata.version(name)
    except importlib.metadata.PackageNotFoundError:
        return None


def _numbers(version: str) -> tuple[int, ...]:
    """The leading numbers of a version: "2.13.0+cpu" gives (2, 13, 0)."""
    return tuple(int(part) for part in re.match(r"\d+(?:\.\d+)*", version).group().split("."))


def pins(names: list[str]) -> list[str]:
    """Constraints for pip that hold the protected packages, but those to be installed, at the version that is there."""
    versions = {name: _version(name) for name in PROTECTED if name not in names}
    return [f"{name}=={version}" for name, version in versions.items() if version is not None]
