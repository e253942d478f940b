"""Pictures in the colours of a palette alone."""

from collections.abc import Mapping
from typing import Any

from shared.media.made import Made


def finish(data: bytes, options: Mapping[str, Any]) -> Made:
    raise NotImplementedError
