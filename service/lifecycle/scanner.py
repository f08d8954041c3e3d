"""Looks at the model repository again and again, in a thread, and reports changes to the coordinator."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

from ..errors import ConfigurationError
from ..repository.content_digest import content_digest
from ..repository.scan import ModelFound, RepositoryScan
from ..repository.version_folder import VersionFolder
from .messages import Found, Scan
from .plans import ModelPlan, ModelReport

logger = logging.getLogger(__name__)

Digests = Mapping[str, str]


@dataclass(frozen=True, slots=True)
class Known:
    """The served versions, and the failed ones."""

    plans: Mapping[str, ModelPlan]
    reports: Mapping[str, ModelReport]


@dataclass(slots=True)
class _Seen:
    """A model as it was when it was last looked at, and as it was last reported."""

    found: ModelFound
    plan: ModelPlan | None
    report: ModelReport | None
    digests: Digests


class Scanner:
    """Scans on request, and every `poll_seconds` from the first request on.

    Of versions that are served, or have failed, it reports the digest once their files are touched.

    Args:
        known: returns what is served and what has failed; may be called in a thread.
        poll_seconds: 0 scans only on request.
        max_bytes: of a file.
    """

    def __init__(
        self,
        repository: Path,
        known: Callable[[], Known],
        send: Callable[[Found], None],
        *,
        poll_seconds: float,
        max_bytes: int,
    ) -> None:
        self._scan = RepositoryScan(repository)
        self._known = known
        self._send = send
        self._poll_seconds = poll_seconds
        self._max_bytes = max_bytes
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="scanner")
        self._requests: asyncio.Queue[Scan | None] = asyncio.Queue()
        self._task: asyncio.Task[None] | None = None
        self._seen: dict[str, _Seen] = {}
        self._digests: dict[tuple[str, str], tuple[str, str]] = {}
        self._problem: str | None = None

    def request(self, scan: Scan) -> None:
        """Scan, and go on scanning."""
        self._requests.put_nowait(scan)
        self.watch()

    def watch(self) -> None:
        """Scan from now on."""
        if self._task is None:
            self._task = asyncio.create_task(self._run())

    def look(self) -> None:
        """Scan soon, if this worker is the one that does."""
        if self._task is not None and self._requests.empty():
            self._requests.put_nowait(None)

    def close(self) -> None:
        if self._task is not None:
            self._task.cancel()
        self._thread.shutdown(wait=False, cancel_futures=True)

    async def _run(self) -> None:
        loop = asyncio.get_running_loop()
        while True:
            request = None
            try:
                async with asyncio.timeout(self._poll_seconds or None):
                    request = await self._requests.get()
            except TimeoutError:
                pass
            try:
                found = await loop.run_in_executor(self._thread, self._look, request)
            except Exception:
                logger.exception("the model repository could not be scanned")
                continue
            if request is not None or found.models or found.problem != self._problem:
                self._problem = found.problem
                self._send(found)

    def _look(self, request: Scan | None) -> Found:
        number = None if request is None else request.number
        try:
            if request is not None and request.name is not None:
                models: Mapping[str, ModelFound | None] = {request.name: self._scan.model(request.name)}
            else:
                trust = request is not None and request.trust
                reports = self._known().reports.values()
                failed = {(each.name, each.version) for report in reports for each in report.failures}
                models = self._scan.models(trust=trust, watched=failed)
        except ConfigurationError as error:
            return Found(number, {}, {}, str(error))
        known = self._known()
        partial = request is not None and request.name is not None
        changed: dict[str, ModelFound | None] = {}
        digests: dict[tuple[str, str], str] = {}
        for name, model in models.items():
            if model is None:
                self._seen.pop(name, None)
                changed[name] = None
            elif self._has_changed(model, known) or partial:
                changed[name] = model
                digests.update({(name, version): d for version, d in self._seen[name].digests.items()})
        if not partial:
            for name in [name for name in self._seen if name not in models]:
                del self._seen[name]
                changed[name] = None
        return Found(number, changed, digests)

    def _has_changed(self, model: ModelFound, known: Known) -> bool:
        """True if there is something to report about a model."""
        plan, report = known.plans.get(model.name), known.reports.get(model.name)
        seen = self._seen.get(model.name)
        if seen is not None and seen.found == model and seen.plan is plan and seen.report is report:
            return False
        digests = self._touched(model, plan, report)
        self._seen[model.name] = _Seen(model, plan, report, digests)
        return seen is None or seen.found != model or seen.digests != digests

    def _touched(self, model: ModelFound, plan: ModelPlan | None, report: ModelReport | None) -> Digests:
        """The digests of served and of failed versions whose files are not as they were."""
        former = {each.version: each.signature for each in ([] if report is None else report.failures)}
        former |= {each.version: each.signature for each in (() if plan is None else plan.versions)}
        return {
            each.version: self._digest(model.name, each.version, each.path, each.signature)
            for each in model.versions
            if former.get(each.version, each.signature) != each.signature
        }

    def _digest(self, name: str, version: str, path: str, signature: str) -> str:
        cached = self._digests.get((name, version))
        if cached is None or cached[0] != signature:
            folder = VersionFolder(name, version, Path(path))
            cached = self._digests[name, version] = (signature, content_digest(folder, self._max_bytes))
        return cached[1]
