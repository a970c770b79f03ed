"""The engine: same seed, same result; tiles; progress; cancellation; what it refuses."""

import json
from dataclasses import replace

import numpy as np
import pytest
import torch
from command_line import noise
from medsegdiff import load_model, segment
from medsegdiff.errors import Cancelled, JobError, RequestError
from medsegdiff.image import Image, read_image
from medsegdiff.inference.backoff import smaller
from medsegdiff.inference.members import Opinions
from medsegdiff.inference.model import Model
from medsegdiff.inference.plan import make_plan
from medsegdiff.inference.request import SegmentRequest
from medsegdiff.inference.result import SegmentResult
from tiny_models import write_tiny_model


@pytest.fixture(scope="module")
def image() -> Image:
    rng = np.random.default_rng(0)
    return Image(rng.normal(100, 20, (1, 21, 30, 17)).astype(np.float32), np.diag([-1.0, 1.0, 1.0, 1.0]))


def test_result_is_whole(model, image):
    result = segment(model, image, samples=5, seed=1)
    assert result.labelmap.shape == image.shape and result.labelmap.dtype == np.uint8
    assert result.probability.shape == (3, *image.shape)
    np.testing.assert_allclose(result.probability.sum(0), 1, atol=1e-4)
    assert result.samples.shape == (5, *image.shape)
    for measure in ("entropy", "expected-entropy", "mutual-information", "variance"):
        values = result.uncertainty(measure)
        assert values.shape == image.shape and values.min() >= 0 and values.max() <= np.log(3) + 1e-4
    difference = result.uncertainty("entropy") - result.uncertainty("expected-entropy")
    np.testing.assert_allclose(result.uncertainty("mutual-information"), np.maximum(difference, 0), atol=1e-5)
    assert result.report["network_evaluations"] == 1 + 5 * 2
    assert result.report["samples"] == 5 and len(result.report["segments"]) == 2
    json.dumps(result.report)
    assert (result.samples[0] != result.samples[1]).any(), "samples of a diffusion model differ"


def test_same_seed_same_result(model, image):
    first, again, other = (segment(model, image, seed=s) for s in (4, 4, 5))
    np.testing.assert_array_equal(first.probability, again.probability)
    np.testing.assert_array_equal(first.packed_samples, again.packed_samples)
    assert (first.probability != other.probability).any()


@pytest.mark.parametrize("options", [{"sample_batch": 1}, {"sample_batch": 3}])
def test_batches_change_nothing(model, image, options):
    base, other = segment(model, image, samples=8), segment(model, image, samples=8, **options)
    np.testing.assert_allclose(base.probability, other.probability, atol=1e-4)
    assert (base.labelmap == other.labelmap).mean() >= 0.9999


def test_more_samples_keep_the_first_ones(model, image):
    few, many = segment(model, image, samples=3), segment(model, image, samples=6)
    assert (few.samples == many.samples[:3]).mean() >= 0.9999


def test_small_tiles_see_their_surroundings(model, image):
    """What fits into a tile with its surroundings is not cut; what is cut looks nearly as if it were not."""
    base, small = segment(model, image, samples=3), segment(model, image, samples=3, tile=32, overlap=0.5)
    np.testing.assert_array_equal(base.probability, small.probability)
    wide = Image(np.random.default_rng(1).normal(0, 1, (1, 24, 136, 24)).astype(np.float32), np.eye(4))
    whole, cut = segment(model, wide, samples=3), segment(model, wide, samples=3, tile=64)
    assert cut.report["network_evaluations"] > whole.report["network_evaluations"]
    assert (whole.report["models"][0]["tile"], cut.report["models"][0]["tile"]) == (None, [24, 64, 24])
    assert (whole.labelmap == cut.labelmap).mean() >= 0.95


