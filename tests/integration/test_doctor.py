"""The doctor against an installation that is well, and against everything that can be set up wrong."""

import json
import ssl
import subprocess
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AsyncExitStack
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path
from typing import Any

import aio_pika
import aiohttp
import pytest
from aiohttp import web
from pydantic import SecretStr

from deploy.local.emulator import Emulator
from deploy.local.emulator import Settings as EmulatorSettings
from services.cli.checks import broker, bucket, database, origins, provider, webhooks
from services.cli.checks.finding import Finding, Look
from services.cli.checks.settings import DoctorSettings
from services.cli.doctor import examine
from services.ingress import settings as ingress_settings
from services.ingress import wiring as ingress
from shared.connections import Connections
from shared.db import rate_limit
from shared.db.connection import Database
from shared.health import Health
from shared.messaging import topology
from shared.messaging.apply import arguments
from shared.objects import open_bucket
from shared.runtime import run
from tests.support.bucket_rules import let_pages_in, rule
from tests.support.frontage import Store, a_proxy, listening
from tests.support.one_process import SECRET, TOKEN, all_services
from tests.support.ports import a_port
from tests.support.scripted_http import answer, scripted_server
from tests.support.waiting import eventually

NOBODY = "http://127.0.0.1:9"
REAL = "https://api.replicate.example"
ANOTHER_SECRET = "whsec_C2FVsBQIhrscChlQIMV+b5sSYspob7oD"


@dataclass
class Seeds:
    """What a seed may spoil: the settings, by their fields, and the parts that they lead to."""

    known: dict[str, Any]
    stack: AsyncExitStack
    database: Database

    def chosen(self) -> DoctorSettings:
        return DoctorSettings(**self.known)

    async def enter(self, context: Any) -> Any:
        return await self.stack.enter_async_context(context)

    async def an_ingress(self, **options: Any) -> str:
        """An ingress alone, with the parts of this test; its address."""
        import asyncio

        port = self.stack.enter_context(a_port())
        told = {
            "amqp_url": self.known["amqp_url"],
            "replicate_webhook_secret": SECRET,
            "ingress_host": "127.0.0.1",
            "ingress_port": port,
            **options,
        }
        connections = await self.enter(Connections(Health("ingress")))
        stop = asyncio.Event()
        wired = await ingress.workers(ingress_settings.Settings(**told), connections)
        at_work = asyncio.create_task(run(*wired, grace_s=5, stop=stop))

        async def end() -> None:
            stop.set()
            await at_work

        self.stack.push_async_callback(end)
        url = f"http://127.0.0.1:{port}"

        async def up() -> list[Finding]:
            async with aiohttp.ClientSession() as session:
                return await webhooks._door(session, url)

        await eventually("the ingress listens", up, holds=lambda found: found[0].well)
        return url

    async def broker(self, do: Callable[[aio_pika.abc.AbstractChannel], Awaitable[object]]) -> None:
        async with await aio_pika.connect(self.known["amqp_url"]) as connection:
            await do(await connection.channel())

    async def sql(self, text: str) -> None:
        async with self.database.transaction() as tx:
            await tx.execute(text)


@pytest.fixture
async def seeds(service_environment: dict[str, str], database: Database) -> AsyncIterator[Seeds]:
    known: dict[str, Any] = {
        **{name.lower(): value for name, value in service_environment.items()},
        "replicate_api_token": TOKEN,
        "replicate_base_url": NOBODY,
        "replicate_webhook_secret": SECRET,
    }
    async with AsyncExitStack() as stack:
        yield Seeds(known, stack, database)


async def test_an_installation_that_is_well_has_nothing_to_mend(
    service_environment: dict[str, str],
) -> None:
    async with all_services(service_environment) as running:
        async with aiohttp.ClientSession() as session:

            async def up() -> list[Finding]:
                return await webhooks._door(session, running.settings["public_base_url"])

            await eventually("the ingress listens", up, holds=lambda found: found[0].well)

        async def looked() -> list[Finding]:
            return await examine(DoctorSettings(**running.settings))

        found = await eventually(
            "nothing is wrong", looked, holds=lambda each: all(one.well for one in each), within=120
        )
        checks = {finding.check for finding in found}

    assert checks >= {
        *("postgres", "migrations", "durability", "connections", "relay", "account", "clocks"),
        *("rabbitmq", "topology", "consumers", "bucket", "bucket rights", "If-None-Match"),
        *("input links", "replicate", "webhook secret", "public address", "test webhook"),
        *("webhook's way", "large webhook", "ffmpeg"),
    }


