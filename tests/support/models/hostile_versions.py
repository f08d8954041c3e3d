"""Published versions whose files are made to block, crash or fill the memory of a server that loads them."""

from __future__ import annotations

import io
import json
import os
import socket
import zipfile
from collections.abc import Callable, Mapping
from functools import partial
from pathlib import Path
from types import MappingProxyType
from typing import Any

import numpy as np
from onnx import ModelProto, TensorProto, helper, numpy_helper

from tests.support.models.file_records import record_files
from tests.support.models.gray_classifier import CLASSES, SIDE

GIGABYTE = 10**9


def edit_manifest(version: Path, **changes: Any) -> None:
    manifest = json.loads((version / "manifest.json").read_text())
    (version / "manifest.json").write_text(json.dumps({**manifest, **changes}))


def replace_graph(version: Path, content: bytes) -> None:
    """Replaces the graph and its digest."""
    (version / "model.onnx").write_bytes(content)
    record_files(version)


def replace_by_fifo(name: str, version: Path) -> None:
    (version / name).unlink()
    os.mkfifo(version / name)


def replace_by_device(name: str, version: Path) -> None:
    """A link to a device that never ends."""
    (version / name).unlink()
    (version / name).symlink_to("/dev/zero")


def replace_by_socket(name: str, version: Path) -> None:
    (version / name).unlink()
    with socket.socket(socket.AF_UNIX) as listener:
        before = os.open(".", os.O_RDONLY)
        os.chdir(version)  # the path of a socket may have 107 bytes
        try:
            listener.bind(name)
        finally:
            os.fchdir(before)
            os.close(before)


def replace_by_folder(name: str, version: Path) -> None:
    (version / name).unlink()
    (version / name).mkdir()


def enlarge(name: str, version: Path) -> None:
    """A gigabyte that takes no space on the disk."""
    os.truncate(version / name, GIGABYTE)


