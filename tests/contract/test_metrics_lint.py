"""The metrics page as Prometheus would have it, with no label that clients could make up."""

from __future__ import annotations

import shutil
import subprocess
from collections.abc import Iterator

import pytest

from tests.support.http.client import get, post
from tests.support.models.gray_classifier import LABELS, image, level, publish_shades
from tests.support.server.metrics_page import MetricsPage
from tests.support.server.server_process import ServerProcess

UNKNOWN = "model-that-nobody-published"

# The type and the labels of each family that the server promises.
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
def at_first(server: ServerProcess) -> MetricsPage:
    """Before anybody has asked anything."""
    return MetricsPage.scrape(server.url)


@pytest.fixture(scope="module")
def page(server: ServerProcess, at_first: MetricsPage) -> MetricsPage:
    """After requests of every kind."""
    statuses = [
        post(f"{server.url}{path}", body, content_type).status
        for path, body, content_type in (
            ("/classify", image(level(7)), "image/png"),
            ("/models/shades/versions/1/classify", image(level(2)), "image/png"),
            ("/classify", b"no picture", "image/png"),
            ("/classify", b"no picture", "text/plain"),
            (f"/models/{UNKNOWN}/classify", image(level(7)), "image/png"),
            (f"/models/shades/versions/{UNKNOWN}/classify", image(level(7)), "image/png"),
            (f"/{UNKNOWN}", image(level(7)), "image/png"),
        )
    ]
    assert statuses == [200, 200, 400, 415, 404, 404, 404]
    return MetricsPage.scrape(server.url)


@pytest.mark.skipif(shutil.which("promtool") is None, reason="promtool is not installed")
def test_promtool_finds_nothing(page: MetricsPage) -> None:
    check = subprocess.run(
        ["promtool", "check", "metrics"],
        input=page.text,
        capture_output=True,
        text=True,
        timeout=60,
    )
    assert (check.returncode, check.stdout, check.stderr) == (0, "", "")


@pytest.mark.parametrize("family", FAMILIES)
def test_each_family_has_its_type_and_its_labels(page: MetricsPage, family: str) -> None:
    kind, labels = FAMILIES[family]
    assert page.types[family] == kind
    samples = page.labels(f"{family}_count" if kind == "histogram" else family)
    assert samples
    assert all(set(sample) == labels for sample in samples)


@pytest.mark.parametrize("family", HISTOGRAMS_IN_SECONDS)
def test_buckets_begin_where_a_small_network_answers(page: MetricsPage, family: str) -> None:
    bounds = sorted(float(sample["le"]) for sample in page.labels(f"{family}_bucket"))
    assert bounds[0] == 0.00025
    assert bounds[-1] == float("inf")


def test_batches_are_counted_by_powers_of_two(page: MetricsPage) -> None:
    bounds = {float(sample["le"]) for sample in page.labels("convserve_batch_size_bucket")}
    assert bounds == {*(2.0**power for power in range(11)), float("inf")}


def test_every_request_is_counted_by_its_answer(page: MetricsPage) -> None:
    codes = {code: page.total("convserve_requests_total", code=code) for code in ("200", "400", "404", "415")}
    assert codes == {"200": 2, "400": 1, "404": 2, "415": 1}
    assert page.total("convserve_requests_total", model="shades", version="1", code="200") == 2
    assert page.total("convserve_images_total", model="shades", version="1") == 2


def test_what_clients_make_up_is_no_label(page: MetricsPage) -> None:
    assert UNKNOWN not in page.text
    assert page.total("convserve_requests_total", model="", version="", code="404") == 2


def test_every_label_value_is_there_from_the_start_at_zero(at_first: MetricsPage) -> None:
    reasons = {sample["reason"] for sample in at_first.labels("convserve_rejected_total")}
    stages = {sample["stage"] for sample in at_first.labels("convserve_stage_duration_seconds_count")}
    labels = {sample["label"] for sample in at_first.labels("convserve_predictions_total")}
    assert reasons == {"overloaded", "deadline", "not_ready"}
    assert stages == {"decode", "queue", "compute"}
    assert labels == set(LABELS)
    for name in ("rejected_total", "stage_duration_seconds_count", "predictions_total", "images_total"):
        assert at_first.total(f"convserve_{name}") == 0


def test_what_is_served_is_told(server: ServerProcess, page: MetricsPage) -> None:
    (model,) = get(f"{server.url}/models").json["models"]
    (info,) = page.labels("convserve_model_info")
    assert info == {
        "model": "shades",
        "version": "1",
        "provider": "cpu",
        "sha256": model["provenance"]["onnx"]["sha256"],
    }
    assert page.total("convserve_model_info") == 1


def test_the_class_mix_of_the_test_set_is_told(page: MetricsPage) -> None:
    assert page.total("convserve_evaluation_predictions_ratio", label="shade 3") == 0.1
    assert page.total("convserve_evaluation_predictions_ratio") == pytest.approx(1)


def test_readiness_is_told(page: MetricsPage) -> None:
    assert page.total("convserve_ready_workers") >= 1


def test_openmetrics_is_spoken_where_it_is_asked_for(server: ServerProcess) -> None:
    accept = {"Accept": "application/openmetrics-text; version=1.0.0"}
    answer = get(f"{server.url}/metrics", accept)
    assert answer.headers["content-type"].startswith("application/openmetrics-text; version=1.0.0")
    assert answer.body.endswith(b"# EOF\n")