# ---- the seeds: what is spoilt, who finds it, and what is said of it

Seed = Callable[[Seeds], Awaitable[None]]


async def no_database(seeds: Seeds) -> None:
    named, question, more = seeds.known["database_url"].partition("?")
    seeds.known["database_url"] = f"{named}_of_nobody{question}{more}"


async def tables_of_yesterday(seeds: Seeds) -> None:
    await seeds.sql("DELETE FROM schema_migrations WHERE version > '20261121000003'")


async def forgetful_commits(seeds: Seeds) -> None:
    name = seeds.known["database_url"].rpartition("/")[2].partition("?")[0]
    async with seeds.database.connection() as db:
        await db.execute(f"ALTER DATABASE {name} SET synchronous_commit = off")


async def a_dead_relay(seeds: Seeds) -> None:
    await seeds.sql(
        "INSERT INTO journal (event_id, type, source, origin, occurred_at, recorded_at)"
        " VALUES ('e', 'job.accepted', 'x', 'stated', now(), now() - interval '5 minutes')"
    )


async def an_account_without_credit(seeds: Seeds) -> None:
    async with seeds.database.connection() as db:
        await rate_limit.take(db, rate_limit.CREATES, per_minute=600)
        await rate_limit.pause(
            db, rate_limit.CREATES, lasting=timedelta(minutes=5), reason="no credit left (402)"
        )


async def no_virtual_host(seeds: Seeds) -> None:
    seeds.known["amqp_url"] += "-of-nobody"


async def a_missing_queue(seeds: Seeds) -> None:
    await seeds.broker(lambda channel: channel.queue_delete(topology.REPORT_JOBS.name))


async def declared_otherwise(seeds: Seeds, **arguments_: Any) -> None:
    queue = topology.REPORT_JOBS
    await seeds.broker(lambda channel: channel.queue_delete(queue.name))
    told = arguments(queue) | {name.replace("_", "-"): value for name, value in arguments_.items()}
    await seeds.broker(
        lambda channel: channel.declare_queue(queue.name, durable=True, arguments=told)
    )


async def a_shorter_queue(seeds: Seeds) -> None:
    await declared_otherwise(seeds, x_max_length=10)


async def few_deliveries(seeds: Seeds) -> None:
    await declared_otherwise(seeds, x_delivery_limit=3)


async def an_alternate_exchange(seeds: Seeds) -> None:
    await seeds.broker(lambda channel: channel.exchange_delete(topology.EXCHANGE))
    await seeds.broker(
        lambda channel: channel.declare_exchange(
            topology.EXCHANGE, "topic", durable=True, arguments={"alternate-exchange": "elsewhere"}
        )
    )


async def nobody_listens(_seeds: Seeds) -> None:
    return


async def no_such_bucket(seeds: Seeds) -> None:
    seeds.known["s3_bucket"] = "nobodys-bucket"


async def a_wrong_key(seeds: Seeds) -> None:
    seeds.known["aws_secret_access_key"] = SecretStr("wrong")


async def another_store(seeds: Seeds, **otherwise: Any) -> None:
    seeds.known["s3_endpoint_url"] = await seeds.enter(listening(Store(**otherwise).handle))


async def a_store_that_overwrites(seeds: Seeds) -> None:
    await another_store(seeds, knows_conditions=False)


async def no_right_to_delete(seeds: Seeds) -> None:
    await another_store(seeds, refuses=frozenset({"DELETE"}))


async def no_right_to_list(seeds: Seeds) -> None:
    await another_store(seeds, refuses=frozenset({"LIST"}))


async def no_right_to_write(seeds: Seeds) -> None:
    await another_store(seeds, refuses=frozenset({"PUT"}))


async def the_buckets_clock(seeds: Seeds) -> None:
    await another_store(seeds, refuses=frozenset({"PUT"}), complaint="RequestTimeTooSkewed")


async def a_public_bucket(seeds: Seeds) -> None:
    await another_store(seeds, is_public=True)


async def links_that_lead_nowhere(seeds: Seeds) -> None:
    seeds.known["s3_public_endpoint_url"] = NOBODY


async def links_that_stay_at_home(seeds: Seeds) -> None:
    seeds.known["replicate_base_url"] = REAL


