"""Publishes a network as it was built: it has learned nothing, and is there to measure speed with."""

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
from .recipes import Recipe

EXAMPLE_FILE: Final = "example.png"


def publish_untrained(
    name: str, recipe: Recipe, models: Path, classes: int | None, seed: int, report: TextIO
) -> Path:
    """Build, convert, verify on drawn pictures and publish; return the version's directory. The seed decides
    the weights.

    Raises:
        ExportError: a step failed, and nothing is published.
    """
    start_tensorflow()
    import keras

    keras.utils.set_random_seed(seed)
    number = classes or recipe.classes
    network = recipe.build(number)
    verify.check_parameters(network, recipe.parameters(number))
    whole = from_pixels(network, recipe.preparations[0])
    graph, rewrites = rewrite(convert(whole))
    golden, example = recipe.golden(seed), recipe.example()
    expected = verify.keras_answers(whole, golden)
    parity = verify.check_parity(expected, verify.onnx_answers(graph, golden))
    labels = recipe.labels if len(recipe.labels) == number else tuple(f"class {i}" for i in range(number))
    guess = int(verify.onnx_answers(graph, example[np.newaxis]).argmax())
    manifest = Manifest(
        name=name,
        description=recipe.description,
        input=recipe.input,
        output=OutputSpec(OUTPUT, "probabilities"),
        labels=labels,
        max_batch_size=recipe.max_batch_size,
        opset=OPSET,
        parameters=network.count_params(),
        tolerance=recipe.tolerance,
        example=Example(EXAMPLE_FILE, labels[guess]),
        parity=parity,
        weights="random",
        rewrites=rewrites,
    )
    report.write(f"ONNX graph of {len(graph):,} bytes with random weights, for measuring speed\n")
    files = {
        EXAMPLE_FILE: synthetic_images.png(example),
        model_card.FILE: model_card.written(manifest, []).encode(),
    }
    return publish(models, manifest, graph, golden, expected, files)
