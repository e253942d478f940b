"""What makers are given and what they give back. Makers are plain functions, run off the loop."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any


class RunFailed(Exception):
    """The run ends as `failed`; the text is what the buyer reads in `error`."""


@dataclass(frozen=True, slots=True)
class Order:
    """One run: inputs with their defaults, its seed (asked for or drawn), its input files."""

    input: Mapping[str, Any]
    seed: int
    files: Mapping[str, bytes]
    longest_side: int = 1024  # of a picture


@dataclass(frozen=True, slots=True)
class MadeFile:
    """One output file, by the name that its address ends with."""

    name: str
    content_type: str
    data: bytes
