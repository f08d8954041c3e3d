"""tritonclient's gRPC client with a model that is not a classifier."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from tests.support.clients.triton_grpc import blocking
from tests.support.models.filter_model import feature_maps, images, publish_filters
from tests.support.server.server_process import FREE_GRPC_PORT, ServerProcess


def test_grpc_accepts_any_size_and_no_classification(tmp_path: Path) -> None:
    publish_filters(tmp_path)
    with ServerProcess(tmp_path, *FREE_GRPC_PORT) as server:
        assert "filters version 1: not a classifier, 4 output maps; " in server.stdout.text
        with blocking.InferenceServerClient(server.grpc_address) as client:
            for pixels in (images(1, 4, 9), images(3, 50, 2)):
                tensor = blocking.InferInput("pixels", pixels.shape, "UINT8")
                tensor.set_data_from_numpy(pixels)
                response = client.infer("filters", [tensor])
                np.testing.assert_allclose(response.as_numpy("maps"), feature_maps(pixels), atol=1e-3)
            classes = [blocking.InferRequestedOutput("maps", class_count=2)]
            with pytest.raises(Exception, match=r"INVALID_ARGUMENT.*filters is not a classifier"):
                client.infer("filters", [tensor], outputs=classes)
            metadata = client.get_model_metadata("filters", as_json=True)
            assert metadata["outputs"][0]["shape"] == ["-1", "-1", "-1", "4"]
        assert server.stderr.text == ""
