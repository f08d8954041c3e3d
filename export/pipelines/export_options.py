"""What is asked of the workshop for one network."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True, kw_only=True)
class Order:
    """What was asked for on the command line; None is what the recipe says, or what the data set has.

    `limit` keeps so many training pictures a class; `random` publishes weights as they were drawn.
    """

    data: Path | None
    models: Path
    seed: int = 0
    epochs: int | None = None
    batch_size: int | None = None
    limit: int | None = None
    classes: int | None = None
    columns: int | None = None
    checkpoints: Path | None = None
    resume: bool = False
    mixed_precision: bool = False
    distribute: bool = False
    random: bool = False
