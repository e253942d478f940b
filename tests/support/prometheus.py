"""A real Prometheus for tests: it scrapes a running system and evaluates the real rules."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import aiohttp
import pytest

from deploy.local.prometheus import RULES, Programs, configuration, find_or_fetch
from deploy.local.stack import PartMissing, ports
from deploy.local.system import System
from tests.support.waiting import eventually


class Prometheus:
    """What it knows, asked as Grafana and an operator ask."""

    def __init__(self, url: str, session: aiohttp.ClientSession) -> None:
        self.url = url
        self._session = session

    async def query(self, expr: str) -> list[dict[str, Any]]:
        """The series that ``expr`` has now. Raises AssertionError where it is refused."""
        async with self._session.get(f"{self.url}/api/v1/query", params={"query": expr}) as answer:
            told = await answer.json()
        assert told["status"] == "success", f"{expr}: {told.get('error')}"
        series: list[dict[str, Any]] = told["data"]["result"]
        return series

    async def firing(self) -> dict[str, dict[str, Any]]:
        """The alerts that fire at this moment, by name."""
        async with self._session.get(f"{self.url}/api/v1/alerts") as answer:
            told = (await answer.json())["data"]["alerts"]
        return {one["labels"]["alertname"]: one for one in told if one["state"] == "firing"}

    async def sees(self, services: int) -> None:
        async def up() -> int:
            try:
                return len(await self.query('up{job="darkroom"} == 1'))
            except aiohttp.ClientError:
                return 0

        await eventually("every service is scraped", up, holds=lambda n: n == services, within=60)


@asynccontextmanager
async def scraping(
    programs: Programs, system: System, at: Path, *, every_s: float = 1.0
) -> AsyncIterator[Prometheus]:
    """A Prometheus that scrapes ``system`` and evaluates the rules so often; its data below ``at``."""
    services = {name: system.layout.health_url(name) for name in system.services}
    (at / "prometheus.yaml").write_text(configuration(services, rules=RULES, every_s=every_s))
    [port] = ports.choose(1, seed=str(at))
    process = await asyncio.create_subprocess_exec(
        programs.server,
        f"--config.file={at / 'prometheus.yaml'}",
        f"--storage.tsdb.path={at / 'data'}",
        f"--web.listen-address=127.0.0.1:{port}",
        stdout=asyncio.subprocess.DEVNULL,
        stderr=asyncio.subprocess.DEVNULL,
    )
    try:
        async with aiohttp.ClientSession(timeout=aiohttp.ClientTimeout(total=20)) as session:
            watching = Prometheus(f"http://127.0.0.1:{port}", session)
            await watching.sees(len(services))
            yield watching
    finally:
        if process.returncode is None:
            process.terminate()
        await process.wait()


def programs_or_skip() -> Programs:
    try:
        return find_or_fetch(lambda _line: None)
    except PartMissing as missing:
        pytest.skip(str(missing))
