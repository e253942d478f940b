"""Sounds, looked at and cut."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, BinaryIO

from shared.media.made import Made


@dataclass(frozen=True, slots=True, kw_only=True)
class AudioInfo:
    content_type: str
    seconds: float
    channels: int
    sample_rate: int


def probe(file: BinaryIO) -> AudioInfo:
    raise NotImplementedError


def trim(data: bytes, options: Mapping[str, Any]) -> Made:
    raise NotImplementedError
