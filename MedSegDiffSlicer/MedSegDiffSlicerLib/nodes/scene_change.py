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
    with SceneChange(scene).step(*changed):
        yield


class SceneChange:
    """A change in several steps, between which the application lives; it is undone as a whole."""

    def __init__(self, scene):
        self._scene = scene
        self._added: list = []
        self._copies: list[tuple] = []

    @contextmanager
    def step(self, *changed) -> Iterator[None]:
        """A part of the change. If the block raises, this and all earlier steps are undone: see `undo`."""
        before = set(self._scene.GetNodes())
        self._copies += [(node, _copy_of(node)) for node in changed]
        try:
            yield
        except BaseException:
            self._remember_added(before)
            self.undo()
            raise
        self._remember_added(before)

    def undo(self) -> None:
        """Removes every node that the steps added, and makes the nodes `changed` what they were before their step."""
        for node in self._added:
            if self._scene.IsNodePresent(node):
                self._scene.RemoveNode(node)
        for node, copy in self._copies:
            if self._scene.IsNodePresent(node):
                node.Copy(copy)
        self._added, self._copies = [], []

    def _remember_added(self, before: set) -> None:
        self._added += [node for node in self._scene.GetNodes() if node not in before]


def _copy_of(node):
    """The node's content, attributes and references in a node that is in no scene."""
    copy = node.CreateNodeInstance()
    copy.UnRegister(None)
    copy.Copy(node)
    return copy
