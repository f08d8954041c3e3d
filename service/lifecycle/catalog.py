"""All that is known of each model: what lies on disk, what is served, what failed, and what calls decided."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import replace

from ..errors import ConvserveError, InvalidModel
from ..repository.scan import UNKNOWN, ModelFound, VersionFound
from .desired import Desired, desired, labels_of, merged
from .messages import Found
from .plans import UNLOADED, Failure, Loaded, ModelPlan, ModelReport, State, Target


class Catalog:
    """Keeps what is known, and computes what ought to change.

    Args:
        allow_empty: a folder that vanishes unloads the last version of its model.

    Attributes:
        generation: the number of the last change.
        plans: what is served, by name.
        found: what lies on disk, by name.
        problem: the reason why the repository cannot be read; None if it can.
    """

    def __init__(self, *, allow_empty: bool) -> None:
        self._allow_empty = allow_empty
        self.generation = 0
        self.plans: dict[str, ModelPlan] = {}
        self.found: dict[str, ModelFound] = {}
        self.problem: str | None = None
        self._failures: dict[tuple[str, str], Failure] = {}
        self._changed: dict[tuple[str, str], str] = {}
        self._unloaded: set[str] = set()
        self._reports: dict[str, ModelReport] = {}

    @property
    def state(self) -> State:
        """A copy for a worker."""
        return State(self.generation, dict(self.plans), dict(self._reports), self.problem)

    def absorb(self, message: Found) -> Iterable[str]:
        """Note what lies on disk now; returns the names of the models that may have to change."""
        self.problem = message.problem
        for name, model in message.models.items():
            if model is None:
                self.found.pop(name, None)
            else:
                self.found[name] = model
            self._compare(name, model, message.digests)
        return message.models

    def _compare(self, name: str, model: ModelFound | None, digests: Mapping[tuple[str, str], str]) -> None:
        """Forget failures of versions whose bytes have changed, and note changes of served ones."""
        versions = {} if model is None else {each.version: each for each in model.versions}
        plan = self.plans.get(name)
        for failure in self.failures(name):
            key = (name, failure.version)
            version = versions.get(failure.version)
            if version is None:
                del self._failures[key]
            elif version.signature != failure.signature:
                if failure.digest is not None and digests.get(key) == failure.digest:
                    self._failures[key] = replace(failure, signature=version.signature)
                else:
                    del self._failures[key]
        for served in () if plan is None else plan.versions:
            key = (name, served.version)
            self._changed.pop(key, None)
            digest = digests.get(key, served.digest)
            if served.version in versions and digest != served.digest:
                self._changed[key] = digest

    def goal(self, name: str) -> Desired | None:
        """The versions of a model that ought to be served."""
        return desired(
            self.found.get(name),
            self.plans.get(name),
            failed={failure.version for failure in self.failures(name)},
            unloaded=name in self._unloaded,
            allow_empty=self._allow_empty,
        )

    def missing(self, name: str) -> Target | None:
        """The next version of a model to load; None if all are that ought to be."""
        goal, plan = self.goal(name), self.plans.get(name)
        for version in () if goal is None else goal.versions:
            if plan is None or plan.served(version) is None:
                found = self._version(name, version)
                assert found is not None  # `desired` chooses only versions that are served or on disk
                if found.refused is None:
                    return Target(name, version, found.path)
                self.fail(Failure(name, version, found.refused, found.signature))
                return self.missing(name)
        return None

    def next_plan(self, name: str, generation: int, loaded: Loaded | None) -> ModelPlan | None:
        """The plan of a model once a version, or none, has been loaded; None to serve nothing of it."""
        goal, plan = self.goal(name), self.plans.get(name)
        versions = merged(plan, loaded) if loaded is not None else () if plan is None else plan.versions
        if goal is None:
            return None
        numbers = {each.version for each in versions}
        if numbers.issuperset(goal.versions):  # nothing is left to be loaded: drop what is not wanted
            versions = tuple(each for each in versions if each.version in goal.versions)
            numbers = {each.version for each in versions}
        labels = labels_of(goal.config, plan, numbers) if goal.kept is None else goal.labels
        return ModelPlan(name, generation, versions, labels, goal.config)

    def differs(self, name: str) -> bool:
        """True if a change without a load brings the model closer to its goal."""
        plan = self.plans.get(name)
        return plan is not None and self.next_plan(name, plan.generation, None) != plan

    def commit(self, name: str, plan: ModelPlan | None) -> None:
        """Note that every worker is told to serve a plan."""
        if plan is None:
            self.plans.pop(name, None)
        else:
            self.plans[name] = plan
        for key in [key for key in self._changed if key[0] == name]:
            if plan is None or plan.served(key[1]) is None:
                del self._changed[key]

    def drop(self, failures: Iterable[Failure]) -> Iterable[str]:
        """Stop serving versions that no worker can load; returns the names of their models."""
        self.generation += 1
        for failure in failures:
            plan = self.plans[failure.name]
            left = tuple(each for each in plan.versions if each.version != failure.version)
            labels = {label: version for label, version in plan.labels.items() if version != failure.version}
            following = replace(plan, generation=self.generation, versions=left, labels=labels)
            self.commit(failure.name, following if left else None)
            self.fail(failure)
        return {failure.name for failure in failures}

    def fail(self, failure: Failure) -> None:
        self._failures[failure.name, failure.version] = failure

    def failures(self, name: str) -> list[Failure]:
        return [failure for (model, _), failure in self._failures.items() if model == name]

    def signature(self, name: str, version: str) -> str:
        """The signature of a version's folder when it was last looked at."""
        found = self._version(name, version)
        return "" if found is None else found.signature

    def load_called(self, name: str) -> None:
        """Forget that a model was unloaded, and why its versions failed, so that they are tried again."""
        self._unloaded.discard(name)
        for failure in self.failures(name):
            del self._failures[name, failure.version]

    def unload_called(self, name: str) -> None:
        self._unloaded.add(name)

    def knows(self, name: str) -> bool:
        """True if a model is served, or lies on disk."""
        return name in self.plans or name in self.found

    def error(self, name: str) -> ConvserveError | None:
        """The reason why a model is not served as it lies on disk; None if it is."""
        report = self._report_of(name)
        for failure in reversed(report.failures):
            return InvalidModel(f"{name} version {failure.version} is not served: {failure.reason}")
        return None if report.problem is None else InvalidModel(f"{name}: {report.problem}")

    def report(self, name: str) -> tuple[ModelReport, ModelReport] | None:
        """The former and the new condition of a model if it has changed."""
        before = self._reports.get(name, ModelReport(name))
        after = self._report_of(name)
        if before == after:
            return None
        self._reports[name] = after
        return before, after

    def _report_of(self, name: str) -> ModelReport:
        found, plan = self.found.get(name), self.plans.get(name)
        failures = sorted(self.failures(name), key=lambda each: int(each.version))
        problems: list[str] = []
        if name in self._unloaded:
            problems.append(UNLOADED)
        elif found is not None and plan is None:
            reason = found.error or found.config_error
            if reason is not None:
                failures.append(Failure(name, UNKNOWN, reason))
        else:
            problems += self._problems(name, found, plan)
        return ModelReport(name, tuple(failures), "; ".join(problems) or None)

    def _problems(self, name: str, found: ModelFound | None, plan: ModelPlan | None) -> Iterable[str]:
        if found is not None and found.config_error is not None:
            yield f"{found.config_error}; the former configuration still applies"
        goal = self.goal(name)
        if goal is not None and goal.kept is not None:
            yield goal.kept
        for (model, version), digest in self._changed.items():
            served = None if plan is None else plan.served(version)
            if model == name and served is not None:
                yield (
                    f"version {version} is served with the digest {served.digest}, and its folder now has "
                    f"other files, with the digest {digest}: publish them under another version"
                )

    def _version(self, name: str, version: str) -> VersionFound | None:
        model = self.found.get(name)
        return None if model is None else next((v for v in model.versions if v.version == version), None)
