"""The versions that ought to be served: a pure function of the disk, the configuration and the calls."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass

from ..repository.model_config import Latest, ModelConfig
from ..repository.scan import ModelFound, VersionFound
from .plans import Loaded, ModelPlan


@dataclass(frozen=True, slots=True)
class Desired:
    """The goal for one model.

    Attributes:
        versions: to be served, in ascending order; a number in it may not be loaded yet.
        labels: the labels for those of the versions that are loaded already.
        kept: the reason why versions are served that are not on disk any more; None if there are none.
    """

    versions: tuple[str, ...]
    labels: Mapping[str, str]
    config: ModelConfig
    kept: str | None = None


def desired(
    found: ModelFound | None,
    plan: ModelPlan | None,
    *,
    failed: Collection[str] = (),
    unloaded: bool = False,
    allow_empty: bool = False,
) -> Desired | None:
    """The goal for a model; None to serve none of its versions.

    Args:
        found: the model on disk; None if its folder is gone.
        plan: what is served now; None if nothing is.
        failed: versions on disk that could not be loaded.
        unloaded: a call has unloaded the model.
        allow_empty: a folder that vanishes unloads the last version.
    """
    if unloaded:
        return None
    if plan is not None and (found is None or not found.versions or found.error is not None):
        return None if allow_empty and (found is None or found.error is None) else _as_before(plan, found)
    if found is None:
        return None
    config = found.config
    if found.config_error is not None:
        if plan is None:
            return None
        config = plan.config
    usable = _usable(found, plan, failed)
    wanted = _by_policy(config, usable) | _labelled(config, plan, usable)
    if not wanted:
        if plan is None:
            return None
        return Desired(_numbers(plan), plan.labels, config, _nothing_left(found, plan))
    versions = tuple(sorted(wanted, key=int))
    served = () if plan is None else tuple(set(_numbers(plan)).intersection(versions))
    return Desired(versions, labels_of(config, plan, served), config)


def labels_of(config: ModelConfig, plan: ModelPlan | None, served: Collection[str]) -> dict[str, str]:
    """The label of each version: a label moves once its new version is served, not before."""
    labels = {}
    for label, number in config.labels.items():
        before = None if plan is None else plan.labels.get(label)
        for version in (str(number), before):
            if version is not None and version in served:
                labels[label] = version
                break
    return labels


def _as_before(plan: ModelPlan, found: ModelFound | None) -> Desired:
    reason = "its folder has vanished" if found is None else found.error or "its folder has no versions"
    return Desired(
        _numbers(plan),
        plan.labels,
        plan.config,
        f"{reason}; what is loaded is still served (CONVSERVE_ALLOW_EMPTY unloads it)",
    )


def _nothing_left(found: ModelFound, plan: ModelPlan) -> str:
    versions = ", ".join(each.version for each in found.versions)
    served = ", ".join(_numbers(plan))
    return f"none of its versions on disk ({versions}) can be served as configured; {served} still is"


def _usable(found: ModelFound, plan: ModelPlan | None, failed: Collection[str]) -> list[str]:
    """The versions on disk that are served, or could be."""

    def is_usable(each: VersionFound) -> bool:
        if plan is not None and plan.served(each.version) is not None:
            return True
        return each.settled and each.version not in failed

    return [each.version for each in found.versions if is_usable(each)]


def _by_policy(config: ModelConfig, usable: list[str]) -> set[str]:
    if isinstance(config.versions, Latest):
        return set(usable[-config.versions.latest :])
    if config.versions == "all":
        return set(usable)
    return set(map(str, config.versions)).intersection(usable)


def _labelled(config: ModelConfig, plan: ModelPlan | None, usable: list[str]) -> set[str]:
    """The versions with a label, and the one that has it now while the new one cannot be loaded."""
    wanted = set()
    for label, number in config.labels.items():
        before = None if plan is None else plan.labels.get(label)
        if str(number) in usable:
            wanted.add(str(number))
        elif before is not None and plan is not None and plan.served(before) is not None:
            wanted.add(before)
    return wanted


def _numbers(plan: ModelPlan) -> tuple[str, ...]:
    return tuple(each.version for each in plan.versions)


def merged(plan: ModelPlan | None, loaded: Loaded) -> tuple[Loaded, ...]:
    """The versions of a plan with one more."""
    others = () if plan is None else plan.versions
    return tuple(sorted([*others, loaded], key=lambda each: int(each.version)))
