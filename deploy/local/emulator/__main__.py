"""Run it: `python -m deploy.local.emulator --port 0`. Flags win over `EMULATOR_…` variables.

The first line on standard output is a JSON object that names what was bound; no secret is printed.
"""

import asyncio
import json
import logging
import signal
import sys

from pydantic import ValidationError
from pydantic_settings import BaseSettings, SettingsConfigDict, SettingsError

from deploy.local.emulator.emulator import Emulator
from deploy.local.emulator.settings import Settings


class FromOutside(BaseSettings, Settings):
    """The settings, read from flags and from the environment."""

    model_config = SettingsConfigDict(
        env_prefix="EMULATOR_",
        frozen=True,
        hide_input_in_errors=True,
        cli_parse_args=True,
        cli_kebab_case=True,
        cli_prog_name="python -m deploy.local.emulator",
        cli_hide_none_type=True,
    )


async def run(settings: Settings) -> None:
    stop = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stop.set)
    async with Emulator(settings) as emulator:
        ready = {"ready": True, "url": emulator.url, "files_url": emulator.files_url}
        sys.stdout.write(json.dumps(ready) + "\n")
        sys.stdout.flush()
        await stop.wait()


def main() -> int:
    logging.basicConfig(level=logging.WARNING, format="%(levelname)s %(name)s %(message)s")
    try:
        settings = FromOutside()
    except (ValidationError, SettingsError) as error:
        sys.stderr.write(f"{error}\n")
        return 2
    asyncio.run(run(settings))
    return 0


if __name__ == "__main__":
    sys.exit(main())
