"""Are models of nnU-Net v2 the same here as in nnU-Net itself, and what do they cost?

    python Testing/studies/nnunet_parity.py ../shared/data/msd_hippocampus --steps 60

trains three small networks of nnU-Net (2D; 3D; 3D with a residual encoder and anisotropic plans) for a few steps, so
that what they say means something; writes them as nnU-Net's trainer does; and asks nnU-Net's own predictor and
`segment`, each in a process of its own on the CPU, about images of other voxel sizes, also anisotropic ones. Printed
are the share of voxels with the same label, among all and among those that either calls a structure, the seconds of the
prediction with preprocessing and resampling, and the memory at its peak above that with the model loaded (and in all),
MB. Needs nnunetv2.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "backend"))

CASES = {  # voxel size in mm along i, j, k, and how often the image is repeated, mirrored, along these
    "as it is": ((1.0, 1.0, 1.0), (1, 1, 1)),
    "finer": ((0.7, 0.8, 0.9), (1, 1, 1)),
    "thick slices": ((0.8, 0.9, 4.0), (1, 1, 1)),
    "within zeros": ((1.0, 0.9, 1.1), (1, 1, 1)),
    "large": ((0.9, 0.8, 1.2), (2, 2, 1)),
}


REGIONS = {"labels": {"background": 0, "whole": [1, 2], "posterior": 2}, "regions_class_order": [1, 2]}


def train(configuration: str, dataset: Path, steps: int, seed: int, regions: bool) -> dict:
    """Weights under nnU-Net's names, after `steps` steps of Adam on patches of training cases; of labels, or of
    REGIONS."""
    import torch
    from medsegdiff.evaluation.dataset import read_dataset
    from medsegdiff.inference.preprocessing import Preprocessing
    from medsegdiff.models.nnunet_plans import architecture_of, configuration_of, preprocessing_of
    from medsegdiff.networks.registry import build_network
    from nnunet_folder import plans_of

    torch.manual_seed(seed)
    rng, plans = np.random.default_rng(seed), plans_of(configuration, masked=True)
    entries = configuration_of(plans, configuration)
    kind, options = architecture_of(entries)
    network = build_network("nnunet", {"in_channels": 1, "out_channels": 2 if regions else 3, "architecture": kind,
                                        "options": options})  # fmt: skip
    image_steps = preprocessing_of(plans, entries, 1)
    label_steps = {**image_steps, "normalization": "none", "resampling": "linear", "crop": None}
    cases = [case.read() for case in read_dataset(dataset)["train"][:8]]
    pairs = []
    for image, label in cases:
        masks = type(image)(np.stack([label == n for n in range(3)]).astype(np.float32), image.affine)
        shown = Preprocessing.from_dict(image_steps).prepare(image).array
        pairs.append((shown, Preprocessing.from_dict(label_steps).prepare(masks).array.argmax(0)))
    optimiser = torch.optim.Adam(network.parameters(), 3e-3)
    patch = [size or 1 for size in image_steps["window"]]
    for _ in range(steps):
        batch = []
        for image, label in (pairs[n] for n in rng.integers(0, len(pairs), 4)):
            shape = [min(a, b) for a, b in zip(image.shape[1:], label.shape)]
            start = [int(rng.integers(0, count - size + 1)) for count, size in zip(shape, patch)]
            box = tuple(slice(first, first + size) for first, size in zip(start, patch))
            batch.append((image[(slice(None), *box)], label[box]))
        x, y = torch.from_numpy(np.stack([b[0] for b in batch])), torch.from_numpy(np.stack([b[1] for b in batch]))
        if network.spatial_dims == 2:
            x, y = x[..., 0], y[..., 0]
        if regions:
            wanted = torch.stack([y > 0, y == 2], 1).float()
            loss = torch.nn.functional.binary_cross_entropy_with_logits(
                network(x), wanted, pos_weight=torch.tensor(5.0)
            )
        else:
            loss = torch.nn.functional.cross_entropy(network(x), y, torch.tensor([0.2, 1.0, 1.0]))
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
    print(f"{configuration}: trained, cross-entropy {loss.item():.3f}", file=sys.stderr, flush=True)
    return {name.removeprefix("net."): value.detach() for name, value in torch.nn.Module.state_dict(network).items()}


def memory() -> float:
    """MB at the peak so far."""
    import resource

    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024


def ask_nnunet(folder: Path, images: list[Path], folds: list[str]) -> list[dict]:
    import torch
    from nnunetv2.imageio.simpleitk_reader_writer import SimpleITKIO
    from nnunetv2.inference.predict_from_raw_data import nnUNetPredictor

    predictor = nnUNetPredictor(device=torch.device("cpu"), allow_tqdm=False)
    predictor.initialize_from_trained_model_folder(str(folder), folds, "checkpoint_final.pth")

    def predict(path: Path) -> np.ndarray:
        return predictor.predict_single_npy_array(*SimpleITKIO().read_images([str(path)])).T

    return measured(predict, images)


def ask_ours(folder: Path, images: list[Path], folds: list[str]) -> list[dict]:
    from medsegdiff import load_model, segment
    from medsegdiff.models.importing import import_packages

    os.environ["XDG_DATA_HOME"] = str(folder.parent / "home" / folder.name)  # a store of its own
    model = load_model(import_packages(folder, folds=folds)[-1].folder, device="cpu")
    return measured(lambda path: segment(model, path).labelmap, images)


def measured(predict, images: list[Path]) -> list[dict]:
    """One entry an image, in their order: the smallest first, so that each has its own peak of memory."""
    out = []
    for path in images:
        before = memory()
        began = time.perf_counter()
        labelmap = predict(path)
        seconds, after = time.perf_counter() - began, memory()
        np.save(f"{path}.{os.environ['WHO']}.npy", labelmap.astype(np.uint8))
        out.append({"seconds": seconds, "above": after - before, "peak": after})
    return out


def in_process(who: str, folder: Path, images: list[Path], folds: list[str]) -> list[dict]:
    command = [sys.executable, __file__, "--ask", who, str(folder), json.dumps([[str(p) for p in images], folds])]
    done = subprocess.run(command, capture_output=True, text=True, env={**os.environ, "WHO": who})
    if done.returncode:
        raise SystemExit(done.stderr)
    return json.loads(done.stdout.splitlines()[-1])


def make_images(dataset: Path, folder: Path, cases: list[str]) -> list[Path]:
    """A validation case with the voxel sizes of CASES, interpolated, in the original directions."""
    import SimpleITK as sitk
    from medsegdiff.evaluation.dataset import read_dataset

    source = sitk.ReadImage(str(read_dataset(dataset)["val"][0].images[0]), sitk.sitkFloat32)
    paths = []
    for name in cases:
        spacing, times = CASES[name]
        size = [round(n * a / b) for n, a, b in zip(source.GetSize(), source.GetSpacing(), spacing)]
        image = sitk.Resample(
            source, size, sitk.Transform(), sitk.sitkLinear, source.GetOrigin(), spacing, source.GetDirection()
        )
        image = (
            sitk.MirrorPad(image, [0] * 3, [n * (t - 1) for n, t in zip(size, times)]) if times != (1, 1, 1) else image
        )
        if name == "within zeros":
            array = sitk.GetArrayFromImage(image)
            array[:, :6, :4] = 0
            zeroed = sitk.GetImageFromArray(array)
            zeroed.CopyInformation(image)
            image = sitk.ConstantPad(zeroed, [9, 5, 7], [4, 11, 3], 0.0)
        paths.append(folder / f"{name.replace(' ', '_')}.nii.gz")
        sitk.WriteImage(image, str(paths[-1]))
    return paths


def _memory(entry: dict) -> str:
    return f"{entry['above']:.0f} ({entry['peak']:.0f})"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("dataset", type=Path, nargs="?")
    parser.add_argument("--steps", type=int, default=60)
    parser.add_argument("--configurations", nargs="+", default=["2d", "3d_fullres", "3d_fullres_resenc"])
    parser.add_argument("--folds", type=int, default=1, help="asked together, as an ensemble that averages logits")
    parser.add_argument("--regions", action="store_true", help="networks of regions that overlap, painted in order")
    parser.add_argument("--cases", nargs="+", default=list(CASES), choices=list(CASES))
    parser.add_argument("--ask", nargs=3, help=argparse.SUPPRESS)
    args = parser.parse_args()
    if args.ask:
        who, folder, what = args.ask
        images, folds = json.loads(what)
        answer = (ask_nnunet if who == "nnunet" else ask_ours)(Path(folder), [Path(p) for p in images], folds)
        print(json.dumps(answer))
        return
    from nnunet_folder import plans_of, write_folder

    print(
        "| configuration | image | voxels | same label | of structures | s, nnU-Net | s, here | MB, nnU-Net | MB, here "
        "|"
    )
    print("| --- | --- |" + " ---: |" * 7)
    with tempfile.TemporaryDirectory() as temporary:
        root = Path(temporary)
        images = make_images(args.dataset, root, args.cases)
        for configuration in args.configurations:
            mirror = (0, 1) if configuration == "2d" else (0, 1, 2)
            states = {
                str(fold): train(configuration, args.dataset, args.steps, fold, args.regions)
                for fold in range(args.folds)
            }
            plans = plans_of(configuration, masked=True)
            dataset = REGIONS if args.regions else None
            folder = write_folder(root / configuration, configuration, states, plans, dataset, mirror=mirror)
            theirs, ours = (in_process(who, folder, images, list(states)) for who in ("nnunet", "ours"))
            for path, a, b in zip(images, theirs, ours):
                x, y = (np.load(f"{path}.{who}.npy") for who in ("nnunet", "ours"))
                either = (x > 0) | (y > 0)
                same = f"{(x == y).mean():.4%} | {(x == y)[either].mean():.3%} ({either.mean():.0%})"
                costs = f"{a['seconds']:.2f} | {b['seconds']:.2f} | {_memory(a)} | {_memory(b)}"
                print(f"| {configuration} | {path.name.split('.')[0]} | {x.size} | {same} | {costs} |", flush=True)


if __name__ == "__main__":
    main()