def test_a_cut_image_gets_nearly_the_labels_of_the_whole(project_root):
    """A shipped network on its sample, mirrored to more than a tile; docs/speed.md tells of more sizes."""
    sample = read_image(project_root / "Resources/SampleData/ICBM152_hippocampus_left.nii.gz")
    image = Image(np.pad(sample.array, ((0, 0), (0, 72), (0, 0), (0, 0)), mode="symmetric"), sample.affine)
    unet = load_model("hippocampus-unet", device="cpu")
    whole, cut = segment(unet, image, tta=False), segment(unet, image, tta=False, tile=32)
    assert cut.report["models"][0]["tile"] is not None and whole.labelmap.any()
    assert (whole.labelmap == cut.labelmap).mean() >= 0.998


def test_tiles_of_a_large_image_cover_it(model):
    image = Image(np.random.default_rng(1).normal(0, 1, (1, 120, 33, 25)).astype(np.float32), np.eye(4))
    result = segment(model, image, samples=1, steps=1, tile=32, overlap=0.5)
    np.testing.assert_allclose(result.probability.sum(0), 1, atol=1e-4)


def test_mirrored_variants(model, image):
    result = segment(model, image, samples=4, tta=True)
    assert result.report["tta"] and result.report["network_evaluations"] == 2 + 4 * 2


def test_mirrored_variant_is_mirrored_back(tmp_path):
    """Over both variants, mirroring the image mirrors the result (a size that needs no padding)."""
    image = Image(np.random.default_rng(3).normal(0, 1, (1, 24, 16, 16)).astype(np.float32), np.eye(4))
    unet = load_model(write_tiny_model(tmp_path / "plain", "unet").folder, device="cpu")
    both = segment(unet, image, tta=True).probability
    mirrored = Image(image.array[:, ::-1], image.affine)
    np.testing.assert_allclose(both, segment(unet, mirrored, tta=True).probability[:, ::-1], atol=1e-5)


def test_plain_network_is_one_opinion(tmp_path, image):
    result = segment(load_model(write_tiny_model(tmp_path / "plain", "unet").folder), image, samples=8)
    assert result.report["samples"] == 1 and "deterministic" in result.report["warnings"][0]
    assert result.report["sampler"] is None


@pytest.mark.parametrize("sampler", ["ddim", "ddpm", "dpm++"])
def test_samplers_and_steps(model, image, sampler):
    result = segment(model, image, samples=2, steps=3, sampler=sampler)
    assert result.report["sampler"] == sampler and result.report["network_evaluations"] == 1 + 2 * 3


def test_other_voxel_size_comes_back_in_its_own_geometry(model):
    image = Image(np.random.default_rng(2).normal(0, 1, (1, 12, 30, 9)).astype(np.float32), np.diag([2.0, 0.8, 3.0, 1]))
    result = segment(model, image, samples=2)
    assert result.labelmap.shape == (12, 30, 9)
    np.testing.assert_allclose(result.probability.sum(0), 1, atol=1e-3)


@pytest.mark.parametrize("name", ["unet", "medsegdiff", "transformer"])
def test_images_of_very_few_voxels(project_root, name):
    """A network shrinks them to one position, where its normalisation knows no difference."""
    model = load_model(project_root / f"Resources/Models/hippocampus-{name}", device="cpu")
    for shape in ((1, 1, 1), (8, 8, 8)):
        with pytest.raises(RequestError, match="the image is too small for the model .*; give a larger part"):
            segment(model, Image(noise((1, *shape), 0), np.eye(4)), samples=1)
    assert segment(model, Image(noise((1, 9, 8, 8), 0), np.eye(4)), samples=1).labelmap.shape == (9, 8, 8)


def test_progress_rises_to_one(model, image):
    seen = []
    segment(model, image, samples=3, steps=2, progress=seen.append)
    shares = [p.fraction for p in seen]
    assert shares == sorted(shares) and shares[0] == 0 and shares[-1] == 1
    assert seen[-1].seconds_left == 0


def test_cancel_stops_at_the_next_network_call(model, image):
    calls = []

    def cancelled():
        calls.append(1)
        return len(calls) > 3

    with pytest.raises(Cancelled):
        segment(model, image, samples=100, steps=50, sample_batch=1, cancelled=cancelled)
    assert len(calls) == 4


