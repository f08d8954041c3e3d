"""Explains an image: admits, decodes, chooses the method, and adds curves and the smallest erasure."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import AsyncIterator, Hashable, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..client_budget import Account
from ..errors import InvalidInput, Overloaded, shown
from ..imaging.decode_pool import EncodedImage
from ..inference.classifier import Classifier
from ..inference.model import LoadedModel
from ..inference.top_k import Prediction, as_probabilities, rank
from ..repository.inspect_file import ReceptiveField
from .geometry import hottest, share_out, spread
from .inspector import Inspector
from .methods.background_runs import BackgroundRuns
from .methods.curves import measure_curves
from .methods.flip import find_flip
from .methods.gradients import GradientMaps
from .methods.occlusion import occluded_outputs, occlusion_cells
from .methods.pixels import as_picture, channels_last, ink_of
from .methods.scores import log_odds
from .network import INPUT, Method, Network
from .request import (
    OCCLUSION,
    Evidence,
    ExplainOptions,
    Explanation,
    FeatureMaps,
    Map,
    Target,
)

# Explanations in progress, those that wait for a thread or an idle engine included, and those of one client.
MAX_EXPLANATIONS = 16
MAX_OF_CLIENT = 8
TOP_K = 5
# Memory of an explanation in copies of the image, its maps and its masks.
COPIES = 40


@dataclass(slots=True)
class ExplanationQueue:
    """Bounds the explanations in progress, and those of each client."""

    total: int = 0
    of_client: Counter[Hashable] = field(default_factory=Counter)

    @asynccontextmanager
    async def place(self, client: Hashable) -> AsyncIterator[None]:
        """
        Raises:
            Overloaded: there is no place for this client.
        """
        if self.total >= MAX_EXPLANATIONS or self.of_client[client] >= MAX_OF_CLIENT:
            raise Overloaded("too many explanations are waiting; try again later", retry_after=1.0)
        self.total += 1
        self.of_client[client] += 1
        try:
            yield
        finally:
            self.total -= 1
            self.of_client[client] -= 1
            if not self.of_client[client]:
                del self.of_client[client]


class Explainer:
    """Explains images by the models that serve them."""

    def __init__(self, classifier: Classifier, inspector: Inspector) -> None:
        self._classifier = classifier
        self.inspector = inspector
        self._queue = ExplanationQueue()

    def close(self) -> None:
        self.inspector.close()

    async def network(self, model: LoadedModel) -> Network:
        """The methods and layers of a network."""
        file = await self.inspector.file_of(model)
        return Network.of(model, None if file is None else file.inspection)

    async def explain(
        self,
        model: LoadedModel,
        image: EncodedImage,
        options: ExplainOptions,
        *,
        deadline: float,
        account: Account,
    ) -> Explanation:
        """The explanation of an image.

        Raises:
            InvalidInput: the image, or a parameter; the message says which.
            Overloaded: too many explanations are in progress.
            ConvserveError: any that `Classifier` raises.
        """
        network = await self.network(model)
        method = network.method(options.method)
        layer = network.layer(method, options.layer)
        labels = _Labels(model)
        wanted = None if options.label is None else labels.index(options.label)
        versus = None if options.versus is None else labels.index(options.versus)
        async with self._queue.place(account.peer):
            row = await self._row(model, image, deadline, account)
            runs = BackgroundRuns(model, row, deadline)
            outputs = await runs.original()
            probabilities = as_probabilities(outputs, model.manifest.output.kind)
            (ranked,) = rank(probabilities, model.manifest.labels, max(TOP_K, options.others + 2))
            target = Target(ranked[0].index if wanted is None else wanted, versus)
            if target.label == target.versus:
                raise InvalidInput(f"versus is the label to explain itself, {labels.shown(target.label)}")
            others = [p.index for p in ranked if p.index not in (target.label, versus)][: options.others]
            targets = [target, *(Target(index, None) for index in others)]
            evidence = await cells_of(
                self.inspector, network, method, layer, targets, runs, outputs, options.grid, deadline
            )
            return await self._finished(model, method, layer, options, ranked, evidence, runs, row, network)

    async def feature_maps(
        self, model: LoadedModel, image: EncodedImage, layer: str | None, *, deadline: float, account: Account
    ) -> FeatureMaps:
        """The output of a layer for an image; of a model that returns maps, its own output.

        Raises:
            ConvserveError: as `explain`.
        """
        network = await self.network(model)
        if layer is None and not model.manifest.classifies:
            layer = model.manifest.output.name
        if not model.manifest.classifies and layer == model.manifest.output.name:
            return await self._output_maps(model, image, layer, deadline, account)
        known = network.maps_layers()
        layer = known[min(1, len(known) - 1)] if layer is None else layer
        if layer not in known and network.inspection is not None and network.inspection.named(layer):
            layer = network.inspection.named(layer)[0].name
        if layer not in known:
            raise InvalidInput(f"{model.name} has no layer {shown(layer)} here; layers: {', '.join(known)}")
        async with self._queue.place(account.peer):
            row = await self._row(model, image, deadline, account)
            if layer == INPUT or network.inspection is None:
                values = channels_last(row, model.manifest.input).transpose(2, 0, 1).astype(np.float32)
                return FeatureMaps(model=model.name, version=model.version, layer=INPUT, values=values)
            (found,) = network.inspection.named(layer)
            account.charge(8 * math.prod(found.shape))
            inputs: dict[str, NDArray[Any]] = {model.manifest.input.name: row[np.newaxis]}
            if network.inspection.score_weights is not None:
                classes = len(model.manifest.labels)
                inputs[network.inspection.score_weights] = np.zeros((1, classes), np.float32)
            values = (await self.inspector.run(model, [found.value], inputs, deadline))[found.value][0]
            return FeatureMaps(model=model.name, version=model.version, layer=layer, values=values)

    async def _output_maps(
        self, model: LoadedModel, image: EncodedImage, layer: str, deadline: float, account: Account
    ) -> FeatureMaps:
        async with self._queue.place(account.peer):
            inference = await self._classifier.infer_images(
                model, [image], deadline=deadline, account=account
            )
            values = inference.scores[0]
            if model.manifest.input.layout == "NHWC":
                values = values.transpose(2, 0, 1)
            return FeatureMaps(model=model.name, version=model.version, layer=layer, values=values)

    async def _row(
        self, model: LoadedModel, image: EncodedImage, deadline: float, account: Account
    ) -> NDArray[np.uint8 | np.float32]:
        if model.manifest.input.dynamic:
            raise InvalidInput(f"{model.name} takes images of any size; request its maps with method=maps")
        account.charge(COPIES * model.footprint.row_bytes)
        rows = await self._classifier.decode(model, image, deadline=deadline, account=account)
        row: NDArray[np.uint8 | np.float32] = rows[0]
        return row

    async def _finished(
        self,
        model: LoadedModel,
        method: Method,
        layer: str | None,
        options: ExplainOptions,
        ranked: Sequence[Prediction],
        evidence: Sequence[Evidence],
        runs: BackgroundRuns,
        row: NDArray[np.uint8 | np.float32],
        network: Network,
    ) -> Explanation:
        """The explanation with all that was asked for besides the map."""
        spec, kind = model.manifest.input, model.manifest.output.kind
        picture = as_picture(row, spec)
        place = place_of(network, layer)
        overview = overview_of(network, layer, evidence[0], row)
        index = evidence[0].target.label
        seed = row.tobytes()
        return Explanation(
            model=model.name,
            version=model.version,
            method=method.name,
            layer=layer,
            exact=method.exact,
            score_kind="log-odds" if method.name == OCCLUSION else "logit",
            prediction=ranked[:TOP_K],
            evidence=evidence,
            place=place,
            picture=picture,
            overview=overview,
            hottest=hottest(overview),
            curves=await measure_curves(runs, overview, index, kind, seed) if options.curves else None,
            flip=await find_flip(runs, overview, ranked[0].index, kind) if options.flip else None,
            flip_wanted=options.flip,
        )


class _Labels:
    """Finds labels by their names, or by `#` and their index."""

    def __init__(self, model: LoadedModel) -> None:
        self._model = model
        self._labels = model.manifest.labels

    def index(self, name: str) -> int:
        """
        Raises:
            InvalidInput: there is no such label.
        """
        if name in self._labels:
            return self._labels.index(name)
        number = name.removeprefix("#")
        is_number = name.startswith("#") and number.isascii() and number.isdecimal() and len(number) < 10
        if is_number and int(number) < len(self._labels):
            return int(number)
        raise InvalidInput(f"{self._model.name} has no label {shown(name)}; GET its layers lists the labels")

    def shown(self, index: int) -> str:
        return shown(self._labels[index])


async def cells_of(
    inspector: Inspector,
    network: Network,
    method: Method,
    layer: str | None,
    targets: Sequence[Target],
    runs: BackgroundRuns,
    outputs: NDArray[np.float32],
    grid: int,
    deadline: float,
) -> list[Evidence]:
    """The evidence for each target by one method; `outputs` are the model's for the image.

    Raises:
        DeadlineExceeded, InferenceFailed, ModelNotReady, PayloadTooLarge: the model or its inspect graph.
    """
    if method.name != OCCLUSION:
        assert network.inspection is not None  # other methods are not offered without
        maps = GradientMaps(inspector, network.model, network.inspection, runs.row, deadline)
        return await maps.evidence(method.name, layer or INPUT, targets, exact=method.exact)
    kind = network.model.manifest.output.kind
    grid = min(grid, *runs.size)
    occluded = await occluded_outputs(runs, grid, *runs.size)
    return [
        Evidence(
            target=target,
            score=float(log_odds(outputs, kind, target)[0]),
            base=None,
            cells=occlusion_cells(outputs, occluded, kind, target, grid),
        )
        for target in targets
    ]


def overview_of(
    network: Network, layer: str | None, evidence: Evidence, row: NDArray[np.uint8 | np.float32]
) -> Map:
    """The evidence of each pixel, `(height, width)`."""
    spec = network.model.manifest.input
    ink, place = ink_of(row, spec), place_of(network, layer)
    return spread(evidence.cells, *ink.shape) if place is None else share_out(evidence.cells, place, ink)


def place_of(network: Network, layer: str | None) -> ReceptiveField | None:
    """The place of a layer's cells on the picture; None if they divide it evenly."""
    if layer is None or layer == INPUT or network.inspection is None:
        return None
    fields = {each.field for each in network.inspection.named(layer)}
    return fields.pop() if len(fields) == 1 else None
