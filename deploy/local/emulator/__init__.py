"""A Replicate that runs on a laptop: the real API, real pictures, and bad days by name."""

from deploy.local.emulator.emulator import Emulator
from deploy.local.emulator.settings import Settings

__all__ = ["Emulator", "Settings"]
