"""Encrypted ways, on a real broker, database and bucket, with an authority that nobody else knows."""

import asyncio
import random
import shutil
import signal
import ssl
import tempfile
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import urlsplit, urlunsplit

import pytest
import pytest_asyncio

from deploy.local.prove.links import Link, through
from deploy.local.stack import Stack, ports, processes, shelter
from shared.clock import utc_now
from shared.db.connection import open_database
from shared.db.migrate import migrate, schema_is_current
from shared.envelope import Envelope
from shared.errors import BrokerUnavailable, DatabaseUnavailable, Misconfigured, Transient
from shared.messaging.apply import apply
from shared.messaging.publisher import open_publisher
from shared.objects import open_bucket
from shared.settings import BrokerSettings, BucketSettings, DatabaseSettings, read_settings
from tests.support.certificates import Authority, an_authority
from tests.support.waiting import eventually

HERE = "127.0.0.1"
ASKS_FOR_TLS = bytes.fromhex("0000000804d2162f")  # the first eight bytes of a client of Postgres


@dataclass(frozen=True, slots=True)
class Encrypted:
    """A stack whose broker also speaks TLS, by a certificate of ``authority``."""

    stack: Stack
    authority: Authority
    stranger: Authority
    amqps_port: int

    def door(self, name: str) -> ssl.SSLContext:
        """What a server of ours shows to whoever comes."""
        signed = self.authority.issue(name, f"IP:{HERE}")
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(signed.certificate, signed.key)
        return context

    @property
    def amqps_url(self) -> str:
        parts = urlsplit(self.stack.environment()["AMQP_URL"])
        login = parts.netloc.rpartition("@")[0]
        netloc = f"{login}@{HERE}:{self.amqps_port}"
        return urlunsplit(parts._replace(scheme="amqps", netloc=netloc))

    @property
    def trust(self) -> str:
        return str(self.authority.signed.certificate)

    @property
    def distrust(self) -> str:
        return str(self.stranger.signed.certificate)


@pytest.fixture(scope="module")
def encrypted(
    own_stack_for_a_module: Callable[..., Stack], tmp_path_factory: pytest.TempPathFactory
) -> Encrypted:
    stack = own_stack_for_a_module()
    folder = tmp_path_factory.mktemp("authorities")
    authority = an_authority(folder / "ours", "ours")
    server = authority.issue("server", f"IP:{HERE}")
    certificate, key = server.certificate.read_text(), server.key.read_text()

    broker = stack.rabbitmq
    port = ports.choose(1, seed=f"{stack.root}/amqps")[0]
    options = (
        f'[{{certfile, "{broker.own_file("server.pem", certificate)}"}},'
        f' {{keyfile, "{broker.own_file("server.key", key)}"}}]'
    )
    broker.ctl(
        "eval",
        "{ok, _} = application:ensure_all_started(ssl),"
        f' rabbit_networking:start_ssl_listener({{"{HERE}", {port}, inet}}, {options}, 2).',
    )
    return Encrypted(stack, authority, an_authority(folder / "stranger", "stranger"), port)


