"""Several opinions on a scan: diffusion, transformer and convolutional segmentation with uncertainty.

    from medsegdiff import load_model, segment
    model = load_model("hippocampus-medsegdiff")
    result = segment(model, "scan.nii.gz", samples=8, seed=0)

This package imports neither slicer, vtk, qt nor ctk; torch is imported when a model is loaded, not before.
"""

__version__ = "0.1.0"
__all__ = ["load_model", "segment", "__version__"]


def __getattr__(name: str):
    if name in ("load_model", "segment"):
        from .inference import api

        return getattr(api, name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
