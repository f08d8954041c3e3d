"""Parses the bodies of TensorFlow Serving's `:predict` and `:classify`.

See tensorflow.org/tfx/serving/api_rest: `instances` in row format or `inputs` in columnar format. An object
with the single member `b64` represents bytes, here an encoded image.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Annotated, Any, Literal

import numpy as np
from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, TypeAdapter
from pydantic_core import to_json

from ...batching.pending_request import Rows, Scores
from ...config.limits import JsonLimits
from ...errors import InvalidInput, PayloadTooLarge, shown
from ...imaging.decode_pool import EncodedImage
from ...inference.top_k import rank
from ...repository.manifest import InputSpec
from ..shared.json_body import decode_base64, parse_json
from ..shared.parsing.json_scan import restore_arrays
from ..shared.parsing.number_array import NumberArray, not_numbers
from ..shared.parsing.number_writer import STEP_NUMBERS
from ..shared.tensors import (
    check_count,
    describe_input,
    parse_numbers,
    resolve_dynamic_shape,
    rows_from_numbers,
)

Value = Annotated[Any, BeforeValidator(restore_arrays)]
Content = Rows | list[EncodedImage]
SIGNATURE = "serving_default"


class Predict(BaseModel):
    model_config = ConfigDict(extra="ignore")

    signature_name: str = ""
    instances: Value = None
    inputs: Value = None


class Classify(BaseModel):
    model_config = ConfigDict(extra="ignore")

    signature_name: str = ""
    context: dict[str, Value] = {}
    # Only the first error is reported: an error for each example would take more memory than the body.
    examples: Annotated[list[dict[str, Value]], Field(fail_fast=True)]


_PREDICT = TypeAdapter(Predict)
_CLASSIFY = TypeAdapter(Classify)


def read_predict(
    body: bytes, spec: InputSpec, max_rows: int, limits: JsonLimits
) -> tuple[Content, Literal["predictions", "outputs"]]:
    """The content of a `:predict` request, and the member that holds its response.

    Raises:
        InvalidInput: it cannot be parsed, or does not fit the model.
    """
    request = parse_json(_PREDICT, body, limits)
    _check_signature(request.signature_name)
    given = request.model_fields_set & {"instances", "inputs"}
    if len(given) != 1:
        raise InvalidInput("a :predict needs exactly one of 'instances' and 'inputs'")
    if "instances" in given:
        return _instances(request.instances, spec, max_rows), "predictions"
    return _column(request.inputs, spec, max_rows), "outputs"


def read_classify(body: bytes, spec: InputSpec, max_rows: int, limits: JsonLimits) -> Content:
    """The content of a `:classify` request: examples with one feature each, of any name.

    Raises:
        InvalidInput: it cannot be parsed, or does not fit the model.
        PayloadTooLarge: it has too many examples or numbers.
    """
    request = parse_json(_CLASSIFY, body, limits)
    _check_signature(request.signature_name)
    check_count(len(request.examples), spec, max_rows)
    if any(len({**request.context, **example}) != 1 for example in request.examples):
        raise InvalidInput("each example must have exactly one feature, an encoded image or its pixels")
    examples = [{**request.context, **example} for example in request.examples]
    values = [value for example in examples for value in example.values()]
    if sum(not example for example in request.examples) > 1 and not any(map(_is_bytes, values)):
        return _repeated(values, spec, limits)
    return _rows(values, spec, max_rows, "examples")


def write_results(scores: Scores, labels: Sequence[str]) -> bytes:
    """The response of `:classify`: the label and score of each class, best first, for each image."""
    rows = max(1, STEP_NUMBERS // len(labels))
    pieces = []
    for start in range(0, len(scores), rows):
        ranked = rank(scores[start : start + rows], labels, len(labels))
        results = [[[each.label, each.probability] for each in row] for row in ranked]
        pieces.append(to_json(results, inf_nan_mode="constants")[1:-1])
    return b'{"results":[%b]}' % b",".join(pieces)


def _instances(instances: Any, spec: InputSpec, max_rows: int) -> Content:
    """Row format: each instance is a value, or an object with the input's name."""
    if isinstance(instances, NumberArray):
        return _numbers(instances, spec, max_rows, "instances")
    if not isinstance(instances, list):
        raise InvalidInput("'instances' must be a list with one element per image")
    return _rows([_named(value, spec) for value in instances], spec, max_rows, "instances")


