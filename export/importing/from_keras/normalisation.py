"""Asks for the normalisation of pixels that a Keras network was trained with."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Final

from .network import KerasNetwork

_UNIT: Final = "--scale 1/255"
_SIGNED: Final = "--scale 1/127.5 --mean 1,1,1"
_CAFFE: Final = "--channel-order bgr --mean 123.68,116.779,103.939"
_TORCH: Final = "--scale 1/255 --mean 0.485,0.456,0.406 --std 0.229,0.224,0.225"
_RAW: Final = "--raw-pixels"

# What `preprocess_input` of keras.applications does, by the beginning of the network's name.
_APPLICATIONS: Final[Mapping[str, str]] = {
    "densenet": _TORCH,
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
                    f"{line} for {name} of keras.applications, {_UNIT} for 0 to 1, or {_RAW} for 0 to 255"
                )
    ones = ",".join(["1"] * channels)
    return (
        f"{path} does not scale pixels itself; give the options that do what its training did: {_UNIT} for 0 "
        f"to 1, --scale 1/127.5 --mean {ones} for -1 to 1, or {_RAW} for 0 to 255"
    )
