"""Flat areas of colour for a model to begin from."""

from collections.abc import Mapping
from typing import Any

from shared.media.made import Made


def prepare(options: Mapping[str, Any]) -> Made:
    raise NotImplementedError