def _column(inputs: Any, spec: InputSpec, max_rows: int) -> Content:
    """Columnar format: the whole tensor, or an object with the input's name that holds it."""
    values = _named(inputs, spec)
    if isinstance(values, NumberArray):
        return _numbers(values, spec, max_rows, "inputs")
    if _is_bytes(values):
        values = [values]
    if not isinstance(values, list):
        raise InvalidInput(f"'inputs' must be a tensor; expected {describe_input(spec)}")
    return _rows(values, spec, max_rows, "inputs")


def _named(value: Any, spec: InputSpec) -> Any:
    if not isinstance(value, dict) or _is_bytes(value):
        return value
    if list(value) != [spec.name]:
        raise InvalidInput(f"the model takes one input, {spec.name!r}; the request has {shown([*value])}")
    return value[spec.name]


def _rows(values: list[Any], spec: InputSpec, max_rows: int, where: str) -> Content:
    count = check_count(len(values), spec, max_rows)
    images = [value for value in values if _is_bytes(value)]
    if len(images) == count:
        # An image of the context of a :classify occurs several times, and is decoded from base64 once.
        decoded: dict[int, bytes] = {}
        for index, value in enumerate(values):
            if id(value) not in decoded:
                decoded[id(value)] = _image_bytes(value, f"{where}.{index}.b64")
        return [EncodedImage(decoded[id(value)]) for value in values]
    if images:
        raise InvalidInput(f"{where} has both encoded images and tensors; send only one kind")
    tensor = parse_numbers(values, spec.name)
    return rows_from_numbers(tensor, count, _resolved(tensor.shape, spec, where))


def _repeated(values: list[Any], spec: InputSpec, limits: JsonLimits) -> Rows:
    """Tensors of which some are the same object: each is parsed once, and their copies are counted.

    Raises:
        InvalidInput: they do not fit the model.
        PayloadTooLarge: all of them have more numbers than one body may have.
    """
    parsed: dict[int, Rows] = {}
    for value in values:
        if id(value) not in parsed:
            tensor = parse_numbers([value], spec.name)
            parsed[id(value)] = rows_from_numbers(tensor, 1, _resolved(tensor.shape, spec, "examples"))
    rows = [parsed[id(value)] for value in values]
    if len({row.shape for row in rows}) > 1:
        raise not_numbers(spec.name)
    if len(rows) * rows[0].size > limits.max_values:
        raise PayloadTooLarge(
            f"the examples have more than {limits.max_values:,} numbers (CONVSERVE_MAX_JSON_VALUES); "
            "send images as files"
        )
    return np.concatenate(rows)


def _numbers(array: NumberArray, spec: InputSpec, max_rows: int, where: str) -> Content:
    """A whole tensor, whose shape is checked before its numbers are parsed."""
    count = check_count(array.shape[0], spec, max_rows)
    spec = _resolved(array.shape, spec, where)
    return rows_from_numbers(parse_numbers(array, spec.name), count, spec)


def _resolved(shape: tuple[int, ...], spec: InputSpec, where: str) -> InputSpec:
    spec = resolve_dynamic_shape(shape, spec)
    if shape[1:] != spec.shape:
        raise InvalidInput(f"{where} has shape {shown(shape)}; expected {describe_input(spec)}")
    return spec


def _is_bytes(value: Any) -> bool:
    return isinstance(value, dict) and list(value) == ["b64"]


def _image_bytes(value: dict[str, Any], where: str) -> bytes:
    if not isinstance(value["b64"], str):
        raise InvalidInput(f"{where} must be a string")
    return decode_base64(value["b64"], where)


def _check_signature(name: str) -> None:
    if name not in ("", SIGNATURE):
        raise InvalidInput(f"unknown signature {shown(name)}; the model has {SIGNATURE!r}")
