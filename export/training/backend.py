"""TensorFlow itself, and what a training runs on: Keras's backend and its devices."""

from __future__ import annotations

import importlib
import importlib.util
import os
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Final, TextIO

from ..errors import BackendError

if TYPE_CHECKING:
    import tensorflow as tf

BACKEND_VARIABLE: Final = "KERAS_BACKEND"


def check_backend() -> None:
    """
    Raises:
        BackendError: Keras cannot train with what the environment names.
    """
    name = os.environ.get(BACKEND_VARIABLE) or "tensorflow"
    if name not in _DEVICES:
        raise BackendError(f"{BACKEND_VARIABLE} is {name!r}: networks are trained by {', '.join(_DEVICES)}")
    if importlib.util.find_spec(name) is None:
        raise BackendError(f"{BACKEND_VARIABLE} is {name!r}, which is not installed")


def start_tensorflow() -> None:
    """Import it without its greetings, which are written past Python before anything could be asked of it."""
    kept, nowhere = os.dup(2), os.open(os.devnull, os.O_WRONLY)
    try:
        os.dup2(nowhere, 2)
        import keras
        import tensorflow as tf

        if keras.backend.backend() != "tensorflow":
            # It reads the pictures alone, and would take a GPU's memory for itself.
            tf.config.set_visible_devices([], "GPU")
    finally:
        os.dup2(kept, 2)
        os.close(kept)
        os.close(nowhere)


def trainer() -> str:
    """The backend of Keras, its version, and the device that its layers are computed on."""
    import keras

    name = keras.backend.backend()
    backend = importlib.import_module(name)
    return f"{name} {backend.__version__} on {_DEVICES[name]() or 'CPU'}"


def _tensorflow_gpu() -> str | None:
    import tensorflow as tf

    gpus = tf.config.list_physical_devices("GPU")
    return tf.config.experimental.get_device_details(gpus[0]).get("device_name", "GPU") if gpus else None


def _jax_gpu() -> str | None:
    import jax

    device = jax.devices()[0]
    return None if device.platform == "cpu" else str(device.device_kind)


def _torch_gpu() -> str | None:
    import torch

    return torch.cuda.get_device_name() if torch.cuda.is_available() else None


_DEVICES: Final[Mapping[str, Callable[[], str | None]]] = {
    "tensorflow": _tensorflow_gpu,
    "jax": _jax_gpu,
    "torch": _torch_gpu,
}


def strategy(report: TextIO) -> tf.distribute.Strategy | None:
    """Every batch shared out evenly over all visible GPUs; None, and a sentence, where that cannot be."""
    import keras
    import tensorflow as tf

    if (backend := keras.backend.backend()) != "tensorflow":
        report.write(f"--distribute changes nothing: {backend} trains on one device\n")
        return None
    gpus = tf.config.list_logical_devices("GPU")
    if not gpus:
        report.write("no GPU is visible, so --distribute changes nothing: training on the CPU\n")
        return None
    report.write(f"training on {len(gpus)} GPU{'s' if len(gpus) > 1 else ''}\n")
    return tf.distribute.MirroredStrategy([device.name for device in gpus])