def test_wrong_channel_count_is_refused(model):
    with pytest.raises(RequestError, match=r"takes 1 channel\(s\) \(T1\), the input has 2"):
        segment(model, Image(np.zeros((2, 8, 8, 8)), np.eye(4)))


def test_memory_shortage_is_survived_and_said(model, image, monkeypatch):
    whole = Opinions._sample

    def short(self, look, numbers, window, guide):
        if len(numbers) > 1:
            raise MemoryError("not enough")
        return whole(self, look, numbers, window, guide)

    monkeypatch.setattr(Opinions, "_sample", short)
    result = segment(model, image, samples=4)
    assert any("memory ran out" in w for w in result.report["warnings"])
    monkeypatch.undo()
    np.testing.assert_allclose(result.probability, segment(model, image, samples=4).probability, atol=1e-4)


def test_falling_back_to_the_cpu_leaves_the_model_as_it_is(model, image):
    """A model that was moved must stay usable where it was."""
    import torch

    pretended = Model(model.package, model.network, torch.device("meta"), torch.bfloat16, model.schedule)
    mended, plan, said = smaller(
        pretended, make_plan(SegmentRequest(model="m", tile=32, sample_batch=1), model, 1)[0], MemoryError(), 32
    )
    assert mended.device.type == "cpu" and mended.precision == torch.float32 and "CPU" in said
    assert mended.network is not model.network and pretended.device.type == "meta"


def test_what_torch_says_when_memory_is_short():
    import torch
    from medsegdiff.networks.device_errors import is_out_of_memory

    with pytest.raises(RuntimeError) as caught:
        torch.empty(10**15)
    assert is_out_of_memory(caught.value)
    for text in (
        "CUDA out of memory.", "MPS backend out of memory (MPS allocated: 1 GB)", "Invalid buffer size: 12.00 GB",
        "std::bad_alloc",
        "DefaultCPUAllocator: not enough memory: you tried to allocate 4 bytes.",
        "CUDA error: CUBLAS_STATUS_ALLOC_FAILED",
        "CUDA error: CUBLAS_STATUS_NOT_INITIALIZED when calling `cublasCreate(handle)`",
        "cuDNN error: CUDNN_STATUS_ALLOC_FAILED",
        "Failed to allocate memory for requested buffer of size 12",
        "cuFFT error: CUFFT_ALLOC_FAILED", "could not create a primitive", "could not create a memory object",
    ):  # fmt: skip
        assert is_out_of_memory(RuntimeError(text)), text
    for text in (
        "shapes differ",
        "could not create a primitive descriptor for a convolution",
        "CUDNN_STATUS_BAD_PARAM",
    ):
        assert not is_out_of_memory(RuntimeError(text)), text


def test_options_of_the_python_face(model, image):
    with pytest.raises(RequestError, match="unknown option"):
        segment(model, image, smaples=3)
    with pytest.raises(RequestError, match="load_model"):
        segment(model, image, device="cpu")
    report = segment(str(model.package.folder), image, samples=np.int64(2), device="cpu", precision="bf16").report
    assert report["precision"] == "bfloat16" and report["samples"] == 2


def test_refusing_by_unknown_rules_is_an_error(model, image):
    result = segment(model, image, samples=2)
    with pytest.raises(RequestError, match="fusion 'vote' is unknown"):
        result.refuse("vote")
    with pytest.raises(RequestError, match="threshold"):
        result.refuse("mean", 1.5)


def test_memory_shortage_without_end_is_an_error(model, image, monkeypatch):
    def none(self, look, numbers, window, guide):
        raise MemoryError("nothing left")

    monkeypatch.setattr(Opinions, "_sample", none)
    with pytest.raises(JobError, match="memory ran out"):
        segment(model, image, samples=2)


def test_refuse_needs_no_inference(model, image):
    result = segment(model, image, samples=5)
    again = result.refuse("majority", 0.3)
    assert again.report["fusion"] == "majority" and again.report["threshold"] == 0.3
    assert again.labelmap.astype(bool).sum() != result.labelmap.astype(bool).sum()
    np.testing.assert_array_equal(result.refuse("mean").labelmap, result.labelmap)
    assert again.statistics != result.statistics


