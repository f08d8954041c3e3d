"""Classifies all files of a listing and writes their rows."""

from __future__ import annotations

import sys
import time
from collections.abc import Iterator
from contextlib import closing
from io import FileIO
from itertools import chain, islice

from ..config.settings import Settings
from ..errors import ConfigurationError, ConvserveError
from ..system.cpu_quota import available_cores
from .inputs.listing import Listing
from .inputs.source import Source
from .interruption import Interrupted, interruptible
from .options import Options
from .outputs.destination import Destination
from .outputs.formats import choose_format, open_destination
from .outputs.row_format import RowFormat
from .predict import Results, by_server, in_this_process, in_workers, nothing
from .reporter import Reporter
from .rows import Predictions, Rows, as_text

# So few files are classified in this process: starting others takes longer than they save.
FEW_FILES = 128


def classify_files(settings: Settings, options: Options) -> bool:
    """Classify all files and write their rows; returns False if one of them could not be classified.

    Raises:
        ConvserveError: the run ends early; the rows so far are kept if they are in a file.
        Interrupted: likewise, by a signal.
        BrokenPipeError: nobody reads the output.
    """
    # Not buffered: a thread that waits in a buffered stream would end the interpreter with an error.
    stdin = None if sys.stdin is None else FileIO(sys.stdin.fileno(), closefd=False)
    listing = Listing(options.arguments, stdin, null=options.null)
    kind = choose_format(options.format, options.output)
    with (
        interruptible(),
        closing(open_destination(options.output, kind, resume=options.resume)) as destination,
    ):
        reporter = Reporter(options, listing, destination)
        try:
            return _run(settings, options, listing, kind, destination, reporter)
        except (ConvserveError, Interrupted):
            destination.close()  # writes what it still holds
            reporter.tell_what_is_kept()
            raise
        finally:
            reporter.clear()


def _run(
    settings: Settings,
    options: Options,
    listing: Listing,
    kind: type[RowFormat],
    destination: Destination,
    reporter: Reporter,
) -> bool:
    started = time.monotonic()
    begun = False
    sources = _unfinished(listing, destination)
    with closing(_results(settings, options, sources, reporter)) as results:
        for chunk, predictions in results:
            if not begun:
                _check_finished(destination, predictions)
                destination.begin(kind(predictions.top_k, for_terminal=destination.for_terminal))
                begun = True
            rows = Rows.of(chunk, predictions)
            destination.write(rows)
            reporter.add(rows)
    if not begun:
        destination.begin(kind(destination.finished.top_k or options.query.top_k))
    destination.finish()
    reporter.finish(time.monotonic() - started)
    return not reporter.failed


def _unfinished(listing: Listing, destination: Destination) -> Iterator[Source]:
    finished = destination.finished
    if not len(finished):
        return iter(listing)
    return (source for source in listing if not finished.contains(as_text(source.path)))


def _results(settings: Settings, options: Options, sources: Iterator[Source], reporter: Reporter) -> Results:
    first = list(islice(sources, FEW_FILES))
    if not first:
        return nothing()
    everything = chain(first, sources)
    if options.url is not None:
        return by_server(settings, options, everything)
    count = options.workers or (available_cores() if len(first) == FEW_FILES else 1)
    if count == 1:
        return in_this_process(settings, options, everything)
    return in_workers(settings, options, everything, count, reporter.tick)


def _check_finished(destination: Destination, predictions: Predictions) -> None:
    """Check that the rows of an earlier run are like those of this one.

    Raises:
        ConfigurationError: they are of another model, or have another number of classes.
    """
    finished = destination.finished
    if finished.model is not None and (finished.model, finished.version) != (
        predictions.model,
        predictions.version,
    ):
        raise ConfigurationError(
            f"the rows to resume are of {finished.model} version {finished.version}, and this run uses "
            f"{predictions.model} version {predictions.version}: give --model and --model-version"
        )
    if finished.top_k not in (None, predictions.top_k):
        raise ConfigurationError(
            f"the rows to resume have {finished.top_k} classes, and this run gives {predictions.top_k}: "
            f"give --top-k {finished.top_k}"
        )
