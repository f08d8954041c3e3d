"""`check_skips` accepts or rejects the reasons of skipped tests in JUnit reports."""

from __future__ import annotations

from pathlib import Path

import pytest

from scripts.check_skips import is_allowed, main

REPORT = """<testsuites><testsuite name="pytest">
<testcase classname="tests.a" name="test_passes"/>
<testcase classname="tests.a" name="test_skips"><skipped type="pytest.skip" message="{reason}"/></testcase>
</testsuite></testsuites>"""


@pytest.fixture
def report(tmp_path: Path) -> Path:
    return tmp_path / "tests.xml"


@pytest.mark.parametrize(
    "reason",
    [
        "no CUDA: the installed onnxruntime has no CUDA provider",
        "no real data in /data; name its folder in CONVSERVE_TEST_DATA",
        "/data/mnist is missing",
        "file systems cannot be mounted here",
        "no image is built here: building a base and changing the root need root",
    ],
)
def test_reason_of_the_machine_is_allowed(report: Path, reason: str) -> None:
    report.write_text(REPORT.format(reason=reason))
    assert main([str(report)]) == 0


@pytest.mark.parametrize("reason", ["kubectl is not installed", "some other reason", ""])
def test_other_reason_fails(report: Path, reason: str, capsys: pytest.CaptureFixture[str]) -> None:
    report.write_text(REPORT.format(reason=reason))
    assert main([str(report)]) == 1
    assert (
        f"tests.a.test_skips was skipped, but its needs can be installed: {reason}" in capsys.readouterr().err
    )


@pytest.mark.parametrize(
    ("reason", "absent", "allowed"),
    [
        ("kubectl is not installed", ["kubectl"], True),
        ("kubectl is not installed", ["nginx"], False),
        ("prometheus is not installed (apt-get install prometheus)", ["prometheus"], True),
        ("libfaketime is not installed", ["faketime"], True),
        ("no image is built here: buildah and debootstrap not installed", ["buildah", "debootstrap"], True),
        ("no image is built here: buildah and debootstrap not installed", ["buildah"], False),
    ],
)
def test_missing_program_allows_its_skips(reason: str, absent: list[str], allowed: bool) -> None:
    assert is_allowed(reason, absent) is allowed