def test_result_crosses_processes(model, image):
    result = segment(model, image, samples=2)
    arrays, meta = result.to_arrays()
    back = SegmentResult.from_arrays(arrays, json.loads(json.dumps(meta)))
    np.testing.assert_array_equal(back.samples, result.samples)
    assert back.labels == result.labels and back.report == json.loads(json.dumps(result.report))


@pytest.mark.parametrize(
    "options",
    [{"samples": 0}, {"samples": 2.5}, {"steps": 1001}, {"sampler": "euler"}, {"fusion": "vote"}, {"threshold": 1.0},
     {"seed": -1}, {"overlap": 0.95}, {"tile": 16}, {"device": "tpu"}, {"precision": "int8"}, {"tile": 3},
     {"samples": True}, {"device": "cpu:x"}, {"device": "auto:1"}, {"threshold": "0.5"}, {"variants": [None]}],
)  # fmt: skip
def test_requests_out_of_range_are_refused(options):
    with pytest.raises(RequestError):
        SegmentRequest(model="m", **options)


def test_request_round_trip_and_unknown_options():
    request = SegmentRequest(model="m", samples=3, threshold=0.4, tta=True)
    assert SegmentRequest.from_dict(json.loads(json.dumps(request.to_dict()))) == request
    with pytest.raises(RequestError, match="unknown option smaples"):
        SegmentRequest.from_dict({"model": "m", "smaples": 3})


def test_absent_gpu_is_refused(model):
    import torch

    if torch.cuda.is_available():
        pytest.skip("this machine has a GPU")
    with pytest.raises(RequestError, match="not available"):
        load_model(model.package.folder, device="cuda")


def test_truncated_sampling(model, image, tmp_path):
    """Starts from the model's own first opinion, or another model's; the report says so."""
    full = segment(model, image, samples=2, seed=3)
    own = segment(model, image, samples=2, seed=3, truncation=0.3)
    assert (own.probability != full.probability).any()
    other = write_tiny_model(tmp_path / "fast", "unet")
    guessed = segment(model, image, samples=2, seed=3, truncation=0.3, guess=str(other.folder))
    assert (guessed.probability != own.probability).any()
    assert guessed.report["truncation"] == 0.3 and guessed.report["guess"] == str(other.folder)
    assert guessed.report["network_evaluations"] == own.report["network_evaluations"] + 1


def test_guesses_that_do_not_fit_are_refused(model, image, tmp_path):
    stranger = write_tiny_model(tmp_path / "stranger", "unet", preprocessing={"spacing": [2, 2, 2]})
    with pytest.raises(RequestError, match="their preprocessing differ"):
        segment(model, image, truncation=0.5, guess=str(stranger.folder))
    for options in ({"truncation": 0}, {"truncation": 1.5}, {"eta": -0.1}, {"guess": "x"}, {"eta": True}):
        with pytest.raises(RequestError):
            SegmentRequest("tiny", **options)


@pytest.mark.parametrize("tta", [False, True])
@pytest.mark.parametrize("tile", [None, 32])
def test_guidance_sees_the_image_upright(model, tta, tile):
    """A guide that writes one label into the left half of the prepared image finds it there, whatever is mirrored or
    cut."""
    image = Image(np.random.default_rng(1).normal(0, 1, (1, 136, 16, 16)).astype(np.float32), np.eye(4))
    windows = set()

    def guide(probability, t, window):
        windows.add((window[0].start, window[0].stop))
        left = torch.arange(window[0].start, window[0].stop) < 30
        onehot = torch.zeros_like(probability)
        onehot[:, 1, left], onehot[:, 0, ~left] = 1, 1
        return onehot

    result = segment(model, image, samples=2, tta=tta, tile=tile, guide=guide)
    assert (result.labelmap[:30] == 1).all() and (result.labelmap[30:] == 0).all()
    assert (len(windows) > 1) == (tile is not None)


