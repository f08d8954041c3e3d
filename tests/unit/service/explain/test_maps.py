"""Maps of digits: they add up to the score, lie on the ink, and depend on the weights."""

from __future__ import annotations

import asyncio
import io
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image
from prometheus_client import CollectorRegistry

from service.batching.pending_request import NEVER
from service.client_budget import Account
from service.config.settings import Settings
from service.explain.explainer import Explainer
from service.explain.inspector import Inspector
from service.explain.request import ExplainOptions, Explanation
from service.imaging.decode_pool import EncodedImage
from service.inference.data_plane import DataPlane
from service.lifecycle.lifecycle import Lifecycle
from service.telemetry.metrics import ServerMetrics
from tests.support.images.drawn_mnist import draw_digits

Digits = NDArray[np.uint8]


@pytest.fixture(scope="module")
def digits() -> Digits:
    """A thousand drawn digits."""
    return draw_digits(100, seed=9)[0]


def encoded(pixels: Digits) -> EncodedImage:
    target = io.BytesIO()
    Image.fromarray(pixels).save(target, "PNG")
    return EncodedImage(target.getvalue())


def explained(
    models: Path, name: str, images: Sequence[Digits], options: ExplainOptions
) -> list[Explanation]:
    async def run() -> list[Explanation]:
        settings, telemetry = Settings(models=models), ServerMetrics(CollectorRegistry())
        plane = DataPlane.build(settings, telemetry)
        explainer = Explainer(plane.classifier, Inspector(settings.explain_bytes))
        async with Lifecycle(settings, plane, telemetry).opened():
            model = plane.registry.resolve(name)
            found = [
                await explainer.explain(
                    model, encoded(each), options, deadline=NEVER, account=Account.unlimited()
                )
                for each in images
            ]
            explainer.close()
        return found

    return asyncio.run(run())


def test_contributions_of_a_thousand_digits_add_up_to_the_logit(inspected: Path, digits: Digits) -> None:
    for each in explained(inspected, "convnet", list(digits), ExplainOptions(others=1)):
        assert each.exact
        first, second = each.evidence
        for evidence in (first, second):
            assert evidence.base is not None
            assert abs(evidence.cells.sum() + evidence.base - evidence.score) < 1e-4
        # The base is the bias of the class, whatever the image: the sum is exact and no remainder.
        assert abs(each.overview.sum() - first.cells.sum()) < 1e-4


def test_base_is_the_bias_of_the_class(inspected: Path, digits: Digits) -> None:
    bases: dict[int, list[float]] = {}
    for each in explained(inspected, "convnet", list(digits[:200]), ExplainOptions(others=9)):
        for evidence in each.evidence:
            bases.setdefault(evidence.target.label, []).append(float(str(evidence.base)))
    assert len(bases) == 10
    assert all(max(values) - min(values) < 1e-4 for values in bases.values())


@pytest.mark.parametrize(
    "change",
    [lambda image: image, lambda image: np.roll(image, (2, -2), (0, 1)), lambda image: 255 - image],
    ids=["as drawn", "shifted", "inverted"],
)
@pytest.mark.parametrize(
    ("name", "method"),
    [("convnet", "contribution"), ("lenet5", "integrated"), ("lenet5", "gradcam")],
)
def test_hottest_pixel_is_inside_or_next_to_the_ink(
    inspected: Path, digits: Digits, name: str, method: str, change: Callable[[Digits], Digits]
) -> None:
    images = [change(each) for each in digits[::5]]
    hits = 0
    for each in explained(inspected, name, images, ExplainOptions(method=method)):
        row, column = each.hottest
        ink = each.picture[..., 0] > 64
        hits += bool(ink[max(0, row - 1) : row + 2, max(0, column - 1) : column + 2].any())
    assert hits >= 0.95 * len(images)


def test_idle_graphs_are_closed(inspected: Path, digits: Digits) -> None:
    now = [0.0]

    async def run() -> None:
        settings, telemetry = Settings(models=inspected), ServerMetrics(CollectorRegistry())
        plane = DataPlane.build(settings, telemetry)
        inspector = Inspector(settings.explain_bytes, clock=lambda: now[0])
        explainer = Explainer(plane.classifier, inspector)
        async with Lifecycle(settings, plane, telemetry).opened():
            options, account = ExplainOptions(method="gradient"), Account.unlimited()
            for name in ("convnet", "lenet5"):
                model = plane.registry.resolve(name)
                await explainer.explain(model, encoded(digits[0]), options, deadline=NEVER, account=account)
                now[0] += 40
            assert inspector.open_models == ["convnet", "lenet5"]
            await inspector.call(inspector.close_idle, NEVER)
            assert inspector.open_models == ["lenet5"]
            explainer.close()

    asyncio.run(run())


def test_least_recently_used_graph_makes_room(inspected: Path, digits: Digits) -> None:
    async def run() -> None:
        settings, telemetry = Settings(models=inspected), ServerMetrics(CollectorRegistry())
        plane = DataPlane.build(settings, telemetry)
        inspector = Inspector(700_000)  # the convnet takes 625 kB, LeNet-5 370 kB
        explainer = Explainer(plane.classifier, inspector)
        async with Lifecycle(settings, plane, telemetry).opened():
            for name in ("convnet", "lenet5"):
                model = plane.registry.resolve(name)
                await explainer.explain(
                    model,
                    encoded(digits[0]),
                    ExplainOptions(method="gradient"),
                    deadline=NEVER,
                    account=Account.unlimited(),
                )
                assert inspector.open_models == [name]
            explainer.close()

    asyncio.run(run())
