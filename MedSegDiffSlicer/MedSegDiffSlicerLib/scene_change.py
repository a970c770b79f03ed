"""Changes of the scene that happen completely or not at all."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager


def is_in_scene(node) -> bool:
    """Whether the node exists and is part of a scene: False once it was deleted or its scene closed."""
    return node is not None and node.GetScene() is not None and node.GetScene().IsNodePresent(node)


@contextmanager
def all_or_nothing(scene) -> Iterator[None]:
    """Removes every node that was added within the block if the block raises."""
    before = set(scene.GetNodes())
    try:
        yield
    except BaseException:
        for node in set(scene.GetNodes()) - before:
            if scene.IsNodePresent(node):
                scene.RemoveNode(node)
        raise
