"""Sounds, looked at and cut."""

from collections.abc import Mapping
from typing import Any

from shared.media.made import Made


def trim(data: bytes, options: Mapping[str, Any]) -> Made:
    raise NotImplementedError
