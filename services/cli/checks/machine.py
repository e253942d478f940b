"""This machine: the programs that the services start."""

import asyncio

from services.cli.checks.finding import Finding, bad, well
from services.cli.checks.settings import DoctorSettings
from shared.errors import Misconfigured, Permanent, Transient
from shared.media.audio import works
from shared.media.ffmpeg import ffmpeg_version, guarded

CHECK = "ffmpeg"


async def look(_: DoctorSettings) -> list[Finding]:
    try:
        version = await asyncio.to_thread(ffmpeg_version)
        await asyncio.to_thread(works)
    except (Misconfigured, Permanent, Transient, OSError) as error:
        return [bad(CHECK, str(error), "install ffmpeg, or the package imageio-ffmpeg")]
    if not await asyncio.to_thread(guarded):
        said = f"{version}; setpriv and prlimit are missing, so only our deadline bounds it"
        return [well(CHECK, said)]
    return [well(CHECK, f"{version}; bounded by the kernel, and ends with us")]
