"""The commands and programs in README and the documentation print the documented output."""

from __future__ import annotations

import json
import os
import re
import shlex
import shutil
import signal
import subprocess
import sys
from collections.abc import Iterator
from itertools import dropwhile
from pathlib import Path
from typing import Any, NamedTuple

import pytest

from export.cli.main import main as export

ROOT = Path(__file__).resolve().parent.parent.parent
README = ROOT / "README.md"
RESULTS = ROOT / "docs" / "explanation" / "performance-results.md"
# Pages with console blocks and programs that work in a clone while `make serve` runs.
RUNNABLE = (
    README,
    ROOT / "docs" / "index.md",
    ROOT / "docs" / "tutorial" / "first-response.md",
    ROOT / "docs" / "how-to" / "call-the-server.md",
)
PAGES = (README, *sorted((ROOT / "docs").rglob("*.md")))
PRINTED_URL = "http://127.0.0.1:8000"
PRINTED_GRPC = "127.0.0.1:8001"
LAST_LINE = "  docs: "
ASSIGNMENT = re.compile(r"[A-Z_]+=")


class Served(NamedTuple):
    """The addresses of the running server, and its output with the documented addresses."""

    url: str
    grpc: str
    output: str

    def localize(self, text: str) -> str:
        host = PRINTED_URL.removeprefix("http://")
        return text.replace(host, self.url.removeprefix("http://")).replace(PRINTED_GRPC, self.grpc)


def blocks(page: Path, language: str) -> list[str]:
    """Return the code blocks of a language, in order."""
    return re.findall(rf"^```{language}\n(.*?)^```", page.read_text(), re.DOTALL | re.MULTILINE)


def console(page: Path) -> list[tuple[str, str]]:
    """Return each command of the console blocks with its output."""
    found = [re.findall(r"^\$ (.*)\n([^$]*)", block, re.MULTILINE) for block in blocks(page, "console")]
    return [each for block in found for each in block]


def scripts(page: Path) -> list[list[str]]:
    """Return the words of each command in the blocks without output."""
    text = "".join(blocks(page, "sh")).replace("\\\n", " ").replace("&&", "\n")
    lines = re.sub(r"\$\([^)]*\)|<<.*|'\"?\$.*?\"?'", "WORD", text).splitlines()
    commands = []
    for line in lines:
        try:
            words = shlex.split(line, comments=True)
        except ValueError:  # a line of a quoted document
            continue
        commands.append(list(dropwhile(ASSIGNMENT.match, words)))
    return [words for words in commands if words]


def commands_of(program: str) -> list[list[str]]:
    """Return the distinct command lines of a program on all pages."""
    found = [words for page in PAGES for words in scripts(page) if words[0] == program]
    return [list(words) for words in dict.fromkeys(map(tuple, found))]


CONSOLE = list(dict.fromkeys(each for page in RUNNABLE for each in console(page)))
SERVE_OUTPUTS = [output for command, output in CONSOLE if command == "make serve"]
COMMANDS = [(command, output) for command, output in CONSOLE if command != "make serve"]
PROGRAMS = list(
    dict.fromkeys(
        (language, block)
        for page in RUNNABLE
        for language in ("python", "javascript")
        for block in blocks(page, language)
    )
)


@pytest.fixture(scope="module")
def served() -> Iterator[Served]:
    """Run `make serve` on free ports."""
    if shutil.which("make") is None:
        pytest.skip("make is not installed")
    # Use the environment of this process; make would create another one.
    arguments = [
        f"BIN={Path(sys.executable).parent}",
        "PORT=0",
        "GRPC_PORT=-1",
        "--old-file=.venv/serve.stamp",
        "--silent",
    ]
    process = subprocess.Popen(
        ["make", "serve", *arguments],
        cwd=ROOT,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        start_new_session=True,
    )
    assert process.stdout is not None
    with process.stdout:
        lines = []
        for line in process.stdout:
            lines.append(line)
            if line.startswith(LAST_LINE):
                break
        text = "".join(lines)
        url, grpc = re.search(r"http://\S+", text), re.search(r"grpc: (\S+)", text)
        assert url is not None, f"make serve printed no address: {text}"
        assert grpc is not None
        output = text.replace(url[0], PRINTED_URL).replace(grpc[1], PRINTED_GRPC)
        try:
            yield Served(url[0], grpc[1], output)
        finally:
            os.killpg(process.pid, signal.SIGTERM)
            process.wait(timeout=30)


