"""Publishes a network with random weights, for benchmarks."""

from __future__ import annotations

from pathlib import Path
from typing import Final, TextIO

import numpy as np

from ..datasets import synthetic_images
from ..evaluation import verify
from ..graph.convert import OPSET, OUTPUT, convert
from ..graph.rewrites import rewrite
from ..networks.preprocessing import from_pixels
from ..report import model_card
from ..repository.manifest import Example, Manifest, OutputSpec
from ..repository.publish import publish
from ..training.backend import start_tensorflow
from .export_options import ExportOptions
from .model_identity import ModelIdentity, check_publishable
from .recipes import Recipe

EXAMPLE_FILE: Final = "example.png"


def publish_random_weights(name: str, recipe: Recipe, options: ExportOptions, report: TextIO) -> Path:
    """Build, convert, verify and publish an untrained network as the next version of a model.

    Verification uses the golden inputs, because there is no data set.

    Args:
        name: the network's name.
        recipe: the network.
        options: the options; the seed determines the weights and the golden inputs.
        report: receives one line about the graph.

    Returns:
        The folder of the new version.

    Raises:
        ExportError: a step failed; nothing is published.
    """
    count = options.classes or recipe.classes
    labels = (
        recipe.labels if len(recipe.labels) == count else tuple(f"class {index}" for index in range(count))
    )
    identity = ModelIdentity(options.name or name, options.description or recipe.description)
    check_publishable(identity, recipe, labels, options)
    start_tensorflow()
    import keras

    keras.utils.set_random_seed(options.seed)
    network = recipe.build(count)
    verify.check_parameters(network, recipe.parameters(count))
    full_model = from_pixels(network, recipe.preprocessings[0])
    graph, rewrites = rewrite(convert(full_model))
    golden, example = recipe.golden(options.seed), recipe.example()
    expected = verify.predict_keras(full_model, golden)
    parity = verify.check_parity(expected, verify.predict_onnx(graph, golden))
    predicted = int(verify.predict_onnx(graph, example[np.newaxis]).argmax())
    manifest = Manifest(
        name=identity.name,
        description=identity.description,
        input=recipe.input,
        output=OutputSpec(OUTPUT, "probabilities"),
        labels=labels,
        max_batch_size=recipe.max_batch_size,
        opset=OPSET,
        parameters=network.count_params(),
        tolerance=recipe.tolerance,
        example=Example(EXAMPLE_FILE, labels[predicted]),
        parity=parity,
        weights="random",
        rewrites=rewrites,
    )
    report.write(f"ONNX graph of {len(graph):,} bytes with random weights, for benchmarks\n")
    files = {
        EXAMPLE_FILE: synthetic_images.png(example),
        model_card.FILE: model_card.render(manifest, graph, []).encode(),
    }
    return publish(options.models, manifest, graph, golden, expected, files)
