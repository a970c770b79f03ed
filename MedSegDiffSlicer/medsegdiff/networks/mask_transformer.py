"""A mask transformer: object queries that become the centres of clusters of voxels, and how far a voxel is from all."""

from __future__ import annotations

from collections.abc import Sequence
from math import sqrt
from typing import NamedTuple

import torch
from monai.networks.blocks.dynunet_block import UnetBasicBlock, UnetUpBlock
from monai.networks.layers import Conv
from torch import Tensor, nn

from .attention import Attention, FeedForward, checked_dims, tokens_of
from .supervision import Supervised

_DISTRIBUTION = 0.5  # weight of the query-distribution loss


class Clusters(NamedTuple):
    """responses: (B, N, *spatial), how much each voxel is like each of N cluster centres.
    classes: (B, N, out_channels), logits of what the voxels of a cluster are."""

    responses: Tensor
    classes: Tensor


class MaskTransformer(nn.Module):
    """Yuan et al., "Devil is in the Queries: Advancing Mask Transformers for Real-world Medical Image Segmentation and
    Out-of-Distribution Localization", CVPR 2023, arXiv:2304.00212, after its abstract and overview; on the kind of MaX-
    DeepLab (arXiv:2012.00759), CMT-DeepLab (arXiv:2206.08948) and kMaX-DeepLab (arXiv:2207.04044).

    image: (B, in_channels, *spatial) float, spatial divisible by 2 ** (len(channels) - 1) -> logits (B, out_channels,
    *spatial). In training, more than one voxel must remain at the deepest level.
    channels: of the levels of the U-Net, the highest resolution first; sizes halve from level to level.
    queries: of each label, the background among them.  width: of queries and voxels where they meet.
    heads: of the queries' attention among each other.  depth: blocks at each level of the decoder but the highest.
    dropout: of the blocks, in training, and by Monte-Carlo dropout.  spatial_dims: 2 or 3.
    Raises ValueError for other arguments.

    From the paper: a U-Net as of nnU-Net; queries that are refined by cross attention to its decoder's features from
    the lowest resolution up, and by self attention; voxels that are softly assigned to the clusters whose centres the
    queries are, and clusters that are classified: a voxel's logits are those of its clusters. `max_query`: what
    responds to none of the centres, which fit what was learnt, is out of distribution. The query-distribution loss,
    which keeps queries of the foreground from being spent on the background: the queries are dealt out to the labels,
    and the share of a voxel's assignments to those of its label is trained as a segmentation, too.
    What the sources at hand leave open, in the plainest form: cross attention is a step of soft k-means (each centre is
    told the mean of the voxels, weighed by their assignments), as in CMT-DeepLab, since it needs no supervision of its
    own where kMaX-DeepLab's hard assignments do; no positions; equally many queries a label; the weight of the
    query-distribution loss, 1/2, which here has a Dice term, too.
    """

    diffusion = False

    def __init__(
        self,
        in_channels: int,
        out_channels: int,
        spatial_dims: int = 3,
        channels: Sequence[int] = (32, 64, 128, 256, 320),
        queries: int = 8,
        width: int = 64,
        heads: int = 4,
        depth: int = 1,
        dropout: float = 0.0,
    ):
        super().__init__()
        self.spatial_dims = checked_dims(spatial_dims)
        if min(in_channels, queries, width, depth, *channels) < 1 or out_channels < 2 or not 0 <= dropout < 1:
            raise ValueError("numbers must be at least 1, out_channels at least 2, dropout from 0 to below 1")
        if len(channels) < 2:
            raise ValueError("channels need two levels at least")
        conv, norm = Conv[Conv.CONV, spatial_dims], ("instance", {"affine": True})
        first = UnetBasicBlock(spatial_dims, in_channels, channels[0], 3, 1, norm)
        steps = list(zip(channels, channels[1:]))
        lower = (UnetBasicBlock(spatial_dims, high, low, 3, 2, norm) for high, low in steps)
        self.encoder = nn.ModuleList([first, *lower])
        self.decoder = nn.ModuleList(
            UnetUpBlock(spatial_dims, low, high, 3, 1, 2, norm, trans_bias=True) for high, low in reversed(steps)
        )
        self.queries = nn.Parameter(torch.randn(out_channels * queries, width))
        self.enter = nn.ModuleList(conv(n, width, 1) for n in reversed(channels[1:]))
        self.blocks = nn.ModuleList(
            nn.ModuleList(ClusterBlock(width, heads, dropout) for _ in range(depth)) for _ in channels[1:]
        )
        self.voxels = conv(channels[0], width, 1)
        self.centres = nn.Sequential(nn.LayerNorm(width), nn.Linear(width, width))
        self.classes = nn.Sequential(nn.LayerNorm(width), nn.Linear(width, out_channels))

    def forward(self, image: Tensor) -> Tensor:
        return _logits(self.clusters(image))

    def max_query(self, image: Tensor) -> Tensor:
        """(B, *spatial): minus the largest response of a query to each voxel; the higher, the less it is like anything
        that was learnt. It has no unit: compare it with that of images of the same kind. It finds what lies between the
        kinds that were learnt; features beyond all of them, as of extreme brightness, may respond more, not less."""
        return -self.clusters(image).responses.amax(1)

    def supervised(self, image: Tensor) -> Supervised:
        found = self.clusters(image)
        labels = found.classes.shape[-1]
        shares = found.responses.float().unflatten(1, (labels, -1)).logsumexp(2)  # logits of each label's queries
        return Supervised((_logits(found), shares), (1.0, _DISTRIBUTION))

    def clusters(self, image: Tensor) -> Clusters:
        """The clusters of the image's voxels; queries n * `queries` to (n + 1) * `queries` are those of label n."""
        levels = [image]
        for block in self.encoder:
            levels.append(block(levels[-1]))
        x, centres = levels.pop(), self.queries.expand(len(image), -1, -1)
        for up, enter, blocks in zip(self.decoder, self.enter, self.blocks):
            voxels = tokens_of(enter(x))
            for block in blocks:
                centres = block(centres, voxels)
            x = up(x, levels.pop())
        voxels = self.voxels(x)
        responses = torch.einsum("bnc,bc...->bn...", self.centres(centres), voxels) / sqrt(voxels.shape[1])
        return Clusters(responses, self.classes(centres))


class ClusterBlock(nn.Module):
    """Cluster centres (B, N, width) told of voxels (B, P, width), and of each other -> (B, N, width)."""

    def __init__(self, width: int, heads: int, dropout: float):
        super().__init__()
        self.norms = nn.ModuleList(nn.LayerNorm(width) for _ in range(3))
        self.query, self.key = nn.Linear(width, width), nn.Linear(width, width)
        self.value, self.out = nn.Linear(width, width), nn.Linear(width, width)
        self.among = Attention(width, heads, dropout)
        self.mlp = FeedForward(width, 4 * width, dropout)

    def forward(self, centres: Tensor, voxels: Tensor) -> Tensor:
        asked = self.query(self.norms[0](centres))
        shares = (asked @ self.key(voxels).mT / sqrt(voxels.shape[-1])).softmax(1)  # of a voxel, over the centres
        weights = shares / shares.sum(-1, keepdim=True).clamp(min=1e-6)
        centres = centres + self.out(weights @ self.value(voxels))
        centres = centres + self.among(self.norms[1](centres))
        return centres + self.mlp(self.norms[2](centres))


def _logits(found: Clusters) -> Tensor:
    return torch.einsum("bn...,bnk->bk...", found.responses.softmax(1), found.classes)