@pytest.fixture
def path(tmp_path: Path) -> str:
    """A search path with the commands of this checkout."""
    for name, package in (("convserve", "service"), ("convserve-export", "export")):
        script = tmp_path / name
        script.write_text(f'#!/bin/sh\nexec "{sys.executable}" -m {package} "$@"\n')
        script.chmod(0o755)
    return f"{tmp_path}:{os.environ['PATH']}"


def comparable(text: str) -> Any:
    """Convert output to a comparable form: JSON by value, percentages rounded, times removed."""
    if text.startswith("{"):
        return rounded(json.loads(text))
    text = re.sub(r"\d+\.\d+%", lambda match: f"{float(match[0][:-1]):.1f}%", text.rstrip())
    text = re.sub(r"^\d{4}-\d\d-\d\d \d\d:\d\d:\d\d,\d{3}", "TIME", text, flags=re.MULTILINE)
    return re.sub(r"loaded in \d+\.\d+ s", "loaded in SECONDS s", text)


def rounded(value: Any) -> Any:
    """Round numbers, because their last digits differ between processors."""
    if isinstance(value, dict):
        return {key: rounded(each) for key, each in value.items()}
    if isinstance(value, list):
        return [rounded(each) for each in value]
    return round(value, 3) if isinstance(value, float) else value


def test_make_serve_prints_the_documented_output(served: Served) -> None:
    assert SERVE_OUTPUTS
    for output in SERVE_OUTPUTS:
        assert comparable(served.output) == comparable(output)


@pytest.mark.parametrize(("command", "printed"), COMMANDS, ids=[command for command, _ in COMMANDS])
def test_commands_print_the_documented_output(command: str, printed: str, served: Served, path: str) -> None:
    tool = command.split()[0]
    if shutil.which(tool, path=path) is None:
        pytest.skip(f"{tool} is not installed")
    if tool == "curl":
        command = command.replace("curl ", "curl --silent --show-error ", 1)
    result = subprocess.run(
        ["bash", "-c", served.localize(command)],
        cwd=ROOT,
        env={**os.environ, "PATH": path},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,  # a terminal shows both
        text=True,
        timeout=60,
        check=True,
    )
    assert comparable(result.stdout.replace(served.url, PRINTED_URL)) == comparable(printed)


@pytest.mark.parametrize(("language", "program"), PROGRAMS)
def test_programs_print_the_label_of_the_example(language: str, program: str, served: Served) -> None:
    node = shutil.which("node")
    if language == "javascript" and node is None:
        pytest.skip("node is not installed")
    interpreter = [sys.executable, "-"] if language == "python" else [str(node), "--input-type=module", "-"]
    result = subprocess.run(
        interpreter, cwd=ROOT, input=served.localize(program), capture_output=True, text=True, timeout=60
    )
    assert result.returncode == 0, result.stderr
    assert result.stdout.lstrip("[").startswith("7")


@pytest.mark.parametrize("words", commands_of("make"), ids=" ".join)
def test_make_has_the_documented_targets(words: list[str]) -> None:
    if shutil.which("make") is None:
        pytest.skip("make is not installed")
    subprocess.run([*words, "--dry-run"], cwd=ROOT, stdout=subprocess.DEVNULL, check=True, timeout=60)


@pytest.mark.parametrize("words", commands_of("convserve-export"), ids=" ".join)
def test_convserve_export_has_the_documented_options(
    words: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit) as exited:
        export([words[1], "--help"])
    assert exited.value.code == 0
    listed = set(re.findall(r"--[a-z-]+", capsys.readouterr().out))
    assert {word for word in words if word.startswith("--")} <= listed


@pytest.mark.parametrize("words", commands_of("convserve"), ids=" ".join)
def test_convserve_has_the_documented_options(words: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    from service.cli.main import main

    with pytest.raises(SystemExit) as exited:
        main([words[1], "--help"])
    assert exited.value.code == 0
    listed = set(re.findall(r"--[a-z0-9-]+", capsys.readouterr().out))
    assert {word for word in words if word.startswith("--")} <= listed


def test_documented_files_of_the_repository_exist() -> None:
    found = {path for page in PAGES for path in re.findall(r"\bdocker/[\w./-]+\w", page.read_text())}
    assert found
    assert {path for path in found if not (ROOT / path).exists()} == set()


def test_readme_figures_are_in_the_results() -> None:
    measured = set(re.findall(r"\d[\d,.]*\d|\d", RESULTS.read_text()))
    rows = re.findall(r"^\| (?:one|…|32|tensors|AlexNet|largest|memory)[^|]*\|(.*)", README.read_text(), re.M)
    assert len(rows) == 7
    for row in rows:
        assert set(re.findall(r"\d[\d,.]*\d|\d", row)) <= measured, row
