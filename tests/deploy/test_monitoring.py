"""Dashboard and alerts on a real Prometheus that scrapes a real server."""

from __future__ import annotations

import http.client
import json
import math
import re
import runpy
import shutil
import subprocess
from base64 import b64encode
from collections.abc import Iterator
from contextlib import closing
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path

import pytest
import yaml

from tests.support.models.gray_classifier import image, level, publish_shades
from tests.support.server.eventually import eventually
from tests.support.server.metrics_page import MetricsPage
from tests.support.server.output_lines import DEADLINE
from tests.support.server.prometheus_process import CONFIGURATION, Prometheus, prometheus
from tests.support.server.server_process import ROOT, ServerProcess

GRAFANA = ROOT / "docker" / "grafana"
DASHBOARD = json.loads((GRAFANA / "dashboards" / "convserve.json").read_text())
RULES = [
    rule
    for group in yaml.safe_load((CONFIGURATION / "rules.yaml").read_text())["groups"]
    for rule in group["rules"]
]
IMAGES = 200

needs_prometheus = pytest.mark.skipif(
    not (shutil.which("prometheus") and shutil.which("promtool")),
    reason="prometheus is not installed (apt-get install prometheus)",
)


def in_dashboard() -> list[str]:
    """Each expression of the dashboard, with everything selected, over the last seconds."""
    expressions = [target["expr"] for panel in DASHBOARD["panels"] for target in panel.get("targets", ())]
    everything = {"$instance": ".*", "$model": ".*", "$version": ".*", "$__rate_interval": "10s"}
    for name, value in everything.items():
        expressions = [expression.replace(name, value) for expression in expressions]
    return expressions


def in_rules() -> list[str]:
    """The operands of each rule's comparison; an alert has no series unless it fires."""
    expressions = []
    for rule in RULES:
        for part in re.split(r"\b(?:and|unless) on \([\w, ]*\)", rule["expr"]):
            side, comparisons = re.subn(r"\s(?:>|==)\s*[\d.]+\s*$", "", " ".join(part.split()))
            assert comparisons or "record" in rule, f"{part} is compared with nothing"
            expressions.append(side)
    return expressions


@dataclass(frozen=True, slots=True)
class Scraped:
    """A server and the Prometheus that scrapes it."""

    server: ServerProcess
    prometheus: Prometheus

    def finite(self, expression: str) -> list[float]:
        """The finite series of the expression, while some requests succeed and some exceed their deadline."""
        self.send_once()
        return [value for value in self.prometheus.query(expression) if math.isfinite(value)]

    def send_once(self) -> None:
        many = {"images": [{"b64": b64encode(image(level(index % 10))).decode()} for index in range(IMAGES)]}
        with closing(http.client.HTTPConnection(*self.server.address, timeout=DEADLINE)) as connection:
            for timeout, status in (("30000", 200), ("0.000001", 504)):
                headers = {"Content-Type": "application/json", "X-Request-Timeout-Ms": timeout}
                connection.request("POST", "/classify", json.dumps(many), headers)
                response = connection.getresponse()
                assert response.status == status, response.read()
                response.read()


@pytest.fixture(scope="module")
def scraped(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Scraped]:
    models = tmp_path_factory.mktemp("models")
    publish_shades(models)
    with ServerProcess(models) as server:
        target = "{}:{}".format(*server.address)
        with prometheus(target, tmp_path_factory.mktemp("prometheus")) as scraping:
            eventually(lambda: scraping.query("convserve_images_total"))  # rates need a first sample of 0
            yield Scraped(server, scraping)


@needs_prometheus
@pytest.mark.parametrize("expression", in_dashboard())
def test_every_panel_finds_series(scraped: Scraped, expression: str) -> None:
    assert eventually(lambda: scraped.finite(expression))


@needs_prometheus
@pytest.mark.parametrize("expression", in_rules())
def test_every_rule_compares_series(scraped: Scraped, expression: str) -> None:
    assert eventually(lambda: scraped.finite(expression))


@needs_prometheus
def test_every_rule_is_evaluated(scraped: Scraped) -> None:
    assert eventually(lambda: all(rule["health"] == "ok" for rule in scraped.prometheus.rules()))
    names = [rule.get("alert") or rule["record"] for rule in RULES]
    assert [rule["name"] for rule in scraped.prometheus.rules()] == names


@needs_prometheus
def test_every_queried_metric_exists(scraped: Scraped) -> None:
    scraped.send_once()
    page = MetricsPage.scrape(scraped.server.url)
    asked = set(re.findall(r"\b(?:convserve|process)_\w+", " ".join(in_dashboard() + in_rules())))
    families = {
        re.sub(r"_(bucket|sum|count)$", "", name) if name not in page.types else name for name in asked
    }
    assert families - set(page.types) == set()


@needs_prometheus
@pytest.mark.parametrize(
    "arguments",
    [
        ("check", "config", CONFIGURATION / "prometheus.yaml"),
        ("check", "rules", CONFIGURATION / "rules.yaml"),
        ("test", "rules", Path(__file__).with_name("alerts.yaml")),
    ],
    ids=["configuration", "rules", "alerts in made-up histories"],
)
def test_promtool_reports_no_problem(arguments: tuple[str | Path, ...]) -> None:
    check = subprocess.run(["promtool", *arguments], capture_output=True, text=True, timeout=DEADLINE)
    assert check.returncode == 0, check.stdout + check.stderr


def test_each_alert_has_a_test_in_which_it_fires() -> None:
    histories = yaml.safe_load(Path(__file__).with_name("alerts.yaml").read_text())["tests"]
    fired = {
        test["alertname"]
        for history in histories
        for test in history.get("alert_rule_test", ())
        if test.get("exp_alerts")
    }
    assert fired == {rule["alert"] for rule in RULES if "alert" in rule}


def test_objective_is_a_bucket() -> None:
    from service.telemetry.metrics import DURATION_BUCKETS

    (slow,) = (rule for rule in RULES if rule.get("alert") == "ConvserveSlow")
    assert float(slow["expr"].rpartition(">")[2]) in DURATION_BUCKETS


def test_dashboard_is_up_to_date() -> None:
    generator = runpy.run_path(str(ROOT / "scripts" / "generate_dashboard.py"))
    assert generator["dashboard"]() == DASHBOARD


def test_panels_do_not_overlap() -> None:
    places = [panel["gridPos"] for panel in DASHBOARD["panels"]]
    assert all(place["x"] + place["w"] <= 24 for place in places)
    for above, below in pairwise(places):
        assert below["y"] >= above["y"] + above["h"] or (
            below["y"] == above["y"] and below["x"] == above["x"] + above["w"]
        )


def test_grafana_is_provisioned() -> None:
    (source,) = yaml.safe_load((GRAFANA / "provisioning/datasources/prometheus.yaml").read_text())[
        "datasources"
    ]
    assert source["type"] == "prometheus"
    variables = {variable["name"] for variable in DASHBOARD["templating"]["list"]}
    assert variables == {"datasource", "instance", "model", "version"}
    used = set(re.findall(r"\$\{?(\w+)", json.dumps(DASHBOARD)))
    assert used - {"__rate_interval", "__all"} == variables
