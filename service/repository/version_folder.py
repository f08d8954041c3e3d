"""Reads and verifies the files of a version."""

from __future__ import annotations

import codecs
import hashlib
import mmap
import os
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from pydantic import ValidationError

from ..errors import InvalidModel
from ..system.regular_files import open_regular, read_regular
from .external_data import external_files
from .golden_archive import MAX_GOLDEN_BYTES, ArrayHeader, golden_archive
from .manifest import Manifest

# Room for 65,536 labels and what the test set says about each.
MAX_MANIFEST_BYTES = 4 << 20
MAX_EXAMPLE_BYTES = 1 << 20
MAX_EVIDENCE_BYTES = 4 << 20
# Golden inputs, each of which is run when the version is loaded.
MAX_CASES = 4096

MANIFEST_FILE = "manifest.json"


@dataclass(frozen=True, slots=True)
class VersionFolder:
    """`<repository>/<name>/<version>/`."""

    name: str
    version: str
    path: Path

    def manifest(self) -> Manifest:
        """Read and check `manifest.json`.

        Raises:
            InvalidModel: the file is missing, too large, invalid, or names another model or version.
        """
        try:
            content = read_regular(self.path / MANIFEST_FILE, MAX_MANIFEST_BYTES)
            manifest = Manifest.model_validate_json(content.removeprefix(codecs.BOM_UTF8))
        except OSError as error:
            raise InvalidModel(f"manifest.json cannot be read: {error.strerror}") from error
        except ValidationError as error:
            first = error.errors(include_url=False, include_input=False)[0]
            where = ".".join(map(str, first["loc"])) or "the whole file"
            raise InvalidModel(f"manifest.json is not valid: {where}: {first['msg']}") from error
        if (manifest.name, manifest.version) != (self.name, self.version):
            raise InvalidModel(
                f"manifest.json names {manifest.name} version {manifest.version}, "
                f"but is in the folder of {self.name} version {self.version}"
            )
        return manifest

    def graph(self, manifest: Manifest, max_bytes: int, digests: dict[str, str] | None = None) -> Path:
        """The path of the ONNX file, after the digests of the version's files were verified.

        In format 1 only the digests of the files that the graph needs are known.

        Args:
            max_bytes: the largest size of the verified files together.
            digests: gets the SHA-256 of each verified file by its name.

        Raises:
            InvalidModel: a file is missing, too large, or differs from the published one, or the graph takes
                weights from a file that the manifest does not list.
        """
        path = self.path / manifest.onnx.file
        digests = {} if digests is None else digests
        if manifest.format == 1:
            self._verify_graph(manifest, max_bytes, digests)
        else:
            self._verify_files(manifest, max_bytes, digests)
        try:
            with (
                path.open("rb") as file,
                mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as content,
                memoryview(content) as graph,
            ):
                used = external_files(graph)
        except (OSError, ValueError) as error:
            raise InvalidModel(f"{path.name} is not an ONNX graph: {error}") from error
        unlisted = used - {each.file for each in manifest.onnx.external}
        if unlisted:
            raise InvalidModel(
                f"{path.name} takes weights from the file {min(unlisted)!r}, "
                "which manifest.json does not list in onnx.external"
            )
        return path

    def _verify_graph(self, manifest: Manifest, max_bytes: int, digests: dict[str, str]) -> None:
        max_bytes -= self._verify(manifest.onnx.file, manifest.onnx.sha256, max_bytes)
        digests[manifest.onnx.file] = manifest.onnx.sha256
        for each in manifest.onnx.external:
            max_bytes -= self._verify(each.file, each.sha256, max_bytes)
            digests[each.file] = each.sha256

    def _verify_files(self, manifest: Manifest, max_bytes: int, digests: dict[str, str]) -> None:
        total = sum(each.size for each in manifest.files)
        if total > max_bytes:
            raise InvalidModel(
                f"its files have {total:,} bytes; at most {max_bytes:,} are allowed "
                "(CONVSERVE_MAX_MODEL_BYTES)"
            )
        for each in manifest.files:
            # A file that no field refers to, such as a plot, may have been removed.
            if each.name in manifest.files_in_use or (self.path / each.name).exists():
                self._verify(each.name, each.sha256, max_bytes, each.size)
            digests[each.name] = each.sha256

    def _verify(self, name: str, sha256: str, max_bytes: int, published_size: int | None = None) -> int:
        """Compare a file with its digest, and with its size if that is known; returns its size."""
        try:
            with open_regular(self.path / name, max_bytes) as file:
                size = file.seek(0, os.SEEK_END)
                file.seek(0)
                if published_size not in (None, size):
                    raise InvalidModel(
                        f"{name} is not the file that was published: it has {size:,} bytes, the manifest "
                        f"says {published_size:,}"
                    )
                digest = hashlib.file_digest(file, "sha256").hexdigest()
        except OSError as error:
            raise InvalidModel(f"{name} cannot be read: {error.strerror}") from error
        if digest != sha256:
            raise InvalidModel(
                f"{name} is not the file that was published: its SHA-256 is {digest}, "
                f"the manifest says {sha256}"
            )
        return size

    def golden(self, manifest: Manifest) -> tuple[NDArray[np.uint8 | np.float32], NDArray[np.float32]]:
        """The golden inputs, `(n, …)`, and the scores or maps expected for them, `(n, …)`.

        Raises:
            InvalidModel: the file is missing, too large or invalid, or does not fit the model's input and
                output.
        """
        name = manifest.golden.file
        try:
            with golden_archive(self.path / name) as archive:
                _check_golden(manifest, archive.header("inputs"), archive.header("outputs"))
                return archive.read("inputs"), archive.read("outputs")
        except InvalidModel:
            raise
        except Exception as error:  # zipfile, zlib and numpy each raise their own
            raise InvalidModel(f"{name} cannot be read: {error}") from error

    def evidence(self, manifest: Manifest, name: str) -> bytes | None:
        """The content of a file of `Manifest.evidence`; None if it is none, or is not as it was published."""
        if name not in manifest.evidence:
            return None
        digest = next((each.sha256 for each in manifest.files if each.name == name), None)
        try:
            content = read_regular(self.path / name, MAX_EVIDENCE_BYTES)
        except OSError:
            return None
        # Format 1 names the example without its digest.
        return content if digest in (None, hashlib.sha256(content).hexdigest()) else None

    def example(self, manifest: Manifest) -> bytes | None:
        """The example image; None if there is none that can be read and is small."""
        if manifest.example is None:
            return None
        try:
            return read_regular(self.path / manifest.example.file, MAX_EXAMPLE_BYTES)
        except OSError:
            return None


