"""Asks for the normalisation of pixels, which an ONNX file does not tell."""

from __future__ import annotations

from pathlib import Path
from typing import Final

import onnx

from ..errors import UsageError

TORCHVISION: Final = "--scale 1/255 --mean 0.485,0.456,0.406 --std 0.229,0.224,0.225"
MNIST: Final = "--scale 1/255 --mean 0.1307 --std 0.3081"
UNIT: Final = "--scale 1/255"
RAW: Final = "--raw-pixels"

# Operators that a network does not begin with, unless it normalises its input by itself.
_SCALING: Final = frozenset({"Sub", "Div", "Mul", "Add"})
_TRANSPARENT: Final = frozenset({"Cast", "Transpose", "Identity", "Reshape"})


def signed(channels: int) -> str:
    """Return the line of options for pixels from -1 to 1."""
    return f"--scale 1/127.5 --mean {','.join(['1'] * channels)}"


def candidates(channels: int) -> dict[str, str]:
    """Return the usual normalisations: a meaning for each line of options."""
    return {
        TORCHVISION if channels == 3 else MNIST: "torchvision and timm"
        if channels == 3
        else "PyTorch's MNIST",
        UNIT: "0 to 1",
        signed(channels): "-1 to 1",
        RAW: "0 to 255, or the graph normalises by itself",
    }


def ask_back(model: onnx.ModelProto, channels: int, path: Path) -> UsageError:
    """Return the error that asks for the normalisation, with the likely one first."""
    lines = candidates(channels)
    guess, reason = _guess(model, channels)
    first = f"{guess} ({lines.pop(guess)}{reason})"
    others = ", ".join(f"{line} ({meaning})" for line, meaning in lines.items())
    return UsageError(
        f"{path.name} takes float32 pixels, and an ONNX file does not tell how they are normalised; "
        f"add what the training used: {first}, {others}"
    )


def _guess(model: onnx.ModelProto, channels: int) -> tuple[str, str]:
    """Return the likely line of options, and the reason for it."""
    if normalises_itself(model):
        return RAW, "; likely, because it begins with a normalisation"
    usual = next(iter(candidates(channels)))
    if model.producer_name.lower() in ("pytorch", "torch"):
        return usual, "; likely, because PyTorch wrote the file"
    if "tf2onnx" in model.producer_name.lower() or "keras" in model.producer_name.lower():
        return UNIT, "; usual for Keras"
    return usual, ""


def normalises_itself(model: onnx.ModelProto) -> bool:
    """Return True if the graph adds or multiplies constants to its input before anything else."""
    constants = {tensor.name for tensor in model.graph.initializer}
    constants.update(node.output[0] for node in model.graph.node if node.op_type == "Constant")
    value = model.graph.input[0].name
    for _ in range(10):
        users = [node for node in model.graph.node if value in node.input]
        if len(users) != 1:
            return False
        if users[0].op_type in _SCALING:
            return any(name in constants for name in users[0].input)
        if users[0].op_type not in _TRANSPARENT:
            return False
        value = users[0].output[0]
    return False
