"""What a server says once it listens: where, what, and a command to try."""

from __future__ import annotations

import shlex
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:  # the supervisor passes announcements on and needs nothing of what they tell about
    from ..inference.model import LoadedModel
    from ..inference.registry import LoadFailure, Registry
    from ..repository.manifest import Manifest


@dataclass(frozen=True, slots=True)
class StartupBanner:
    """The state of a registry in words, small enough to be sent from a worker to its supervisor."""

    models: Sequence[str]
    failures: Sequence[str]
    example: Path | None

    @classmethod
    def of(cls, registry: Registry) -> StartupBanner:
        default = next((m for m in registry.models if m.name == registry.default_name), None)
        return cls(
            models=[_model_line(model) for model in registry.models],
            failures=[_failure_line(failure) for failure in registry.failures],
            example=_example(default) if default is not None else None,
        )

    def text(self, url: str, grpc_address: str | None, admin_url: str | None = None) -> str:
        lines = [f"convserve listens on {url}", *self.models, *self.failures]
        if self.example is not None:
            path = shlex.quote(str(self.example))
            lines.append(f"  try:  curl --data-binary @{path} -H 'Content-Type: image/png' {url}/classify")
        if admin_url is not None:
            lines.append(f"  admin: {admin_url}")
        if grpc_address is not None:
            lines.append(f"  grpc: {grpc_address}")
        return "\n".join([*lines, f"  docs: {url}/docs"])


def _model_line(model: LoadedModel) -> str:
    threads = f"{model.engine.threads} thread{'s' if model.engine.threads > 1 else ''}"
    worth = _worth(model.manifest)
    return f"  {model.name} version {model.version}: {worth}; {model.engine.device}, {threads}"


def _worth(manifest: Manifest) -> str:
    if not manifest.classifies:
        return f"no classifier, gives {len(manifest.labels)} maps"
    if manifest.evaluation is not None:
        return f"accuracy {manifest.evaluation.accuracy:.2%} on {manifest.evaluation.dataset}"
    return "random weights, never trained" if manifest.weights == "random" else "not evaluated"


def _failure_line(failure: LoadFailure) -> str:
    return f"  {failure.name} version {failure.version}: NOT SERVED: {failure.reason}"


def _example(model: LoadedModel) -> Path | None:
    """The example's path, relative where that is shorter to type."""
    if model.manifest.example is None:
        return None
    path = (model.folder.path / model.manifest.example.file).resolve()
    return path.relative_to(Path.cwd()) if path.is_relative_to(Path.cwd()) else path
