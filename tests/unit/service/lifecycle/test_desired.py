from __future__ import annotations

from service.lifecycle.desired import Desired, desired
from service.lifecycle.plans import Loaded, ModelPlan
from service.repository.model_config import ModelConfig
from service.repository.scan import ModelFound, VersionFound


def found(
    *versions: int, unsettled: int = 0, config_error: str | None = None, **config: object
) -> ModelFound:
    return ModelFound(
        "a",
        tuple(VersionFound(str(each), f"a/{each}", f"s{each}", each != unsettled) for each in versions),
        ModelConfig.model_validate(config),
        config_error,
    )


def plan(*versions: int, labels: dict[str, str] | None = None, **config: object) -> ModelPlan:
    return ModelPlan(
        "a",
        1,
        tuple(Loaded(str(each), f"a/{each}", f"s{each}", f"d{each}") for each in versions),
        labels or {},
        ModelConfig.model_validate(config),
    )


def goal(*arguments: object, **options: object) -> Desired:
    result = desired(*arguments, **options)  # type: ignore[arg-type]
    assert result is not None
    return result


def test_highest_version_is_served_by_default() -> None:
    assert goal(found(1, 2, 10), None).versions == ("10",)
    assert goal(found(1, 2, 10), plan(2)).versions == ("10",)


def test_policy_chooses_versions() -> None:
    assert goal(found(1, 2, 10, versions={"latest": 2}), None).versions == ("2", "10")
    assert goal(found(1, 2, 10, versions="all"), None).versions == ("1", "2", "10")
    assert goal(found(1, 2, 10, versions=[1, 7]), None).versions == ("1",)


def test_version_that_is_being_written_waits() -> None:
    assert goal(found(1, 2, unsettled=2), plan(1)).versions == ("1",)
    assert desired(found(2, unsettled=2), None) is None


def test_failed_version_is_passed_over() -> None:
    assert goal(found(1, 2), plan(1), failed={"2"}).versions == ("1",)
    assert goal(found(1, 2), None, failed={"2"}).versions == ("1",)
    assert goal(found(1, 2, 3, versions={"latest": 2}), plan(1, 2), failed={"3"}).versions == ("1", "2")
    assert desired(found(2), None, failed={"2"}) is None


def test_removed_version_gives_way_to_a_lower_one() -> None:
    assert goal(found(1), plan(2)).versions == ("1",)


def test_model_that_vanishes_is_kept() -> None:
    for disk in (None, found(), ModelFound("a", error="its folder cannot be read: Permission denied")):
        kept = goal(disk, plan(1, 2, labels={"x": "1"}))
        assert (kept.versions, kept.labels) == (("1", "2"), {"x": "1"})
        assert "still served" in (kept.kept or "")


def test_model_that_vanishes_is_unloaded_if_that_is_allowed() -> None:
    assert desired(None, plan(1), allow_empty=True) is None
    assert desired(found(), plan(1), allow_empty=True) is None
    unreadable = ModelFound("a", error="its folder cannot be read: Permission denied")
    assert goal(unreadable, plan(1), allow_empty=True).versions == ("1",)


def test_policy_that_nothing_on_disk_fits_changes_nothing() -> None:
    kept = goal(found(1, 2, versions=[3]), plan(2))
    assert kept.versions == ("2",)
    assert "none of its versions on disk (1, 2) can be served as configured; 2 still is" in (kept.kept or "")


def test_unloaded_model_is_not_served() -> None:
    assert desired(found(1), plan(1), unloaded=True) is None
    assert desired(None, None) is None


def test_invalid_configuration_keeps_the_former_one() -> None:
    before = plan(1, versions=[1])
    assert goal(found(1, 2, config_error="bad"), before).versions == ("1",)
    assert goal(found(1, 2, config_error="bad"), before).config is before.config
    assert desired(found(1, 2, config_error="bad"), None) is None


def test_labelled_versions_are_served_too() -> None:
    labels = {"stable": 1, "canary": 3}
    assert goal(found(1, 2, 3, 4, labels=labels), None).versions == ("1", "3", "4")
    assert goal(found(1, 2, 3, 4, versions=[], labels=labels), None).versions == ("1", "3")


def test_label_moves_only_to_a_version_that_is_served() -> None:
    before = plan(1, labels={"stable": "1"})
    disk = found(1, 2, versions=[], labels={"stable": 2})
    assert goal(disk, before) == Desired(("2",), {}, disk.config)
    both = plan(1, 2, labels={"stable": "1"})
    assert goal(disk, both) == Desired(("2",), {"stable": "2"}, disk.config)


def test_label_stays_while_its_new_version_cannot_be_loaded() -> None:
    before = plan(1, labels={"stable": "1"})
    disk = found(1, 2, versions=[], labels={"stable": 2})
    assert goal(disk, before, failed={"2"}) == Desired(("1",), {"stable": "1"}, disk.config)
    missing = found(1, labels={"stable": 9})
    assert goal(missing, before) == Desired(("1",), {"stable": "1"}, missing.config)
