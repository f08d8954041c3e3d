"""The server matches numpy for every kind of input and output that the export can publish."""

from __future__ import annotations

import io
import json
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import asdict, replace
from itertools import product
from pathlib import Path
from typing import Any, Literal

import numpy as np
import pytest
from fastapi.testclient import TestClient
from numpy.typing import NDArray
from PIL import Image

from export.errors import ManifestError
from export.pipelines.fixed_filters import build_graph as maps_graph
from export.repository import manifest as export_manifest
from export.repository import publish as publish_module
from export.repository.manifest import (
    Calibration,
    Evaluation,
    Example,
    Features,
    GoldenRecord,
    InputSpec,
    Inspect,
    Manifest,
    OutputSpec,
    Parity,
    Quantization,
    TrainingRecord,
    Variant,
)
from export.repository.publish import publish
from export.repository.repository_reader import read_version
from service.asgi.app import create_app
from service.config.settings import Settings
from service.errors import NothingToServe
from service.repository import golden_archive, version_folder
from service.repository import manifest as service_manifest
from tests.support.models import linear_model
from tests.support.models.file_records import downgrade, record_files
from tests.support.models.filter_model import NAMES, feature_maps, images
from tests.support.models.gray_classifier import LABELS, graph, image, level, rows, scores
from tests.support.models.hostile_versions import edit_manifest
from tests.support.models.linear_model import HEIGHT, WIDTH, Linear

PARTS: dict[str, Any] = {
    "training": TrainingRecord(
        "uniform grays", "0" * 64, 10, 0, 7, 0.5, {"numpy": np.__version__}, "jax 1 on a GPU"
    ),
    "evaluation": Evaluation("uniform grays", 10, accuracy=1, top5=0.995, calibration_error=0.0),
    "parity": Parity(10, 0.0, argmax_equal=True),
    "calibration": Calibration(10, 1.25, 0.02, 0.01),
    "rewrites": ("channels-first", "input-scaling"),
    "quantization": Quantization("1", "static", 100, None),
    "weights": "imported",
}
SHADES = Manifest(
    name="shades",
    description="Classifies ten shades of gray.",
    input=InputSpec("pixels", "uint8", "NHWC", 8, 8, 1, "stretch"),
    output=OutputSpec("probabilities", "probabilities"),
    labels=LABELS,
    max_batch_size=16,
    opset=18,
    parameters=0,
    tolerance=1e-5,
)


def inputs() -> Iterator[InputSpec]:
    """Yield all dtypes, layouts, numbers of channels and kinds of normalization."""
    for layout, channels in product(("NHWC", "NCHW"), (1, 3)):
        plain = InputSpec("pixels", "uint8", layout, HEIGHT, WIDTH, channels, "fit")  # type: ignore[arg-type]
        floats = replace(plain, dtype="float32")
        mean, std = (0.5, 0.4, 0.3)[:channels], (0.2, 0.25, 0.3)[:channels]
        yield from (plain, floats, replace(floats, scale=1 / 255))
        yield replace(floats, scale=1 / 127.5, mean=(1.0,) * channels)
        yield replace(floats, scale=1 / 255, mean=mean, std=std)


def describe(value: object) -> str:
    if not isinstance(value, InputSpec):
        return str(value)
    normalized = "+".join(name for name in ("scale", "mean", "std") if getattr(value, name) is not None)
    return f"{value.dtype} {value.layout} {value.channels} {normalized or 'plain'}"


@contextmanager
def served(models: Path) -> Iterator[TestClient]:
    with TestClient(create_app(Settings(models=models))) as client:
        yield client


def post(client: TestClient, pixels: NDArray[np.uint8]) -> list[dict[str, Any]]:
    """Classify one image, [height, width] or [height, width, 3], and return the ranked classes."""
    buffer = io.BytesIO()
    Image.fromarray(pixels).save(buffer, "PNG")
    response = client.post("/classify", content=buffer.getvalue(), headers={"Content-Type": "image/png"})
    assert response.status_code == 200, response.text
    ranked: list[dict[str, Any]] = response.json()["predictions"][0]["top_k"]
    return ranked


@pytest.mark.parametrize("kind", ["probabilities", "logits", "sigmoid"])
@pytest.mark.parametrize("spec", list(inputs()), ids=describe)
def test_server_outputs_match_numpy(
    tmp_path: Path, spec: InputSpec, kind: Literal["probabilities", "logits", "sigmoid"]
) -> None:
    model = Linear(spec, kind)
    model.publish(tmp_path)
    with served(tmp_path) as client:
        for seed in range(3):
            pixels = np.random.default_rng(seed).integers(0, 256, (HEIGHT, WIDTH, 3)).astype(np.uint8)
            if spec.channels == 1:
                pixels = pixels[..., :1]
            expected = model.probabilities(pixels)
            ranked = post(client, pixels.squeeze())
            assert [each["index"] for each in ranked] == np.argsort(-expected).tolist()
            assert [each["label"] for each in ranked] == [
                linear_model.LABELS[each["index"]] for each in ranked
            ]
            found = [each["probability"] for each in ranked]
            np.testing.assert_allclose(found, -np.sort(-expected), rtol=0, atol=1e-6)


