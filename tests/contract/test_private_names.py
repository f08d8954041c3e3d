"""The undocumented names of libraries that this project uses exist, with the expected signatures.

pyproject.toml limits the versions of these libraries. A failure here names the change.
"""

from __future__ import annotations

import ast
import importlib
import inspect
import io
import pkgutil
import textwrap
import zlib
from collections.abc import Iterator
from importlib.metadata import version
from pathlib import Path
from typing import Any

import httptools
import numpy as np
import onnxruntime
import pytest
import uvicorn
from grpc._cython import cygrpc  # type: ignore[attr-defined]
from PIL import Image, ImageFile
from PIL.WebPImagePlugin import WebPImageFile
from prometheus_client import CollectorRegistry
from prometheus_client.exposition import choose_encoder
from prometheus_client.utils import floatToGoString
from uvicorn.server import ServerState

from service.imaging.plain_png import PlainPng

ROOT = Path(__file__).resolve().parent.parent.parent

# Packages with subclasses of a uvicorn class.
SUBCLASSED: dict[str, type] = {"service.server": uvicorn.Server}

# Maps a module of service/http and a variable or attribute in it to the class of its value.
RECEIVERS: dict[tuple[str, str], type] = {
    ("protocol", "config"): uvicorn.Config,
    ("protocol", "_server_state"): ServerState,
    ("request_parser", "_parser"): httptools.HttpRequestParser,
}

# Methods that the subclasses override. They have an effect only if uvicorn calls them.
OVERRIDDEN = [
    (uvicorn.Server, "startup", ["self", "sockets"]),
    (uvicorn.Server, "on_tick", ["self", "counter"]),
    (uvicorn.Server, "handle_exit", ["self", "sig", "frame"]),
]


def parameters(function: Any) -> list[str]:
    return list(inspect.signature(function).parameters)


def syntax(cls: type) -> ast.AST:
    return ast.parse(textwrap.dedent(inspect.getsource(cls)))


def on_self(tree: ast.AST, *contexts: type[ast.expr_context]) -> set[str]:
    """Return the attributes of `self` and `super()` that are read or written."""
    return {
        node.attr
        for node in ast.walk(tree)
        if isinstance(node, ast.Attribute)
        and isinstance(node.ctx, contexts or (ast.Load, ast.Store))
        and ast.unparse(node.value) in ("self", "super()")
    }


def defined(cls: type) -> set[str]:
    """Return the class attributes, and the attributes that methods assign to `self`."""
    names = set(dir(cls))
    for base in cls.__mro__:
        try:
            names |= on_self(syntax(base), ast.Store)
        except (TypeError, OSError):  # a class written in C
            continue
    return names


def subclasses(package: str, base: type) -> list[type]:
    """Return the classes of a package that inherit from a library's class."""
    folder = importlib.import_module(package)
    modules = [
        importlib.import_module(f"{package}.{each.name}") for each in pkgutil.iter_modules(folder.__path__)
    ]
    classes = {cls for module in modules for cls in vars(module).values() if inspect.isclass(cls)}
    found = [cls for cls in classes if issubclass(cls, base) and cls.__module__.startswith(package)]
    return sorted(found, key=str)


def introduced(cls: type, base: type) -> set[str]:
    """Return the names that this project adds to `base`: members, fields of `__init__`, private fields."""
    names: set[str] = set()
    for each in cls.__mro__:
        if issubclass(each, base) and each is not base:
            initializer = [n for n in ast.walk(syntax(each)) if getattr(n, "name", None) == "__init__"]
            names |= set(vars(each)) | {name for node in initializer for name in on_self(node, ast.Store)}
            names |= {name for name in on_self(syntax(each), ast.Store) if name.startswith("_")}
    return names


def inherited_uses() -> Iterator[tuple[type, type, str]]:
    for package, base in SUBCLASSED.items():
        for cls in subclasses(package, base):
            for name in sorted(on_self(syntax(cls)) - introduced(cls, base)):
                yield cls, base, name


