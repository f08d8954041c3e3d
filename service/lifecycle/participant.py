"""A worker's part in changes: loads versions in a thread, swaps them, and lets the former ones end."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Coroutine, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

from ..errors import ConfigurationError, ConvserveError
from ..inference.loader import Loader
from ..inference.model import LoadedModel
from ..inference.registry import LoadFailure, Registry, ServedModel, reason_of
from ..repository.content_digest import content_digest
from ..repository.scan import signature_of
from ..repository.version_folder import VersionFolder
from ..telemetry.metrics import ServerMetrics
from .messages import (
    Abort,
    Commit,
    Committed,
    FromWorker,
    Go,
    Joined,
    Prepare,
    Prepared,
    PrepareFailed,
    Report,
    RepositoryProblem,
    Sync,
    ToWorker,
)
from .plans import Failure, Loaded, ModelPlan, ModelReport, State, Target
from .states import VersionLife, VersionState

logger = logging.getLogger(__name__)


class Participant:
    """Prepares, commits and aborts changes as the coordinator says.

    Args:
        send: sends a message to the coordinator, without waiting.
        state: what the other workers serve.
        drain_timeout: seconds in which requests that are bound to a version may end once it is not served.

    Attributes:
        plans: what is served, by name.
        reports: the condition of models, by name.
        lives: the versions that this process loads, serves or ends.
        released: done when the server may listen; has an exception if it cannot start.
    """

    def __init__(
        self,
        registry: Registry,
        loader: Loader,
        telemetry: ServerMetrics,
        send: Callable[[FromWorker], None],
        *,
        state: State,
        drain_timeout: float,
    ) -> None:
        self._registry = registry
        self._loader = loader
        self._telemetry = telemetry
        self._send = send
        self._initial = state
        self._drain_timeout = drain_timeout
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="loader")
        self._tasks: set[asyncio.Task[None]] = set()
        self._closing: set[asyncio.Task[None]] = set()
        self._loading: set[int] = set()
        self._prepared: dict[int, tuple[LoadedModel, VersionLife]] = {}
        self._life_of: dict[int, VersionLife] = {}
        self.plans: dict[str, ModelPlan] = {}
        self.reports: dict[str, ModelReport] = {}
        self._problem: str | None = None
        self.lives: list[VersionLife] = []
        self.released: asyncio.Future[None] = asyncio.get_running_loop().create_future()

    def start(self) -> None:
        """Load what the others serve, and join them."""
        self._begin(self._sync(self._initial))

    def receive(self, message: ToWorker) -> None:
        """Handle a message."""
        match message:
            case Prepare():
                self._loading.add(message.generation)
                self._begin(self._prepare(message))
            case Commit():
                self._commit(message)
            case Abort():
                self._abort(message.generation)
            case Sync():
                self._begin(self._sync(message.state))
            case Report():
                self._report(message.report)
            case RepositoryProblem():
                self._problem = message.problem
                self._publish_reports()
            case Go():
                self._release(message.error)

    async def close(self) -> None:
        """End the loads, and the versions that are not served any more."""
        self._thread.shutdown(wait=False, cancel_futures=True)
        for task in self._tasks:
            task.cancel()
        for generation in list(self._prepared):
            self._abort(generation)
        if self._closing:
            await asyncio.wait(self._closing)

    def _begin(self, work: Coroutine[Any, Any, None]) -> None:
        task = asyncio.create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._ended)

    def _ended(self, task: asyncio.Task[None]) -> None:
        self._tasks.discard(task)
        if not task.cancelled() and (error := task.exception()) is not None:
            logger.error("a change of the served models failed", exc_info=error)

    def _release(self, error: ConvserveError | None) -> None:
        if self.released.done():
            return
        if error is None:
            self.released.set_result(None)
        else:
            self.released.set_exception(error)

    async def _prepare(self, message: Prepare) -> None:
        life, outcome = await self._load(message.target)
        wanted = message.generation in self._loading
        self._loading.discard(message.generation)
        if isinstance(outcome, tuple):
            model, loaded = outcome
            life.enter(VersionState.PREPARED)
            if wanted:
                self._prepared[message.generation] = (model, life)
                self._send(Prepared(message.generation, loaded))
            else:
                self._discard(model, life)
            return
        failure, fatal = (outcome, False) if isinstance(outcome, Failure) else (outcome.failure, True)
        self._count(message.target.name, "failed")
        self._forget(life, VersionState.FAILED)
        if wanted:
            self._send(PrepareFailed(message.generation, failure, fatal))

    async def _load(
        self, target: Target
    ) -> tuple[VersionLife, tuple[LoadedModel, Loaded] | Failure | _Fatal]:
        life = VersionLife(target.name, target.version)
        self.lives.append(life)
        loop = asyncio.get_running_loop()
        return life, await loop.run_in_executor(self._thread, self._load_in_thread, target, life)

    def _load_in_thread(
        self, target: Target, life: VersionLife
    ) -> tuple[LoadedModel, Loaded] | Failure | _Fatal:
        folder = VersionFolder(target.name, target.version, Path(target.path))
        signature = signature_of(target.path)
        try:
            model = self._loader(folder, lambda step: life.enter(VersionState(step)))
        except ConfigurationError as error:
            return _Fatal(Failure(target.name, target.version, str(error), signature))
        except Exception as error:  # also MemoryError, RecursionError, OverflowError
            return self._failure(folder, reason_of(error), signature)
        if target.digest not in (None, model.digest):
            model.discard()
            return Failure(
                target.name,
                target.version,
                f"its files have the digest {model.digest}; what is served has {target.digest}",
            )
        return model, Loaded(target.version, target.path, signature, model.digest)

    def _failure(self, folder: VersionFolder, reason: str, signature: str) -> Failure:
        digest: str | None = content_digest(folder, self._loader.max_model_bytes)
        if signature_of(str(folder.path)) != signature:  # somebody is still writing
            signature, digest = "", None
        return Failure(folder.name, folder.version, reason, signature, digest)

    def _abort(self, generation: int) -> None:
        self._loading.discard(generation)
        prepared = self._prepared.pop(generation, None)
        if prepared is not None:
            self._discard(*prepared)

    def _discard(self, model: LoadedModel, life: VersionLife) -> None:
        model.discard()
        self._forget(life, VersionState.CLOSED)

    def _commit(self, message: Commit) -> None:
        prepared = self._prepared.pop(message.generation, None)
        new = {} if prepared is None else {prepared[0].version: prepared[0]}
        if prepared is not None:
            self._life_of[id(prepared[0])] = prepared[1]
        self._serve(message.name, message.plan, new)
        self._send(Committed(message.generation))

    def _serve(self, name: str, plan: ModelPlan | None, new: dict[str, LoadedModel]) -> None:
        """Serve the versions of a plan, of those that are served already and new ones."""
        before = self._registry.served(name)
        former = {} if before is None else before.versions
        available = {**former, **new}
        models = [available[each.version] for each in (() if plan is None else plan.versions)]
        served = None
        if plan is not None and models:
            awaited = {label: str(number) for label, number in plan.config.labels.items()}
            served = ServedModel.of(models, plan.labels, awaited)
            self.plans[name] = plan
        else:
            self.plans.pop(name, None)
        self._registry.replace(name, served)
        for model in new.values():
            self._count(name, "loaded")
            self._began(model)
        for version, model in former.items():
            if served is None or served.versions.get(version) is not model:
                self._count(name, "unloaded")
                self._end(model)

    def _began(self, model: LoadedModel) -> None:
        self._life_of[id(model)].enter(VersionState.READY)
        manifest, engine = model.manifest, model.engine
        self._telemetry.record_served(
            model.name,
            model.version,
            provider=engine.provider,
            sha256=manifest.onnx.sha256,
            seconds=model.load_seconds,
            queue_limit=model.admission.limit,
        )
        if manifest.evaluation is not None and manifest.evaluation.predicted is not None:
            self._telemetry.record_evaluation(
                model.name, model.version, manifest.labels, manifest.evaluation.predicted
            )
        logger.info(
            "%s version %s is ready: %s, provider %s, %d intra-op threads, loaded in %.2f s",
            *(model.name, model.version, engine.device, engine.provider, engine.threads),
            model.load_seconds,
        )

    def _end(self, model: LoadedModel) -> None:
        """Let a version end that is not served any more."""
        self._telemetry.record_not_served(
            model.name,
            model.version,
            provider=model.engine.provider,
            sha256=model.manifest.onnx.sha256,
            queue_limit=model.admission.limit,
        )
        task = asyncio.create_task(self._drain(model))
        self._closing.add(task)
        task.add_done_callback(self._closing.discard)

    async def _drain(self, model: LoadedModel) -> None:
        life = self._life_of.pop(id(model))
        life.enter(VersionState.DRAINING)
        await model.close(self._drain_timeout)
        self._forget(life, VersionState.CLOSED)
        logger.info("%s version %s is unloaded", model.name, model.version)

    def _forget(self, life: VersionLife, last: VersionState) -> None:
        life.enter(last)
        self.lives.remove(life)

    async def _sync(self, state: State) -> None:
        """Serve exactly what the others serve."""
        failures: list[Failure] = []
        for name in self.plans.keys() - state.plans.keys():
            self._serve(name, None, {})
        for plan in state.plans.values():
            failures += await self._catch_up(plan)
        self.reports = dict(state.reports)
        self._problem = state.problem
        self._publish_reports()
        self._send(Joined(state.generation, tuple(failures)))

    async def _catch_up(self, plan: ModelPlan) -> Sequence[Failure]:
        """Serve the versions of a plan; returns those that cannot be loaded."""
        former, failures = self.plans.get(plan.name), []
        new: dict[str, LoadedModel] = {}
        for each in plan.versions:
            before = None if former is None else former.served(each.version)
            if before is not None and before.digest == each.digest:
                continue
            life, outcome = await self._load(Target(plan.name, each.version, each.path, each.digest))
            if isinstance(outcome, tuple):
                life.enter(VersionState.PREPARED)
                new[each.version] = outcome[0]
                self._life_of[id(outcome[0])] = life
            else:
                failures.append(outcome if isinstance(outcome, Failure) else outcome.failure)
                self._forget(life, VersionState.FAILED)
        failed = {failure.version for failure in failures}
        left = tuple(each for each in plan.versions if each.version not in failed)
        labels = {label: version for label, version in plan.labels.items() if version not in failed}
        self._serve(plan.name, ModelPlan(plan.name, plan.generation, left, labels, plan.config), new)
        return failures

    def _report(self, report: ModelReport) -> None:
        if report.failures or report.problem is not None:
            self.reports[report.name] = report
        else:
            self.reports.pop(report.name, None)
        self._publish_reports()

    def _publish_reports(self) -> None:
        reports = [self.reports[name] for name in sorted(self.reports)]
        self._registry.failures = tuple(
            LoadFailure(each.name, each.version, each.reason)
            for report in reports
            for each in report.failures
        )
        problems = {report.name: report.problem for report in reports if report.problem is not None}
        self._registry.problems = problems if self._problem is None else {"": self._problem, **problems}
        failed = [failure.name for failure in self._registry.failures]
        self._telemetry.record_conditions(failed, self._registry.problems)

    def _count(self, name: str, change: str) -> None:
        self._telemetry.record_model_change(name, change)


class _Fatal:
    """A failure of which every version would suffer on this machine."""

    def __init__(self, failure: Failure) -> None:
        self.failure = failure
