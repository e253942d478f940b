"""The emulator, put together: what it opens, what it joins, what it serves."""

import socket
import tempfile
from concurrent.futures import ThreadPoolExecutor
from contextlib import AsyncExitStack
from pathlib import Path
from types import TracebackType
from typing import Self

from aiohttp import web

from deploy.local.emulator.api import PredictionsApi
from deploy.local.emulator.catalogue import Catalogue
from deploy.local.emulator.clock import Clock
from deploy.local.emulator.control import Control
from deploy.local.emulator.faults import Faults
from deploy.local.emulator.gate import Gate
from deploy.local.emulator.inputs import InputFiles
from deploy.local.emulator.ledger import Ledger
from deploy.local.emulator.life import Lives
from deploy.local.emulator.outputs import Outputs
from deploy.local.emulator.predictions import Register
from deploy.local.emulator.settings import Settings
from deploy.local.emulator.sources import Sources
from deploy.local.emulator.uploads import Uploads
from deploy.local.emulator.webhooks import Deliveries

# Bound to all interfaces, it is reached from this machine by the loopback address.
EVERYWHERE = ("", "0.0.0.0", "::")  # noqa: S104


class Emulator:
    """`async with Emulator(Settings(port=0, files_port=0)) as emulator:` serves until the end.

    `url` is the root that clients are given as their base URL; `files_url` the origin of outputs.
    """

    def __init__(self, settings: Settings | None = None) -> None:
        self.settings = settings or Settings(port=0, files_port=0)
        self.clock = Clock(self.settings.speed)
        self.ledger = Ledger(
            self.clock, self.settings.ledger_path, keeps=self.settings.ledger_keeps
        )
        self.faults = Faults(self.settings.seed, self.settings.faults)
        self.predictions = Register()
        self.lives: Lives  # once it serves
        self.url = ""
        self.files_url = ""
        self._stack = AsyncExitStack()

    @property
    def webhook_secret(self) -> str:
        """The one that the API tells; deliveries are signed with it (and with any others set)."""
        return self.settings.webhook_secret.get_secret_value().split(",")[0]

    async def __aenter__(self) -> Self:
        async with AsyncExitStack() as stack:
            await self._open(stack)
            self._stack = stack.pop_all()
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        await self._stack.__aexit__(kind, error, trace)

    async def _open(self, stack: AsyncExitStack) -> None:
        settings = self.settings
        stack.callback(self.ledger.close)
        directory = settings.files_dir
        if directory is None:
            directory = Path(
                stack.enter_context(tempfile.TemporaryDirectory(prefix="replicate-emulator-"))
            )
        directory.mkdir(parents=True, exist_ok=True)
        pool = ThreadPoolExecutor(settings.workers, thread_name_prefix="maker")
        stack.callback(pool.shutdown, cancel_futures=True)

        uploads = Uploads(directory, self.clock, retention_s=settings.uploads_retention_s)
        stack.push_async_callback(uploads.close)
        inputs = InputFiles(
            self.ledger,
            limit_bytes=settings.input_limit_bytes,
            timeout_s=settings.input_timeout_s,
            uploaded=uploads.read,
        )
        await inputs.open()
        stack.push_async_callback(inputs.close)
        deliveries = Deliveries(
            self.clock,
            self.ledger,
            secrets_=settings.webhook_secret.get_secret_value().split(","),
            concurrency=settings.webhook_concurrency,
            timeout_s=settings.webhook_timeout_s,
            retry_after_s=settings.webhook_retry_after_s,
            retry_redirects=settings.webhook_retry_redirects,
        )
        await deliveries.open()
        stack.push_async_callback(deliveries.close)
        outputs, sources = Outputs(directory, self.ledger), Sources(self.ledger)
        lives = self.lives = Lives(
            settings=settings,
            clock=self.clock,
            ledger=self.ledger,
            inputs=inputs,
            outputs=outputs,
            deliveries=deliveries,
            pool=pool,
        )
        stack.push_async_callback(lives.close)
        catalogue = Catalogue(settings.deployments)
        api = PredictionsApi(
            settings=settings,
            clock=self.clock,
            ledger=self.ledger,
            register=self.predictions,
            lives=lives,
            faults=self.faults,
            catalogue=catalogue,
        )
        control = Control(self.clock, self.ledger, self.faults)

        files = web.Application()
        files.add_routes([*outputs.routes(), *sources.file_routes()])
        files_origin = await _serve(
            stack, files, settings.files_host or settings.host, settings.files_port
        )
        self.files_url = (settings.files_url or files_origin).rstrip("/")
        outputs.url = sources.url = self.files_url
        app = web.Application(
            middlewares=[Gate(settings, self.ledger).middleware()],
            client_max_size=settings.body_limit_bytes,
        )
        for part in (api, catalogue, uploads, control):
            app.add_routes(part.routes())
        app.add_routes(sources.control_routes())
        self.url = await _serve(stack, app, settings.host, settings.port)
        self.ledger.write("began", url=self.url, files_url=self.files_url, speed=settings.speed)


async def _serve(stack: AsyncExitStack, app: web.Application, host: str, port: int) -> str:
    """Serve until the stack closes; the address under which this machine reaches it."""
    runner = web.AppRunner(app, access_log=None, shutdown_timeout=1.0)
    await runner.setup()
    stack.push_async_callback(runner.cleanup)
    listening = socket.create_server((host, port), backlog=1024)
    await web.SockSite(runner, listening).start()
    bound = listening.getsockname()[1]
    return f"http://{'127.0.0.1' if host in EVERYWHERE else host}:{bound}"
