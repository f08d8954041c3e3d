"""The version that a command classifies with."""

from __future__ import annotations

from pathlib import Path

import pytest

from service.bulk.model_choice import choose_model
from service.bulk.rows import Query
from service.config.settings import Settings
from service.errors import ModelNotFound, ModelNotReady
from service.inference.model import LoadedModel
from service.repository.version_folder import VersionFolder
from tests.support.models.gray_classifier import publish_shades


@pytest.fixture(scope="module")
def models(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A repository with three versions of one model."""
    folder = tmp_path_factory.mktemp("models")
    for _ in range(3):
        publish_shades(folder)
    return folder


def choice(models: Path, version: str | None, *, config: str = "", broken: str = "") -> list[str]:
    """The versions that are tried in turn, until one is not among `broken`."""
    (models / "shades" / "config.toml").write_text(config)
    tried = []

    def load(folder: VersionFolder) -> LoadedModel:
        tried.append(folder.version)
        if folder.version in broken:
            raise ValueError("broken")
        raise KeyboardInterrupt  # it ends the choice before a graph is loaded

    with pytest.raises(KeyboardInterrupt):
        choose_model(Settings(models=models), Query("shades", version, 1), load)
    return tried


def load_nothing(folder: VersionFolder) -> LoadedModel:
    raise AssertionError(f"version {folder.version} is loaded")


@pytest.mark.parametrize(
    ("config", "version", "broken", "tried"),
    [
        ("", None, "", ["3"]),
        ("", None, "3", ["3", "2"]),
        ("", None, "32", ["3", "2", "1"]),
        ("", "1", "", ["1"]),
        ('versions = "all"', None, "3", ["3", "2"]),
        ("versions = [1, 2]", None, "", ["2"]),
        ("versions = [1]", "3", "", ["3"]),
        ("[labels]\nstable = 1", None, "", ["1"]),
        ("[labels]\ncanary = 2", "canary", "", ["2"]),
        ("[labels]\ncanary = 2", None, "", ["3"]),
    ],
)
def test_version_is_the_one_that_a_server_would_choose(
    models: Path, config: str, version: str | None, broken: str, tried: list[str]
) -> None:
    assert choice(models, version, config=config, broken=broken) == tried


def test_no_other_version_is_taken_for_a_stable_one_that_cannot_be_loaded(models: Path) -> None:
    (models / "shades" / "config.toml").write_text("[labels]\nstable = 2")

    def load(folder: VersionFolder) -> LoadedModel:
        raise ValueError("broken")

    with pytest.raises(ModelNotReady, match="shades version 2 is not served: it cannot be loaded"):
        choose_model(Settings(models=models), Query("shades", None, 1), load)


def test_unknown_label_is_refused_with_what_there_is(models: Path) -> None:
    (models / "shades" / "config.toml").write_text("[labels]\ncanary = 2")
    with pytest.raises(ModelNotFound, match="no version 'best'; available: 1, 2, 3, canary"):
        choose_model(Settings(models=models), Query("shades", "best", 1), load_nothing)


def test_invalid_configuration_is_named(models: Path) -> None:
    (models / "shades" / "config.toml").write_text("versions = 0")
    with pytest.raises(ModelNotReady, match=r"config\.toml is not valid"):
        choose_model(Settings(models=models), Query("shades", None, 1), load_nothing)
