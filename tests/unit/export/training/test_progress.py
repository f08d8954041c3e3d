from __future__ import annotations

import io

from export.training.progress import ProgressBar


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


class Clock:
    """A clock that the test sets."""

    now = 0.0

    def __call__(self) -> float:
        return self.now


def test_file_gets_one_line_per_epoch() -> None:
    clock, file = Clock(), io.StringIO()
    bar = ProgressBar(file, clock)
    for step in range(1, 5):
        clock.now += 10
        bar.step(step, 8, "epoch 1/2")
    bar.milestone(4, 8, "epoch 1/2  loss 0.5")
    clock.now += 40
    bar.milestone(8, 8, "epoch 2/2  loss 0.1")
    assert file.getvalue() == (
        "[############............] epoch 1/2  loss 0.5  0:40 left\n"
        "[########################] epoch 2/2  loss 0.1  0:00 left\n"
    )


def test_terminal_is_redrawn_at_limited_rate() -> None:
    clock, terminal = Clock(), Terminal()
    bar = ProgressBar(terminal, clock)
    for step in range(1, 11):
        clock.now += 0.05
        bar.step(step, 10_000, "working")
    assert terminal.getvalue().count("working") == 2
    assert terminal.getvalue().startswith("\r[........................] working  8:20 left\x1b[K")
    bar.milestone(10_000, 10_000, "done")
    assert terminal.getvalue().endswith("\r[########################] done  0:00 left\x1b[K\n")


def test_long_times_are_shown_in_hours() -> None:
    clock, file = Clock(), io.StringIO()
    bar = ProgressBar(file, clock)
    clock.now = 3725
    bar.milestone(1, 2, "half")
    assert "1:02:05 left" in file.getvalue()