def test_greyscale_model_gets_the_luma_of_rgb(tmp_path: Path) -> None:
    model = Linear(InputSpec("pixels", "uint8", "NHWC", HEIGHT, WIDTH, 1, "fit"), "logits")
    model.publish(tmp_path)
    pixels = np.random.default_rng(3).integers(0, 256, (HEIGHT, WIDTH, 3)).astype(np.uint8)
    luma = np.rint(pixels @ np.array([0.299, 0.587, 0.114])).astype(np.uint8)  # ITU-R 601-2
    with served(tmp_path) as client:
        best = post(client, pixels)[0]
    assert best["probability"] == pytest.approx(model.probabilities(luma[..., np.newaxis]).max(), abs=1e-2)


def test_rgb_model_gets_grey_in_each_channel(tmp_path: Path) -> None:
    model = Linear(InputSpec("pixels", "uint8", "NCHW", HEIGHT, WIDTH, 3, "fit"), "probabilities")
    model.publish(tmp_path)
    pixels = np.random.default_rng(4).integers(0, 256, (HEIGHT, WIDTH)).astype(np.uint8)
    with served(tmp_path) as client:
        best = post(client, pixels)[0]
    thrice = np.repeat(pixels[..., np.newaxis], 3, axis=2)
    assert best["probability"] == pytest.approx(model.probabilities(thrice).max(), abs=1e-6)


@pytest.mark.parametrize(
    ("resize", "label"),
    [
        ("crop", "shade 9"),  # the central third
        ("stretch", "shade 3"),  # a third of white
        ("fit", "shade 1"),  # a third of white on three rows of eight
    ],
)
def test_resize_follows_the_manifest(
    tmp_path: Path, resize: Literal["crop", "stretch", "fit"], label: str
) -> None:
    publish_greys(tmp_path, replace(SHADES, input=replace(SHADES.input, resize=resize)))
    stripes = np.zeros((8, 24), np.uint8)
    stripes[:, 8:16] = 255
    with served(tmp_path) as client:
        assert post(client, stripes)[0]["label"] == label


@pytest.mark.parametrize(
    ("polarity", "on_light", "on_dark"),
    [
        (None, "shade 7", "shade 2"),
        ("light-on-dark", "shade 2", "shade 2"),
        ("dark-on-light", "shade 7", "shade 7"),
    ],
)
def test_polarity_follows_the_manifest(
    tmp_path: Path, polarity: Literal["light-on-dark", "dark-on-light"] | None, on_light: str, on_dark: str
) -> None:
    publish_greys(tmp_path, replace(SHADES, input=replace(SHADES.input, polarity=polarity)))
    dark_square = np.full((8, 8), 255, np.uint8)
    dark_square[2:6, 2:6] = 0
    with served(tmp_path) as client:
        assert post(client, dark_square)[0]["label"] == on_light
        assert post(client, 255 - dark_square)[0]["label"] == on_dark


def plain(part: Any) -> Any:
    """Convert to the types of JSON."""
    if isinstance(part, tuple):
        return list(part)
    return part if isinstance(part, str) else asdict(part)


def test_manifest_without_optional_fields_is_served(tmp_path: Path) -> None:
    publish_greys(tmp_path, SHADES)
    path = tmp_path / "shades" / "1" / "manifest.json"
    document = json.loads(path.read_text())
    for name in ("weights", "calibration", "rewrites", "quantization", "variants", "inspect", "features"):
        del document[name]
    path.write_text(json.dumps(document))
    with served(tmp_path) as client:
        assert post(client, rows(level(7))[0, ..., 0])[0]["label"] == LABELS[7]


def test_manifest_of_format_1_is_served_and_read(tmp_path: Path) -> None:
    publish_greys(tmp_path, SHADES)
    downgrade(tmp_path / "shades" / "1")
    with served(tmp_path) as client:
        assert post(client, rows(level(7))[0, ..., 0])[0]["label"] == LABELS[7]
    assert read_version(tmp_path, "shades").manifest == SHADES


FEATURES = Features("flat", 64, "features.npz", 0.5)
INSPECT = Inspect("inspect.onnx", ("conv_1", "conv_2"))
VARIANT = Variant(
    file="model.int8.onnx",
    provider="cpu",
    precision="int8",
    golden=GoldenRecord("golden.int8.npz", 0.05),
    evaluation=PARTS["evaluation"],
)
FULL = replace(SHADES, variants=(VARIANT,), inspect=INSPECT, features=FEATURES)
FULL_FILES = {
    "model.int8.onnx": graph(),
    "golden.int8.npz": publish_module.golden_archive(rows(0), scores(rows(0))),
    "inspect.onnx": b"a graph",
    "features.npz": b"statistics",
}


