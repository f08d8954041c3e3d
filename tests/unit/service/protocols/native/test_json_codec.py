"""The native JSON writer agrees with a JSON library."""

from __future__ import annotations

import json
import math
from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from service.inference.classifier import Classification
from service.inference.timings import Timings
from service.inference.top_k import Prediction
from service.protocols.native.json_codec import as_json

PREDICTIONS = st.builds(Prediction, st.text(), st.integers(0, 1000), st.floats(width=32))
RANKED = st.lists(PREDICTIONS, min_size=1, max_size=5)
CLASSIFICATIONS = st.lists(st.tuples(st.none() | st.text(), RANKED), max_size=4).map(
    lambda pairs: Classification(
        'a "model"', "1", [name for name, _ in pairs], [ranked for _, ranked in pairs], Timings(0, 0, 0)
    )
)


def finite(value: Any) -> Any:
    """Replaces non-finite numbers by null."""
    match value:
        case dict():
            return {name: finite(member) for name, member in value.items()}
        case list():
            return [finite(member) for member in value]
        case float():
            return value if math.isfinite(value) else None
    return value


@given(CLASSIFICATIONS)
def test_json_matches_the_json_library(classification: Classification) -> None:
    def reject(word: str) -> None:
        raise AssertionError(f"{word} is no JSON")

    written = json.loads(as_json(classification), parse_constant=reject)
    assert written == finite(classification.as_dict())
