"""The whole system twice over, for one run: parts and emulator of its own, two of every service."""

import asyncio
import os
import random
import urllib.request
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from signal import SIGCONT, Signals

from deploy.local.child import Child
from deploy.local.logins import Logins, create_roles, create_users
from deploy.local.photos import as_png, landscape
from deploy.local.prove import links
from deploy.local.prove.clock import FastClock
from deploy.local.prove.links import Link
from deploy.local.prove.orders import FOLDER, PHOTOS
from deploy.local.prove.schedule import REPLICAS, SERVICES
from deploy.local.stack import Stack, processes, sigv4
from deploy.local.stack.errors import StackError
from deploy.local.stack.part import Part
from deploy.local.stack.processes import Mark
from deploy.local.system import EMULATOR, PROJECT, System

Report = Callable[[str], None]

EMULATED = {
    "EMULATOR_COLD_START_S": "0.1",
    "EMULATOR_RUN_S": "1.0",
    "EMULATOR_CREATES_PER_MINUTE": "600000",
    "EMULATOR_READS_PER_MINUTE": "600000",
    "EMULATOR_LONGEST_SIDE": "64",
    "EMULATOR_LEDGER_KEEPS": "1000",  # its file has them all
    # A making that waits for its photo, while the bucket is held up, shall not hold up the others.
    "EMULATOR_WORKERS": "8",
}
# The account's limits out of the way, and patience short: an hour of proof shall hold what a month
# of production brings. Leases stay above the deadlines that they cover.
BRISK = {
    "REPLICATE_CREATES_PER_MINUTE": "600000",
    "REPLICATE_READS_PER_MINUTE": "24000",
    "CREATE_WITHIN_SECONDS": "5",
    "CREATE_LEASE_SECONDS": "10",
    "DOUBT_GRACE_SECONDS": "3",
    "DOUBT_COLD_START_SECONDS": "5",  # the emulator starts within a second
    "DOUBT_EVERY_SECONDS": "1",
    "ASK_AFTER_SECONDS": "4",
    "STORAGE_PATIENCE_SECONDS": "20",
    "REPORT_PATIENCE_SECONDS": "20",
    "SOURCE_PREFIXES": FOLDER,
    "LOG_LEVEL": "INFO",
}
# So often a part is tried again: the kernel may still hold what a killed one had.
TRIES = 10
# Programs that had to be fetched are fetched once. (Root installs them; and what lies in root's home
# is closed to the servers.)
TOOLS = None if os.geteuid() == 0 else PROJECT / ".darkroom" / "tools"
SHARED_BY_BOTH = (
    "REPLICATE_API_TOKEN",
    "REPLICATE_WEBHOOK_SECRET",
    "DOWNLOAD_ALLOWED_ORIGIN",
    "SOURCE_ALLOWED_ORIGIN",
)
# The broker's limits: one that raises its alarm, and the one that it began with.
ALARMS: Mapping[str, tuple[tuple[str, ...], tuple[str, ...]]] = {
    "memory": (
        ("set_vm_memory_high_watermark", "0.0000001"),
        ("set_vm_memory_high_watermark", "absolute", "512MB"),
    ),
    "disk": (("set_disk_free_limit", "1000000GB"), ("set_disk_free_limit", "50MB")),
}


@dataclass(slots=True)
class Replica:
    """One of the two processes of a service. ``held`` says which pull has it in hand; nobody else
    starts, ends or freezes it meanwhile."""

    name: str
    service: str
    system: System
    held: str | None = None
    last: Mark | None = None  # the process that ran last, also when it is dead

    @property
    def child(self) -> Child:
        return self.system.child(self.service)

    @property
    def health_url(self) -> str:
        return self.system.layout.health_url(self.service)

    @property
    def running(self) -> bool:
        mark = self.child.mark
        self.last = mark or self.last
        return mark is not None

    def signal(self, number: Signals) -> None:
        processes.send(self.child.mark, number)

    def start(self, command: Sequence[str] | None = None) -> None:
        self.system.start(self.service, command=command)
        self.last = self.child.mark or self.last


