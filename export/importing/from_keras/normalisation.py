"""Asks for the normalisation of pixels that a Keras network was trained with."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Final

from ..normalisation import RAW, TORCHVISION, UNIT, signed
from .network import KerasNetwork

_SIGNED: Final = signed(3)
_CAFFE: Final = "--channel-order bgr --mean 123.68,116.779,103.939"

# What `preprocess_input` of keras.applications does, by the beginning of the network's name.
_APPLICATIONS: Final[Mapping[str, str]] = {
    "densenet": TORCHVISION,
    "inception": _SIGNED,
    "mobilenetv2": _SIGNED,
    "mobilenet_": _SIGNED,
    "nasnet": _SIGNED,
    "resnet50v2": _SIGNED,
    "resnet101v2": _SIGNED,
    "resnet152v2": _SIGNED,
    "resnet": _CAFFE,
    "vgg": _CAFFE,
    "xception": _SIGNED,
}


def ask_back(network: KerasNetwork, path: Path, channels: int) -> str:
    """Return the sentence that asks for the options, with the likely ones first."""
    names = [] if network.model is None else [layer.name for layer in (network.model, *network.model.layers)]
    for name in names:
        for prefix, line in _APPLICATIONS.items():
            if channels == 3 and name.lower().startswith(prefix):
                return (
                    f"{path} does not scale pixels itself; give the options that do what its training did: "
                    f"{line} for {name} of keras.applications, {UNIT} for 0 to 1, or {RAW} for 0 to 255"
                )
    return (
        f"{path} does not scale pixels itself; give the options that do what its training did: {UNIT} for 0 "
        f"to 1, {signed(channels)} for -1 to 1, or {RAW} for 0 to 255"
    )