def inflate_golden_data(version: Path) -> None:
    """An archive of a megabyte with a gigabyte of inputs."""
    write_golden_data(version, count=GIGABYTE // SIDE**2, compression=zipfile.ZIP_DEFLATED)


def use_lzma(version: Path) -> None:
    write_golden_data(version, count=10, compression=zipfile.ZIP_LZMA)


def write_golden_data(version: Path, *, count: int, compression: int) -> None:
    """Write inputs of zeros, as many as the header says, and outputs."""
    with zipfile.ZipFile(version / "golden.npz", "w", compression, compresslevel=9) as archive:
        for name, shape, dtype in (
            ("inputs", (count, SIDE, SIDE, 1), np.dtype(np.uint8)),
            ("outputs", (count, CLASSES), np.dtype(np.float32)),
        ):
            with archive.open(f"{name}.npy", "w", force_zip64=True) as file:
                header = {"descr": dtype.str, "fortran_order": False, "shape": shape}
                np.lib.format.write_array_header_1_0(file, header)
                left = dtype.itemsize * int(np.prod(shape)) if name == "inputs" else 0
                zeros = bytes(1 << 20)
                while left > 0:
                    file.write(zeros[:left])
                    left -= len(zeros)
    record_files(version)


def name_a_million_files(version: Path) -> None:
    """An archive whose directory has a million entries."""
    entry = b"PK\x01\x02" + bytes(24) + b"\x01\x00" + bytes(16) + b"a"
    directory = entry * 1_000_000
    end = io.BytesIO()
    with zipfile.ZipFile(end, "w"):
        pass
    fields = bytearray(end.getvalue())
    fields[8:12] = b"\xff\xff" * 2
    fields[12:16] = len(directory).to_bytes(4, "little")
    (version / "golden.npz").write_bytes(directory + bytes(fields))
    record_files(version)


def allocate(version: Path) -> None:
    """A graph of a few hundred bytes that computes twelve gigabytes of ones."""
    size = numpy_helper.from_array(np.array([3 * GIGABYTE], np.int64), "size")
    one = helper.make_tensor("one", TensorProto.FLOAT, [1], [1.0])
    nodes = [
        helper.make_node("ConstantOfShape", ["size"], ["ones"], value=one),
        helper.make_node("ReduceMin", ["ones"], ["unit"], keepdims=0),
    ]
    extend_graph(version, nodes, [size])


def loop_forever(version: Path) -> None:
    scalar = partial(helper.make_tensor_value_info, shape=[])
    body = helper.make_graph(
        [
            helper.make_node("Mul", ["value", "one"], ["next"]),
            helper.make_node("Identity", ["go_on"], ["goes_on"]),
        ],
        "body",
        [
            scalar("step", TensorProto.INT64),
            scalar("go_on", TensorProto.BOOL),
            scalar("value", TensorProto.FLOAT),
        ],
        [scalar("goes_on", TensorProto.BOOL), scalar("next", TensorProto.FLOAT)],
    )
    constants = [
        numpy_helper.from_array(np.array(value, dtype), name)
        for name, value, dtype in (("one", 1, np.float32), ("steps", 2**60, np.int64), ("yes", 1, np.bool_))
    ]
    extend_graph(version, [helper.make_node("Loop", ["steps", "yes", "one"], ["unit"], body=body)], constants)


def extend_graph(version: Path, nodes: list[Any], constants: list[TensorProto]) -> None:
    """Multiply the output by `unit`, which these nodes compute."""
    model = ModelProto.FromString((version / "model.onnx").read_bytes())
    output = model.graph.output[0].name
    model.graph.node[-1].output[0] = "original"
    model.graph.node.extend([*nodes, helper.make_node("Mul", ["original", "unit"], [output])])
    model.graph.initializer.extend(constants)
    replace_graph(version, model.SerializeToString())


def claim_size(name: str, size: int, version: Path) -> None:
    """Enlarges a file, and claims in the manifest that it was published like this."""
    os.truncate(version / name, size)
    files = json.loads((version / "manifest.json").read_text())["files"]
    edit_manifest(version, files=[{**each, "size": size} if each["name"] == name else each for each in files])


def list_many_files(version: Path) -> None:
    files = json.loads((version / "manifest.json").read_text())["files"]
    edit_manifest(version, files=files + [{**files[0], "name": f"{index}.png"} for index in range(10_000)])


def takes_labels(count: int, length: int) -> Callable[[Path], None]:
    return partial(edit_manifest, labels=["x" * length] * count)


# The function that makes a version hostile, and a part of the reason that the server must give.
ATTACKS: Mapping[str, tuple[Callable[[Path], None], str]] = MappingProxyType(
    {
        "huge-batch": (partial(edit_manifest, max_batch_size=10**12), "max_batch_size"),
        "huger-batch": (partial(edit_manifest, max_batch_size=10**19), "max_batch_size"),
        "many-labels": (takes_labels(100_000, 1), "labels"),
        "long-label": (takes_labels(CLASSES, 100_000), "labels"),
        "long-description": (partial(edit_manifest, description="x" * 1_000_000), "description"),
        "no-number": (
            partial(edit_manifest, golden={"file": "golden.npz", "tolerance": float("inf")}),
            "tolerance",
        ),
        "fifo-manifest": (partial(replace_by_fifo, "manifest.json"), "not a regular file"),
        "fifo-graph": (partial(replace_by_fifo, "model.onnx"), "not a regular file"),
        "fifo-golden": (partial(replace_by_fifo, "golden.npz"), "not a regular file"),
        "device-manifest": (partial(replace_by_device, "manifest.json"), "not a regular file"),
        "device-graph": (partial(replace_by_device, "model.onnx"), "not a regular file"),
        "device-golden": (partial(replace_by_device, "golden.npz"), "not a regular file"),
        "socket-manifest": (partial(replace_by_socket, "manifest.json"), "not a regular file"),
        "folder-graph": (partial(replace_by_folder, "model.onnx"), "not a regular file"),
        "large-manifest": (partial(enlarge, "manifest.json"), "larger than"),
        "large-graph": (
            partial(enlarge, "model.onnx"),
            "model.onnx is not the file that was published: it has 1,000,000,000 bytes",
        ),
        "large-golden": (
            partial(enlarge, "golden.npz"),
            "golden.npz is not the file that was published: it has 1,000,000,000 bytes",
        ),
        "large-example": (
            partial(enlarge, "example.png"),
            "example.png is not the file that was published: it has 1,000,000,000 bytes",
        ),
        "claimed-size": (partial(claim_size, "example.png", 3 * GIGABYTE), "are allowed"),
        "claimed-golden": (partial(claim_size, "golden.npz", GIGABYTE), "SHA-256"),
        "many-files": (list_many_files, "files: List should have at most"),
        "inflated-golden": (inflate_golden_data, "bytes are allowed"),
        "lzma-golden": (use_lzma, "compressed with method"),
        "million-golden": (name_a_million_files, "its directory is larger"),
        "allocates": (allocate, "model.onnx cannot be run"),
        "loops": (loop_forever, "did not finish its runs within"),
    }
)
