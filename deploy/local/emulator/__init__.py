"""A Replicate that runs on a laptop: the real HTTP API, real pictures, and every bad day by name."""

from deploy.local.emulator.emulator import Emulator
from deploy.local.emulator.settings import Settings

__all__ = ["Emulator", "Settings"]
