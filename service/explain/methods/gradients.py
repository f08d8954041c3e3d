"""Maps from the gradients of the inspect graph."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray

from ...errors import InferenceFailed
from ...inference.model import LoadedModel
from ...repository.inspect_file import Inspection
from ..inspector import Inspector
from ..network import INPUT
from ..request import GRADCAM, INTEGRATED, Evidence, Map, Target
from .pixels import background, channels_last

# Steps of the path from the background to the image.
PATH_STEPS: Final = 16


@dataclass(frozen=True, slots=True)
class GradientMaps:
    """Computes the maps of one image."""

    inspector: Inspector
    model: LoadedModel
    inspection: Inspection
    row: NDArray[np.uint8 | np.float32]
    deadline: float

    async def evidence(
        self, method: str, layer: str, targets: Sequence[Target], *, exact: bool
    ) -> list[Evidence]:
        """The evidence for each target; with `exact`, with the rest of its score.

        Raises:
            DeadlineExceeded, InferenceFailed, PayloadTooLarge: as `Inspector.run`.
        """
        if method == INTEGRATED:
            return [await self._integrated(target) for target in targets]
        names = self._outputs(layer)
        rows = np.repeat(self.row[np.newaxis], len(targets), axis=0)
        values = await self._run([self.inspection.logits, *sum(names, ())], rows, targets)
        found = []
        for number, target in enumerate(targets):
            cells = (
                self._input_map(values, rows, number)
                if layer == INPUT
                else sum(
                    _layer_map(method, values[value][number], values[gradient][number])
                    for value, gradient in names
                )
            )
            score = _score(values[self.inspection.logits][number], target)
            cells = np.asarray(cells, np.float64)
            found.append(
                Evidence(
                    target=target,
                    score=score,
                    base=score - float(cells.sum()) if exact else None,
                    cells=np.maximum(cells, 0) if method == GRADCAM else cells,
                )
            )
        return found

    def _outputs(self, layer: str) -> list[tuple[str, ...]]:
        """Names of the layer's output and gradient, in each column."""
        if layer == INPUT:
            return [(self._input_gradient(),)]
        return [(each.value, each.gradient) for each in self.inspection.named(layer) if each.gradient]

    def _input_gradient(self) -> str:
        if self.inspection.input_gradient is None:
            raise InferenceFailed("the network's inspect graph has no gradient of the image")
        return self.inspection.input_gradient

    def _input_map(
        self, values: dict[str, NDArray[np.float32]], rows: NDArray[np.uint8 | np.float32], number: int
    ) -> Map:
        gradient = values[self._input_gradient()][number].astype(np.float64)
        spec = self.model.manifest.input
        return np.asarray(channels_last(gradient * rows[number], spec).sum(axis=-1))

    async def _integrated(self, target: Target) -> Evidence:
        """The gradient along the straight path from the background, times its length."""
        spec = self.model.manifest.input
        start = background(self.row, spec).astype(np.float64)
        way = self.row - start
        shares = (np.arange(PATH_STEPS) + 0.5) / PATH_STEPS
        path = start + shares.reshape(-1, *(1,) * self.row.ndim) * way
        rows = np.concatenate([path, self.row[np.newaxis]])
        rows = (np.rint(rows) if spec.dtype == "uint8" else rows).astype(self.row.dtype)
        gradient = self._input_gradient()
        values = await self._run([self.inspection.logits, gradient], rows, [target] * len(rows))
        cells = channels_last(values[gradient][:-1].mean(axis=0, dtype=np.float64) * way, spec).sum(axis=-1)
        score = _score(values[self.inspection.logits][-1], target)
        return Evidence(target=target, score=score, base=None, cells=cells)

    async def _run(
        self, names: Sequence[str], rows: NDArray[np.uint8 | np.float32], targets: Sequence[Target]
    ) -> dict[str, NDArray[np.float32]]:
        weights = np.zeros((len(rows), len(self.model.manifest.labels)), np.float32)
        for number, (index, versus) in enumerate(targets):
            weights[number, index] = 1
            if versus is not None:
                weights[number, versus] -= 1
        inputs = {self.model.manifest.input.name: rows, str(self.inspection.score_weights): weights}
        return dict(await self.inspector.run(self.model, names, inputs, self.deadline))


def _layer_map(method: str, values: NDArray[np.float32], gradients: NDArray[np.float32]) -> Map:
    """The map of one column from its feature maps and their gradients, `(channels, height, width)`."""
    weights = gradients.astype(np.float64)
    if method == GRADCAM:
        weights = weights.mean(axis=(1, 2), keepdims=True)
    return np.asarray((weights * values).sum(axis=0))


def _score(logits: NDArray[np.float32], target: Target) -> float:
    score = float(logits[target.label])
    return score if target.versus is None else score - float(logits[target.versus])
