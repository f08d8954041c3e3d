"""Checks and starts the Keras backend, and names its device."""

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
    """Check that the backend in `KERAS_BACKEND` can train networks.

    Raises:
        BackendError: the backend is unknown or not installed.
    """
    name = os.environ.get(BACKEND_VARIABLE) or "tensorflow"
    if name not in _DEVICES:
        raise BackendError(f"{BACKEND_VARIABLE} is {name!r}; expected one of {', '.join(_DEVICES)}")
    if importlib.util.find_spec(name) is None:
        raise BackendError(f"{BACKEND_VARIABLE} is {name!r}, which is not installed")


def start_tensorflow() -> None:
    """Import Keras and TensorFlow without the messages that C++ code writes to stderr on import.

    The settings in ~/.keras/keras.json are not used: the networks have channels last and compute in float32.

    Raises:
        BackendError: Keras rejects its settings.
    """
    stderr, null = os.dup(2), os.open(os.devnull, os.O_WRONLY)
    try:
        os.dup2(null, 2)
        try:
            import keras
        except (ValueError, TypeError, AttributeError) as error:  # depends on the value
            raise BackendError(f"Keras rejects the settings in ~/.keras/keras.json: {error}") from error
        import tensorflow as tf

        keras.config.set_image_data_format("channels_last")
        keras.config.set_floatx("float32")
        keras.config.set_epsilon(1e-7)
        if keras.backend.backend() != "tensorflow":
            # TensorFlow only reads the images then, but would allocate all GPU memory.
            tf.config.set_visible_devices([], "GPU")
    finally:
        os.dup2(stderr, 2)
        os.close(stderr)
        os.close(null)


def trainer_name() -> str:
    """Return the Keras backend, its version and its device, such as "jax 0.5.0 on CPU"."""
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


def distribution_strategy(report: TextIO) -> tf.distribute.Strategy | None:
    """Return a strategy that distributes each batch evenly over all visible GPUs.

    Returns:
        None if there is no GPU or the backend is not TensorFlow; a line on `report` says so.
    """
    import keras
    import tensorflow as tf

    if (backend := keras.backend.backend()) != "tensorflow":
        report.write(f"--distribute has no effect: {backend} trains on one device\n")
        return None
    gpus = tf.config.list_logical_devices("GPU")
    if not gpus:
        report.write("--distribute has no effect: no GPU is visible, training on the CPU\n")
        return None
    report.write(f"training on {len(gpus)} GPU{'s' if len(gpus) > 1 else ''}\n")
    return tf.distribute.MirroredStrategy([device.name for device in gpus])
