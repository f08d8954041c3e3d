"""Large and small JSON give the same results, and large JSON is bounded before it is parsed."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from service.config.limits import JsonLimits
from service.errors import ConvserveError, InvalidInput, PayloadTooLarge
from service.protocols.open_inference.rest_codec import read_request
from service.protocols.shared import json_body
from service.protocols.shared.parsing import json_scan
from service.protocols.shared.parsing.json_scan import MAX_ESCAPES, cut_arrays
from service.protocols.shared.tensors import decode_tensor
from service.protocols.tensorflow_serving.rest_codec import read_classify, read_predict
from service.repository.manifest import InputSpec, Manifest
from tests.support.models.gray_classifier import SIDE, publish_shades

LIMITS = JsonLimits(max_values=10_000, max_depth=20, max_members=500)
PIXELS = SIDE * SIDE


@pytest.fixture(scope="module")
def manifest(tmp_path_factory: pytest.TempPathFactory) -> Manifest:
    folder = publish_shades(tmp_path_factory.mktemp("models"))
    return Manifest.model_validate_json((folder / "manifest.json").read_bytes())


rows = st.lists(
    st.lists(st.integers(-1, 256), min_size=PIXELS, max_size=PIXELS).map(
        lambda row: np.reshape(row, (SIDE, SIDE, 1)).tolist()
    ),
    min_size=1,
    max_size=3,
)
strings = st.one_of(
    st.text(max_size=10), st.sampled_from(['a"b', "\\", '\\"', "[1,2]", "{", "é", "\ue000array 0"])
)


def both(read: Callable[[bytes], Any], body: bytes) -> tuple[Any, Any]:
    """The results of a body as a small one and as a large one; an error as its class."""
    results = []
    for most in (10**9, 0):
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(json_body, "MAX_SMALL_BYTES", most)
            try:
                result = read(body)
            except ConvserveError as error:
                result = type(error)
            results.append(result.tolist() if isinstance(result, np.ndarray) else result)
    return results[0], results[1]


@given(
    rows, st.sampled_from(["instances", "inputs", "named", "columns"]), strings, st.sampled_from([None, 2])
)
def test_predictions(manifest: Manifest, values: Any, form: str, name: str, indent: int | None) -> None:
    spec = manifest.input
    document = {
        "instances": {"signature_name": name, "instances": values},
        "inputs": {name: [1, name, {name: 2}], "inputs": values},
        "named": {"instances": [{spec.name: row} for row in values]},
        "columns": {"inputs": {spec.name: values}, name: name},
    }[form]
    body = json.dumps(document, indent=indent).encode()
    small, large = both(lambda body: read_predict(body, spec, 256, LIMITS)[0], body)
    assert small == large


@given(rows, st.booleans())
def test_classifications(manifest: Manifest, values: Any, in_context: bool) -> None:
    examples: Any = [{}] if in_context else [{"pixels": row} for row in values]
    context = {"pixels": values[0]} if in_context else {}
    body = json.dumps({"context": context, "examples": examples}).encode()
    small, large = both(lambda body: read_classify(body, manifest.input, 256, LIMITS), body)
    assert small == large


@given(rows, strings, st.integers(0, 3), st.booleans())
def test_tensors(manifest: Manifest, values: Any, name: str, cut: int, flat: bool) -> None:
    tensor = {
        "name": manifest.input.name,
        "shape": [len(values) - cut, SIDE, SIDE, 1],
        "datatype": "UINT8",
        "parameters": {name: name},
        "data": np.ravel(values).tolist() if flat else values,
    }
    body = json.dumps({"id": name, "inputs": [tensor], "outputs": []}, ensure_ascii=False).encode(
        errors="replace"
    )

    def read(body: bytes) -> Any:
        return decode_tensor(read_request(body, None, manifest, LIMITS).tensor, manifest.input, 256)

    small, large = both(read, body)
    assert small == large


@given(st.binary(max_size=200), st.text(alphabet='[]{}:,"\\01 ', max_size=200))
def test_only_domain_errors_are_raised(data: bytes, text: str) -> None:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(json_scan, "MIN_ARRAY_BYTES", 2)
        for body in (data, text.encode(), b'{"a":' + text.encode()):
            try:
                cut_arrays(body, LIMITS)
            except ConvserveError:
                continue


OTHERS = ["x", [200] * 41]


@pytest.mark.parametrize(
    ("values", "valid"),
    [
        ([[1] * 40, [2] * 40], True),
        ([[1] * 40, [200] * 40], True),
        ([[1] * 40, [200] * 39], False),
        ([[1] * 40, [200] * 40, OTHERS[0]], False),
        ([[1] * 40, OTHERS[1]], False),
    ],
)
def test_rows_of_which_only_some_are_cut_out(values: Any, valid: bool) -> None:
    """The text of an array of small numbers is shorter than that of large ones."""
    spec = InputSpec(
        name="p", dtype="uint8", layout="NHWC", height=40, width=1, channels=1, resize="fit", polarity=None,
        scale=None, mean=None, std=None,
    )  # fmt: skip
    nested = [np.reshape(row, (-1, 1, 1)).tolist() if row not in OTHERS else row for row in values]
    body = json.dumps({"instances": [{"p": row} for row in nested]}).encode()
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(json_scan, "MIN_ARRAY_BYTES", 40 * 7 + 20)
        small, large = both(lambda body: read_predict(body, spec, 256, LIMITS)[0], body)
    assert small == large
    assert isinstance(small, list) == valid


@pytest.mark.parametrize(
    ("body", "error", "sentence"),
    [
        (b"[" + b"[]," * 501 + b"[]]", PayloadTooLarge, "more than 500 values besides regular arrays"),
        (b"{" + b'"a":0,' * 501 + b'"b":0}', PayloadTooLarge, "more than 500 values besides regular arrays"),
        (b"[" + b'"",' * 1001 + b"0]", PayloadTooLarge, "more than 1,000 strings"),
        (b'{"a":[' + b"0," * 10_000 + b"0]}", PayloadTooLarge, "an array of more than 10,000 numbers"),
        (
            b'{"a":[' + b"0," * 6000 + b'0],"b":[' + b"0," * 6000 + b"0]}",
            PayloadTooLarge,
            "array of more than",
        ),
        (b"]" * 501, InvalidInput, "closes more lists and objects than it opens"),
        (b"[" * 30 + b"]" * 30, InvalidInput, "nested deeper than 20 levels"),
        (
            b'{"a":' * 17 + b'{"a":[[[[' + b"0," * 40 + b"0]]]]}" + b"}" * 17,
            InvalidInput,
            "nested deeper than",
        ),
        (b" " * (1024 * 1024 + 1), PayloadTooLarge, "more than 500 values besides regular arrays"),
        (b'"' + b"\\n" * (MAX_ESCAPES + 1) + b'"', PayloadTooLarge, "more than 1,000,000 backslashes"),
        (b'"' + b"\xc3\xa9" * 600_000 + b'"', InvalidInput, "long strings that are not ASCII"),
    ],
)
def test_large_json_is_bounded(body: bytes, error: type[ConvserveError], sentence: str) -> None:
    with pytest.raises(error, match=sentence):
        cut_arrays(body, LIMITS)


def test_brackets_within_strings_do_not_count() -> None:
    body = json.dumps({"a": "[{," * 1000, "b": '\\"]' * 1000}).encode()
    assert cut_arrays(body, LIMITS) == (body, {})
