"""The command `import`."""

from __future__ import annotations

# Only modules with a short import time are imported here, as in main.py.
import argparse
from pathlib import Path
from typing import TextIO

from .arguments import (
    add_models,
    add_replace_labels,
    image_size,
    integer_from,
    number,
    numbers,
    options_from,
)

_IMPORT = "Publish a classifier of Keras, TensorFlow or ONNX from a file."
_DETAILS = (
    "The network must take images and return one row of scores for each of them. Properties that no option "
    "sets are inferred from the file. The published graph is compared with the file, and nothing is "
    "published if they differ."
)


def add(commands: argparse._SubParsersAction[argparse.ArgumentParser], data: str | None) -> None:
    """Add the parser of `import`; `data` is the default of --data."""
    command = commands.add_parser("import", help=_IMPORT, description=f"{_IMPORT} {_DETAILS}")
    _add_model(command.add_argument_group("model"))
    _add_input(command.add_argument_group("input"))
    _add_normalisation(command.add_argument_group("normalisation of float32 inputs"))
    _add_output(command.add_argument_group("output"))
    command.set_defaults(run=_run)


def _run(arguments: argparse.Namespace, report: TextIO) -> Path:
    from ..importing.options import ImportOptions
    from ..pipelines.import_keras import import_keras, is_keras
    from ..pipelines.import_onnx import import_onnx

    options = options_from(arguments, ImportOptions)
    return import_keras(options, report) if is_keras(options.source) else import_onnx(options, report)


def _add_model(group: argparse._ArgumentGroup) -> None:
    group.add_argument(
        "source",
        type=Path,
        metavar="FILE",
        help="an ONNX file, a file of Keras (.keras or .h5), or the folder of a SavedModel",
    )
    group.add_argument(
        "--labels",
        type=Path,
        metavar="FILE",
        help="text file with one label per line, in the order of the classes (default: the class names in "
        "the graph, which scikit-learn's have)",
    )
    group.add_argument("--name", metavar="NAME", help="name of the model (default: the name of the file)")
    group.add_argument(
        "--description",
        metavar="TEXT",
        help="description of the model in one sentence (default: the name of the file)",
    )


def _add_input(group: argparse._ArgumentGroup) -> None:
    group.add_argument(
        "--layout", choices=["NHWC", "NCHW"], help="order of the input axes (default: inferred)"
    )
    group.add_argument(
        "--dtype",
        choices=["uint8", "float32"],
        help="expected dtype of the pixels (default: as the dtype in the graph)",
    )
    group.add_argument(
        "--size",
        type=image_size,
        metavar="HxW",
        help="height and width of the input, required if they are dynamic (default: the size in the graph)",
    )
    group.add_argument(
        "--resize",
        choices=["fit", "stretch", "crop", "ink"],
        default="crop",
        help="how images of another size are resized; ink is for images of one glyph (default: %(default)s)",
    )
    group.add_argument(
        "--channel-order",
        choices=["rgb", "bgr"],
        default="rgb",
        help="order of the colours that the graph expects; networks trained with OpenCV or Caffe may expect "
        "bgr (default: %(default)s)",
    )
    group.add_argument(
        "--max-batch-size",
        type=integer_from(1),
        metavar="N",
        help="most images that the server runs at once (default: 16, or the fixed batch of the graph)",
    )


def _add_normalisation(group: argparse._ArgumentGroup) -> None:
    group.add_argument(
        "--scale",
        type=number,
        metavar="X",
        help="multiply pixels from 0 to 255 by X, such as 1/255 (default: 1)",
    )
    group.add_argument(
        "--mean",
        type=numbers,
        metavar="R,G,B",
        help="subtract these values per channel from the scaled pixels (default: 0)",
    )
    group.add_argument(
        "--std",
        type=numbers,
        metavar="R,G,B",
        help="divide the result by these values per channel (default: 1)",
    )
    group.add_argument(
        "--raw-pixels",
        action="store_true",
        help="the graph takes pixels from 0 to 255; a float32 graph needs this or one of the options above",
    )


def _add_output(group: argparse._ArgumentGroup) -> None:
    group.add_argument(
        "--output", metavar="NAME", help="name of the output with the scores, if there are several"
    )
    group.add_argument(
        "--output-kind",
        choices=["logits", "probabilities", "sigmoid"],
        help="kind of the scores: logits, to which the server applies a softmax, probabilities, which sum to "
        "1, or sigmoid, for independent classes (default: inferred)",
    )
    group.add_argument(
        "--data",
        type=Path,
        metavar="DIR",
        help="folder of labelled images, as for evaluate: the version is compared with the file on them, and "
        "its accuracy is published (default: drawn images)",
    )
    group.add_argument(
        "--history",
        type=Path,
        metavar="FILE",
        help="learning curves of a Keras network for the model card: history.history as JSON, or the file of "
        "CSVLogger (default: none)",
    )
    add_models(group)
    add_replace_labels(group)
