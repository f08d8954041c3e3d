"""Reads a network from a file of Keras: .keras, or .h5 in the older format."""

from __future__ import annotations

import re
import warnings
import zipfile
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import numpy as np
from numpy.typing import NDArray

from ...errors import ConversionError
from .network import KerasNetwork, choose_output, first_line

if TYPE_CHECKING:
    import keras
    import tensorflow as tf

SUFFIXES: Final = frozenset({".keras", ".h5", ".hdf5"})

# The message of Keras for a class that it does not know, in one of several forms.
_UNKNOWN_CLASS: Final = re.compile(r"(?:Could not locate class|Unknown layer:|Unknown \w+:) '(\w+)'")
_EXPORT: Final = "export it as a SavedModel with model.export('folder') where it was trained, and import that"

# Operations of the functional API that scale, such as pixels / 255.
_SCALING: Final = frozenset({"TrueDivide", "Divide", "Multiply", "Subtract", "Add"})


def read_keras(path: Path, output: str | None) -> KerasNetwork:
    """Read a network; layers that compute in 16 bits compute in 32 afterwards.

    Args:
        path: the file.
        output: the name of the output, if the network has several.

    Raises:
        ConversionError: the file cannot be read, or the network has no single input of known shape.
        UsageError: it has several outputs and `output` names none of them.
    """
    model = _full_precision(_load(path))
    name = path.stem
    shape, dtype = _single_input(model, path)
    outputs = _outputs(model)
    chosen = choose_output(path, outputs, output)

    def call(inputs: tf.Tensor) -> tf.Tensor:
        found = model(inputs, training=False)
        if isinstance(found, Mapping):
            return found[chosen]
        return found[list(outputs).index(chosen)] if isinstance(found, list | tuple) else found

    return KerasNetwork(
        name=name,
        call=call,
        shape=shape,
        dtype=dtype,
        classes=_classes(outputs[chosen]),
        weights=model.weights,
        normalises=_normalises(model),
        model=model,
    )


def leaf_layers(model: keras.Model) -> Iterator[Any]:
    """Yield the layers and operations of a network in order, those of nested networks in their place."""
    for layer in getattr(model, "operations", None) or model.layers:
        if hasattr(layer, "layers"):
            yield from leaf_layers(layer)
        else:
            yield layer


def first_kernels(model: keras.Model) -> NDArray[np.float32] | None:
    """Return the kernels of the first convolution, [height, width, channels, kernels]; None without one."""
    from keras import layers

    convolutions = (layer for layer in leaf_layers(model) if isinstance(layer, layers.Conv2D))
    first = next(convolutions, None)
    if first is None or first.groups != 1:
        return None
    return np.asarray(first.kernel, np.float32)


def _load(path: Path) -> keras.Model:
    import keras

    if not path.is_file():
        raise ConversionError(
            f"{path} cannot be read: {'it is a folder' if path.is_dir() else 'no such file'}"
        )
    if path.suffix == ".keras" and not zipfile.is_zipfile(path):
        raise ConversionError(f"{path} is not a Keras file: it is damaged or has another format")
    try:
        with warnings.catch_warnings(action="ignore"):  # about losses and optimizers, which are not needed
            return keras.saving.load_model(path, compile=False, safe_mode=True)
    except Exception as error:  # Keras and h5py raise many types
        raise ConversionError(_explain(path, error)) from error


def _explain(path: Path, error: Exception) -> str:
    text = str(error)
    if "Lambda" in text and "disallowed" in text:
        return f"{path} contains a Lambda layer with Python code, which is not run; {_EXPORT}"
    if match := _UNKNOWN_CLASS.search(text):
        return f"{path} needs the class {match[1]}, which Keras does not have; {_EXPORT}"
    if "No model config found" in text:
        return f"{path} has weights without their network; save the network with model.save('mine.keras')"
    return f"{path} cannot be read by Keras: {first_line(error)}"


def _single_input(model: keras.Model, path: Path) -> tuple[tuple[int | None, ...], str]:
    try:
        inputs = model.inputs
    except (AttributeError, ValueError):
        inputs = None
    if not inputs:
        raise ConversionError(
            f"{path} does not tell the shape of its input; call the network on a batch before it is saved"
        )
    if len(inputs) != 1:
        raise ConversionError(
            f"{path} has {len(inputs)} inputs ({', '.join(tensor.name for tensor in inputs)}); "
            "expected one, a batch of images"
        )
    (tensor,) = inputs
    return tuple(tensor.shape), str(tensor.dtype)


def _outputs(model: keras.Model) -> Mapping[str, Any]:
    """Return the symbolic outputs by name."""
    structure = model.compute_output_spec(model.inputs[0])
    if isinstance(structure, Mapping):
        return structure
    if isinstance(structure, list | tuple):
        return dict(zip(model.output_names, structure, strict=True))
    return {"scores": structure}


def _classes(output: Any) -> int | None:
    """Return the number of scores of an output; None if it is no row of scores."""
    axes = [axis for axis in output.shape[1:] if axis != 1]
    if not axes:
        return 1
    return axes[0] if len(axes) == 1 and isinstance(axes[0], int) else None


def _full_precision(model: keras.Model) -> keras.Model:
    """Return the network with the same weights in float32, as after a training in mixed precision."""
    import keras

    types = {layer.compute_dtype for layer in leaf_layers(model) if hasattr(layer, "compute_dtype")}
    if not types & {"float16", "bfloat16", "float64"}:
        return model

    def in_float32(layer: keras.Layer) -> keras.Layer:
        return type(layer).from_config({**layer.get_config(), "dtype": "float32"})

    try:
        copy = keras.models.clone_model(model, clone_function=in_float32, recursive=True)
        copy.set_weights([weight.astype("float32") for weight in model.get_weights()])
    except (TypeError, ValueError) as error:
        raise ConversionError(
            f"{model.name} computes in {', '.join(sorted(types))} and cannot be rebuilt in float32: "
            f"{first_line(error)}"
        ) from error
    return copy


def _normalises(model: keras.Model) -> bool:
    """Return True if pixels are scaled before the first layer with trained weights."""
    from keras import layers

    for layer in leaf_layers(model):
        if isinstance(layer, layers.Rescaling | layers.Normalization) or type(layer).__name__ in _SCALING:
            return True
        if getattr(layer, "weights", None):
            return False
    return False
