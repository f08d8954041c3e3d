"""What one request may bring, and how long it may take, whatever dialect it speaks."""

from __future__ import annotations

from dataclasses import dataclass

from .settings import Settings


@dataclass(frozen=True, slots=True)
class Limits:
    """`request_timeout` is in seconds, for a request that names no deadline of its own."""

    request_timeout: float
    max_body_bytes: int
    max_images: int

    @classmethod
    def of(cls, settings: Settings) -> Limits:
        return cls(settings.request_timeout_ms / 1000, settings.max_body_bytes, settings.max_images)
