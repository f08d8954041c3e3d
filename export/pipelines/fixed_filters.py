"""Publishes a network of fixed kernels, which accepts images of any height and width.

The graph is built node by node: tf2onnx changes the layout with a reshape, which needs a known height and
width.
"""

from __future__ import annotations

from pathlib import Path
from typing import Final

import numpy as np
from numpy.typing import NDArray
from onnx import TensorProto, helper, numpy_helper
from onnx.checker import check_model

from ..datasets import synthetic_images
from ..errors import VerificationError
from ..graph.convert import OPSET
from ..graph.ort_session import OrtSession
from ..networks import filters
from ..networks.preprocessing import INPUT
from ..report import kernels, model_card, report_files
from ..repository.manifest import InputSpec, Manifest, OutputSpec
from ..repository.publish import check_writable, publish

NAME: Final = "filters"
DESCRIPTION: Final = "Four fixed kernels of image processing: edges, sharpening, Gaussian and mean smoothing."
NOTES: Final = (
    f"The maps are, in this order: {', '.join(filters.KERNELS)}. "
    "They have the height and width of the image, and are not clipped to the range of pixels.",
)
OUTPUT: Final = "maps"

# For sums of up to 25 products of pixels and weights in float32.
_TOLERANCE: Final = 1e-3


def export_filters(models: Path, seed: int) -> Path:
    """Build, verify and publish the network as the next version of `filters`.

    `seed` determines the golden inputs.

    Returns:
        The folder of the new version.

    Raises:
        ExportError: a step failed; nothing is published.
    """
    check_writable(models)
    network, model = filters.build(), build_graph()
    pixels = synthetic_images.golden_digits(seed)[:, 2:-2]  # not square, so that swapped axes are detected
    expected = np.asarray(network.predict(pixels.astype(np.float32), verbose=0))
    _check_parity(expected, OrtSession(model).run(pixels))
    manifest = Manifest(
        name=NAME,
        description=DESCRIPTION,
        input=InputSpec(INPUT, "uint8", "NHWC", None, None, 1, "fit"),
        output=OutputSpec(OUTPUT, "maps"),
        labels=tuple(filters.KERNELS),
        max_batch_size=16,
        opset=OPSET,
        parameters=sum(int(np.prod(weight.shape)) for weight in network.trainable_weights),
        tolerance=_TOLERANCE,
        weights="fixed",
    )
    plots = {report_files.KERNELS_FILE: kernels.plot([filters.weights()], f"{NAME}: the kernels")}
    card = model_card.render(manifest, model, report_files.pictures(plots), notes=NOTES)
    return publish(models, manifest, model, pixels, expected, {**plots, model_card.FILE: card.encode()})


def build_graph() -> bytes:
    """Return the ONNX file.

    Its input is uint8, [batch, height, width, 1], its output float32, [batch, height, width, 4]; batch,
    height and width are dynamic.
    """
    reach = filters.REACH
    constants = {
        "border": np.array([0, reach, reach, 0, 0, reach, reach, 0]),
        "kernels": filters.weights().transpose(3, 2, 0, 1),
    }
    nodes = [
        helper.make_node("Pad", [INPUT, "border"], ["padded"], name="Border", mode="edge"),
        helper.make_node("Cast", ["padded"], ["floats"], name="Cast", to=TensorProto.FLOAT),
        helper.make_node("Transpose", ["floats"], ["first"], name="ChannelsFirst", perm=[0, 3, 1, 2]),
        helper.make_node("Conv", ["first", "kernels"], ["filtered"], name="Kernels"),
        helper.make_node("Transpose", ["filtered"], [OUTPUT], name="ChannelsLast", perm=[0, 2, 3, 1]),
    ]
    axes = ["batch", "height", "width"]
    model = helper.make_model(
        helper.make_graph(
            nodes,
            NAME,
            [helper.make_tensor_value_info(INPUT, TensorProto.UINT8, [*axes, 1])],
            [helper.make_tensor_value_info(OUTPUT, TensorProto.FLOAT, [*axes, len(filters.KERNELS)])],
            [numpy_helper.from_array(np.ascontiguousarray(array), name) for name, array in constants.items()],
        ),
        opset_imports=[helper.make_opsetid("", OPSET)],
        ir_version=10,
        producer_name="convserve-export",
    )
    check_model(model, full_check=True)
    return bytes(model.SerializeToString(deterministic=True))


def _check_parity(expected: NDArray[np.float32], found: NDArray[np.float32]) -> None:
    difference = float(np.max(np.abs(expected - found)))
    if not difference <= _TOLERANCE:
        raise VerificationError(
            f"the ONNX graph does not match the Keras network: the maps differ by up to {difference:.1e}"
        )
