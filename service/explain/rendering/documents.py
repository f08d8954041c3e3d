"""Explanations, feature maps and layers as documents of JSON, and as archives of NumPy arrays."""

from __future__ import annotations

import zipfile
from collections.abc import Mapping
from io import BytesIO
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from ...inference.model import LoadedModel
from ...inference.top_k import Prediction
from ...repository.inspect_file import Faithfulness, InspectedLayer
from ..geometry import concentration, in_words
from ..network import Method, Network
from ..request import Curves, Evidence, Explanation, FeatureMaps, Flip, area

# Beyond these, float32 has no digits.
_DIGITS: Final = 6
# The date of all members of an archive.
_DATE: Final = (1980, 1, 1, 0, 0, 0)


def explanation_document(explanation: Explanation, model: LoadedModel) -> dict[str, Any]:
    """An explanation as the API returns it."""
    labels = model.manifest.labels
    first, *others = explanation.evidence
    index, versus = first.target
    return {
        "model": explanation.model,
        "version": explanation.version,
        "method": explanation.method,
        "layer": explanation.layer,
        "exact": explanation.exact,
        "label": labels[index],
        "index": index,
        "versus": None if versus is None else {"label": labels[versus], "index": versus},
        "prediction": {
            **_prediction(explanation.prediction[0]),
            "top_k": [_prediction(each) for each in explanation.prediction],
        },
        "score": _rounded(first.score),
        "score_kind": explanation.score_kind,
        "base": None if first.base is None else _rounded(first.base),
        "cells": _rounded_rows(first.cells),
        "field": None if explanation.place is None else explanation.place.model_dump(mode="json"),
        "height": explanation.overview.shape[0],
        "width": explanation.overview.shape[1],
        "words": in_words(explanation.overview, explanation.hottest),
        "hottest": list(explanation.hottest),
        "concentration": _rounded(concentration(explanation.overview)),
        "others": [_other(each, labels[each.target.label]) for each in others],
        "curves": None if explanation.curves is None else _curves(explanation.curves),
        "flip": _flip(explanation.flip, labels) if explanation.flip_wanted else None,
    }


def maps_document(maps: FeatureMaps, number: int | None) -> dict[str, Any]:
    """The maps of a layer as the API returns them; `number` chooses one."""
    values = maps.values if number is None else maps.values[number : number + 1]
    return {
        "model": maps.model,
        "version": maps.version,
        "method": "maps",
        "layer": maps.layer,
        "map": number,
        "shape": list(values.shape),
        "maps": _rounded_rows(values),
    }


def layers_document(network: Network) -> dict[str, Any]:
    """The layers of a network and the methods for it, as the API returns them."""
    manifest, inspection, best = network.model.manifest, network.inspection, network.best
    spec = manifest.input
    return {
        "model": manifest.name,
        "version": manifest.version,
        "input": {"height": spec.height, "width": spec.width, "channels": spec.channels},
        "labels": list(manifest.labels),
        "columns": 1 if inspection is None else inspection.columns,
        "parameters": manifest.onnx.parameters if inspection is None else inspection.parameters,
        "multiply_adds": None if inspection is None else inspection.multiply_adds,
        "best": None if best is None else best.name,
        "methods": [method_document(method) for method in network.methods],
        "layers": [] if inspection is None else [layer_document(each) for each in inspection.layers],
        "reason": network.reason,
    }


def layer_document(layer: InspectedLayer) -> dict[str, Any]:
    """A layer, without the names of the graph."""
    hidden = {"value", "gradient", "weights", "bias"}
    return layer.model_dump(mode="json", exclude=hidden)


def method_document(method: Method) -> dict[str, Any]:
    """A method for a network."""
    figures = method.faithfulness
    return {
        "name": method.name,
        "layer": method.layer,
        "layers": list(method.layers),
        "exact": method.exact,
        "offered": method.offered,
        "reason": method.reason,
        "faithfulness": None if figures is None else _faithfulness(figures),
    }


def npz(arrays: Mapping[str, NDArray[Any]]) -> bytes:
    """An archive of arrays; equal arrays give equal bytes."""
    target = BytesIO()
    with zipfile.ZipFile(target, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, array in arrays.items():
            content = BytesIO()
            np.lib.format.write_array(content, np.ascontiguousarray(array), allow_pickle=False)
            archive.writestr(zipfile.ZipInfo(f"{name}.npy", _DATE), content.getvalue(), zipfile.ZIP_DEFLATED)
    return target.getvalue()


def weight_lists(array: NDArray[np.float32]) -> list[Any]:
    """Weights as nested lists."""
    return _rounded_rows(array)


def _faithfulness(figures: Faithfulness) -> dict[str, Any]:
    return figures.model_dump(mode="json")


def _prediction(prediction: Prediction) -> dict[str, Any]:
    return {
        "label": prediction.label,
        "index": prediction.index,
        "probability": _rounded(prediction.probability),
    }


def _other(evidence: Evidence, label: str) -> dict[str, Any]:
    return {
        "label": label,
        "index": evidence.target.label,
        "score": _rounded(evidence.score),
        "base": None if evidence.base is None else _rounded(evidence.base),
        "cells": _rounded_rows(evidence.cells),
    }


def _curves(curves: Curves) -> dict[str, Any]:
    lines = {
        "deletion": curves.deletion,
        "insertion": curves.insertion,
        "random_deletion": curves.random_deletion,
        "random_insertion": curves.random_insertion,
    }
    rounded = {name: [_rounded(value) for value in line] for name, line in lines.items()}
    return {
        "fraction": list(curves.fraction),
        "deletion": rounded["deletion"],
        "insertion": rounded["insertion"],
        "random": {"deletion": rounded["random_deletion"], "insertion": rounded["random_insertion"]},
        "area": {name: _rounded(area(line)) for name, line in lines.items()},
        "trust": curves.trust,
    }


def _flip(flip: Flip | None, labels: list[str]) -> dict[str, Any]:
    if flip is None:
        return {"found": False}
    return {
        "found": True,
        "label": labels[flip.index],
        "index": flip.index,
        "probability": _rounded(flip.probability),
        "fraction": _rounded(len(flip.cells) / flip.grid**2),
        "grid": flip.grid,
        "cells": [list(cell) for cell in flip.cells],
    }


def _rounded(value: float) -> float:
    return float(f"{value:.{_DIGITS}g}")


def _rounded_rows(values: NDArray[Any]) -> list[Any]:
    """Nested lists of numbers with the digits that float32 has."""
    flat = [_rounded(value) for value in values.ravel().tolist()]
    rows: list[Any] = flat
    for size in reversed(values.shape[1:]):
        rows = [rows[start : start + size] for start in range(0, len(rows), size)]
    return rows
