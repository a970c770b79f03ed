"""Random sequences of what users do around effect and panel: nothing may be lost, left behind or grow.

MEDSEGDIFF_ACTIONS: how many actions (50); MEDSEGDIFF_SEED: of the sequence (0).
"""

from __future__ import annotations

import ctypes
import gc
import os
import random
import sys
import tempfile
import time
import unittest
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from unittest.mock import patch

import slicer
from in_slicer import ObserverErrors, delete_what_was_given_up, load_sample, turn_until
from medsegdiff.inference.allocator import glibc
from random_actions import RandomActions

ACTIONS = int(os.environ.get("MEDSEGDIFF_ACTIONS", "50"))
SEED = int(os.environ.get("MEDSEGDIFF_SEED", "0"))
WORKERS = "medsegdiff.worker"
RARE = {"do_reload_module"}  # of developers only: in every fifth round
EVERY = 100  # actions, after each of which memory is looked at; after the first ones all that is used is loaded
GROWTH = 0.05  # of the memory that is needed, from then to the end, each time with the scene closed
SCENES = 16  # that are loaded, edited and closed to see what Slicer itself keeps of each
SAVED = "do_save_and_load"
LEAST = 0.1  # share of the rounds in which each action took effect, one at least


class MedSegDiffRandomActionsTest(unittest.TestCase):
    def setUp(self):
        slicer.util.mainWindow().resize(1200, 800)
        self.errors = self.enterContext(ObserverErrors())
        self.enterContext(patch("slicer.util.confirmOkCancelDisplay", return_value=True))  # in tests Slicer says no
        folder = self.enterContext(tempfile.TemporaryDirectory())
        self.actions = RandomActions(random.Random(SEED), Path(folder))
        self.asked, self.happened = Counter(), Counter()

    def sequence(self) -> Iterator[str]:
        """All actions in an order by chance, round by round. In the first round, and then half of the time, they see to
        what they need."""
        chance, number = self.actions.random, 0
        while True:
            names = [name for name in RandomActions.names() if name not in RARE or number % 5 == 0]
            for name in chance.sample(names, len(names)):
                self.actions.prepares = number == 0 or chance.random() < 0.5
                yield name
            number += 1

    def test_random_actions(self):
        memory, used, closed, saved = [], [], [], []
        for number, name in zip(range(ACTIONS), self.sequence()):
            if number and number % EVERY == 0:
                memory.append(self.memory_when_closed())
                used.append(self.used)
                closed.append(self.actions.closed)
                saved.append(self.happened[SAVED])
            self.asked[name] += 1
            self.happened[name] += getattr(self.actions, name)()
            self.actions.some_turns()
            delete_what_was_given_up()
            self.assertEqual(self.errors, [], (number, name))
            self.assertLessEqual(len(workers()), 1, (number, name))
        memory.append(self.memory_when_closed())
        used.append(self.used)
        told, held = (", ".join(f"{size / 2**20:.0f}" for size in sizes) for sizes in (memory, used))
        print(f"MEASURED {ACTIONS} random actions, MiB with the scene closed: {told}, of which the heap needs {held}; "
              f"took effect {dict(self.happened)} of {dict(self.asked)}")  # fmt: skip
        self.assertEqual(self.results, 0, "results that nobody can see any more are kept")
        rare = [n for n in RandomActions.names() if self.happened[n] < max(1, LEAST * self.asked[n])]
        self.assertLessEqual(len(rare), 0 if ACTIONS >= 2 * EVERY else 2, rare)  # by chance in a short sequence
        if ACTIONS >= 2 * EVERY:
            needed, resident = used[-1] / max(used[0], 1) - 1, memory[-1] / memory[0] - 1
            loaded = self.happened[SAVED] - saved[0]
            scenes = self.actions.closed - closed[0] - 2 * loaded  # closed when it is saved, and once more later
            bare = scenes * self.kept_of_a_scene(saved=False) + loaded * self.kept_of_a_scene(saved=True)
            slicers = bare / max(used[0], 1)
            print(f"MEASURED memory that is needed grew by {needed:.1%}, resident memory by {resident:.1%}; closing "
                  f"{scenes} scenes and saving and loading {loaded} alone makes it grow by {slicers:.1%}")  # fmt: skip
            self.assertLess(needed - max(slicers, 0), GROWTH)
            self.assertLess(resident, 2 * GROWTH)  # gaps between what is needed, which the allocator keeps for later
        slicer.util.getModuleLogic("MedSegDiffSlicer").close()
        turn_until(lambda: not workers())

    def memory_when_closed(self) -> int:
        """Memory of this process in a state that is always alike: nothing is loaded, and freed memory is given back."""
        self.actions.wait()
        self.actions.close_scene()  # what views and editors keep of the last scene they keep of the sample
        self.actions.editor.setActiveEffect(None)
        slicer.util.forceRenderAllViews()  # which have room for what they draw from then on
        self.actions.clear()
        give_memory_back()
        size, self.used = resident_bytes(), heap_bytes()
        self.results = sum(type(kept).__name__ == "SegmentResult" for kept in gc.get_objects())
        self.actions.close_scene()
        return size

    def kept_of_a_scene(self, saved: bool) -> float:
        """Bytes that closing a scene costs in which a scan was edited with Slicer's own Paint.

        saved: it is saved, closed and loaded before.
        """
        slicer.util.selectModule("SegmentEditor")
        editor, sizes = self.actions.editor, []
        for number in range(SCENES + 1):
            scan = load_sample()
            editor.setSegmentationNode(slicer.mrmlScene.AddNewNodeByClass("vtkMRMLSegmentationNode"))
            editor.setSourceVolumeNode(scan)
            editor.setActiveEffectByName("Paint")
            self.actions.some_turns()
            editor.setActiveEffect(None)
            if saved:
                self.actions.save_and_load()
            slicer.mrmlScene.Clear(0)
            if number in (0, SCENES):
                give_memory_back()
                sizes.append(heap_bytes())
        return (sizes[1] - sizes[0]) / SCENES


def give_memory_back() -> None:
    """Lets the application live for a moment, and then has what it does without freed."""
    end = time.monotonic() + 0.5
    turn_until(lambda: time.monotonic() > end)
    delete_what_was_given_up()
    gc.collect()
    if sys.platform == "linux":
        ctypes.CDLL(None).malloc_trim(0)


def workers() -> list[int]:
    """Process ids of living workers that this application has started."""
    found = []
    for folder in Path("/proc").glob("[0-9]*"):
        try:
            status, command = (folder / "stat").read_text(), (folder / "cmdline").read_text("utf-8", "replace")
        except OSError:
            continue
        if WORKERS in command and status.rpartition(")")[2].split()[0] != "Z" and is_child(folder, os.getpid()):
            found.append(int(folder.name))
    return found


def is_child(folder: Path, parent: int) -> bool:
    return int((folder / "stat").read_text().rpartition(")")[2].split()[1]) == parent


def heap_bytes() -> int:
    """What is allocated; the rest of the memory is code, drawing, and what the allocator keeps for later. 0 where the
    system's library does not tell."""
    library = glibc()
    if not hasattr(library, "mallinfo2"):
        return 0
    found = library.mallinfo2()
    return found.uordblks + found.hblkhd


def resident_bytes() -> int:
    """Memory of this process."""
    return int(Path("/proc/self/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE")
