"""Finds unknown fields in documents, by the types generated from the schemas of KServe and Kubernetes."""

from __future__ import annotations

import warnings
from typing import Any

with warnings.catch_warnings():
    warnings.simplefilter("ignore")  # its dependencies warn on import
    import kserve.models  # type: ignore[import-untyped]
    import kubernetes.client


def unknown_fields(given: Any, kind: str, at: str = "") -> list[str]:
    """Return the paths of the fields of `given` that its type, or the types of its parts, do not have."""
    if kind.startswith("list["):
        inner = kind.removeprefix("list[").removesuffix("]")
        return [path for each in given for path in unknown_fields(each, inner, f"{at}[]")]
    generated: Any = getattr(kserve.models, kind, None) or getattr(kubernetes.client, kind, None)
    if generated is None:  # text, numbers, quantities, free dictionaries
        return []
    names = {wire: name for name, wire in generated.attribute_map.items()}
    paths = [f"{at}.{field}" for field in given if field not in names]
    for field in given.keys() & names.keys():
        paths += unknown_fields(given[field], generated.openapi_types[names[field]], f"{at}.{field}")
    return paths