def received_uses() -> set[tuple[str, str, str]]:
    """Return the attributes of the objects in RECEIVERS that service/http uses."""
    return {
        (module, receiver, node.attr)
        for module, receiver in RECEIVERS
        for node in ast.walk(ast.parse((ROOT / "service" / "http" / f"{module}.py").read_text()))
        if isinstance(node, ast.Attribute) and ast.unparse(node.value).rpartition(".")[2] == receiver
    }


def overrides() -> Iterator[tuple[type, type, str]]:
    for package, base in SUBCLASSED.items():
        for cls in subclasses(package, base):
            for name, member in vars(cls).items():
                if inspect.isfunction(member) and name != "__init__" and hasattr(base, name):
                    yield cls, base, name


@pytest.mark.parametrize("package", SUBCLASSED)
def test_subclass_of_uvicorn_is_found(package: str) -> None:
    assert subclasses(package, SUBCLASSED[package])


@pytest.mark.parametrize(
    ("cls", "base", "name"), list(inherited_uses()), ids=lambda value: getattr(value, "__name__", value)
)
def test_inherited_name_exists(cls: type, base: type, name: str) -> None:
    assert name in defined(base), (
        f"{cls.__module__}.{cls.__name__} uses self.{name}, but {base.__name__} of uvicorn "
        f"{version('uvicorn')} has no such attribute"
    )


def test_receivers_are_used() -> None:
    assert {use[:2] for use in received_uses()} == set(RECEIVERS)


@pytest.mark.parametrize(("module", "receiver", "name"), sorted(received_uses()))
def test_attribute_of_library_object_exists(module: str, receiver: str, name: str) -> None:
    cls = RECEIVERS[module, receiver]
    assert name in defined(cls), (
        f"service/http/{module} uses {receiver}.{name}, but {cls.__qualname__} has no such attribute"
    )


@pytest.mark.parametrize(
    ("base", "name", "expected"), OVERRIDDEN, ids=[f"{c.__name__}.{n}" for c, n, _ in OVERRIDDEN]
)
def test_overridden_method_has_the_expected_parameters(base: type, name: str, expected: list[str]) -> None:
    method = getattr(base, name, None)
    assert method is not None, (
        f"uvicorn {version('uvicorn')} has no {base.__name__}.{name}; its override is never called"
    )
    assert parameters(method) == expected


@pytest.mark.parametrize("base", sorted({base for base, *_ in OVERRIDDEN}, key=str))
def test_uvicorn_calls_the_overridden_methods(base: type) -> None:
    source = inspect.getsource(inspect.getmodule(base) or base)
    names = {name for owner, name, _ in OVERRIDDEN if owner is base}
    assert {name for name in names if f"self.{name}" not in source and f".{name}(" not in source} == set()


@pytest.mark.parametrize(
    ("cls", "base", "name"), list(overrides()), ids=lambda value: getattr(value, "__name__", value)
)
def test_override_has_the_parameters_of_the_base(cls: type, base: type, name: str) -> None:
    own, theirs = parameters(vars(cls)[name]), parameters(getattr(base, name))
    assert own == theirs, f"{cls.__name__}.{name} takes {own}, and {base.__name__}.{name} takes {theirs}"


def test_parser_error_has_the_exception_of_the_callback_as_context() -> None:
    class Callbacks:
        def on_headers_complete(self) -> None:
            raise LookupError("from a callback")

    with pytest.raises(httptools.HttpParserError) as raised:
        httptools.HttpRequestParser(Callbacks()).feed_data(b"GET / HTTP/1.1\r\n\r\n")
    assert isinstance(raised.value.__context__, LookupError)


def test_parser_reports_the_position_of_an_upgrade() -> None:
    head = b"GET / HTTP/1.1\r\nconnection: upgrade\r\nupgrade: h2c\r\n\r\n"
    with pytest.raises(httptools.HttpParserUpgrade) as raised:
        httptools.HttpRequestParser(object()).feed_data(head + b"rest")
    assert raised.value.args[0] == len(head)


