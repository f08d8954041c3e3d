"""The Kubernetes objects follow their schemas, are consistent and confined, and use existing settings."""

from __future__ import annotations

import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import kubernetes_validate  # type: ignore[import-untyped]
import pytest
import yaml

from service.config.settings import Settings
from tests.support.deploy.typed_fields import unknown_fields
from tests.support.http.client import get
from tests.support.server.metrics_page import MetricsPage
from tests.support.server.output_lines import DEADLINE
from tests.support.server.server_process import ROOT, ServerProcess

FOLDER = ROOT / "docker" / "kubernetes"
KUSTOMIZATIONS = ("base", "cuda", "kserve")
VERSION = kubernetes_validate.latest_version()
OWN_GROUPS = ("monitoring.coreos.com", "serving.kserve.io")

Document = dict[str, Any]


def document(path: str) -> Document:
    loaded: Document = yaml.safe_load((FOLDER / path).read_text())
    return loaded


def objects(folder: str) -> Iterator[Document]:
    for name in document(f"{folder}/kustomization.yaml")["resources"]:
        if (FOLDER / folder / name).is_file():
            yield document(f"{folder}/{name}")


BASE = {each["kind"]: each for each in objects("base")}
RUNTIME, SERVICE = objects("kserve")
POD = BASE["Deployment"]["spec"]["template"]["spec"]
(CONTAINER,) = POD["containers"]
(KSERVE_CONTAINER,) = RUNTIME["spec"]["containers"]
PODS = [pytest.param(POD, id="deployment"), pytest.param(RUNTIME["spec"], id="kserve")]


def is_of_kubernetes(each: Document) -> bool:
    """False for custom resources, whose schema is in the cluster and not in the package."""
    return each["apiVersion"].partition("/")[0] not in OWN_GROUPS


@pytest.mark.parametrize("kind", [kind for kind in BASE if is_of_kubernetes(BASE[kind])])
def test_objects_follow_the_kubernetes_schema(kind: str) -> None:
    kubernetes_validate.validate(BASE[kind], VERSION, strict=True)


def test_schemas_reject_a_mistake() -> None:
    slip = {**BASE["Service"], "spec": {**BASE["Service"]["spec"], "port": 8000}}
    with pytest.raises(kubernetes_validate.ValidationError):
        kubernetes_validate.validate(slip, VERSION, strict=True)


@pytest.mark.parametrize("folder", KUSTOMIZATIONS)
def test_every_file_of_a_kustomization_exists(folder: str) -> None:
    kustomization = document(f"{folder}/kustomization.yaml")
    named = {*kustomization["resources"], *(patch["path"] for patch in kustomization.get("patches", ()))}
    assert all((FOLDER / folder / name).exists() for name in named)
    lying = {path.name for path in (FOLDER / folder).glob("*.yaml")} - {"kustomization.yaml"}
    assert lying <= named


@pytest.mark.skipif(shutil.which("kubectl") is None, reason="kubectl is not installed")
@pytest.mark.parametrize("folder", KUSTOMIZATIONS)
def test_kustomize_renders_the_manifests(folder: str) -> None:
    command = ["kubectl", "kustomize", str(FOLDER / folder)]
    rendered = subprocess.run(command, capture_output=True, text=True, timeout=DEADLINE)
    assert rendered.returncode == 0, rendered.stderr
    for each in yaml.safe_load_all(rendered.stdout):
        if is_of_kubernetes(each):
            kubernetes_validate.validate(each, VERSION, strict=True)
        if each["kind"] == "Deployment":
            (container,) = each["spec"]["template"]["spec"]["containers"]
            assert container["image"].startswith("registry.example/convserve")
            assert ("nvidia.com/gpu" in container["resources"]["limits"]) is (folder == "cuda")


@pytest.mark.parametrize(
    ("given", "kind"), [(RUNTIME, "V1alpha1ServingRuntime"), (SERVICE, "V1beta1InferenceService")]
)
def test_kserve_objects_have_only_known_fields(given: Document, kind: str) -> None:
    assert unknown_fields(given, kind) == []


def test_unknown_kserve_field_is_rejected() -> None:
    spec = {**SERVICE["spec"], "predictor": {**SERVICE["spec"]["predictor"], "replicas": 3}}
    assert unknown_fields({**SERVICE, "spec": spec}, "V1beta1InferenceService") == [
        ".spec.predictor.replicas"
    ]


@pytest.mark.parametrize("pod", PODS)
def test_pods_are_confined(pod: Document) -> None:
    (container,) = pod["containers"]
    context = {**pod.get("securityContext", {}), **container["securityContext"]}
    assert context["runAsNonRoot"] is True
    assert context["readOnlyRootFilesystem"] is True
    assert context["allowPrivilegeEscalation"] is False
    assert context["capabilities"] == {"drop": ["ALL"]}
    assert context["seccompProfile"] == {"type": "RuntimeDefault"}
    assert (
        set(container["resources"]["limits"]) == {"cpu", "memory"} == set(container["resources"]["requests"])
    )
    assert {mount["mountPath"] for mount in container["volumeMounts"]} == {"/tmp"}


