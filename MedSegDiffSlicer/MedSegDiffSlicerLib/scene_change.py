"""Changes of the scene that happen completely or not at all."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager


def is_in_scene(node) -> bool:
    """Whether the node exists and is part of a scene: False once it was deleted or its scene closed."""
    return node is not None and node.GetScene() is not None and node.GetScene().IsNodePresent(node)


@contextmanager
def all_or_nothing(scene, *changed) -> Iterator[None]:
    """If the block raises: removes every node added within it, and makes the nodes `changed` what they were before."""
    before = set(scene.GetNodes())
    copies = [(node, _copy_of(node)) for node in changed]
    try:
        yield
    except BaseException:
        for node in set(scene.GetNodes()) - before:
            if scene.IsNodePresent(node):
                scene.RemoveNode(node)
        for node, copy in copies:
            node.Copy(copy)
        raise


def _copy_of(node):
    """The node's content, attributes and references in a node that is in no scene."""
    copy = node.CreateNodeInstance()
    copy.UnRegister(None)
    copy.Copy(node)
    return copy