async def a_token_of_yesterday(seeds: Seeds) -> None:
    server = await seeds.enter(scripted_server(*[answer(401, '{"detail": "no"}')] * 3))
    seeds.known["replicate_base_url"] = server.url


async def no_replicate(_seeds: Seeds) -> None:
    return


async def a_secret_of_another_account(seeds: Seeds) -> None:
    emulator = await seeds.enter(
        Emulator(EmulatorSettings(port=0, files_port=0, webhook_secret=SecretStr(ANOTHER_SECRET)))
    )
    seeds.known["replicate_base_url"] = emulator.url


async def a_clock_that_is_off(seeds: Seeds) -> None:
    late = answer(200, "{}", "Date: Sat, 21 Nov 2020 09:00:00 GMT")
    server = await seeds.enter(scripted_server(*[late] * 4))
    seeds.known["replicate_base_url"] = server.url


async def a_door_left_open(seeds: Seeds) -> None:
    seeds.known["replicate_base_url"] = REAL
    seeds.known["download_allowed_origin"] = "http://10.0.0.1:8400"


async def nobody_at_the_address(seeds: Seeds) -> None:
    seeds.known["public_base_url"] = NOBODY


async def an_address_that_sends_elsewhere(seeds: Seeds) -> None:
    async def elsewhere(request: web.Request) -> web.Response:
        return web.Response(status=308, headers={"Location": f"https://www.example{request.path}"})

    seeds.known["public_base_url"] = await seeds.enter(listening(elsewhere))


async def somebody_else_at_the_address(seeds: Seeds) -> None:
    async def a_page(_request: web.Request) -> web.Response:
        return web.Response(status=404, text="<html>nginx</html>", content_type="text/html")

    seeds.known["public_base_url"] = await seeds.enter(listening(a_page))


