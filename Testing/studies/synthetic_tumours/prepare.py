"""A dataset of synthetic brain tumours in four MR contrasts, for `medsegdiff train`.

    python Testing/studies/synthetic_tumours/prepare.py TEMPLATE OUT

TEMPLATE: folder with the ICBM 152 template and its tissue maps
  (mni_icbm152_{t1,gm,wm}_tal_nlin_sym_09a_converted.nii.gz, as the Python package nilearn 0.14.1 carries them in
  nilearn/datasets/data).
OUT: a new folder; imagesTr and labelsTr hold CASES cases to learn from and VALIDATION (dataset.json) to calibrate on,
  imagesTs and labelsTs HELD_OUT more, which only the measurement sees. CASE_0000 is T1, then T1 with contrast agent,
  T2, FLAIR.

Each case is the template turned, stretched and bent at random, 2.5 mm, with grey values drawn for each tissue (as in
SynthSeg, Billot et al., 2023) and the template's own texture in T1; half of them within a skull, half in thick slices.
One to four lesions are painted in: a core that takes up contrast agent, the larger ones but for their middle, and an
oedema of the white matter around it; and vessels, which take it up, too, and are none. Labels: 1 oedema, 2 core.
"""

from __future__ import annotations

import argparse
import json
from pathlib import Path

import numpy as np
import SimpleITK as sitk
import torch
from scipy import ndimage
from torch.nn import functional

CASES, VALIDATION, HELD_OUT = 40, 8, 8
SPACING = 2.5  # mm
TISSUES = ("fluid", "grey", "white")
CONTRASTS = {  # mean brightness of fluid, grey and white matter, oedema, core, its dead middle
    "T1": (0.25, 0.60, 0.85, 0.55, 0.55, 0.35),
    "T1 post": (0.25, 0.62, 0.87, 0.55, 1.35, 0.35),
    "T2": (1.00, 0.60, 0.42, 0.85, 0.75, 0.95),
    "FLAIR": (0.20, 0.65, 0.50, 1.05, 0.85, 0.60),
}
OEDEMA, CORE = 1, 2

Random = np.random.Generator


def smooth_noise(random: Random, shape: tuple[int, ...], millimetres: float) -> np.ndarray:
    """Noise (i, j, k) with mean 0, deviation 1 and structures about so large."""
    coarse = random.standard_normal([max(2, int(n * min(1.0, SPACING / millimetres))) for n in shape])
    coarse = torch.from_numpy(ndimage.gaussian_filter(coarse.astype(np.float32), 0.8))
    noise = functional.interpolate(coarse[None, None], shape, mode="trilinear")[0, 0].numpy()
    return (noise - noise.mean()) / noise.std()


def brain(random: Random, template: np.ndarray) -> np.ndarray:
    """The template's volumes (N, I, J, K), of 1 mm, bent at random: (N, i, j, k)."""
    shape = tuple(int(n / SPACING) for n in template.shape[1:])
    angles, scale = np.radians(random.uniform(-15, 15, 3)), random.uniform(0.88, 1.12, 3)
    turn = np.eye(3)
    for axis, angle in enumerate(angles):
        one, two, step = (axis + 1) % 3, (axis + 2) % 3, np.eye(3)
        step[[one, two], [one, two]], step[one, two], step[two, one] = np.cos(angle), -np.sin(angle), np.sin(angle)
        turn = step @ turn
    centre = (np.array(shape) - 1) / 2
    places = np.stack(np.meshgrid(*map(np.arange, shape), indexing="ij")).reshape(3, -1) - centre[:, None]
    bent = np.stack([smooth_noise(random, shape, 24).ravel() for _ in range(3)]) * random.uniform(0, 3)
    places = (turn @ (SPACING * scale[:, None] * places) + bent) / ((np.array(template.shape[1:])[:, None] - 1) / 2)
    grid = torch.from_numpy(places[::-1].T.reshape(1, *shape, 3).astype(np.float32))  # the last axis first, -1 to 1
    return functional.grid_sample(torch.from_numpy(template[None]), grid, align_corners=True)[0].numpy()