def test_further_graphs_are_published_validated_and_read_back(tmp_path: Path) -> None:
    publish_greys(tmp_path, FULL, FULL_FILES)
    with served(tmp_path) as client:  # the default graph is used
        assert post(client, rows(level(7))[0, ..., 0])[0]["label"] == LABELS[7]
    assert read_version(tmp_path, "shades").manifest == FULL


@pytest.mark.parametrize("missing", FULL_FILES)
def test_further_graphs_need_their_files(tmp_path: Path, missing: str) -> None:
    files = {name: content for name, content in FULL_FILES.items() if name != missing}
    with pytest.raises(ManifestError, match=f"the file {missing} of the manifest is not among the files"):
        publish_greys(tmp_path, FULL, files)
    publish_greys(tmp_path, FULL, FULL_FILES)
    version = tmp_path / "shades" / "1"
    (version / missing).unlink()
    with pytest.raises(NothingToServe, match=f"{missing} cannot be read"), served(tmp_path):
        pass
    record_files(version)
    with pytest.raises(NothingToServe, match=f"files does not list {missing}"), served(tmp_path):
        pass


@pytest.mark.parametrize(
    ("change", "sentence"),
    [
        ({"variants": [{}]}, "variants.0.file: Field required"),
        ({"variants": [asdict(VARIANT) | {"provider": None, "precision": None}]}, "neither a provider nor a"),
        ({"variants": [asdict(VARIANT)] * 2}, "two variants have the same provider and precision"),
        ({"variants": [asdict(VARIANT) | {"precision": "int3"}]}, "variants.0.precision: Input should be"),
        ({"inspect": {"file": "inspect.onnx", "layers": []}}, "inspect.layers: List should have at least 1"),
        ({"features": asdict(FEATURES) | {"size": 0}}, "features.size: Input should be greater"),
        ({"files": []}, "files does not list"),
        ({"output": {"name": "probabilities", "kind": "softmax"}}, "output.kind: Input should be"),
    ],
)
def test_invalid_further_graphs_are_not_served(tmp_path: Path, change: dict[str, Any], sentence: str) -> None:
    publish_greys(tmp_path, FULL, FULL_FILES)
    edit_manifest(tmp_path / "shades" / "1", **change)
    with pytest.raises(NothingToServe, match=sentence), served(tmp_path):
        pass


def test_removed_plot_does_not_matter(tmp_path: Path) -> None:
    publish_greys(tmp_path, SHADES, {"plot.png": b"a plot"})
    (tmp_path / "shades" / "1" / "plot.png").unlink()
    with served(tmp_path) as client:
        assert post(client, rows(level(7))[0, ..., 0])[0]["label"] == LABELS[7]


@pytest.mark.parametrize(("height", "width"), [(None, None), (6, 9)])
def test_maps_are_published_and_served_at_dynamic_and_fixed_sizes(
    tmp_path: Path, height: int | None, width: int | None
) -> None:
    pixels = images(2, 6, 9)
    spec = InputSpec("pixels", "uint8", "NHWC", height, width, 1, "fit")
    manifest = replace(SHADES, input=spec, output=OutputSpec("maps", "maps"), labels=NAMES, tolerance=1e-3)
    publish(tmp_path, manifest, maps_graph(), pixels, feature_maps(pixels))
    with served(tmp_path) as client:
        response = client.post("/v1/models/shades:predict", json={"instances": pixels.tolist()})
        np.testing.assert_allclose(response.json()["predictions"], feature_maps(pixels), atol=1e-3)
        other = client.post("/v1/models/shades:predict", json={"instances": images(1, 5, 9).tolist()})
        assert other.status_code == (200 if height is None else 400)


@pytest.mark.parametrize("wrong", [np.s_[:, :5], np.s_[..., :3], np.s_[:1]])
def test_maps_that_differ_in_size_from_their_images_are_rejected(tmp_path: Path, wrong: Any) -> None:
    pixels = images(2, 6, 9)
    spec = InputSpec("pixels", "uint8", "NHWC", None, None, 1, "fit")
    manifest = replace(SHADES, input=spec, output=OutputSpec("maps", "maps"), labels=NAMES)
    with pytest.raises(ManifestError, match="the golden outputs are"):
        publish(tmp_path, manifest, maps_graph(), pixels, feature_maps(pixels)[wrong])


def publish_greys(models: Path, manifest: Manifest, files: dict[str, bytes] | None = None) -> None:
    golden = rows(*(level(index) for index in range(len(LABELS))))
    publish(models, manifest, graph(), golden, scores(golden), files or {})


