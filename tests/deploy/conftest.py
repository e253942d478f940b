"""The chart as Helm renders it, for each set of values in its ``ci`` folder."""

from collections.abc import Callable, Mapping, Sequence
from functools import cache
from pathlib import Path

import pytest

from deploy.check import chart, tools
from deploy.check.chart import CHART, Document

VALUE_SETS = sorted(path.stem for path in (CHART / "ci").glob("*.yaml"))

Rendered = Sequence[Document]
Render = Callable[..., Rendered]


@pytest.fixture(scope="session")
def helm() -> Path:
    helms = tools.helms_here()
    if helms is None:
        pytest.skip("Helm is not here: `make deploy-check` fetches it")
    return helms["helm4"]


@pytest.fixture(scope="session")
def render(helm: Path) -> Render:
    """``render("full", "--set", "keda.enabled=false")``: the documents; raises NotRendered."""

    @cache
    def rendered(values: str, *more: str) -> Rendered:
        return chart.documents(chart.render(helm, CHART / "ci" / f"{values}.yaml", *more))

    return rendered


@pytest.fixture(params=VALUE_SETS)
def documents(request: pytest.FixtureRequest, render: Render) -> Rendered:
    """Every set of values in turn."""
    return render(request.param)


def of_kind(documents: Rendered, *kinds: str) -> Mapping[str, Document]:
    return {each["metadata"]["name"]: each for each in documents if each["kind"] in kinds}