def test_kubernetes_sets_no_variables_for_the_service() -> None:
    assert POD["enableServiceLinks"] is False


@pytest.mark.parametrize("pod", PODS)
def test_each_probe_uses_an_existing_path(pod: Document, server: ServerProcess) -> None:
    (container,) = pod["containers"]
    for probe in ("startupProbe", "readinessProbe", "livenessProbe"):
        wanted = container[probe]["httpGet"]
        assert get(f"{server.url}{wanted['path']}").status == 200
        assert wanted["port"] in ("http", 8000)


def test_environment_holds_only_settings() -> None:
    patch = document("cuda/deployment.yaml")["spec"]["template"]["spec"]["containers"][0]
    for each in (*CONTAINER["env"], *patch["env"]):
        Settings(**{each["name"].removeprefix("CONVSERVE_").lower(): each["value"]})


def test_pods_have_time_to_drain() -> None:
    environment = {each["name"]: each["value"] for each in CONTAINER["env"]}
    needed = float(environment["CONVSERVE_DRAIN_DELAY_S"]) + float(
        environment["CONVSERVE_SHUTDOWN_TIMEOUT_S"]
    )
    assert POD["terminationGracePeriodSeconds"] > needed
    flags = dict(flag.removeprefix("--").split("=") for flag in KSERVE_CONTAINER["args"][1:])
    needed = float(flags["drain-delay-s"]) + Settings().shutdown_timeout_s
    assert SERVICE["spec"]["predictor"]["terminationGracePeriodSeconds"] > needed


def test_kserve_arguments_are_flags(repository: Path) -> None:
    arguments = [flag.replace("/mnt/models", str(repository)) for flag in KSERVE_CONTAINER["args"]]
    assert arguments.pop(0) == "serve"
    with ServerProcess(None, *arguments) as server:
        assert [model["name"] for model in get(f"{server.url}/models").json["models"]] == ["shades"]


def test_every_selector_matches_the_pods() -> None:
    labels = BASE["Deployment"]["spec"]["template"]["metadata"]["labels"].items()
    selectors = [
        BASE["Deployment"]["spec"]["selector"]["matchLabels"],
        BASE["Service"]["spec"]["selector"],
        BASE["PodDisruptionBudget"]["spec"]["selector"]["matchLabels"],
        BASE["NetworkPolicy"]["spec"]["podSelector"]["matchLabels"],
        *(each["labelSelector"]["matchLabels"] for each in POD["topologySpreadConstraints"]),
    ]
    assert all(selector.items() <= labels for selector in selectors)
    monitored = BASE["ServiceMonitor"]["spec"]
    assert monitored["selector"]["matchLabels"].items() <= BASE["Service"]["metadata"]["labels"].items()
    names = {port["name"] for port in BASE["Service"]["spec"]["ports"]}
    assert {endpoint["port"] for endpoint in monitored["endpoints"]} <= names
    assert {port["targetPort"] for port in BASE["Service"]["spec"]["ports"]} == {
        port["name"] for port in CONTAINER["ports"]
    }


def test_autoscaler_uses_the_adapters_metric(server: ServerProcess) -> None:
    scaler = BASE["HorizontalPodAutoscaler"]["spec"]
    target = scaler["scaleTargetRef"]
    deployment = BASE["Deployment"]
    assert (target["kind"], target["name"]) == (deployment["kind"], deployment["metadata"]["name"])
    assert "replicas" not in deployment["spec"]
    (metric,) = scaler["metrics"]
    (rule,) = document("prometheus-adapter.yaml")["rules"]["custom"]
    assert metric["pods"]["metric"]["name"] == rule["name"]["as"]
    served = MetricsPage.scrape(server.url).types
    assert {"convserve_images_in_flight", "convserve_images_in_flight_limit"} <= set(served)
    assert "convserve_images_in_flight{" in rule["seriesQuery"]
    assert "convserve_images_in_flight{" in rule["metricsQuery"]
    assert "convserve_images_in_flight_limit{" in rule["metricsQuery"]


def test_kserve_names_match() -> None:
    model = SERVICE["spec"]["predictor"]["model"]
    (known,) = RUNTIME["spec"]["supportedModelFormats"]
    assert model["runtime"] == RUNTIME["metadata"]["name"]
    assert model["modelFormat"] == {"name": known["name"], "version": known["version"]}
    assert model["protocolVersion"] in RUNTIME["spec"]["protocolVersions"]
    assert KSERVE_CONTAINER["name"] == "kserve-container"
