"""Reads a network from a SavedModel of TensorFlow: a folder with a serving signature."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from ...errors import ConversionError
from .network import KerasNetwork, choose_output, first_line

if TYPE_CHECKING:
    import tensorflow as tf

FILE: Final = "saved_model.pb"

_SIGNATURE: Final = "serving_default"
_SAVE: Final = "save it with model.export('folder') in Keras, or tf.saved_model.save(…, signatures=…)"


def is_saved_model(path: Path) -> bool:
    """Return True if the path is the folder of a SavedModel."""
    return (path / FILE).is_file()


def read_saved_model(path: Path, output: str | None) -> KerasNetwork:
    """Read the network behind the serving signature.

    Args:
        path: the folder.
        output: the name of the output, if the signature has several.

    Raises:
        ConversionError: the folder cannot be read, or has no signature that takes one batch of images.
        UsageError: the signature has several outputs and `output` names none of them.
    """
    loaded, function = _load(path)
    name, tensor = _single_input(function, path)
    outputs: Mapping[str, Any] = function.structured_outputs
    chosen = choose_output(path, outputs, output)

    def call(inputs: tf.Tensor, kept: object = loaded) -> tf.Tensor:
        """Call the signature; its variables live as long as the loaded object, `kept`."""
        return function(**{name: inputs})[chosen]

    return KerasNetwork(
        name=path.resolve().name,
        call=call,
        shape=tuple(tensor.shape.as_list()),
        dtype=tensor.dtype.name,
        classes=_classes(outputs[chosen]),
        weights=(),
        normalises=None,
        model=None,
    )


def _load(path: Path) -> tuple[Any, Any]:
    import tensorflow as tf

    try:
        loaded = tf.saved_model.load(str(path))
    except Exception as error:  # TensorFlow raises many types for damaged files
        raise ConversionError(f"{path} cannot be read by TensorFlow: {first_line(error)}") from error
    signatures = loaded.signatures
    if not signatures:
        raise ConversionError(f"{path} has no serving signature; {_SAVE}")
    if _SIGNATURE not in signatures and len(signatures) > 1:
        raise ConversionError(
            f"{path} has the signatures {', '.join(signatures)}, none of which is {_SIGNATURE}; {_SAVE}"
        )
    return loaded, signatures.get(_SIGNATURE) or next(iter(signatures.values()))


def _single_input(function: Any, path: Path) -> tuple[str, Any]:
    inputs = function.structured_input_signature[1]
    if len(inputs) != 1:
        raise ConversionError(
            f"the signature of {path} has {len(inputs)} inputs ({', '.join(inputs)}); "
            "expected one, a batch of images"
        )
    ((name, tensor),) = inputs.items()
    if tensor.dtype.name == "string":
        raise ConversionError(
            f"the signature of {path} takes encoded images or other text; expected a batch of pixels; {_SAVE}"
        )
    if tensor.shape.rank is None:
        raise ConversionError(f"the signature of {path} does not tell the shape of its input; {_SAVE}")
    if tensor.shape[0] is not None:
        raise ConversionError(
            f"the signature of {path} has a fixed batch of {tensor.shape[0]}; save it with a free batch axis"
        )
    return name, tensor


def _classes(output: Any) -> int | None:
    """Return the number of scores; None if it is unknown or the output is no row of scores."""
    if output.shape.rank is None:
        return None
    axes = [axis for axis in output.shape.as_list()[1:] if axis != 1]
    return 1 if not axes else axes[0] if len(axes) == 1 else None
