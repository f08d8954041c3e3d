"""Measures how faithful the maps of each method are, on images of a network's own kind.

A faithful map shows pixels that matter to the network: its label soon becomes improbable when they are
erased, and soon becomes probable when only they are shown (V. Petsiuk, A. Das, K. Saenko, RISE, BMVC 2018).
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import AsyncIterator, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..batching.pending_request import NEVER
from ..client_budget import Account
from ..imaging.decode_pool import EncodedImage
from ..inference.classifier import Classifier
from ..inference.model import LoadedModel
from ..inference.top_k import as_probabilities
from .explainer import Explainer, cells_of, overview_of
from .methods.background_runs import BackgroundRuns
from .methods.curves import centred_gaussian, erasure_curve, random_map, ranks, steps_for
from .network import Network
from .request import DEFAULT_GRID, GRADCAM, HIRESCAM, Map, Target, area

Areas = tuple[float, float]

RANDOM = "random"
GAUSSIAN = "gaussian"
# Rows of one run: nobody else waits for the model.
RUN_ROWS = 32


async def measure_faithfulness(
    explainer: Explainer, classifier: Classifier, model: LoadedModel, images: Sequence[EncodedImage]
) -> AsyncIterator[dict[str, Any]]:
    """Yield the figures after each image: for each method its best layer, deletion and insertion.

    Raises:
        ConvserveError: an image cannot be read, or the network failed.
    """
    network = await explainer.network(model)
    choices = _choices(network)
    areas: dict[tuple[str, str | None], list[Areas]] = defaultdict(list)
    for image in images:
        rows = await classifier.decode(model, image, deadline=NEVER, account=Account.unlimited())
        for key, measured in (await _measure(explainer, network, choices, rows[0])).items():
            areas[key].append(measured)
        yield {"model": model.name, "version": model.version, "methods": _figures(areas)}


def _choices(network: Network) -> list[tuple[str, str | None]]:
    """Methods with the layers to try: the maps that convolutions and dense layers take."""
    inspection = network.inspection
    taken = set[str]()
    if inspection is not None:
        for layer in inspection.layers:
            if layer.weights is not None:
                taken.update(name.rpartition(".")[2] for name in layer.inputs)
    found: list[tuple[str, str | None]] = []
    for method in network.methods:
        if method.reason is not None and method.faithfulness is None:
            continue
        if method.name in (HIRESCAM, GRADCAM):
            found += [(method.name, name) for name in method.layers if name in taken and "." not in name]
        else:
            found.append((method.name, next(iter(method.layers), None)))
    return found


async def _measure(
    explainer: Explainer,
    network: Network,
    choices: Sequence[tuple[str, str | None]],
    row: NDArray[np.uint8 | np.float32],
) -> dict[tuple[str, str | None], Areas]:
    model = network.model
    kind = model.manifest.output.kind
    runs = BackgroundRuns(model, row, NEVER, min(RUN_ROWS, model.manifest.max_batch_size))
    outputs = await runs.original()
    label = int(as_probabilities(outputs, kind)[0].argmax())
    maps: dict[tuple[str, str | None], Map] = {}
    height, width = runs.size
    for name, layer in choices:
        method = next(each for each in network.methods if each.name == name)
        targets = [Target(label, None)]
        (evidence,) = await cells_of(
            explainer.inspector, network, method, layer, targets, runs, outputs, DEFAULT_GRID, NEVER
        )
        maps[name, layer] = overview_of(network, layer, evidence, row)
    maps[RANDOM, None] = random_map(row.tobytes(), height, width)
    maps[GAUSSIAN, None] = centred_gaussian(height, width)
    return {key: await _areas(runs, each, label, kind) for key, each in maps.items()}


async def _areas(runs: BackgroundRuns, overview: Map, label: int, kind: str) -> Areas:
    order, steps = ranks(overview), steps_for(*overview.shape)
    deletion = await erasure_curve(runs, order, steps, label, kind, insertion=False)
    insertion = await erasure_curve(runs, order, steps, label, kind, insertion=True)
    return area(deletion.tolist()), area(insertion.tolist())


def _figures(areas: dict[tuple[str, str | None], list[Areas]]) -> dict[str, Any]:
    """The means of each method, of its best layer by the distance between the curves."""
    means = {key: np.mean(values, axis=0) for key, values in areas.items()}
    rivals = {name: _named(means[name, None]) for name in (RANDOM, GAUSSIAN)}
    best: dict[str, tuple[str | None, Areas]] = {}
    for (name, layer), mean in means.items():
        if name in rivals:
            continue
        found = best.get(name)
        if found is None or mean[1] - mean[0] > found[1][1] - found[1][0]:
            best[name] = layer, (float(mean[0]), float(mean[1]))
    return {
        name: {"layer": layer, "images": len(areas[name, layer]), **_named(mean), **rivals}
        for name, (layer, mean) in best.items()
    }


def _named(mean: Sequence[float] | NDArray[Any]) -> dict[str, float]:
    return {"deletion": round(float(mean[0]), 4), "insertion": round(float(mean[1]), 4)}
