"""A slice view draws scan, segments and uncertainty: looked at pixel by pixel, without a display."""

from __future__ import annotations

import numpy as np

SHAPE = (24, 20, 16)


def colourfulness(rgb) -> float:
    return float(max(rgb) - min(rgb))


def test_segments_and_uncertainty_are_drawn_where_they_are(slice_view, scene, make_volume, make_result):
    from MedSegDiffSlicerLib.nodes.nodes_from_result import add_result
    from MedSegDiffSlicerLib.nodes.overlay import show_overlay

    rng = np.random.default_rng(5)
    volume, result, k = make_volume(rng.integers(90, 110, SHAPE).astype(np.int16)), make_result(SHAPE), 7
    volume.GetDisplayNode().AutoWindowLevelOff()
    volume.GetDisplayNode().SetWindowLevelMinMax(0, 200)
    bare = slice_view(volume, k, "bare")
    added = add_result(scene, result, volume)
    segments = slice_view(volume, k, "segments")
    added.segmentationNode.GetDisplayNode().SetVisibility(False)
    show_overlay(scene, added.uncertaintyVolumeNodes[0], opacity=0.7)
    overlay = slice_view(volume, k, "overlay")
    entropy = result.uncertainty("entropy")
    seen = {"inside": 0, "sure": 0, "doubtful": 0}
    for i in range(1, SHAPE[0] - 1):
        for j in range(1, SHAPE[1] - 1):
            assert colourfulness(bare(i, j)) == 0 and 100 < bare(i, j)[0] < 150
            label, doubt = result.labelmap[i, j, k], entropy[i, j, k]
            same = (result.labelmap[i - 1 : i + 2, j - 1 : j + 2, k] == label).all()
            if same and label:  # away from outlines: the fill, a mixture of grey and the label's colour
                color = np.array(result.labels[label - 1].color, float)
                mixed = segments(i, j) - bare(i, j)
                assert np.dot(mixed, color - 100) > 0 and colourfulness(segments(i, j)) > 20, (i, j)
                seen["inside"] += 1
            elif same:
                assert colourfulness(segments(i, j)) == 0, (i, j)
            if doubt < 0.01:
                assert np.abs(overlay(i, j) - bare(i, j)).max() <= 1, (i, j)
                seen["sure"] += 1
            elif doubt > 0.5:
                assert colourfulness(overlay(i, j)) > 60, (i, j)
                seen["doubtful"] += 1
    assert min(seen.values()) > 10, seen