def test_options_without_effect_are_told(tmp_path, image):
    plain = write_tiny_model(tmp_path / "plain", "unet")
    result = segment(str(plain.folder), image, steps=7, truncation=0.5)
    assert any("steps, truncation changes nothing" in w for w in result.report["warnings"])
    usual = segment(str(plain.folder), image, steps=1)  # as Slicer's panel asks, whatever the model
    assert not any("changes nothing" in w for w in usual.report["warnings"])


@pytest.mark.parametrize("sampler", ["ddim", "ddpm", "dpm++"])
def test_fresh_noise_in_a_sampler_that_has_no_such_option_is_told(model, image, sampler):
    report = segment(model, image, samples=1, sampler=sampler, eta=0.5).report
    assert any("eta is an option of the sampler ddim" in w for w in report["warnings"]) == (sampler != "ddim")
    assert report["eta"] == report["models"][0]["eta"] == (0.5 if sampler == "ddim" else None)
    assert not any("eta" in w for w in segment(model, image, samples=1, sampler=sampler).report["warnings"])


def test_a_truncated_diffusion_has_no_more_steps_than_it_holds(model, image):
    report = segment(model, image, samples=1, steps=50, truncation=0.003).report
    assert report["steps"] == 3 and report["network_evaluations"] == 1 + 3


def test_an_image_may_be_a_pair_of_array_and_affine(model, image):
    expected = segment(model, image, samples=1).labelmap
    for pair in ((image.array[0], image.affine), [image.array, image.affine.tolist()]):
        np.testing.assert_array_equal(segment(model, pair, samples=1).labelmap, expected)
    for pair in ((image.array[0, 0], image.affine), (image.array[0], np.eye(3)), (image.array[0], None), (image.array,)):
        with pytest.raises(RequestError, match="this is no pair of an array"):
            segment(model, pair)


@pytest.mark.parametrize("image", [None, np.zeros((8, 8, 8))])
def test_what_is_no_image_is_refused(model, image):
    with pytest.raises(RequestError, match="is no image; give a file"):
        segment(model, image)


def test_image_and_model_in_the_wrong_order_are_refused(model, image):
    with pytest.raises(RequestError, match="of type Image is no model; give its name"):
        segment(image, model)


@pytest.mark.parametrize(("channels", "options", "said"), [
    (2, {}, "takes 1 channel"),
    (1, {"missing": ["T2"]}, "no channel 'T2'"),
    (1, {"clicks": [(900, 0, 0, 1)]}, "outside the image"),
    (1, {"clicks": [(0, 3, 3, 7)]}, "has the label 7"),
    (1, {"weights": "quality"}, "no weight by quality"),
    (1, {"guess": "nobody", "truncation": 0.5}, "model 'nobody' is not known"),
])  # fmt: skip
def test_nothing_is_loaded_for_what_cannot_be_done(image, tmp_path, monkeypatch, channels, options, said):
    monkeypatch.setattr("medsegdiff.inference.engine.load_model", lambda *_: pytest.fail("loaded"))
    package = write_tiny_model(tmp_path / "tiny")
    with pytest.raises(RequestError, match=said):
        segment(package.folder, Image(np.repeat(image.array, channels, 0), image.affine), **options)
    with pytest.raises(RequestError, match="no such file"):
        segment(package.folder, tmp_path / "absent.nii.gz")


def test_numbers_and_arrays_of_numpy_are_numbers(model, image):
    """As a request is kept as JSON; and arrays that cannot be written to are read."""
    half = np.float32(0.5)
    asked = SegmentRequest(model="m", others=("n",), threshold=half, overlap=half, weights=np.array([1, 2], np.float32))
    assert json.loads(json.dumps(asked.to_dict()))["weights"] == [1, 2] and asked.threshold == 0.5
    array = image.array.copy()
    array.flags.writeable = False
    result = segment(model, replace(image, array=array), samples=2)
    json.dumps(result.refuse(threshold=half).report["threshold"])
