"""What do many labels on a large image cost, here, in nnU-Net's own predictor and with MONAI's SlidingWindowInferer?

    python Testing/studies/large_labels.py --size 192 192 128

One network (a U-Net with random weights, 105 labels; its last layer is multiplied, so that it is about as sure as a
trained one) looks at the same image in the same windows, half a window apart with Gaussian weights, once through each
of the three, in a process of its own on the CPU. Printed are the seconds from the prepared image to the label map (ours
with everything a result has: entropy, statistics of each structure) and those of the processor, which tell more on a
busy machine; the memory at its peak above that with the network and image loaded (and in all), GB; and the share of
voxels with our label. A program that would take more than --limit GB is stopped, not the machine. `--who ours` leaves
the others out; nnU-Net takes nnunetv2.
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

WHO = ("ours", "nnunet", "monai")
SURE = 40.0  # times the last layer's random weights


def scan(shape: tuple[int, ...]) -> np.ndarray:
    """(I, J, K) float32, mean 0 and deviation 1: blobs of a few voxels' size with noise."""
    rng = np.random.default_rng(0)
    coarse = rng.normal(size=[-(-n // 12) for n in shape]).astype(np.float32)
    for axis in range(3):
        coarse = coarse.repeat(12, axis)
    out = coarse[tuple(slice(0, n) for n in shape)]
    out = out + rng.normal(0, 0.3, shape).astype(np.float32)
    return (out - out.mean()) / out.std()


def write_model(folder: Path, labels: int, patch: int, channels: list[int]) -> Path:
    import torch
    from medsegdiff.models.package import Label, ModelPackage, write_package
    from medsegdiff.networks.registry import build_network

    arguments = {"in_channels": 1, "out_channels": labels, "channels": channels,
                 "strides": [2] * (len(channels) - 1), "num_res_units": 0}  # fmt: skip
    torch.manual_seed(0)
    network = build_network("unet", arguments)
    with torch.no_grad():
        for last in list(network.parameters())[-2:]:
            last *= SURE
    package = ModelPackage(
        folder=folder, name="many-labels", description="random weights",
        labels=tuple(Label(n, f"label {n}", (n, 200, 100)) for n in range(labels)),
        network={"name": "unet", "arguments": arguments}, channels=({"name": "CT", "modality": "CT"},),
        preprocessing={"orientation": [0, 1, 2], "spacing": None, "normalization": "none",
                       "divisible": 2 ** (len(channels) - 1),
                       "window": [patch] * 3, "resampling": "nnunet"},
    )  # fmt: skip
    write_package(package, network.state_dict())
    return folder


def ask_ours(model, image: np.ndarray, patch: int) -> np.ndarray:
    from medsegdiff import segment
    from medsegdiff.image.image import Image

    return segment(model, Image(image[None], np.eye(4)), tta=False).labelmap


def ask_nnunet(model, image: np.ndarray, patch: int) -> np.ndarray:
    import torch
    from nnunetv2.inference.predict_from_raw_data import nnUNetPredictor
    from types import SimpleNamespace

    predictor = nnUNetPredictor(device=torch.device("cpu"), allow_tqdm=False, use_mirroring=False)
    predictor.network, predictor.allowed_mirroring_axes = model.network, None
    predictor.configuration_manager = SimpleNamespace(patch_size=(patch,) * 3)
    predictor.label_manager = SimpleNamespace(num_segmentation_heads=len(model.package.labels))
    return predictor.predict_sliding_window_return_logits(torch.from_numpy(image[None])).argmax(0).numpy()


def ask_monai(model, image: np.ndarray, patch: int) -> np.ndarray:
    import torch
    from monai.inferers import SlidingWindowInferer

    inferer = SlidingWindowInferer((patch,) * 3, sw_batch_size=1, overlap=0.5, mode="gaussian")
    with torch.inference_mode():
        return inferer(torch.from_numpy(image[None, None]), model.network)[0].argmax(0).numpy()


def peak() -> float:
    """GB at the peak so far."""
    import resource

    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024 / 1e9


def ask(who: str, arguments: argparse.Namespace) -> dict:
    """What is measured of one program, in this process."""
    import resource

    from medsegdiff import load_model

    resource.setrlimit(resource.RLIMIT_DATA, (int(arguments.limit * 1e9),) * 2)
    model, image = load_model(arguments.folder / "model", device="cpu"), scan(arguments.size)
    before, began, used = peak(), time.perf_counter(), time.process_time()
    labelmap = globals()[f"ask_{who}"](model, image, arguments.patch)
    seconds, used = time.perf_counter() - began, time.process_time() - used
    np.save(arguments.folder / f"{who}.npy", labelmap.astype(np.uint8))
    return {"seconds": seconds, "used": used, "above": peak() - before, "peak": peak()}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--size", type=int, nargs=3, default=(192, 192, 128), metavar=("I", "J", "K"))
    parser.add_argument("--labels", type=int, default=105, help="with background")
    parser.add_argument("--patch", type=int, default=96, help="edge of a window")
    parser.add_argument("--channels", type=int, nargs="+", default=(8, 16), help="of the network's levels")
    parser.add_argument("--who", nargs="+", choices=WHO, default=WHO)
    parser.add_argument("--limit", type=float, default=16.0, help="GB that a program may take")
    parser.add_argument("--folder", type=Path, help=argparse.SUPPRESS)
    parser.add_argument("--ask", choices=WHO, help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.ask:
        print(json.dumps(ask(arguments.ask, arguments)))
        return
    with tempfile.TemporaryDirectory() as folder:
        write_model(Path(folder) / "model", arguments.labels, arguments.patch, list(arguments.channels))
        print(f"{arguments.labels} labels, {' x '.join(map(str, arguments.size))} voxels, windows of {arguments.patch}")
        for who in arguments.who:
            done = subprocess.run(
                [sys.executable, __file__, *sys.argv[1:], "--ask", who, "--folder", folder],
                capture_output=True, text=True, env=os.environ,
            )  # fmt: skip
            if done.returncode:
                said = (done.stderr.strip() or f"ended by signal {-done.returncode}").splitlines()[-1]
                print(f"{who:8} did not end: {said}", flush=True)
                continue
            found = json.loads(done.stdout.splitlines()[-1])
            labelmap, ours = np.load(f"{folder}/{who}.npy"), Path(folder, "ours.npy")
            same = f"{(labelmap == np.load(ours)).mean():9.4%} as ours" if ours.exists() else ""
            print(
                f"{who:8} {found['seconds']:8.1f} s ({found['used']:.1f})  {found['above']:6.2f} GB "
                f"({found['peak']:.2f})  {same}",
                flush=True,
            )


if __name__ == "__main__":
    main()
