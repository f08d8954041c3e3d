"""Classifies files by a server, in this process, or in several ones."""

from __future__ import annotations

from collections.abc import Callable, Generator, Iterable
from dataclasses import dataclass

from ..config.settings import Settings
from ..http_client import HttpClient
from ..telemetry.logs import configure_logs
from .garbage import SeldomGarbage
from .inputs.source import Source
from .options import Options
from .rows import Chunk, Predictions, Query, chunks
from .server_classifier import ServerClassifier
from .workers.worker_process import FileClassifying, Ready

Results = Generator[tuple[Chunk, Predictions], None, None]

# Of the workers only the first logs why a version cannot be loaded.
_SILENT = "critical"


@dataclass(frozen=True, slots=True)
class ClassifierFactory:
    """Opens a classifier in this process or in another one, to which it is sent."""

    settings: Settings
    query: Query
    log_level: str

    def __call__(self) -> FileClassifying:
        """
        Raises:
            ConvserveError: the model cannot be loaded.
        """
        from .file_classifier import open_classifier  # imports ONNX Runtime

        configure_logs(self.log_level, self.settings.log_format)
        return open_classifier(self.settings, self.query)


def nothing() -> Results:
    """The results of no file."""
    yield from ()


def by_server(settings: Settings, options: Options, sources: Iterable[Source]) -> Results:
    """Send each file to the server at `options.url`.

    Raises:
        ConvserveError: the server cannot be reached, or fails.
    """
    assert options.url is not None
    with HttpClient(options.url, key=options.key) as client:
        yield from _one_by_one(
            ServerClassifier(client, options.query, max_bytes=settings.max_decode_bytes), sources
        )


def in_this_process(settings: Settings, options: Options, sources: Iterable[Source]) -> Results:
    """Load the model and classify one chunk after the other.

    Raises:
        ConvserveError: the model cannot be loaded.
    """
    factory = ClassifierFactory(settings.model_copy(update={"workers": 1}), options.query, options.log_level)
    yield from _one_by_one(factory(), sources)


def in_workers(
    settings: Settings,
    options: Options,
    sources: Iterable[Source],
    count: int,
    tick: Callable[[], None] | None,
) -> Results:
    """Classify chunks in `count` processes at a time; `tick` is called meanwhile.

    Raises:
        ConvserveError: the model cannot be loaded, or a process cannot be replaced.
    """
    from .workers.worker_pool import WorkerPool  # imports multiprocessing

    share = settings.model_copy(update={"workers": count})

    def factory_of(number: int, ready: Ready | None) -> ClassifierFactory:
        query = options.query
        if ready is not None:
            query = Query(ready.model, ready.version, query.top_k)
        return ClassifierFactory(share, query, _SILENT if number else options.log_level)

    garbage = SeldomGarbage()
    with WorkerPool(count, factory_of, tick) as pool:
        ready = pool.wait_until_ready()
        for result in pool.classify(chunks(sources, ready.chunk)):
            yield result
            garbage.after_chunk()


def _one_by_one(classifier: FileClassifying, sources: Iterable[Source]) -> Results:
    garbage = SeldomGarbage()
    for chunk in chunks(sources, classifier.chunk):
        yield chunk, classifier.classify(chunk.paths, chunk.problems)
        garbage.after_chunk()
