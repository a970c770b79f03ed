"""Images as array + affine + channels; reading and writing."""

__all__ = ["Image", "check_output", "read_image", "replacing", "write_labelmap", "write_volume"]

_LAZY = {  # so that names and texts of this room need no numpy
    "Image": "image",
    "read_image": "reading",
    "check_output": "output",
    "replacing": "output",
    "write_labelmap": "writing",
    "write_volume": "writing",
}


def __getattr__(name: str):
    if name in _LAZY:
        from importlib import import_module

        return getattr(import_module(f".{_LAZY[name]}", __name__), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
