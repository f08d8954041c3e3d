"""Generates gRPC calls as bytes: valid messages, and mutations of them."""

from __future__ import annotations

import struct
from typing import Any, NamedTuple

from hypothesis import strategies as st

from service.protocols.grpc import inference_pb2 as messages
from service.protocols.grpc.servicer import SERVICE
from tests.support.models.gray_classifier import SIDE, image, rows

METHODS = [method.name for method in SERVICE.methods if not method.client_streaming]


class Call(NamedTuple):
    method: str
    data: bytes


def infer(changes: dict[str, Any], contents: dict[str, Any] | None = None, **more: Any) -> Call:
    """A ModelInfer call with one changed tensor, with typed contents if given."""
    tensor = {"name": "pixels", "datatype": "UINT8", "shape": [1, SIDE, SIDE, 1], **changes}
    if contents is not None:
        tensor["contents"] = messages.InferTensorContents(**contents)
    given = messages.ModelInferRequest.InferInputTensor(**tensor)
    request = messages.ModelInferRequest(**{"model_name": "shades", "inputs": [given], **more})
    return Call("ModelInfer", request.SerializeToString())


def _valid() -> list[Call]:
    """At least one of each form of request."""
    row, file = rows(7), image(7)
    one_file = {"datatype": "BYTES", "shape": [1]}
    wanted = messages.ModelInferRequest.InferRequestedOutputTensor(name="probabilities")
    wanted.parameters["classification"].int64_param = 3
    parameters = {
        "timeout": messages.InferParameter(int64_param=10**7),
        "priority": messages.InferParameter(uint64_param=1),
        "colour": messages.InferParameter(string_param="grey"),
    }
    logs = messages.LogSettingsRequest()
    logs.settings["log_verbose_level"].uint32_param = 0
    traces = messages.TraceSettingRequest(model_name="shades")
    traces.settings["trace_level"].value.append("OFF")
    return [
        infer({}, raw_input_contents=[row.tobytes()]),
        infer({}, {"uint_contents": row.ravel().tolist()}, id="x", parameters=parameters),
        infer(one_file, {"bytes_contents": [file]}, outputs=[wanted]),
        infer(one_file, raw_input_contents=[struct.pack("<I", len(file)) + file], outputs=[wanted]),
        *(Call(method, b"") for method in ("ServerLive", "ServerReady", "ServerMetadata", "ModelReady")),
        *(
            Call(method, getattr(messages, f"{method}Request")(name="shades").SerializeToString())
            for method in ("ModelMetadata", "ModelConfig", "ModelStatistics")
        ),
        Call("RepositoryIndex", messages.RepositoryIndexRequest(ready=True).SerializeToString()),
        Call("LogSettings", logs.SerializeToString()),
        Call("TraceSetting", traces.SerializeToString()),
        *(Call(f"{kind}SharedMemoryStatus", b"") for kind in ("System", "Cuda")),
    ]


GOOD = _valid()

_lengths = st.sampled_from([-(2**63), -1, 0, 1, 2, SIDE, 2**31, 2**32, 2**60, 2**62, 2**63 - 1])
_shapes = st.lists(_lengths, max_size=6) | st.just([1] * 1000) | st.just([2**32] * 4)
_datatypes = st.sampled_from(["UINT8", "FP32", "BYTES", "BF16", "INT64", "uint8", ""])
_numbers = st.lists(st.integers(0, 2**32 - 1), max_size=2 * SIDE**2)
_contents = st.none() | st.fixed_dictionaries(
    {},
    optional={
        "uint_contents": _numbers,
        "bool_contents": st.lists(st.booleans(), max_size=3),
        "fp32_contents": st.lists(st.floats(width=32), max_size=3),
        "bytes_contents": st.lists(st.binary(max_size=40) | st.just(image(7)), max_size=3),
    },
)
_parameters = st.dictionaries(
    st.sampled_from(["timeout", "priority", "classification", "shared_memory_region", "triton_x", "a"]),
    st.builds(messages.InferParameter)
    | st.builds(messages.InferParameter, int64_param=st.integers(-(2**63), 2**63 - 1))
    | st.builds(messages.InferParameter, uint64_param=st.integers(0, 2**64 - 1))
    | st.builds(messages.InferParameter, double_param=st.floats())
    | st.builds(messages.InferParameter, string_param=st.text(max_size=5))
    | st.builds(messages.InferParameter, bool_param=st.booleans()),
    max_size=2,
)
_outputs = st.lists(
    st.builds(
        messages.ModelInferRequest.InferRequestedOutputTensor,
        name=st.sampled_from(["probabilities", "logits", ""]),
        parameters=_parameters,
    ),
    max_size=2,
)
_made_up = st.builds(
    lambda changes, contents, more: infer(changes, contents, **more),
    st.fixed_dictionaries(
        {},
        optional={
            "name": st.sampled_from(["pixels", "", "x"]),
            "datatype": _datatypes,
            "shape": _shapes,
            "parameters": _parameters,
        },
    ),
    _contents,
    st.fixed_dictionaries(
        {},
        optional={
            "model_name": st.sampled_from(["", "none", "../shades", "x" * 5000]),
            "model_version": st.sampled_from(["1", "0", "-1", "9" * 50, "stable"]),
            "parameters": _parameters,
            "outputs": _outputs,
            "raw_input_contents": st.lists(
                st.binary(max_size=2 * SIDE**2) | st.just(bytes(SIDE**2)) | st.just(b"\xff" * 4), max_size=2
            ),
        },
    ),
)


@st.composite
def _mutated(draw: st.DrawFn) -> Call:
    """A valid call with bytes removed, inserted or overwritten, and sometimes another method."""
    method, data = draw(st.sampled_from(GOOD))
    for _ in range(draw(st.integers(0, 3))):
        start = draw(st.integers(0, len(data)))
        end = draw(st.integers(start, min(len(data), start + 40)))
        data = data[:start] + draw(st.binary(max_size=20)) + data[end:]
    return Call(draw(st.just(method) | st.sampled_from(METHODS)), data)


calls = _made_up | _mutated() | st.builds(Call, st.sampled_from(METHODS), st.binary(max_size=200))
