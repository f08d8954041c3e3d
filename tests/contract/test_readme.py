"""The README's console blocks are run as they stand, and their output is compared with the one printed."""

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
from typing import Any

import pytest

from export.cli.main import main as export

ROOT = Path(__file__).resolve().parent.parent.parent
README = (ROOT / "README.md").read_text()
PRINTED_URL = "http://127.0.0.1:8000"
PRINTED_GRPC = "grpc: 127.0.0.1:8001"
LAST_LINE = "  docs: "
ASSIGNMENT = re.compile(r"[A-Z_]+=")


def console() -> list[tuple[str, str]]:
    """Each command of the console blocks with the output printed below it."""
    blocks = re.findall(r"```console\n(.*?)```", README, re.DOTALL)
    return [
        (command, output)
        for block in blocks
        for command, output in re.findall(r"^\$ (.*)\n([^$]*)", block, re.M)
    ]


def scripts() -> list[list[str]]:
    """The commands of the blocks without output, in words: what takes long or needs more than a clone."""
    blocks = "".join(re.findall(r"```sh\n(.*?)```", README, re.DOTALL)).replace("\\\n", " ")
    lines = (shlex.split(line, comments=True) for line in blocks.replace("&&", "\n").splitlines())
    commands = (list(dropwhile(ASSIGNMENT.match, words)) for words in lines)
    return [words for words in commands if words]


SERVE, *OTHERS = console()
SCRIPTS = scripts()


@pytest.fixture(scope="module")
def served() -> Iterator[tuple[str, str]]:
    """`make serve` on free ports: its URL, and what it printed with the usual addresses put back."""
    if shutil.which("make") is None:
        pytest.skip("make is not installed")
    # The environment is this one, already installed, and not the one that make would make.
    given = [
        f"BIN={Path(sys.executable).parent}",
        "PORT=0",
        "GRPC_PORT=-1",
        "--old-file=.venv/serve.stamp",
        "--silent",
    ]
    process = subprocess.Popen(
        [*SERVE[0].split(), *given],
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
        found = re.search(r"http://\S+", text)
        assert found is not None, f"make serve announced nothing: {text}"
        try:
            yield found[0], re.sub(r"grpc: \S+", PRINTED_GRPC, text.replace(found[0], PRINTED_URL))
        finally:
            os.killpg(process.pid, signal.SIGTERM)
            process.wait(timeout=30)


@pytest.fixture
def path(tmp_path: Path) -> str:
    """A search path on which `convserve` is this checkout's."""
    for name, package in (("convserve", "service"), ("convserve-export", "export")):
        script = tmp_path / name
        script.write_text(f'#!/bin/sh\nexec "{sys.executable}" -m {package} "$@"\n')
        script.chmod(0o755)
    return f"{tmp_path}:{os.environ['PATH']}"


def alike(text: str) -> Any:
    """Output in a form that compares: JSON by value, percentages rounded, times left out."""
    if text.startswith("{"):
        return rounded(json.loads(text))
    text = re.sub(r"\d+\.\d+%", lambda match: f"{float(match[0][:-1]):.1f}%", text.rstrip())
    text = re.sub(r"^\d{4}-\d\d-\d\d \d\d:\d\d:\d\d,\d{3}", "TIME", text, flags=re.MULTILINE)
    return re.sub(r"loaded in \d+\.\d+ s", "loaded in SECONDS s", text)


def rounded(value: Any) -> Any:
    """Probabilities differ in the last digits from one processor to another."""
    if isinstance(value, dict):
        return {key: rounded(each) for key, each in value.items()}
    if isinstance(value, list):
        return [rounded(each) for each in value]
    return round(value, 3) if isinstance(value, float) else value


def test_make_serve_prints_what_the_readme_shows(served: tuple[str, str]) -> None:
    assert SERVE[0] == "make serve"
    assert alike(served[1]) == alike(SERVE[1])


@pytest.mark.parametrize(("command", "printed"), OTHERS, ids=[command for command, _ in OTHERS])
def test_commands_answer_what_the_readme_shows(
    command: str, printed: str, served: tuple[str, str], path: str
) -> None:
    tool = command.split()[0]
    if shutil.which(tool, path=path) is None:
        pytest.skip(f"{tool} is not installed")
    if tool == "curl":
        command = command.replace("curl ", "curl --silent --show-error ", 1)
    result = subprocess.run(
        ["bash", "-c", command.replace(PRINTED_URL, served[0])],
        cwd=ROOT,
        env={**os.environ, "PATH": path},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,  # a terminal shows both, and so must the README
        text=True,
        timeout=60,
        check=True,
    )
    assert alike(result.stdout.replace(served[0], PRINTED_URL)) == alike(printed)


@pytest.mark.parametrize("words", [each for each in SCRIPTS if each[0] == "make"], ids=" ".join)
def test_make_knows_what_the_readme_asks_of_it(words: list[str]) -> None:
    if shutil.which("make") is None:
        pytest.skip("make is not installed")
    subprocess.run([*words, "--dry-run"], cwd=ROOT, stdout=subprocess.DEVNULL, check=True, timeout=60)


@pytest.mark.parametrize("words", [each for each in SCRIPTS if each[0] == "convserve-export"], ids=" ".join)
def test_the_workshop_has_the_options_that_the_readme_gives(
    words: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit) as ended:
        export([words[1], "--help"])
    assert ended.value.code == 0
    told = set(re.findall(r"--[a-z-]+", capsys.readouterr().out))
    assert {word for word in words if word.startswith("--")} <= told


def test_files_that_the_readme_hands_to_others_are_there() -> None:
    given = {word for words in SCRIPTS for word in words if word.startswith("docker/")}
    assert given
    assert {path for path in given if not (ROOT / path).exists()} == set()
