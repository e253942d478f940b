"""The rows at small counts."""

import pytest

from deploy.local.stack import Isolation
from tests.matrix.ground import Ground


@pytest.fixture
def ground(stack: Isolation, template_database: str) -> Ground:
    return Ground(stack=stack, template=template_database)
