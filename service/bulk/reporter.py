"""Tells a person how a run goes, on standard error."""

from __future__ import annotations

import sys

from ..system.printable import printable
from .inputs.listing import Listing
from .options import Options
from .outputs.destination import Destination, FileDestination
from .outputs.formats import STANDARD_OUTPUT, is_terminal
from .progress import Progress, duration
from .rows import Rows


class Reporter:
    """Prints errors, the progress and a summary.

    Text output has no rows for errors, so they are printed. For the other formats the summary counts them.
    The progress is shown if standard error is a terminal, unless the rows appear on a terminal themselves.

    Attributes:
        failed: files that could not be classified, also in rows of an earlier run.
    """

    def __init__(self, options: Options, listing: Listing, destination: Destination) -> None:
        self._listing = listing
        self._destination = destination
        self._prints_errors = not destination.has_errors
        self._to_file = options.output not in (None, STANDARD_OUTPUT)
        self._output = options.output
        self._resume = options.resume
        self._resumable = isinstance(destination, FileDestination) and destination.is_resumable
        self._kept = len(destination.finished)
        self.failed = destination.finished.failed
        self._done = 0
        self._first_error: tuple[str, str] | None = None
        self._is_terminal = is_terminal(sys.stderr)
        self._progress: Progress | None = None
        if self._is_terminal and (self._to_file or not is_terminal(sys.stdout)):
            count = listing.count() if listing.is_repeatable else None
            self._progress = Progress(sys.stderr, count, kept=self._kept, failed=self.failed)

    def tick(self) -> None:
        """Refresh the progress from time to time; to be called often."""
        if self._progress is not None:
            self._progress.tick()

    def add(self, rows: Rows) -> None:
        """Count rows that have been written."""
        errors = rows.predictions.errors
        self._done += len(rows)
        self.failed += len(errors)
        for index in sorted(errors) if self._prints_errors or self._first_error is None else ():
            self._first_error = self._first_error or (rows.paths[index], errors[index])
            if self._prints_errors:
                self._say(f"{rows.paths[index]}: {errors[index]}")
        if self._progress is not None:
            self._progress.done = self._kept + self._done
            self._progress.failed = self.failed
            self._progress.tick()

    def clear(self) -> None:
        """Remove the progress from the terminal."""
        if self._progress is not None:
            self._progress.clear()

    def finish(self, seconds: float) -> None:
        """Print what the listing has left out, the number of errors and, on a terminal, a summary."""
        for note in self._listing.skipped.notes():
            self._say(note)
        if unlisted := self._destination.finished.unlisted:
            self._say(f"kept {_count(unlisted, 'row')} of files that are not listed any more")
        if self.failed and not self._prints_errors:
            self._say(self._failures())
        if self._is_terminal and self._to_file:
            rate = self._done / max(seconds, 1e-9)
            kept = f", {self._kept:,} of them before" if self._kept else ""
            self._say(
                f"{self._output} has {_count(self._kept + self._done, 'row')}{kept}; "
                f"{_count(self._done, 'image')} in {duration(seconds)}, {rate:,.0f}/s"
            )

    def tell_what_is_kept(self) -> None:
        """Say how to go on with a run that has ended early."""
        kept = self._destination.kept
        if not isinstance(self._destination, FileDestination) or not kept:
            return
        if self._resumable:
            again = "run the same command" + ("" if self._resume else " with --resume") + " to go on"
        else:
            again = "text cannot be resumed"
        self._say(f"kept {_count(kept, 'row')} in {self._destination.partial}; {again}")

    def _failures(self) -> str:
        total = self._kept + self._done
        text = f"{self.failed:,} of {_count(total, 'image')} could not be classified; the rows say why"
        if self._first_error is not None:
            path, reason = self._first_error
            text += f", such as {path}: {reason}"
        return text

    def _say(self, sentence: str) -> None:
        self.clear()
        print(f"convserve: {printable(sentence)}", file=sys.stderr)


def _count(number: int, noun: str) -> str:
    return f"{number:,} {noun}{'' if number == 1 else 's'}"
