"""Regions that may overlap, as labels that do not: painted one over another.

A label's logit is its region's, on top of the likeliest of all that lies beneath it. So its odds against that are what
the region's sigmoid says, and the likeliest label is the one that painting the regions above 0.5 gives, as in nnU-Net's
region-based training (Isensee et al., nnU-Net for brain tumor segmentation, 2020, arXiv:2011.00848). What is averaged
are the regions' logits.
"""

from __future__ import annotations

from collections.abc import Sequence


def paint(regions, order: Sequence[int]) -> None:
    """Makes logits of labels of those of regions, in place.

    regions: (R + 1, ...) float array or tensor, the background's first; a constant for all labels changes nothing.
    order: the labels, each once, as they are painted; none where they do not overlap: nothing is changed.
    """
    if order:
        regions -= regions[:1] + 0  # + 0: a copy
    beneath = regions[0]
    for label in order:
        regions[label] += beneath
        beneath = beneath.clip(min=regions[label])


def unpaint(logits, order: Sequence[int]) -> None:
    """The opposite of paint."""
    if order:
        logits -= logits[:1] + 0
    beneath = logits[0]
    for label in order:
        above = beneath.clip(min=logits[label])
        logits[label] -= beneath
        beneath = above