async def a_certificate_of_ones_own(seeds: Seeds) -> None:
    folder = Path(seeds.known["folder"])
    files = ["-keyout", str(folder / "key.pem"), "-out", str(folder / "cert.pem")]
    subprocess.run(  # noqa: ASYNC221 - a moment
        ["openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "1"]
        + ["-subj", "/CN=localhost", *files],
        check=True,
        capture_output=True,
    )
    tls = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    tls.load_cert_chain(folder / "cert.pem", folder / "key.pem")

    async def empty(_request: web.Request) -> web.Response:
        return web.Response()

    seeds.known["public_base_url"] = await seeds.enter(listening(empty, tls=tls))


async def an_ingress_with_another_secret(seeds: Seeds) -> None:
    seeds.known["public_base_url"] = await seeds.an_ingress(replicate_webhook_secret=ANOTHER_SECRET)


async def an_ingress_without_a_broker(seeds: Seeds) -> None:
    seeds.known["public_base_url"] = await seeds.an_ingress(
        amqp_url="amqp://nobody:x@127.0.0.1:9/none", webhook_confirm_seconds=0.5
    )


async def an_ingress_of_another_installation(seeds: Seeds) -> None:
    seeds.known["public_base_url"] = await seeds.an_ingress()  # and no generator anywhere


async def a_proxy_that_drops_headers(seeds: Seeds) -> None:
    def thinned(headers: dict[str, str]) -> dict[str, str]:
        return {k: v for k, v in headers.items() if not k.lower().startswith("webhook-")}

    seeds.known["public_base_url"] = await seeds.enter(
        a_proxy(await seeds.an_ingress(), on_the_way=thinned)
    )


async def a_proxy_for_small_bodies(seeds: Seeds) -> None:
    seeds.known["public_base_url"] = await seeds.enter(
        a_proxy(await seeds.an_ingress(), most_bytes=2**20)
    )


async def an_ingress_whose_clock_is_off(seeds: Seeds) -> None:
    def late(headers: dict[str, str]) -> dict[str, str]:
        return headers | {"Date": "Sat, 21 Nov 2020 09:00:00 GMT"}

    seeds.known["public_base_url"] = await seeds.enter(
        a_proxy(await seeds.an_ingress(), on_the_way_back=late)
    )


SEEDED: list[tuple[Seed, Look, str, str, str]] = [
    (no_database, database.look, "postgres", "does not exist", "DATABASE_URL"),
    (tables_of_yesterday, database.look, "migrations", "older", "darkroom migrate"),
    (forgetful_commits, database.look, "durability", "synchronous_commit", "ALTER DATABASE"),
    (a_dead_relay, database.look, "relay", "1 facts wait", "relay"),
    (an_account_without_credit, database.look, "account", "402", "credit"),
    (no_virtual_host, broker.look, "rabbitmq", "cannot be reached", "AMQP_URL"),
    (a_missing_queue, broker.look, "topology", "darkroom.report.jobs is missing", "topology apply"),
    (a_shorter_queue, broker.look, "topology", "x-max-length is", "apply again"),
    (few_deliveries, broker.look, "topology", "x-delivery-limit is", "apply again"),
    (an_alternate_exchange, broker.look, "topology", "alternate-exchange", "apply again"),
    (nobody_listens, broker.look, "consumers", "darkroom.storage.outputs", "start storage"),
    (no_such_bucket, bucket.look, "bucket", "no such bucket", "S3_BUCKET"),
    (a_wrong_key, bucket.look, "bucket", "refuses our credentials", "credentials"),
    (a_store_that_overwrites, bucket.look, "If-None-Match", "overwrite", "If-None-Match"),
    (no_right_to_delete, bucket.look, "bucket rights", "delete", "delete"),
    (no_right_to_list, bucket.look, "bucket rights", "list", "list"),
    (no_right_to_write, bucket.look, "bucket rights", "write", "put"),
    (the_buckets_clock, bucket.look, "bucket rights", "clock", "credentials"),
    (a_public_bucket, bucket.look, "bucket privacy", "anybody", "public reading"),
    (links_that_lead_nowhere, bucket.look, "input links", "cannot", "S3_PUBLIC_ENDPOINT_URL"),
    (links_that_stay_at_home, bucket.look, "input links", "cannot reach", "S3_PUBLIC_ENDPOINT_URL"),
    (a_token_of_yesterday, provider.look, "replicate", "token", "REPLICATE_API_TOKEN"),
    (no_replicate, provider.look, "replicate", "could not be reached", "REPLICATE_BASE_URL"),
    (a_secret_of_another_account, provider.look, "webhook secret", "not the", "darkroom secret"),
    (a_clock_that_is_off, provider.look, "clocks", "behind", "synchronise"),
    (a_door_left_open, provider.look, "download guard", "DOWNLOAD_ALLOWED_ORIGIN", "unset"),
    (nobody_at_the_address, webhooks.look, "public address", "nobody answers", "PUBLIC_BASE_URL"),
    (an_address_that_sends_elsewhere, webhooks.look, "public address", "sends callers", "redirect"),
    (somebody_else_at_the_address, webhooks.look, "public address", "404", "path unchanged"),
    (a_certificate_of_ones_own, webhooks.look, "public address", "certificate", "renew"),
    (an_ingress_with_another_secret, webhooks.look, "test webhook", "401", "darkroom secret"),
    (an_ingress_without_a_broker, webhooks.look, "test webhook", "503", "readyz"),
    (an_ingress_of_another_installation, webhooks.look, "webhook's way", "lacks", "generator"),
    (a_proxy_that_drops_headers, webhooks.look, "test webhook", "400", "let them through"),
    (a_proxy_for_small_bodies, webhooks.look, "large webhook", "413", "client_max_body_size"),
    (an_ingress_whose_clock_is_off, webhooks.look, "clocks", "behind", "synchronise"),
]


@pytest.mark.parametrize(
    ("seed", "look", "check", "said", "mend"), SEEDED, ids=[row[0].__name__ for row in SEEDED]
)
async def test_what_is_set_up_wrong_is_named_with_what_mends_it(
    seeds: Seeds, tmp_path: Path, seed: Seed, look: Look, check: str, said: str, mend: str
) -> None:
    seeds.known["folder"] = str(tmp_path)
    await seed(seeds)

    found = [finding for finding in await look(seeds.chosen()) if not finding.well]

    named = [finding for finding in found if finding.check == check and said in finding.said]
    assert named, found
    assert all(mend in finding.mend for finding in named), named
    told = " ".join(finding.said + finding.mend for finding in found)
    assert TOKEN not in told
    assert SECRET not in told


# ---- pages of other origins, on the real store

PAGE = "https://app.example.com"
ALLOWED = rule(PAGE, "PUT", "GET", headers=("Content-Type",))


async def asked_for(seeds: Seeds, pages: str) -> list[Finding]:
    seeds.known["api_cors_origins"] = pages
    return [one for one in await bucket.look(seeds.chosen()) if one.check == origins.CHECK]


async def test_a_bucket_that_lets_the_pages_of_an_origin_in_is_well(seeds: Seeds) -> None:
    await let_pages_in(seeds.known, ALLOWED)

    found = await asked_for(seeds, PAGE)

    assert found == [
        Finding(origins.CHECK, True, f"pages of {PAGE} may put originals and read results")
    ]


@pytest.mark.parametrize(
    ("kept", "said"),
    [
        (rule("https://other.example.com", "PUT", "GET", headers=("*",)), "may neither put"),
        (rule(PAGE, "GET", headers=("Content-Type",)), "may read results, and not put originals"),
        (rule(PAGE, "PUT", headers=("Content-Type",)), "may put originals, and not read results"),
    ],
    ids=["of another origin", "only to read", "only to put"],
)
async def test_an_origin_that_the_bucket_keeps_out_is_named_with_the_rule_that_lets_it_in(
    seeds: Seeds, kept: dict[str, Any], said: str
) -> None:
    await let_pages_in(seeds.known, kept)

    [found] = await asked_for(seeds, PAGE)

    assert not found.well
    assert f"pages of {PAGE} {said}" in found.said
    await let_pages_in(seeds.known, json.loads(found.mend.partition(": ")[2]))
    assert [one.well for one in await asked_for(seeds, PAGE)] == [True]


async def test_each_origin_has_a_finding_of_its_own_and_no_more_than_five_are_asked_for(
    seeds: Seeds,
) -> None:
    await let_pages_in(seeds.known, ALLOWED)
    others = [f"https://{number}.example.com" for number in range(6)]

    found = await asked_for(seeds, ",".join([PAGE, *others]))

    assert [one.well for one in found] == [True, *[False] * 4, True]
    assert [other in one.said for other, one in zip(others, found[1:5], strict=False)] == [True] * 4
    assert found[-1].said.startswith("2 more origins")


async def test_a_bucket_that_lets_every_page_in_is_well_where_every_page_may_call(
    seeds: Seeds,
) -> None:
    [anybody] = await asked_for(seeds, "*")
    await let_pages_in(seeds.known, ALLOWED)
    [named_only] = await asked_for(seeds, "*")

    assert anybody.well
    assert not named_only.well
    assert '"AllowedOrigins": ["*"]' in named_only.mend


LETS_IN = {
    "Access-Control-Allow-Origin": PAGE,
    "Access-Control-Allow-Methods": "GET, PUT",
    "Access-Control-Allow-Headers": "content-type",
}


@pytest.mark.parametrize(
    ("status", "headers", "said"),
    [
        (200, LETS_IN | {"Access-Control-Allow-Headers": "x-other"}, "and not put originals"),
        (200, LETS_IN | {"Access-Control-Allow-Origin": "https://b.example"}, "may neither put"),
        (403, LETS_IN, "and not put originals"),
        (307, LETS_IN | {"Location": "/elsewhere"}, "and not put originals"),
        (200, LETS_IN, "may put originals and read results"),
    ],
    ids=[
        "takes no content type",
        "lets another in",
        "refuses the question",
        "sends the question on",
        "lets it in",
    ],
)
async def test_what_a_browser_would_not_believe_lets_no_page_in(
    seeds: Seeds, status: int, headers: dict[str, str], said: str
) -> None:
    async def a_store(_request: web.Request) -> web.Response:
        return web.Response(status=status, headers=headers)

    seeds.known["s3_endpoint_url"] = await seeds.enter(listening(a_store))
    async with open_bucket(seeds.chosen()) as opened:
        [found] = await origins.look(opened, "doctor/x", [PAGE])

    assert said in found.said


async def test_without_origins_nothing_is_said_of_them(seeds: Seeds) -> None:
    assert await asked_for(seeds, "") == []


async def test_a_bucket_without_tls_is_nothing_for_pages_that_came_by_it(seeds: Seeds) -> None:
    seeds.known["s3_public_endpoint_url"] = "http://files.example.com"
    async with open_bucket(seeds.chosen()) as opened:
        [found] = await origins.look(opened, "doctor/x", [PAGE])

    assert not found.well
    assert "nothing by http" in found.said
    assert "S3_PUBLIC_ENDPOINT_URL" in found.mend