@pytest_asyncio.fixture
async def database_door(encrypted: Encrypted) -> AsyncIterator[str]:
    """The address of the database behind TLS. The server that tests bring knows none, so it begins
    one step in front of it, in the way in which Postgres does: asked for, granted, shaken on."""
    there, context = Link(dice=random.Random(0)), encrypted.door("database")
    url = encrypted.stack.environment()["DATABASE_URL"].partition("?")[0]
    there.lead_to(url)

    async def let_in(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with suppress(OSError, EOFError):
            if await reader.readexactly(len(ASKS_FOR_TLS)) == ASKS_FOR_TLS:
                writer.write(b"S")
                await writer.drain()
                await writer.start_tls(context)
                await there.serve(reader, writer)
        writer.close()

    server = await asyncio.start_server(let_in, HERE, 0)
    yield through(url, server.sockets[0].getsockname()[1])
    server.close()
    await there.close()


@pytest.fixture
def named(
    monkeypatch: pytest.MonkeyPatch, encrypted: Encrypted, database_door: str
) -> pytest.MonkeyPatch:
    """The settings of an installation where everything must be encrypted."""
    monkeypatch.setenv("TLS_REQUIRED", "true")
    monkeypatch.setenv("AMQP_URL", encrypted.amqps_url)
    monkeypatch.setenv("AMQP_CA_FILE", encrypted.trust)
    monkeypatch.setenv("DATABASE_URL", database_door)
    monkeypatch.setenv("DATABASE_CA_FILE", encrypted.trust)
    return monkeypatch


async def published(url: str) -> None:
    fact = Envelope(id="1", type="report.published", source="test", time=utc_now(), body=b"{}")
    async with open_publisher(url, name="test") as publisher:
        await publisher.publish(fact, timeout=10)


async def test_the_broker_is_reached_by_an_authority_of_our_own(named: pytest.MonkeyPatch) -> None:
    url = read_settings(BrokerSettings).amqp_url.get_secret_value()

    await apply(url)
    await published(url)


async def test_a_broker_of_another_authority_is_not_believed(
    named: pytest.MonkeyPatch, encrypted: Encrypted
) -> None:
    named.setenv("AMQP_CA_FILE", encrypted.distrust)
    url = read_settings(BrokerSettings).amqp_url.get_secret_value()

    with pytest.raises(BrokerUnavailable):
        await apply(url)
    with pytest.raises(BrokerUnavailable):
        await published(url)


async def test_a_broker_under_another_name_is_not_believed(named: pytest.MonkeyPatch) -> None:
    url = read_settings(BrokerSettings).amqp_url.get_secret_value().replace(HERE, "localhost")

    with pytest.raises(BrokerUnavailable):
        await apply(url)


async def test_the_database_is_migrated_and_used_encrypted(named: pytest.MonkeyPatch) -> None:
    url = read_settings(DatabaseSettings).database_url.get_secret_value()

    await asyncio.to_thread(migrate, url)

    async with open_database(url, name="test") as database:
        assert await schema_is_current(database)


async def test_a_database_that_speaks_no_tls_is_not_spoken_to(
    named: pytest.MonkeyPatch, encrypted: Encrypted
) -> None:
    plain = encrypted.stack.environment()["DATABASE_URL"].partition("?")[0]
    named.setenv("DATABASE_URL", plain)
    url = read_settings(DatabaseSettings).database_url.get_secret_value()

    async with open_database(url, name="test") as database:
        with pytest.raises(DatabaseUnavailable):
            await database.ping()


@pytest.fixture(scope="module")
def system_database(encrypted: Encrypted) -> Iterator[str]:
    """The address of a Postgres of the machine's own, which was built with TLS, where it has one."""
    found = sorted(Path("/usr/lib/postgresql").glob("*/bin/postgres"))
    if not found:
        pytest.skip("this machine has no Postgres that was built with TLS")
    programs, run_as = found[-1].parent, processes.account()
    home = shelter.own_directory(Path(tempfile.mkdtemp(prefix="darkroom-tls-")), run_as)
    server = encrypted.authority.issue("system-database", f"IP:{HERE}")
    word = shelter.own_file(home / "word", "a-word-of-the-test", run_as)
    certificate = shelter.own_file(home / "it.pem", server.certificate.read_text(), run_as)
    key = shelter.own_file(home / "it.key", server.key.read_text(), run_as)
    port = ports.choose(1, seed=str(home))[0]
    made = processes.run(
        [
            *(programs / "initdb", "-D", home / "data", "-U", "owner", "--no-sync"),
            *("-A", "scram-sha-256", f"--pwfile={word}"),
        ],
        environment={"PATH": processes.PATH, "LANG": "C.UTF-8"},
        directory=home,
        run_as=run_as,
        timeout=120,
    )
    assert made.returncode == 0, made.stderr
    options = {
        "listen_addresses": HERE,
        "port": str(port),
        "unix_socket_directories": "",
        "fsync": "off",
        "ssl": "on",
        "ssl_cert_file": str(certificate),
        "ssl_key_file": str(key),
    }
    mark = processes.launch(
        [
            *(found[-1], "-D", home / "data"),
            *(word for name, value in options.items() for word in ("-c", f"{name}={value}")),
        ],
        environment={"PATH": processes.PATH, "LANG": "C.UTF-8"},
        directory=home,
        log=home / "log",
        run_as=run_as,
    )
    yield f"postgresql://owner:a-word-of-the-test@{HERE}:{port}/postgres"
    processes.end(mark, politely=signal.SIGINT, patience=10)
    shutil.rmtree(home, ignore_errors=True)


async def test_a_database_that_was_built_with_tls_says_that_it_is_used(
    named: pytest.MonkeyPatch, system_database: str
) -> None:
    named.setenv("DATABASE_URL", system_database)
    url = read_settings(DatabaseSettings).database_url.get_secret_value()

    async with open_database(url, name="test") as database:

        async def answers() -> bool:
            try:
                await database.ping()
            except DatabaseUnavailable:
                return False
            return True

        await eventually("the database has started", answers, within=60)
        async with database.connection() as connection:
            used = await connection.fetchval(
                "SELECT ssl FROM pg_stat_ssl WHERE pid = pg_backend_pid()"
            )
    assert used is True


async def test_a_database_of_another_authority_is_not_believed(
    named: pytest.MonkeyPatch, encrypted: Encrypted
) -> None:
    named.setenv("DATABASE_CA_FILE", encrypted.distrust)
    url = read_settings(DatabaseSettings).database_url.get_secret_value()

    async with open_database(url, name="test") as database:
        with pytest.raises(DatabaseUnavailable):
            await database.ping()
    with pytest.raises(Misconfigured):
        await asyncio.to_thread(migrate, url)


@pytest_asyncio.fixture
async def encrypted_bucket(encrypted: Encrypted) -> AsyncIterator[str]:
    """The address of the bucket behind TLS."""
    door = Link(dice=random.Random(0))
    door.lead_to(encrypted.stack.environment()["S3_ENDPOINT_URL"])
    server = await asyncio.start_server(door.serve, HERE, 0, ssl=encrypted.door("bucket"))
    yield f"https://{HERE}:{server.sockets[0].getsockname()[1]}"
    server.close()
    await door.close()


def bucket_settings(named: pytest.MonkeyPatch, stack: Stack, url: str, ca: str) -> BucketSettings:
    there = {k: v for k, v in stack.environment().items() if k.startswith(("AWS_", "S3_"))}
    for name, value in (there | {"S3_ENDPOINT_URL": url, "AWS_CA_BUNDLE": ca}).items():
        named.setenv(name, value)
    return read_settings(BucketSettings)


async def test_the_bucket_is_reached_by_an_authority_of_our_own(
    named: pytest.MonkeyPatch, encrypted: Encrypted, encrypted_bucket: str
) -> None:
    settings = bucket_settings(named, encrypted.stack, encrypted_bucket, encrypted.trust)

    async with open_bucket(settings) as bucket:
        await bucket.put("tls/note", b"kept", content_type="text/plain")
        assert await bucket.get_bytes("tls/note", limit=10) == b"kept"


async def test_a_bucket_of_another_authority_is_not_believed(
    named: pytest.MonkeyPatch, encrypted: Encrypted, encrypted_bucket: str
) -> None:
    settings = bucket_settings(named, encrypted.stack, encrypted_bucket, encrypted.distrust)

    async with open_bucket(settings) as bucket:
        with pytest.raises(Transient):
            await bucket.ping()


def test_an_authority_that_is_not_there_is_told(named: pytest.MonkeyPatch, tmp_path: Path) -> None:
    named.setenv("AMQP_CA_FILE", str(tmp_path / "missing.pem"))

    with pytest.raises(Misconfigured, match="AMQP_CA_FILE: names no file"):
        read_settings(BrokerSettings)
