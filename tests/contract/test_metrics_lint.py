"""The metrics page follows Prometheus's conventions, and clients cannot add label values."""

from __future__ import annotations

import shutil
import subprocess
from collections.abc import Iterator

import pytest

from tests.support.http.client import get, post
from tests.support.models.gray_classifier import LABELS, image, level, publish_shades
from tests.support.server.metrics_page import MetricsPage
from tests.support.server.server_process import ServerProcess

UNKNOWN = "unpublished-model"

# The type and the labels of each documented family.
FAMILIES = {
    "convserve_requests_total": ("counter", {"model", "version", "protocol", "code"}),
    "convserve_request_duration_seconds": ("histogram", {"model", "protocol"}),
    "convserve_stage_duration_seconds": ("histogram", {"model", "stage"}),
    "convserve_images_total": ("counter", {"model", "version"}),
    "convserve_batch_size": ("histogram", {"model"}),
    "convserve_queue_depth": ("gauge", {"model"}),
    "convserve_queue_limit": ("gauge", {"model"}),
    "convserve_images_in_flight": ("gauge", {"model"}),
    "convserve_images_in_flight_limit": ("gauge", {"model"}),
    "convserve_inflight_requests": ("gauge", set()),
    "convserve_rejected_total": ("counter", {"model", "reason"}),
    "convserve_connection_rejections_total": ("counter", {"reason"}),
    "convserve_model_load_duration_seconds": ("gauge", {"model", "version"}),
    "convserve_model_info": ("gauge", {"model", "version", "provider", "sha256"}),
    "convserve_predictions_total": ("counter", {"model", "version", "label"}),
    "convserve_evaluation_predictions_ratio": ("gauge", {"model", "version", "label"}),
    "convserve_ready_workers": ("gauge", set()),
    "convserve_prediction_confidence": ("histogram", {"model", "version"}),
}
HISTOGRAMS_IN_SECONDS = [
    name for name in FAMILIES if name.endswith("duration_seconds") and "load" not in name
]


@pytest.fixture(scope="module", params=["1", "2"], ids=["one process", "two workers"])
def server(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[ServerProcess]:
    models = tmp_path_factory.mktemp("models")
    publish_shades(models)
    with ServerProcess(models, "--workers", request.param) as server:
        yield server


@pytest.fixture(scope="module")
def initial_page(server: ServerProcess) -> MetricsPage:
    """The page before the first request."""
    return MetricsPage.scrape(server.url)


@pytest.fixture(scope="module")
def page(server: ServerProcess, initial_page: MetricsPage) -> MetricsPage:
    """The page after requests of every kind."""
    statuses = [
        post(f"{server.url}{path}", body, content_type).status
        for path, body, content_type in (
            ("/classify", image(level(7)), "image/png"),
            ("/models/shades/versions/1/classify", image(level(2)), "image/png"),
            ("/classify", b"not an image", "image/png"),
            ("/classify", b"not an image", "text/plain"),
            (f"/models/{UNKNOWN}/classify", image(level(7)), "image/png"),
            (f"/models/shades/versions/{UNKNOWN}/classify", image(level(7)), "image/png"),
            (f"/{UNKNOWN}", image(level(7)), "image/png"),
        )
    ]
    assert statuses == [200, 200, 400, 415, 404, 404, 404]
    return MetricsPage.scrape(server.url)


@pytest.mark.skipif(shutil.which("promtool") is None, reason="promtool is not installed")
def test_promtool_reports_no_problem(page: MetricsPage) -> None:
    check = subprocess.run(
        ["promtool", "check", "metrics"],
        input=page.text,
        capture_output=True,
        text=True,
        timeout=60,
    )
    assert (check.returncode, check.stdout, check.stderr) == (0, "", "")


@pytest.mark.parametrize("family", FAMILIES)
def test_family_has_its_type_and_labels(page: MetricsPage, family: str) -> None:
    kind, labels = FAMILIES[family]
    assert page.types[family] == kind
    samples = page.labels(f"{family}_count" if kind == "histogram" else family)
    assert samples
    assert all(set(sample) == labels for sample in samples)


@pytest.mark.parametrize("family", HISTOGRAMS_IN_SECONDS)
def test_lowest_bucket_fits_a_small_network(page: MetricsPage, family: str) -> None:
    bounds = sorted(float(sample["le"]) for sample in page.labels(f"{family}_bucket"))
    assert bounds[0] == 0.00025
    assert bounds[-1] == float("inf")


def test_batch_size_buckets_are_powers_of_two(page: MetricsPage) -> None:
    bounds = {float(sample["le"]) for sample in page.labels("convserve_batch_size_bucket")}
    assert bounds == {*(2.0**power for power in range(11)), float("inf")}


def test_requests_are_counted_by_status(page: MetricsPage) -> None:
    codes = {code: page.total("convserve_requests_total", code=code) for code in ("200", "400", "404", "415")}
    assert codes == {"200": 2, "400": 1, "404": 2, "415": 1}
    assert page.total("convserve_requests_total", model="shades", version="1", code="200") == 2
    assert page.total("convserve_images_total", model="shades", version="1") == 2


def test_unknown_names_are_not_label_values(page: MetricsPage) -> None:
    assert UNKNOWN not in page.text
    assert page.total("convserve_requests_total", model="", version="", code="404") == 2


def test_all_label_values_start_at_zero(initial_page: MetricsPage) -> None:
    reasons = {sample["reason"] for sample in initial_page.labels("convserve_rejected_total")}
    stages = {sample["stage"] for sample in initial_page.labels("convserve_stage_duration_seconds_count")}
    labels = {sample["label"] for sample in initial_page.labels("convserve_predictions_total")}
    assert reasons == {"overloaded", "deadline", "not_ready"}
    assert stages == {"decode", "queue", "compute"}
    assert labels == set(LABELS)
    for name in ("rejected_total", "stage_duration_seconds_count", "predictions_total", "images_total"):
        assert initial_page.total(f"convserve_{name}") == 0


def test_model_info_describes_the_served_model(server: ServerProcess, page: MetricsPage) -> None:
    (model,) = get(f"{server.url}/models").json["models"]
    (info,) = page.labels("convserve_model_info")
    assert info == {
        "model": "shades",
        "version": "1",
        "provider": "cpu",
        "sha256": model["provenance"]["onnx"]["sha256"],
    }
    assert page.total("convserve_model_info") == 1


def test_class_mix_of_the_test_set_is_exported(page: MetricsPage) -> None:
    assert page.total("convserve_evaluation_predictions_ratio", label="shade 3") == 0.1
    assert page.total("convserve_evaluation_predictions_ratio") == pytest.approx(1)


def test_ready_workers_are_exported(page: MetricsPage) -> None:
    assert page.total("convserve_ready_workers") >= 1


def test_accept_header_selects_openmetrics(server: ServerProcess) -> None:
    accept = {"Accept": "application/openmetrics-text; version=1.0.0"}
    response = get(f"{server.url}/metrics", accept)
    assert response.headers["content-type"].startswith("application/openmetrics-text; version=1.0.0")
    assert response.body.endswith(b"# EOF\n")