def lesion(random: Random, white: np.ndarray, inside: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Masks of a core, its dead middle, and oedema. white: share of white matter.  inside: the brain."""
    possible = np.argwhere(ndimage.binary_erosion(inside, iterations=2))
    place = possible[random.integers(len(possible))]
    radius = float(np.exp(random.uniform(np.log(4), np.log(22))))
    grid = np.stack(np.meshgrid(*map(np.arange, inside.shape), indexing="ij"))
    away = (
        np.linalg.norm((grid - place[:, None, None, None]) * random.uniform(0.8, 1.25, (3, 1, 1, 1)), axis=0) * SPACING
    )
    away += min(4.0, radius / 3) * smooth_noise(random, inside.shape, max(3.0, radius / 2))
    core = (away < radius) & inside
    middle = core & (away < radius - random.uniform(2, 8)) if random.random() < 0.7 else np.zeros_like(core)
    reach = random.uniform(0, 22) * (0.25 + 0.75 * ndimage.gaussian_filter(white, 1))
    oedema = (away < radius + reach + 2 * smooth_noise(random, inside.shape, 6)) & inside & ~core
    return core, middle, oedema if random.random() < 0.85 else np.zeros_like(core)


def vessels(random: Random, shape: tuple[int, ...]) -> np.ndarray:
    """Share of vessel in each voxel: where two fields of noise are nearly 0 runs a winding tube."""
    one, two = (smooth_noise(random, shape, random.uniform(8, 16)) for _ in range(2))
    return np.exp(-(one**2 + two**2) / (2 * random.uniform(0.04, 0.10) ** 2))


def case(random: Random, template: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Four contrasts (4, i, j, k) int16, and labels (i, j, k) uint8. template: T1, grey and white matter in [0, 1]."""
    texture, grey, white = brain(random, template)
    inside = ndimage.binary_fill_holes(grey + white + (texture > 0.1) > 0.5)
    share = np.stack([np.clip(inside - grey - white, 0, 1), grey, white])
    label, core, middle = np.zeros(inside.shape, np.uint8), np.zeros_like(inside), np.zeros_like(inside)
    for _ in range(random.integers(1, 5)):
        one, dead, swollen = lesion(random, white, inside)
        core, middle = core | one, (middle & ~one) | dead
        label[swollen & (label == 0)] = OEDEMA
    label[core] = CORE
    parts = [
        ndimage.gaussian_filter(mask.astype(np.float32), 0.5) for mask in (label == OEDEMA, core & ~middle, middle)
    ]
    beside = np.clip(ndimage.distance_transform_edt(~inside) * SPACING, 0, 30)
    skull, blood, thick = random.random() < 0.5, vessels(random, inside.shape), random.integers(1, 4)
    images = []
    for name, means in CONTRASTS.items():
        means = np.array(means) * np.append(random.uniform(0.88, 1.12, 5), random.uniform(0.5, 1.5))
        image = np.tensordot(means[:3], share, 1)
        if name.startswith("T1"):
            image = 0.5 * image + 0.5 * texture * means[2]
        for part, mean in zip(parts, means[3:]):
            image += part * (mean * (1 + 0.06 * smooth_noise(random, inside.shape, 4)) - image)
        image += blood * inside * ((1.3 if name == "T1 post" else 0.2) - image) * (0.8 if name == "T1 post" else 0.5)
        if skull:
            scalp = np.exp(-(((beside - 11) / random.uniform(2, 4)) ** 2)) * random.uniform(0.3, 1.4)
            bone = 0.15 * np.exp(-(((beside - 4) / 3) ** 2))
            image = np.where(inside, image, scalp + bone)
        image *= np.exp(0.1 * smooth_noise(random, inside.shape, 50))
        image = ndimage.gaussian_filter(image, random.uniform(0, 0.5))
        image = ndimage.uniform_filter1d(image, thick, axis=2)
        noise = random.uniform(0.01, 0.05)
        image = np.hypot(
            image + noise * random.standard_normal(image.shape), noise * random.standard_normal(image.shape)
        )
        images.append((1000 * image * (inside | skull)).astype(np.int16))
    return np.stack(images), label


def write(folder: Path, end: str, name: str, images: np.ndarray, label: np.ndarray) -> None:
    """A case of the dataset; the axes point to R, A, S."""
    files = {f"images{end}/{name}_{n:04d}": image for n, image in enumerate(images)} | {f"labels{end}/{name}": label}
    for file, array in files.items():
        volume = sitk.GetImageFromArray(np.ascontiguousarray(array.T))
        volume.SetSpacing([SPACING] * 3)
        volume.SetDirection((-1, 0, 0, 0, -1, 0, 0, 0, 1))
        path = folder / f"{file}.nii.gz"
        path.parent.mkdir(parents=True, exist_ok=True)
        sitk.WriteImage(volume, str(path))


def prepare(template: Path, out: Path) -> None:
    """Writes the dataset."""
    volumes = []
    for part in ("t1", "gm", "wm"):
        volume = sitk.ReadImage(
            str(template / f"mni_icbm152_{part}_tal_nlin_sym_09a_converted.nii.gz"), sitk.sitkFloat32
        )
        volumes.append(sitk.GetArrayFromImage(sitk.DICOMOrient(volume, "LPS")).T[::-1, ::-1] / 255)
    template_array = np.stack(volumes).astype(np.float32)
    names = [f"tumour{number:03d}" for number in range(CASES + VALIDATION + HELD_OUT)]
    for number, name in enumerate(names):
        images, label = case(np.random.default_rng(number), template_array)
        write(out, "Tr" if number < CASES + VALIDATION else "Ts", name, images, label)
    about = {"name": "lesions painted into the ICBM 152 template", "reference": "Fonov et al., 2011"}
    (out / "dataset.json").write_text(json.dumps({**about, "val": names[CASES : CASES + VALIDATION]}))


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("template", type=Path)
    parser.add_argument("out", type=Path)
    arguments = parser.parse_args()
    prepare(arguments.template, arguments.out)