@pytest.mark.parametrize(("bits", "mode"), [(2, "L;2"), (4, "L;4")])
def test_pillow_tile_has_the_raw_mode_of_a_png(bits: int, mode: str) -> None:
    file = io.BytesIO()
    Image.new("L", (4, 4)).save(file, "PNG")
    data = bytearray(file.getvalue())
    data[24] = bits  # the bit depth of IHDR, whose checksum follows its 13 bytes
    data[29:33] = zlib.crc32(data[12:29]).to_bytes(4, "big")
    with Image.open(io.BytesIO(bytes(data))) as image:
        assert isinstance(image, ImageFile.ImageFile)
        assert image.tile[0].args == mode, "the decoder needs this field to scale a transparent colour"


@pytest.mark.parametrize(("mode", "raw"), [("RGB", "RGBX"), ("RGBA", "RGBA")])
def test_pillow_decoder_of_a_webp_returns_the_pixels_of_a_frame(mode: str, raw: str) -> None:
    file = io.BytesIO()
    Image.new(mode, (4, 3), (1, 2, 3, 4)[: len(mode)]).save(file, "WEBP", lossless=True)
    with Image.open(file) as image:
        assert isinstance(image, WebPImageFile)
        assert image.rawmode == raw
        pixels, _ = image._decoder.get_next()
        assert len(pixels) == 4 * 3 * 4


@pytest.mark.parametrize("channels", [1, 3])
def test_pillow_codec_unpacks_a_plain_png(channels: int) -> None:
    pixels = np.arange(4 * 3 * channels, dtype=np.uint8).reshape(3, 4, channels)
    file = io.BytesIO()
    Image.fromarray(pixels[..., 0] if channels == 1 else pixels).save(file, "PNG")
    assert PlainPng(4, 3, channels).unpack(file.getvalue()) == pixels.tobytes()


@pytest.mark.parametrize(
    ("value", "text"), [(0.005, "0.005"), (1.0, "1.0"), (float("inf"), "+Inf"), (1e7, "1e+07")]
)
def test_prometheus_client_formats_bucket_bounds(value: float, text: str) -> None:
    assert parameters(floatToGoString) == ["d"]
    assert floatToGoString(value) == text  # type: ignore[no-untyped-call]


def test_prometheus_client_selects_an_encoder_by_accept_header() -> None:
    encode, content_type = choose_encoder("")
    assert content_type.startswith("text/plain")
    assert encode(CollectorRegistry()) == b""


def test_grpc_has_the_functions_that_accept_and_handle_a_call() -> None:
    server = cygrpc.AioServer
    assert parameters(server._request_registered_call) == ["self", "method"]
    assert parameters(server.is_running) == ["self"]
    assert parameters(cygrpc._handle_rpc) == [
        "method_name", "method_resolver", "interceptors", "rpc_state", "loop", "concurrency_exceeded",
    ]  # fmt: skip
    assert parameters(cygrpc._schedule_rpc_coro) == ["rpc_coro", "rpc_state", "loop", "method_name"]
    assert issubclass(cygrpc._RequestCallError, Exception)


def test_keras_optimizer_has_a_private_learning_rate_variable() -> None:
    import keras

    optimizer = keras.optimizers.SGD(0.25)
    optimizer.build([keras.Variable(np.zeros(1, np.float32))])
    assert any(variable is optimizer._learning_rate for variable in optimizer.variables), (
        "checkpoints omit the learning rate by comparing variables with optimizer._learning_rate"
    )


def test_onnxruntime_libraries_are_in_capi() -> None:
    assert (Path(onnxruntime.__file__).parent / "capi").is_dir()
    assert callable(onnxruntime.register_execution_provider_library)
    arguments = inspect.signature(onnxruntime.preload_dlls).parameters.values()
    required = [each.name for each in arguments if each.default is each.empty]
    assert not required, "preload_dlls is called without arguments"


def test_onnxruntime_converts_graphs_to_float16() -> None:
    from onnxruntime.transformers.float16 import DEFAULT_OP_BLOCK_LIST, convert_float_to_float16
    from onnxruntime.transformers.onnx_model import OnnxModel

    assert {"keep_io_types", "op_block_list", "node_block_list"} <= set(parameters(convert_float_to_float16))
    assert DEFAULT_OP_BLOCK_LIST
    assert parameters(OnnxModel.topological_sort)[0] == "self"