@pytest.mark.parametrize("present", [[], *([part] for part in PARTS), list(PARTS)], ids="+".join)
def test_manifest_sections_are_served(tmp_path: Path, present: list[str]) -> None:
    parts: dict[str, Any] = {part: PARTS[part] for part in present}
    publish_greys(tmp_path, replace(SHADES, **parts))
    with served(tmp_path) as client:
        (model,) = client.get("/models").json()["models"]
    absent = {"weights": "trained", "rewrites": []}
    for part in PARTS:
        served_part = model["provenance"][part]
        assert served_part == (plain(parts[part]) if part in parts else absent.get(part))
    assert model["accuracy"] == (1 if "evaluation" in parts else None)


def test_example_appears_in_the_openapi_document(tmp_path: Path) -> None:
    manifest = replace(SHADES, example=Example("seven.png", LABELS[7]))
    publish_greys(tmp_path, manifest, {"seven.png": image(level(7)), "plot.png": b"a plot"})
    with served(tmp_path) as client:
        paths = client.get("/openapi.json").json()["paths"]
        example = paths["/classify"]["post"]["requestBody"]["content"]["application/json"]["example"]
        assert client.post("/classify", json=example).json()["predictions"][0]["label"] == LABELS[7]


WRONG: dict[str, Callable[[], Manifest]] = {
    "no tolerance": lambda: replace(SHADES, tolerance=0.0),
    "tolerance that is not a number": lambda: replace(SHADES, tolerance=float("nan")),
    "opset": lambda: replace(SHADES, opset=0),
    "parameters": lambda: replace(SHADES, parameters=-1),
    "percent": lambda: replace(SHADES, evaluation=Evaluation("greys", 10, 99.5, 1.0, 0.0)),
    "evaluation without examples": lambda: replace(
        SHADES, evaluation=Evaluation("greys", 0, float("nan"), 1.0, 0.0)
    ),
    "digest": lambda: replace(SHADES, training=TrainingRecord("greys", "unknown", 10, 0, 7, 0.5, {})),
    "file name": lambda: replace(SHADES, example=Example("an image.png", LABELS[7])),
}


@pytest.mark.parametrize("wrong", WRONG.values(), ids=WRONG)
def test_invalid_manifest_is_not_published(tmp_path: Path, wrong: Callable[[], Manifest]) -> None:
    with pytest.raises(ManifestError):
        publish_greys(tmp_path, wrong(), {"an image.png": image(level(7))})
    assert not (tmp_path / SHADES.name).exists()


def test_golden_outputs_are_required(tmp_path: Path) -> None:
    none = rows(0)[:0]
    with pytest.raises(ManifestError):
        publish(tmp_path, SHADES, graph(), none, np.empty((0, len(LABELS)), np.float32))


def test_export_and_server_have_the_same_limits() -> None:
    for name in ("MAX_LABELS", "MAX_BATCH_SIZE", "MAX_BATCH_BYTES", "MAX_FILES"):
        assert getattr(export_manifest, name) == getattr(service_manifest, name), name
    assert publish_module.MAX_GOLDEN_BYTES == golden_archive.MAX_GOLDEN_BYTES
    assert publish_module.MAX_GOLDEN_CASES == version_folder.MAX_CASES
    schema = service_manifest.Manifest.model_json_schema()
    properties, sections = schema["properties"], schema["$defs"]
    assert properties["description"]["maxLength"] == export_manifest.MAX_DESCRIPTION
    assert properties["labels"]["items"]["maxLength"] == export_manifest.MAX_LABEL
    assert sections["OutputSpec"]["properties"]["name"]["maxLength"] == export_manifest.MAX_TEXT
    assert sections["InputSpec"]["properties"]["height"]["anyOf"][0]["maximum"] == export_manifest.MAX_SIDE


def test_every_string_number_and_list_of_the_manifest_is_bounded() -> None:
    def unbounded(place: str, schema: dict[str, Any]) -> Iterator[str]:
        kind = schema.get("type")
        bounds = {
            "string": ["maxLength", "pattern"],
            "integer": ["maximum", "exclusiveMaximum"],
            "array": ["maxItems"],
        }
        if kind in bounds and not any(name in schema for name in [*bounds[kind], "enum", "const"]):
            yield place
        if kind == "object" and schema.get("additionalProperties") and "maxProperties" not in schema:
            yield place
        for name, inner in {**schema.get("properties", {}), **schema.get("$defs", {})}.items():
            yield from unbounded(f"{place}.{name}", inner)
        for inner in (*schema.get("anyOf", []), *([schema["items"]] if "items" in schema else [])):
            yield from unbounded(place, inner)

    assert list(unbounded("manifest", service_manifest.Manifest.model_json_schema())) == []
