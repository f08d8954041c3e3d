"""The text that a server prints once it listens."""

from __future__ import annotations

import shlex
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from ..system.printable import printable

if TYPE_CHECKING:  # the supervisor passes banners on and loads no model
    from ..inference.model import LoadedModel
    from ..inference.registry import LoadFailure, Registry
    from ..repository.manifest import Manifest


@dataclass(frozen=True, slots=True)
class StartupBanner:
    """The state of a registry as text, which a worker sends to its supervisor.

    Attributes:
        models: a line for each version that is served.
        failures: a line for each version that could not be loaded.
        example: an image to try the default model with; None if it has none.
    """

    models: Sequence[str]
    failures: Sequence[str]
    example: Path | None

    @classmethod
    def of(cls, registry: Registry) -> StartupBanner:
        versions = registry.versions(registry.default_name)
        default = registry.resolve() if versions else None
        return cls(
            models=[_model_line(model, is_default=model is default) for model in registry.models],
            failures=[_failure_line(failure) for failure in registry.failures],
            example=None if default is None else _example(default),
        )

    def text(
        self, url: str, grpc_address: str | None, admin_url: str | None = None, *, ui: bool = True
    ) -> str:
        """The text for a server at this URL; `ui` is whether it serves the page."""
        lines = [f"convserve listens on {url}", *self.models, *self.failures]
        if self.example is not None:
            path = shlex.quote(str(self.example))
            lines.append(f"  try:  curl --data-binary @{path} -H 'Content-Type: image/png' {url}/classify")
        if admin_url is not None:
            lines.append(f"  admin: {admin_url}")
        if grpc_address is not None:
            lines.append(f"  grpc: {grpc_address}")
        if ui:
            lines.append(f"  page: {url}/ui")
        return "\n".join([*lines, f"  docs: {url}/docs"])


def _model_line(model: LoadedModel, *, is_default: bool) -> str:
    mark = " (default)" if is_default else ""
    threads = f"{model.engine.threads} thread{'s' if model.engine.threads > 1 else ''}"
    quality = _quality(model.manifest)
    return f"  {model.name} version {model.version}{mark}: {quality}; {model.engine.device}, {threads}"


def _quality(manifest: Manifest) -> str:
    if not manifest.classifies:
        return f"not a classifier, {len(manifest.labels)} output maps"
    if manifest.evaluation is not None:
        return f"accuracy {manifest.evaluation.accuracy:.2%} on {printable(manifest.evaluation.dataset)}"
    return "random weights, not trained" if manifest.weights == "random" else "not evaluated"


def _failure_line(failure: LoadFailure) -> str:
    return f"  {failure.name} version {failure.version}: NOT SERVED: {failure.reason}"


def _example(model: LoadedModel) -> Path | None:
    """The path of the model's example image, relative to the working directory if it is below it."""
    if model.manifest.example is None:
        return None
    path = (model.folder.path / model.manifest.example.file).resolve()
    return path.relative_to(Path.cwd()) if path.is_relative_to(Path.cwd()) else path
