"""The methods and layers with which a network can be explained."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Self

from ..errors import InvalidInput, shown
from ..inference.model import LoadedModel
from ..repository.inspect_file import Faithfulness, InspectedLayer, Inspection
from .request import (
    CONTRIBUTION,
    GRADCAM,
    GRADIENT,
    HIRESCAM,
    INTEGRATED,
    METHODS,
    OCCLUSION,
)

INPUT = "input"
# The smallest side of the maps that are the default of a method, if there are so large ones.
MIN_SIDE = 5


@dataclass(frozen=True, slots=True)
class Method:
    """A method for one network.

    Attributes:
        layer: the default layer; None if the method has none.
        layers: the layers to choose from.
        reason: the sentence why it is not offered; None if it is.
    """

    name: str
    layer: str | None
    layers: Sequence[str]
    exact: bool
    faithfulness: Faithfulness | None
    reason: str | None

    @property
    def offered(self) -> bool:
        return self.reason is None


@dataclass(frozen=True, slots=True)
class Network:
    """A network as far as it can be explained; `inspection` is None without `inspect.onnx`."""

    model: LoadedModel
    inspection: Inspection | None
    methods: Sequence[Method]

    @classmethod
    def of(cls, model: LoadedModel, inspection: Inspection | None) -> Self:
        methods = [_method(name, model, inspection) for name in METHODS]
        return cls(model, inspection, methods)

    @property
    def reason(self) -> str | None:
        """The reason why there are no layers; None if there are."""
        if self.inspection is not None:
            return None
        return (
            f"{self.model.name} version {self.model.version} was published without a graph for inspection; "
            "publish it again with convserve-export inspect"
        )

    @property
    def best(self) -> Method | None:
        """The exact method, else the one with the best figures, else occlusion; None for feature maps."""
        offered = [method for method in self.methods if method.offered]
        exact = [method for method in offered if method.exact]
        measured = [method for method in offered if method.faithfulness is not None]
        return next(iter([*exact, *sorted(measured, key=_rank), *reversed(offered)]), None)

    def method(self, name: str | None) -> Method:
        """The method of this name, or the best.

        Raises:
            InvalidInput: there is none, or it is not offered for the network.
        """
        if name is None:
            best = self.best
            if best is None:
                raise InvalidInput(
                    f"{self.model.name} returns feature maps, which have no label to explain; "
                    "request them with method=maps"
                )
            return best
        found = next((method for method in self.methods if method.name == name), None)
        if found is None:
            raise InvalidInput(f"unknown method {shown(name)}; known methods: {', '.join(METHODS)}, maps")
        if found.reason is not None:
            raise InvalidInput(f"{name} is not offered for {self.model.name}: {found.reason}")
        return found

    def layer(self, method: Method, name: str | None) -> str | None:
        """The layer of this name for a method, or its default.

        Raises:
            InvalidInput: the method cannot use it.
        """
        if name is None:
            return method.layer
        if name not in method.layers:
            known = ", ".join(method.layers) or "none"
            raise InvalidInput(f"{method.name} has no layer {shown(name)} here; layers: {known}")
        return name

    def maps_layers(self) -> Sequence[str]:
        """The layers whose outputs can be requested."""
        if self.inspection is None:
            return [INPUT]
        return [INPUT, *(layer.name for layer in self.inspection.layers)]


def _rank(method: Method) -> float:
    figures = method.faithfulness
    return 0.0 if figures is None else figures.deletion - figures.insertion


def _method(name: str, model: LoadedModel, inspection: Inspection | None) -> Method:
    exact = name == CONTRIBUTION
    figures = None if inspection is None else inspection.faithfulness.get(name)
    layers = _layers(name, inspection)
    layer = _default_layer(layers, inspection) if figures is None else figures.layer
    reason = _reason(name, model, inspection, figures, layers)
    return Method(name, layer if reason is None else None, layers, exact, figures, reason)


def _layers(name: str, inspection: Inspection | None) -> Sequence[str]:
    if inspection is None or inspection.reason is not None or name == OCCLUSION:
        return []
    if name == CONTRIBUTION:
        return list(dict.fromkeys(each.rpartition(".")[2] for each in inspection.exact))[:1]
    if name == INTEGRATED:
        return [INPUT]
    names = [layer.plain_name for layer in inspection.layers if layer.has_maps and layer.gradient]
    names += [layer.name for layer in inspection.layers if layer.has_maps and layer.gradient]
    return [*([INPUT] if name == GRADIENT else []), *dict.fromkeys(names)]


def _default_layer(layers: Sequence[str], inspection: Inspection | None) -> str | None:
    if inspection is None or not layers:
        return None
    if INPUT in layers:
        return INPUT
    known = {layer.plain_name: layer for layer in inspection.layers if layer.plain_name in layers}
    large = [name for name, layer in known.items() if _side(layer) >= MIN_SIDE]
    return (large or list(known))[-1]


def _side(layer: InspectedLayer) -> int:
    return min(layer.shape[1:])


def _reason(
    name: str,
    model: LoadedModel,
    inspection: Inspection | None,
    figures: Faithfulness | None,
    layers: Sequence[str],
) -> str | None:
    if not model.manifest.classifies:
        return "it returns feature maps, which have no label"
    if name != OCCLUSION:
        if inspection is None:
            return "this version was published without a graph for inspection"
        if inspection.reason is not None:
            return f"there is {inspection.reason}"
        if not layers and name == CONTRIBUTION:
            return "its last convolution does not lead to its scores through one dense layer"
        if not layers:
            return "it has no feature maps of more than one pixel"
    if figures is not None and not figures.offered:
        return "on its test images it is not more faithful than chance and a bright centre"
    return None


GRADIENT_METHODS = (CONTRIBUTION, HIRESCAM, GRADCAM, GRADIENT, INTEGRATED)
