"""The one way to make a network: a name and arguments, as a model package stores them."""

from __future__ import annotations

from importlib import import_module

from ..errors import RequestError

# name -> "module:class"; modules are imported when they are asked for. A class has `diffusion`: False where
# `forward(image)` gives logits, True where `encode(image)` gives a condition (a NamedTuple of tensors, batch first; see
# nested.py) and `denoise(x_t, t, condition)`, t (B,) in training steps, what `prediction` says: "mask" logits of the
# clean mask, "noise" a Denoised. A class without diffusion may have `latent`, the axes of a standard normal z:
# `encode(image)` gives a condition whose `features` are (B, F, *spatial), `draw(condition, z)`, z (B, latent), the
# logits of one segmentation each. A class without diffusion may have `supervised(image)`, what training compares with
# the label instead (supervision.py).
NETWORKS = {
    # that draw masks
    "medsegdiff_3d": "medsegdiff_3d:MedSegDiff3D",
    "medsegdiff_v1": "medsegdiff_v1:MedSegDiffV1",
    "medsegdiff_v2": "medsegdiff_v2:MedSegDiffV2",
    "medsegdiff_v2_released": "medsegdiff_v2_released:MedSegDiffV2Released",
    "probabilistic_unet": "probabilistic_unet:ProbabilisticUNet",
    # that convolve
    "attention_unet": "attention_unet:AttentionUNet",
    "dynunet": "dynunet:DynUNet",
    "mednext": "mednext:MedNeXt",
    "mpu_net": "mpu_net:MPUNet",
    "msa_net": "msa_net:MSANet",
    "neu_net": "neu_net:NeUNet",
    "segresnet": "segresnet:SegResNet",
    "stu_net": "stu_net:STUNet",
    "unet": "unet:UNet",
    "unet_plus_plus": "unet_plus_plus:UNetPlusPlus",
    # that attend
    "barlow_swin": "barlow_swin:BarlowSwin",
    "mask_transformer": "mask_transformer:MaskTransformer",
    "paratranscnn": "paratranscnn:ParaTransCNN",
    "pct_net": "pct_net:PCTNet",
    "swin_unetr": "swin_unetr:SwinUNETR",
    "transdae": "transdae:TransDAE",
    "transunet": "transunet:TransUNet",
    "transunet_3d": "transunet_3d:TransUNet3D",
    "unetr": "unetr:UNETR",
    "wau_unet": "wau_unet:WAUUNet",
    # that came by import
    "monai": "monai_network:MonaiNetwork",
    "nnunet": "nnunet:NnUNet",
    "onnx": "black_box:OnnxNetwork",
    "torchscript": "black_box:TorchScriptNetwork",
}


def build_network(name: str, arguments: dict):
    """The network of that name, with random weights. Raises RequestError for unknown names or arguments."""
    if name not in NETWORKS:
        raise RequestError(f"network '{name}' is unknown; known: {', '.join(sorted(NETWORKS))}")
    module, cls = NETWORKS[name].split(":")
    try:
        return getattr(import_module(f".{module}", __package__), cls)(**arguments)
    except (
        TypeError,
        ValueError,
        RuntimeError,
        ArithmeticError,
        LookupError,
        AssertionError,
        AttributeError,
        MemoryError,
    ) as error:
        said = " ".join(str(error).split())[:300]
        raise RequestError(f"network '{name}' cannot be built from its arguments: {said}") from None