@dataclass(frozen=True, slots=True)
class Links:
    """The links of the second replicas, by the name at which a partition aims, and the ways to the
    bucket of both."""

    broker: Link
    database: Link
    s3: Link
    provider: Link
    front: Link
    first_s3: Link

    def named(self, name: str) -> Link:
        return {
            "broker": self.broker,
            "database": self.database,
            "s3": self.s3,
            "provider": self.provider,
        }[name]


class Installation:
    """``async with`` of ``installed`` gives one that is up."""

    def __init__(
        self, root: Path, stack: Stack, links_: Links, first: System, second: System
    ) -> None:
        self.root = root
        self.stack = stack
        self.links = links_
        self.first = first
        self.second = second
        self.replicas = {
            f"{service}-{letter}": Replica(f"{service}-{letter}", service, system)
            for letter, system in zip(REPLICAS, (first, second), strict=True)
            for service in SERVICES
        }

    @property
    def parts(self) -> dict[str, str]:
        """The variables that lead to the parts themselves, past every link."""
        return self.stack.environment()

    @property
    def ledger(self) -> Path:
        return self.first.ledger

    @property
    def doors(self) -> tuple[str, ...]:
        """Where the API listens."""
        return (self.first.layout.api_url, self.second.layout.api_url)

    def control(self, path: str) -> str:
        """An address of the emulator's that steers it."""
        return f"{self.first.layout.emulator_url}/_emulator/{path}"

    def part(self, name: str) -> Part:
        found: Mapping[str, Part] = {
            "rabbitmq": self.stack.rabbitmq,
            "postgres": self.stack.postgres,
        }
        return found[name]

    def start_part(self, name: str) -> None:
        """Bring a killed part back where it was. Raises StackError when it does not come."""
        for attempt in range(1, TRIES + 1):
            try:
                self.part(name).start()
            except StackError:
                if attempt == TRIES:
                    raise
                continue
            return

    def alarm(self, on: bool, kind: str) -> None:
        """Switch one of the broker's alarms (``ALARMS``)."""
        raised, cleared = ALARMS[kind]
        self.stack.rabbitmq.ctl(*(raised if on else cleared))

    def dead(self) -> list[Replica]:
        """Replicas that nobody holds and that do not run."""
        return [r for r in self.replicas.values() if r.held is None and not r.running]

    def log_of(self, name: str) -> str:
        return self.replicas[name].child.tail(12)

    async def wait_ready(self) -> None:
        """Every replica says that it is ready. Raises NotReady."""
        for replica in self.replicas.values():
            await asyncio.to_thread(replica.system.wait_ready, replica.service)