def _check_golden(manifest: Manifest, inputs: ArrayHeader, outputs: ArrayHeader) -> None:
    """Compare types, shapes and size of the golden arrays with the manifest, before they are read."""
    name = manifest.golden.file
    count = inputs.shape[0] if inputs.shape else 0
    fits = str(inputs.dtype) == manifest.input.dtype and str(outputs.dtype) == "float32"
    fits = fits and min(inputs.shape, default=0) > 0 and agrees(inputs.shape[1:], manifest.input.axes)
    if not fits or not agrees(outputs.shape, (count, *_output_axes(manifest, inputs.shape[1:]))):
        raise InvalidModel(
            f"{name} has inputs {inputs} and outputs {outputs}, which do not "
            f"fit a model of input {manifest.input.dtype}{manifest.input.axes} "
            f"and {len(manifest.labels)} labels"
        )
    size = inputs.nbytes + outputs.nbytes
    if size > MAX_GOLDEN_BYTES or count > MAX_CASES:
        raise InvalidModel(
            f"{name} has {count:,} cases of {size:,} bytes; "
            f"at most {MAX_CASES:,} of {MAX_GOLDEN_BYTES:,} bytes are allowed"
        )


def agrees(shape: tuple[int, ...], axes: tuple[int | None, ...]) -> bool:
    """True if the shape fits the axes; an axis of None takes any size."""
    return len(shape) == len(axes) and all(
        axis in (None, size) for axis, size in zip(axes, shape, strict=True)
    )


def _output_axes(manifest: Manifest, image: tuple[int, ...]) -> tuple[int | None, ...]:
    """The axes of the output for an image of this shape."""
    if manifest.classifies:
        return manifest.output_axes
    return manifest.input.with_size_of(image).feature_map_axes(len(manifest.labels))
