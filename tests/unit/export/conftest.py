"""Fixtures: synthetic data, and one run of the command that the tests share."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

from export.repository.manifest import InputSpec, Manifest, OutputSpec
from tests.support.images.drawn_mnist import draw_digits, write_mnist

ROOT = Path(__file__).resolve().parents[3]
SEED = 3
# The synthetic digits are not MNIST, the data set of the convnet.
OWN = ("--name", "convnet", "--description", "Drawn digits.")
SMALL = ("--limit", "30", "--epochs", "2", "--batch-size", "32", "--seed", str(SEED), *OWN)


@dataclass(frozen=True)
class Exported:
    """A completed run of the command and its model repository."""

    models: Path
    completed: subprocess.CompletedProcess[str]


Command = Callable[..., "subprocess.Popen[str]"]


def clean_environment(**additions: str) -> dict[str, str]:
    kept = {name: value for name, value in os.environ.items() if not name.startswith("CONVSERVE_")}
    return kept | additions


@pytest.fixture(scope="session")
def mnist_arrays() -> dict[str, NDArray[np.uint8]]:
    """400 training and 100 test digits by file name."""
    train_images, train_labels = draw_digits(40, seed=1)
    test_images, test_labels = draw_digits(10, seed=2)
    return {
        "train-images-idx3-ubyte": train_images,
        "train-labels-idx1-ubyte": train_labels,
        "t10k-images-idx3-ubyte": test_images,
        "t10k-labels-idx1-ubyte": test_labels,
    }


@pytest.fixture(scope="session")
def digits(mnist_arrays: dict[str, NDArray[np.uint8]], tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder in the format of MNIST."""
    folder = tmp_path_factory.mktemp("digits")
    write_mnist(folder, mnist_arrays)
    return folder


@pytest.fixture(scope="session")
def start() -> Command:
    """Starts `python -m export` with these arguments."""

    def start(*arguments: str | Path, **environment: str) -> subprocess.Popen[str]:
        return subprocess.Popen(
            [sys.executable, "-m", "export", *map(str, arguments)],
            cwd=ROOT,
            env=clean_environment(**environment),
            text=True,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            preexec_fn=restore_sigint,
        )

    return start


def restore_sigint() -> None:
    """Restore SIGINT, which background jobs of a shell ignore."""
    signal.signal(signal.SIGINT, signal.SIG_DFL)


@pytest.fixture(scope="session")
def exported(start: Command, digits: Path, tmp_path_factory: pytest.TempPathFactory) -> Exported:
    """The command on synthetic digits, with two epochs."""
    folder = tmp_path_factory.mktemp("exported")
    models, checkpoints = folder / "models", folder / "checkpoints"
    process = start(
        "convnet", "--models", models, "--checkpoints", checkpoints, *SMALL, CONVSERVE_DATA=str(digits)
    )
    stdout, stderr = process.communicate()
    return Exported(models, subprocess.CompletedProcess(process.args, process.returncode, stdout, stderr))


@pytest.fixture
def manifest() -> Manifest:
    """A manifest for a classifier of 2x2 images with two classes."""
    return Manifest(
        name="tiny",
        description="Distinguishes nothing.",
        input=InputSpec("pixels", "uint8", "NHWC", 2, 2, 1, "fit"),
        output=OutputSpec("probabilities", "probabilities"),
        labels=("this", "that"),
        max_batch_size=4,
        opset=18,
        parameters=10,
        tolerance=1e-4,
    )
