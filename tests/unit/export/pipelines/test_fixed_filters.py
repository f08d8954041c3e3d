"""The network of fixed kernels, on images with known maps, and its export."""

from __future__ import annotations

import io
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

from export.cli.main import main
from export.graph.ort_session import OrtSession
from export.networks import filters
from export.pipelines.fixed_filters import build_graph
from export.repository.repository_reader import read_version
from tests.support.models.filter_model import NAMES, feature_maps, images


@pytest.fixture(scope="module")
def session() -> OrtSession:
    return OrtSession(build_graph())


def filtered(session: OrtSession, rows: list[list[int]], name: str) -> NDArray[np.float32]:
    image = np.array(rows, np.uint8)[np.newaxis, ..., np.newaxis]
    return session.run(image)[0, ..., NAMES.index(name)]


def test_kernels_have_the_documented_values() -> None:
    weights = filters.weights()
    assert weights.shape == (5, 5, 1, 4)
    centre = np.s_[1:4, 1:4, 0]
    assert (weights[centre][..., 0] == [[-1, -1, -1], [-1, 8, -1], [-1, -1, -1]]).all()
    assert (weights[centre][..., 1] == [[-1, -1, -1], [-1, 9, -1], [-1, -1, -1]]).all()
    np.testing.assert_allclose(weights[:, :, 0, 2] * 74, filters.KERNELS["gaussian"], rtol=1e-6)
    np.testing.assert_allclose(weights[centre][..., 3] * 10, filters.KERNELS["smoothed"], rtol=1e-6)
    np.testing.assert_allclose(weights.sum(axis=(0, 1, 2)), [0, 1, 1, 1], atol=1e-6)


def test_network_has_no_trainable_weights() -> None:
    network = filters.build()
    assert network.trainable_weights == []
    assert network.output_shape == (None, None, None, 4)


@pytest.mark.parametrize("shape", [(1, 1, 1), (2, 1, 9), (1, 9, 1), (3, 16, 25)])
def test_keras_onnx_and_numpy_agree_at_any_size(session: OrtSession, shape: tuple[int, int, int]) -> None:
    pixels = images(*shape)
    np.testing.assert_allclose(session.run(pixels), feature_maps(pixels), atol=1e-3)
    keras = filters.build().predict(pixels.astype(np.float32), verbose=0)
    np.testing.assert_allclose(keras, feature_maps(pixels), atol=1e-3)


def test_uniform_image_is_unchanged_and_has_no_edges(session: OrtSession) -> None:
    outputs = session.run(np.full((1, 6, 7, 1), 200, np.uint8))
    np.testing.assert_allclose(outputs[..., 0], 0, atol=1e-3)
    np.testing.assert_allclose(outputs[..., 1:], 200, atol=1e-3)


def test_edge_maps_are_signed_and_not_clipped(session: OrtSession) -> None:
    step = [[0, 0, 100, 100]] * 3
    assert filtered(session, step, "edges")[1].tolist() == [0, -300, 300, 0]
    assert filtered(session, step, "sharpened")[1].tolist() == [0, -300, 400, 100]
    np.testing.assert_allclose(filtered(session, step, "smoothed")[1], [0, 30, 70, 100], rtol=1e-5)
    dot = [[0, 0, 0], [0, 255, 0], [0, 0, 0]]
    assert filtered(session, dot, "edges")[1, 1] == 8 * 255


def test_command_publishes_the_filters(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["filters", "--models", str(tmp_path)]) == 0
    assert capsys.readouterr().out == f"{tmp_path / 'filters' / '1'}\n"
    published = read_version(tmp_path, "filters")
    manifest = published.manifest
    assert (manifest.weights, manifest.parameters, manifest.output.kind) == ("fixed", 0, "maps")
    assert manifest.labels == NAMES
    with np.load(io.BytesIO((published.folder / "golden.npz").read_bytes())) as golden:
        np.testing.assert_allclose(golden["outputs"], feature_maps(golden["inputs"]), atol=1e-3)
        assert golden["inputs"].shape[1] != golden["inputs"].shape[2]


def test_shipped_filters_equal_the_built_graph() -> None:
    shipped = read_version(Path(__file__).resolve().parents[4] / "models", "filters", "1")
    assert shipped.graph == build_graph()
