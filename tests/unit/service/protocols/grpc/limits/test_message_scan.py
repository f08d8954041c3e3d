"""The scan of ModelInferRequest messages."""

from __future__ import annotations

import time
import tracemalloc
from itertools import islice
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from service.errors import InvalidInput, PayloadTooLarge
from service.protocols.grpc.inference_pb2 import InferParameter, InferTensorContents, ModelInferRequest
from service.protocols.grpc.limits.message_scan import MAX_OTHER_BYTES, scan_request
from service.protocols.grpc.limits.wire_format import field_head
from service.repository.manifest import Manifest
from tests.support.models.gray_classifier import SIDE, publish_shades

MAX_IMAGES = 256
MAX_REFUSAL_SECONDS = 0.05
MAX_REFUSAL_BYTES = 4_000_000
LARGE = 20_000_000

Tensor = ModelInferRequest.InferInputTensor


def field(number: int, data: bytes) -> bytes:
    return field_head(number, len(data)) + data


def typed(number: int, data: bytes) -> bytes:
    """A request with one input, whose contents are one field."""
    return field(1, b"shades") + field(5, field(1, b"pixels") + field(5, field(number, data)))


@pytest.fixture(scope="module")
def manifest(tmp_path_factory: pytest.TempPathFactory) -> Manifest:
    folder = publish_shades(tmp_path_factory.mktemp("models"))
    return Manifest.model_validate_json((folder / "manifest.json").read_bytes())


_names = st.text(max_size=20)
_parameters = st.dictionaries(
    _names,
    st.builds(InferParameter, int64_param=st.integers(-(2**63), 2**63 - 1))
    | st.builds(InferParameter, double_param=st.floats())
    | st.builds(InferParameter, string_param=_names),
    max_size=3,
)
_contents = st.builds(
    InferTensorContents,
    uint_contents=st.lists(st.integers(0, 2**32 - 1), max_size=5),
    fp32_contents=st.lists(st.floats(width=32), max_size=5),
    int64_contents=st.lists(st.integers(-(2**63), 2**63 - 1), max_size=5),
    bytes_contents=st.lists(st.binary(max_size=300), max_size=5),
)
_requests = st.builds(
    ModelInferRequest,
    model_name=_names,
    model_version=_names,
    id=_names,
    parameters=_parameters,
    inputs=st.lists(
        st.builds(
            Tensor,
            name=_names,
            datatype=_names,
            shape=st.lists(st.integers(-(2**63), 2**63 - 1), max_size=6),
            parameters=_parameters,
            contents=_contents,
        ),
        max_size=3,
    ),
    outputs=st.lists(
        st.builds(ModelInferRequest.InferRequestedOutputTensor, name=_names, parameters=_parameters),
        max_size=3,
    ),
    raw_input_contents=st.lists(st.binary(max_size=300), max_size=3),
)


@given(_requests)
def test_parts_are_the_whole_message(message: ModelInferRequest) -> None:
    scanned = scan_request(message.SerializeToString(), MAX_IMAGES)
    assert (scanned.model_name, scanned.model_version) == (message.model_name, message.model_version)
    joined = ModelInferRequest.FromString(scanned.rest())
    joined.raw_input_contents.extend(map(bytes, scanned.raws))
    images = iter(map(bytes, scanned.images))
    for original, copied in zip(message.inputs, joined.inputs, strict=True):
        assert original.HasField("contents") == copied.HasField("contents")
        assert not copied.contents.bytes_contents
        copied.contents.bytes_contents.extend(islice(images, len(original.contents.bytes_contents)))
    assert joined.SerializeToString(deterministic=True) == message.SerializeToString(deterministic=True)
    packed = [len(each.contents.uint_contents) for each in message.inputs]
    assert sum(packed) <= scanned.packed_bytes


@given(st.binary(max_size=300))
def test_any_bytes_are_scanned_or_rejected(data: bytes) -> None:
    try:
        scan_request(data, MAX_IMAGES)
    except (InvalidInput, PayloadTooLarge):
        return


@pytest.mark.measures
@pytest.mark.parametrize(
    ("message", "sentence"),
    [
        (field(5, b"") * (LARGE // 2), "more than 128 inputs"),
        (field(6, b"") * (LARGE // 2), "more than 128 inputs"),
        (field(7, b"") * (LARGE // 2), "more than 128 inputs"),
        (field(4, b"") * (LARGE // 2), "more than 4,096 fields"),
        (field(6, field(2, b"") * (LARGE // 2)), "more than 4,096 fields"),
        (field(5, field(4, b"") * (LARGE // 2)), "more than 4,096 fields"),
        (field(5, field(3, b"\1" * LARGE)), "more than 64 dimensions"),
        (field(5, b"\x18\1" * (LARGE // 2)), "more than 64 dimensions"),
        (field(5, field(5, b"\x20\1" * (LARGE // 2))), "more than 4,096 fields"),
        (field(5, field(5, field(8, b"") * (LARGE // 2))), "more bytes_contents than images"),
        (field(1, b"x" * LARGE), f"more than {MAX_OTHER_BYTES:,} bytes besides"),
        (field(3, b"x" * LARGE), f"more than {MAX_OTHER_BYTES:,} bytes besides"),
        (field(15, b"x" * LARGE), f"more than {MAX_OTHER_BYTES:,} bytes besides"),
        (b"\xf8\1\1" * (LARGE // 3), "more than 4,096 fields"),
        (b"\xfb\1" * 50 + b"\xfc\1" * 50, "not a message of type"),
        (typed(4, b"\1" * LARGE), "takes; a request holds at most 16,384"),
        (typed(6, b"\1" * LARGE), "takes; a request holds at most 16,384"),
        (typed(3, b"\1" * LARGE), "takes; a request holds at most 16,384"),
    ],
    ids=lambda value: value if isinstance(value, str) else f"{len(value)} bytes",
)
def test_excess_is_refused_in_little_time_and_memory(
    manifest: Manifest, message: bytes, sentence: str
) -> None:
    """The limits on time and memory are those of any message, however long."""

    def refuse() -> float:
        started = time.perf_counter()
        with pytest.raises((InvalidInput, PayloadTooLarge), match=sentence):
            scan_request(message, MAX_IMAGES).check_contents(manifest, MAX_IMAGES)
        return time.perf_counter() - started

    assert min(refuse() for _ in range(3)) < MAX_REFUSAL_SECONDS  # others may load the machine
    tracemalloc.start()
    try:
        refuse()
        assert tracemalloc.get_traced_memory()[1] < MAX_REFUSAL_BYTES
    finally:
        tracemalloc.stop()


def test_largest_request_is_not_refused(manifest: Manifest) -> None:
    elements = MAX_IMAGES * SIDE * SIDE
    for data in (b"\1" * elements, b"\x80\1" * elements):
        scan_request(typed(4, data), MAX_IMAGES).check_contents(manifest, MAX_IMAGES)
    with pytest.raises(PayloadTooLarge):
        scan_request(typed(4, b"\1" * (elements + 1)), MAX_IMAGES).check_contents(manifest, MAX_IMAGES)
    images = [b"x" * 9000] * MAX_IMAGES
    message: Any = ModelInferRequest(inputs=[Tensor(contents=InferTensorContents(bytes_contents=images))])
    assert scan_request(message.SerializeToString(), MAX_IMAGES).images == images
