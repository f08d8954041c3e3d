"""Shows the progress of a training with the estimated remaining time."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, TextIO

if TYPE_CHECKING:
    import keras

_WIDTH = 24
_REDRAW_SECONDS = 0.2


class ProgressBar:
    """Draws a moving bar on a terminal, and one line per epoch on any other stream."""

    def __init__(self, stream: TextIO, clock: Callable[[], float] = time.monotonic) -> None:
        self._stream = stream
        self._clock = clock
        self._live = stream.isatty()
        self._started = self._drawn = clock()

    def step(self, done: int, total: int, text: str) -> None:
        """Redraw the bar after `done` of `total` steps, at most every 0.2 seconds."""
        if self._live and self._clock() - self._drawn >= _REDRAW_SECONDS:
            self._drawn = self._clock()
            self._stream.write(f"\r{self._line(done, total, text)}\x1b[K")
            self._stream.flush()

    def milestone(self, done: int, total: int, text: str) -> None:
        """Write a permanent line after `done` of `total` steps."""
        start, end = ("\r", "\x1b[K\n") if self._live else ("", "\n")
        self._stream.write(f"{start}{self._line(done, total, text)}{end}")
        self._stream.flush()

    def _line(self, done: int, total: int, text: str) -> str:
        filled = _WIDTH * done // total
        left = (self._clock() - self._started) / done * (total - done)
        return f"[{'#' * filled}{'.' * (_WIDTH - filled)}] {text}  {_duration(left)} left"


def _duration(seconds: float) -> str:
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02}:{rest:02}" if hours else f"{minutes}:{rest:02}"


def progress_callback(bar: ProgressBar) -> keras.callbacks.Callback:
    """Return a Keras callback that updates the bar during `fit`."""
    import keras

    class Progress(keras.callbacks.Callback):  # type: ignore[misc]
        def on_epoch_begin(self, epoch: int, logs: Mapping[str, float] | None = None) -> None:
            self._epoch = epoch

        def on_train_batch_end(self, batch: int, logs: Mapping[str, float] | None = None) -> None:
            bar.step(self._epoch * self.params["steps"] + batch + 1, self._total(), self._text(logs or {}))

        def on_epoch_end(self, epoch: int, logs: Mapping[str, float] | None = None) -> None:
            bar.milestone((epoch + 1) * self.params["steps"], self._total(), self._text(logs or {}))

        def _total(self) -> int:
            return int(self.params["steps"] * self.params["epochs"])

        def _text(self, logs: Mapping[str, float]) -> str:
            text = f"epoch {self._epoch + 1}/{self.params['epochs']}"
            for name, label in (("loss", "loss"), ("accuracy", "accuracy"), ("val_accuracy", "validation")):
                if name in logs:
                    text += f"  {label} {logs[name]:.4f}"
            return text

    return Progress()
