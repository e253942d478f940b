"""Who may do what: every endpoint, asked by everybody, against what its row in the table says."""

import asyncio
import json
import os
import re
from base64 import b64encode
from collections.abc import AsyncIterator, Mapping
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path
from typing import Any
from uuid import UUID

import pytest_asyncio

from deploy.local.system import System
from services.api import gate, tickets
from services.api.endpoints import ENDPOINTS, EVENTS, Endpoint
from shared.clock import utc_now
from shared.db import tokens
from shared.db.connection import Database
from shared.domain.token import RANDOM_BYTES, Scope, kept, word_of
from tests.support.purchases import a_job, end_job
from tests.support.serving_api import Api, an_api
from tests.support.waiting import eventually
from tests.support.wire import Answered, a_line, asked, head_of, said

QUARTER = timedelta(minutes=15)
BODIES: Mapping[str, Any] = {
    "placeOrder": {"recipe": "sound-effect", "params": {"prompt": "rain"}},
    "beginUpload": {"content_type": "image/png", "bytes": 1},
    "cancelJob": {"reason": "so"},
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Caller:
    """``opens``: the scope that its headers show; None: none. ``ticket``: whether what it has in the
    query opens the events of the job that is asked about; None: it has none there."""

    headers: tuple[str | bytes, ...] = ()
    query: str = ""
    opens: Scope | None = None
    ticket: bool | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Rights:
    api: Api
    callers: Mapping[str, Caller]
    job: UUID
    secrets: tuple[str, ...]


async def a_token(database: Database, scope: Scope, name: str) -> str:
    word = word_of(os.urandom(RANDOM_BYTES))
    async with database.transaction() as tx:
        assert await tokens.create(tx, name=name, sha256=kept(word), scope=scope)
    return word


@pytest_asyncio.fixture
async def rights(service_environment: dict[str, str], tmp_path: Path) -> AsyncIterator[Rights]:
    async with an_api(service_environment, api_requests_per_second=0) as api:
        words = {scope: await a_token(api.database, scope, scope) for scope in Scope}
        revoked = await a_token(api.database, Scope.OPERATE, "revoked")
        mine, other = await a_job(api.database), await a_job(api.database)
        await end_job(api.database, mine)  # its events end, and it may be ordered again

        def ticket(job_id: UUID, *, ago: timedelta = timedelta(0), name: str = "read") -> str:
            word = revoked if name == "revoked" else words[Scope(name)]
            now = utc_now() - ago
            what = tickets.events_of(job_id)
            return tickets.made(name, kept(word), what, now=now, lifetime=QUARTER)

        good = ticket(mine)
        until, proof, name = good.split(".")
        async with api.database.transaction() as tx:
            assert await tokens.revoke(tx, "revoked")

        def by_ticket(word: str, *, opens: bool) -> Caller:
            return Caller(query=f"?ticket={word}", ticket=opens)

        callers = {
            "nobody": Caller(),
            "an empty token": Caller(headers=("Authorization: Bearer ",)),
            "no scheme": Caller(headers=(f"Authorization: {words[Scope.OPERATE]}",)),
            "another scheme": Caller(headers=(f"Authorization: Token {words[Scope.OPERATE]}",)),
            "an unknown token": Caller(headers=(f"Authorization: Bearer dk_{'x' * 43}",)),
            "a token that is none": Caller(headers=(b"Authorization: Bearer \xff\xfe",)),
            "a token and more": Caller(
                headers=(f"Authorization: Bearer {words[Scope.OPERATE]} {words[Scope.OPERATE]}",)
            ),
            "a revoked token": Caller(headers=(f"Authorization: Bearer {revoked}",)),
            "basic": Caller(
                headers=(
                    "Authorization: Basic "
                    + b64encode(f"front:{words[Scope.OPERATE]}".encode()).decode(),
                )
            ),
            "two headers": Caller(
                headers=(
                    f"Authorization: Bearer {words[Scope.OPERATE]}",
                    f"Authorization: Bearer dk_{'x' * 43}",
                )
            ),
            "two headers, the other way round": Caller(
                headers=(
                    f"Authorization: Bearer dk_{'x' * 43}",
                    f"Authorization: Bearer {words[Scope.OPERATE]}",
                )
            ),
            "a cookie": Caller(headers=(f"Cookie: token={words[Scope.OPERATE]}",)),
            "another header": Caller(headers=(f"X-Api-Key: {words[Scope.OPERATE]}",)),
            "a proxy's": Caller(headers=(f"Proxy-Authorization: Bearer {words[Scope.OPERATE]}",)),
            "a token in the query": Caller(query=f"?token={words[Scope.OPERATE]}"),
            "a token as a ticket": by_ticket(words[Scope.OPERATE], opens=False),
            "read": Caller(
                headers=(f"Authorization: Bearer {words[Scope.READ]}",), opens=Scope.READ
            ),
            "write, in capitals": Caller(
                headers=(f"authorization:BEARER   {words[Scope.WRITE]}",), opens=Scope.WRITE
            ),
            "operate": Caller(
                headers=(f"Authorization: Bearer {words[Scope.OPERATE]}",), opens=Scope.OPERATE
            ),
            "a ticket": by_ticket(good, opens=True),
            "a ticket of another job": by_ticket(ticket(other), opens=False),
            "an expired ticket": by_ticket(ticket(mine, ago=QUARTER), opens=False),
            "a ticket made longer": by_ticket(f"{int(until) + 9}.{proof}.{name}", opens=False),
            "a ticket of a stronger name": by_ticket(f"{until}.{proof}.operate", opens=False),
            "a ticket of a revoked token": by_ticket(ticket(mine, name="revoked"), opens=False),
            "a ticket of the pages": by_ticket(
                tickets.made(
                    "operate",
                    kept(words[Scope.OPERATE]),
                    tickets.PAGES,
                    now=utc_now(),
                    lifetime=QUARTER,
                ),
                opens=False,
            ),
            "an empty ticket": by_ticket("", opens=False),
            "a bad ticket beside a good token": Caller(
                headers=(f"Authorization: Bearer {words[Scope.OPERATE]}",),
                query="?ticket=x",
                opens=Scope.OPERATE,
                ticket=False,
            ),
        }

        async def known() -> bool:
            heard = await api.front.with_token(revoked).get("/v1/recipes")
            nobody = await api.front.get("/v1/recipes")
            return (heard.status, nobody.status) == (401, 401)

        await eventually("the tokens are known, and the revoked one is", known)
        yield Rights(
            api=api,
            callers=callers,
            job=mine,
            secrets=(*words.values(), revoked, proof),
        )


def let_in(endpoint: Endpoint, caller: Caller) -> int | None:
    """By which status ``caller`` is shut out; None: it is let in."""
    if endpoint.scope is None:
        return None
    if endpoint is EVENTS and caller.ticket is not None:
        return None if caller.ticket else 401
    if caller.opens is None:
        return 401
    return None if caller.opens.includes(endpoint.scope) else 403


def request_of(endpoint: Endpoint, job: UUID, caller: Caller, method: str | None = None) -> bytes:
    body = BODIES.get(endpoint.name)
    data = None if body is None else json.dumps(body).encode()
    return asked(
        method or endpoint.method,
        endpoint.path.format(job_id=job) + caller.query,
        *caller.headers,
        *(() if data is None else ("Content-Type: application/json",)),
        body=data,
    )


async def test_every_endpoint_opens_to_those_that_its_scope_says_and_to_nobody_else(
    rights: Rights,
) -> None:
    wrong: list[str] = []
    for endpoint in ENDPOINTS:
        for who, caller in rights.callers.items():
            answered = await said(rights.api.front.url, request_of(endpoint, rights.job, caller))
            shut_out = let_in(endpoint, caller)
            if shut_out is None and answered.status in (401, 403):
                wrong.append(f"{endpoint.name}: {who} is shut out ({answered.status})")
            if shut_out is not None and answered.status != shut_out:
                wrong.append(f"{endpoint.name}: {who} gets {answered.status}, not {shut_out}")
            if answered.status == 401 and "www-authenticate" not in answered.headers:
                wrong.append(f"{endpoint.name}: {who} is not told how to come in")
            if answered.status >= 500:
                wrong.append(f"{endpoint.name}: {who} breaks it ({answered.status})")
            # A ticket is given out in one place, and there only.
            may_know = endpoint.name == "showJob" and shut_out is None
            told = any(secret.encode() in answered.whole for secret in rights.secrets)
            if told and not may_know:
                wrong.append(f"{endpoint.name}: {who} is told a secret")
    assert wrong == []


async def test_a_head_is_as_guarded_as_a_get(rights: Rights) -> None:
    for endpoint in ENDPOINTS:
        if endpoint.method != "GET" or endpoint is EVENTS:
            continue
        for who, caller in rights.callers.items():
            sent = request_of(endpoint, rights.job, caller, "HEAD")
            answered = await said_without_body(rights.api.front.url, sent)
            wanted = let_in(endpoint, caller)
            assert (wanted is None) == (answered.status not in (401, 403)), (endpoint.name, who)


async def said_without_body(url: str, sent: bytes) -> Answered:
    async with a_line(url) as (reader, writer):
        writer.write(sent)
        return await head_of(reader)


async def test_nobody_learns_what_is_there_without_a_right_to_look(rights: Rights) -> None:
    nobody = rights.callers["nobody"]
    for endpoint in ENDPOINTS:
        if "{job_id}" in endpoint.path:
            there = await said(rights.api.front.url, request_of(endpoint, rights.job, nobody))
            gone = await said(rights.api.front.url, request_of(endpoint, UUID(int=1), nobody))
            assert (there.status, there.body) == (gone.status, gone.body), endpoint.name


async def test_no_line_of_the_log_has_a_token_or_a_ticket(
    rights: Rights, service_environment: dict[str, str], tmp_path: Path
) -> None:
    options = {"LOG_LEVEL": "DEBUG", "API_REQUESTS_PER_SECOND": "0"}
    system = System(
        tmp_path, service_environment, options=options, emulator=None, services=("api",)
    )
    try:
        await asyncio.to_thread(system.up)
        for endpoint in ENDPOINTS:
            for caller in rights.callers.values():
                sent = request_of(endpoint, rights.job, caller)
                await said(system.layout.api_url, sent)
                await said(system.layout.api_url, sent.replace(b"HTTP/1.1", b"HTTP/1.1\x00"))
    finally:
        await asyncio.to_thread(system.down)
    told = system.child("api").log.read_text()

    assert "Error handling request" in told  # it tells of what was wrong, and quotes nothing of it
    assert [secret for secret in rights.secrets if secret in told] == []


def test_what_is_secret_is_never_compared_letter_by_letter() -> None:
    """A token is looked for by its hash, of which a guess learns nothing; a proof is compared in one
    time whatever it is."""
    for module in (gate, tickets):
        source = Path(str(module.__file__)).read_text()
        assert re.search(r"[!=]= *(\w+\.)?(proof|word|kept|sha256|hashed|ticket)\b", source) is None
        assert re.search(r"\b(proof|word|sha256|hashed|ticket) *[!=]=", source) is None
    assert "compare_digest" in Path(str(tickets.__file__)).read_text()