@asynccontextmanager
async def installed(
    root: Path, *, seed: int, report: Report, owner: int, clock: FastClock | None = None
) -> AsyncIterator[Installation]:
    """Everything below ``root``, up and ready; ended and removed afterwards, whatever happens.

    When the process ``owner`` dies without tidying up, the stack's watchdog ends all of it.
    ``clock`` is that of provider and patience; without one the provider's is the wall's, and
    patience is short.
    """
    async with AsyncExitStack() as until:
        stack = Stack(root, throwaway=True, owner=owner, tools=TOOLS)
        until.push_async_callback(asyncio.to_thread, stack.nuke)
        await asyncio.to_thread(stack.up, report)
        parts = {k: v for k, v in stack.environment().items() if not k.startswith("DARKROOM_")}
        await asyncio.to_thread(_prepare, stack.environment())
        await asyncio.to_thread(put_originals, parts)

        dice = random.Random(f"{seed}:links")

        async def through(*urls: str) -> Link:
            return await until.enter_async_context(links.link(*urls, dice=dice))

        ways = Links(
            broker=await through(parts["AMQP_URL"]),
            database=await through(parts["DATABASE_URL"]),
            s3=await through(parts["S3_ENDPOINT_URL"]),
            provider=await through(),
            front=await through(),
            first_s3=await through(parts["S3_ENDPOINT_URL"]),
        )
        # The stack's watchdog ends what carries its tag, if we die before we have tidied up.
        tag = {processes.TAG: str(stack.rabbitmq.place.home)}
        common = {
            **services_settings(clock),
            **tag,
            "PUBLIC_BASE_URL": f"http://127.0.0.1:{ways.front.port}",
            # Whoever fetches an original by our link comes straight to the bucket.
            "S3_PUBLIC_ENDPOINT_URL": parts["S3_ENDPOINT_URL"],
        }
        first = System(
            root / "a",
            {**parts, "S3_ENDPOINT_URL": f"http://127.0.0.1:{ways.first_s3.port}"},
            options=common,
            emulator={**emulator_settings(clock), **tag, "EMULATOR_SEED": str(seed)},
            logins=Logins(),
        )
        until.push_async_callback(asyncio.to_thread, _end, first)
        await asyncio.to_thread(first.up)
        ways.provider.lead_to(first.layout.emulator_url)
        of_first = first.layout.environment()
        second = System(
            root / "b",
            {
                **parts,
                "AMQP_URL": links.through(parts["AMQP_URL"], ways.broker.port),
                "DATABASE_URL": links.through(parts["DATABASE_URL"], ways.database.port),
                "S3_ENDPOINT_URL": f"http://127.0.0.1:{ways.s3.port}",
            },
            options={
                **common,
                "REPLICATE_BASE_URL": f"http://127.0.0.1:{ways.provider.port}",
                **{name: of_first[name] for name in SHARED_BY_BOTH},
            },
            emulator=None,
            logins=Logins(),
        )
        until.push_async_callback(asyncio.to_thread, _end, second)
        await asyncio.to_thread(second.up)
        ways.front.lead_to(first.layout.ingress_url, second.layout.ingress_url)
        report("emulator and fourteen services are ready")
        yield Installation(root, stack, ways, first, second)


def services_settings(clock: FastClock | None) -> dict[str, str]:
    return {**BRISK, **(clock.patience if clock else {})}


def emulator_settings(clock: FastClock | None) -> dict[str, str]:
    return {**EMULATED, **(clock.emulated if clock else {})}


def _prepare(parts: Mapping[str, str]) -> None:
    """Tables and queues, and who may do what to them."""
    from shared.db.migrate import migrate
    from shared.messaging.apply import apply

    migrate(parts["DATABASE_URL"])
    asyncio.run(apply(parts["AMQP_URL"]))
    create_roles(parts["DATABASE_URL"])
    create_users(parts)


def put_originals(parts: Mapping[str, str]) -> None:
    """The photos that the orders name. Raises StackError where the bucket does not take one."""
    for number, key in enumerate(PHOTOS):
        status = sigv4.send(
            "PUT",
            parts["S3_ENDPOINT_URL"],
            f"/{parts['S3_BUCKET']}/{key}",
            access_key=parts["AWS_ACCESS_KEY_ID"],
            secret_key=parts["AWS_SECRET_ACCESS_KEY"],
            region=parts["AWS_DEFAULT_REGION"],
            now=datetime.now(UTC),  # noqa: TID251  (a signature wants the wall clock)
            body=a_photo(number),
        )
        if status != 200:
            raise StackError(f"the bucket answered {status} to an original")


def a_photo(number: int) -> bytes:
    """A small PNG: only what becomes of it counts."""
    return as_png(landscape(number + 1, (48, 32)))


def _end(system: System) -> None:
    """End every process at once: nothing of it is needed any more."""
    for name in (*SERVICES, EMULATOR):
        child = system.child(name)
        processes.send(child.mark, SIGCONT)
        child.kill()


def ask(
    url: str,
    *,
    method: str = "GET",
    body: bytes | None = None,
    content_type: str = "application/json",
) -> bytes:
    """One request to the emulator's control. Raises OSError."""
    headers = {"Content-Type": content_type}
    request = urllib.request.Request(url, body, headers, method=method)  # noqa: S310 - loopback, ours
    with urllib.request.urlopen(request, timeout=10) as answer:  # noqa: S310
        said: bytes = answer.read()
    return said
