from __future__ import annotations

import numpy as np
import pytest

from service.client_budget import Account
from service.errors import PayloadTooLarge
from service.inference.footprint import JSON_NUMBER_BYTES, PREDICTION_BYTES, Footprint
from service.repository.manifest import Manifest
from tests.support.models.shipped import highest_version

LIMIT = 1_000_000


def footprint(name: str) -> Footprint:
    return Footprint.of(
        Manifest.model_validate_json((highest_version(name) / "manifest.json").read_bytes()), LIMIT
    )


def test_images_of_fixed_size_are_charged_before_they_are_decoded() -> None:
    account = Account.unlimited()
    footprint("convnet").charge_images(account, 3, 0)
    assert account.held == 3 * (28 * 28 + 10 * 4)


def test_images_of_any_size_are_charged_once_their_size_is_known() -> None:
    account = Account.unlimited()
    maps = footprint("filters")
    maps.charge_images(account, 1, 0)
    assert account.held == 0
    maps.charge_rows(account, np.zeros((1, 50, 40, 1), np.uint8), 0)
    assert account.held == 50 * 40 + 50 * 40 * 4 * 4


def test_json_needs_more_memory_than_raw_numbers() -> None:
    account = Account.unlimited()
    maps, rows = footprint("filters"), np.zeros((1, 200, 200, 1), np.uint8)
    maps.charge_rows(account, rows, 0)
    with pytest.raises(PayloadTooLarge, match="CONVSERVE_MAX_RESPONSE_BYTES"):
        maps.charge_rows(account, rows, JSON_NUMBER_BYTES)


def test_predictions_are_counted_up_to_the_number_of_classes() -> None:
    convnet = footprint("convnet")
    assert convnet.prediction_bytes(1) * convnet.classes == PREDICTION_BYTES
    assert convnet.prediction_bytes(5) * convnet.classes == 5 * PREDICTION_BYTES
    assert convnet.prediction_bytes(1000) == PREDICTION_BYTES
