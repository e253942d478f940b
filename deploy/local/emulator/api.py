"""The HTTP API of predictions."""

import asyncio
import json
import random
import re
import secrets
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from aiohttp import web

from deploy.local.emulator import problems, shapes
from deploy.local.emulator.catalogue import Catalogue
from deploy.local.emulator.clock import Clock
from deploy.local.emulator.faults import CANCEL, GET, LIST, Chosen, Faults, Subject
from deploy.local.emulator.ledger import Ledger, without_secrets
from deploy.local.emulator.life import Lives
from deploy.local.emulator.models import Model, Order, find_model, find_version
from deploy.local.emulator.predictions import Prediction, Register, new_prediction_id
from deploy.local.emulator.problems import InvalidField
from deploy.local.emulator.request_facts import FAULT, PREDICTION, TORN
from deploy.local.emulator.settings import Settings
from deploy.local.emulator.validation import complaints, is_uri, kind_of
from deploy.local.emulator.webhooks import DEFAULT_EVENTS, EVENTS

PREFER = re.compile(r"^wait(?:=([1-9]|[1-5][0-9]|60))?$")
CANCEL_AFTER = re.compile(r"^(?:(\d+)h)?(?:(\d+)m)?(?:(\d+)s?)?$")


@dataclass(frozen=True, slots=True)
class Asked:
    """A create as read: what is bought, of which model, answered under which version."""

    model: Model
    version: str
    input: dict[str, Any]
    webhook: str | None
    events: tuple[str, ...]
    deployment: str | None
    wait_s: float | None
    deadline_s: float | None


class Refusal(Exception):
    """Nothing is bought; this is the answer."""

    def __init__(self, response: web.Response) -> None:
        super().__init__()
        self.response = response


class PredictionsApi:
    def __init__(
        self,
        *,
        settings: Settings,
        clock: Clock,
        ledger: Ledger,
        register: Register,
        lives: Lives,
        faults: Faults,
        catalogue: Catalogue,
    ) -> None:
        self._settings = settings
        self._clock = clock
        self._ledger = ledger
        self._register = register
        self._lives = lives
        self._faults = faults
        self._catalogue = catalogue
        self._asked: dict[str, int] = {}

    def routes(self) -> list[web.RouteDef]:
        return [
            web.post("/v1/predictions", self._create),
            web.post("/v1/models/{owner}/{name}/predictions", self._create_official),
            web.post("/v1/deployments/{owner}/{name}/predictions", self._create_deployed),
            web.get("/v1/predictions", self._list),
            web.get("/v1/predictions/{id}", self._get),
            web.post("/v1/predictions/{id}/cancel", self._cancel),
            web.get("/v1/webhooks/default/secret", self._secret),
        ]

    async def _create(self, request: web.Request) -> web.StreamResponse:
        body = await self._body(request)
        version = body.get("version")
        found: list[InvalidField] = []
        if "version" not in body:
            found.append(InvalidField("required", "", "version is required"))
        elif not isinstance(version, str):
            given = kind_of(version)
            found.append(
                InvalidField(
                    "invalid_type", "version", f"Invalid type. Expected: string, given: {given}"
                )
            )
        if found:
            raise Refusal(problems.invalid_input(found))
        known = find_version(str(version))
        if known is None:
            raise Refusal(problems.invalid_version())
        return await self._buy(request, body, known[0], known[1], asked_version=str(version))

    async def _create_official(self, request: web.Request) -> web.StreamResponse:
        model = find_model(f"{request.match_info['owner']}/{request.match_info['name']}")
        if model is None or not model.official:
            raise Refusal(problems.not_found())
        body = await self._body(request)
        version = model.answered_version or model.version
        return await self._buy(request, body, model, version, asked_version=None)

    async def _create_deployed(self, request: web.Request) -> web.StreamResponse:
        deployment = f"{request.match_info['owner']}/{request.match_info['name']}"
        model = self._catalogue.model_of(deployment)
        if model is None:
            raise Refusal(problems.not_found())
        body = await self._body(request)
        return await self._buy(
            request, body, model, model.version, asked_version=None, deployment=deployment
        )

    async def _body(self, request: web.Request) -> dict[str, Any]:
        try:
            body = json.loads(await request.read())
        except web.HTTPRequestEntityTooLarge:
            # What the real one says to data URLs that are too large for it.
            raise Refusal(problems.unparsable("EOF")) from None
        except ValueError as error:
            raise Refusal(problems.unparsable(str(error))) from error
        if not isinstance(body, dict):
            raise Refusal(problems.unparsable(f"expected an object, found {kind_of(body)}"))
        return body

    def _read(
        self,
        request: web.Request,
        body: Mapping[str, Any],
        model: Model,
        version: str,
        deployment: str | None,
    ) -> Asked:
        given = body.get("input")
        if not isinstance(given, dict):
            raise Refusal(problems.invalid_input([_wrong_input(body)]))
        webhook, events = body.get("webhook"), body.get("webhook_events_filter")
        found = complaints(model.inputs, given, refuse_unknown=self._settings.refuse_unknown_inputs)
        found += _wrong_webhook(webhook, events, https_only=self._settings.webhook_https_only)
        if found:
            raise Refusal(problems.invalid_input(found))
        return Asked(
            model=model,
            version=version,
            input=given,
            webhook=webhook or None,
            events=tuple(DEFAULT_EVENTS if events is None else events),
            deployment=deployment,
            wait_s=_wait_s(request.headers.get("Prefer")),
            deadline_s=_deadline_s(request.headers.get("Cancel-After")),
        )

    async def _buy(
        self,
        request: web.Request,
        body: Mapping[str, Any],
        model: Model,
        version: str,
        *,
        asked_version: str | None,
        deployment: str | None = None,
    ) -> web.StreamResponse:
        number = self._count("create")
        given = body.get("input")
        subject = Subject(
            number=number,
            model=model.ref,
            input=given if isinstance(given, dict) else {},
            webhook=str(body.get("webhook") or ""),
        )
        faults = self._faults.for_create(subject)
        await self._misbehave(request, faults)
        asked = self._read(request, body, model, version, deployment)
        prediction = self._make(request, asked, number, faults)
        request[PREDICTION] = prediction.id
        self._ledger.write(
            "purchase",
            prediction=prediction.id,
            number=number,
            model=model.ref,
            version_asked=asked_version,
            version_answered=prediction.version,
            seed=prediction.order.seed,
            input=without_secrets(asked.input),
            webhook=asked.webhook,
            events=list(asked.events),
            faults=sorted(faults),
            sensitive=["webhook"],
        )
        self._lives.begin(prediction, deadline_s=asked.deadline_s)
        if "lose_create_answer" in faults:
            return _torn(request, "lose_create_answer")
        await _slow(faults)
        if "unreadable_create_answer" in faults:
            request[FAULT] = "unreadable_create_answer"
            return web.Response(status=201, text="<html>created</html>", content_type="text/html")
        return await self._answer_create(prediction, asked.wait_s)

    def _make(self, request: web.Request, asked: Asked, number: int, faults: Chosen) -> Prediction:
        model, settings = asked.model, self._settings
        wanted = model.with_defaults(asked.input)
        seed = wanted.get("seed")
        if seed is None or seed in model.no_seed:
            seed = secrets.randbelow(2**16)
        order = Order(
            input=wanted,
            seed=int(seed),
            files={},
            longest_side=settings.longest_side,
        )
        run_s = settings.run_s
        if run_s is None:
            run_s = random.Random(f"{settings.seed}:{number}:run").uniform(*model.run_s(order))
        if slow := faults.get("slow_run"):
            run_s = float(slow["seconds"])
        prediction = Prediction(
            number=number,
            id=new_prediction_id(),
            model=model,
            version="hidden" if "hidden_version" in faults else asked.version,
            input=asked.input,
            order=order,
            script=model.script(order),
            api_url=f"{request.scheme}://{request.host}",
            created=self._lives.moment(),
            run_s=max(run_s, 1e-3),
            faults=faults,
            webhook=asked.webhook,
            events=asked.events,
            deployment=asked.deployment,
            deadline=(None if asked.deadline_s is None else self._clock.wall_in(asked.deadline_s)),
        )
        self._register.add(prediction)
        return prediction

    async def _answer_create(self, prediction: Prediction, wait_s: float | None) -> web.Response:
        echo = self._settings.echo_webhook
        if wait_s is None:
            body = shapes.answer(prediction, now=self._clock.now(), echo_webhook=echo)
            return web.json_response(body, status=201)
        waiting = asyncio.create_task(prediction.ended.wait())
        until = asyncio.create_task(self._clock.sleep(wait_s))
        try:
            await asyncio.wait({waiting, until}, return_when=asyncio.FIRST_COMPLETED)
        finally:
            waiting.cancel()
            until.cancel()
        return web.json_response(
            shapes.sync_answer(prediction, now=self._clock.now(), echo_webhook=echo),
            status=201 if prediction.ended.is_set() else 202,
            headers={"Preference-Applied": f"wait={wait_s:g}"},
        )

    async def _list(self, request: web.Request) -> web.StreamResponse:
        faults = self._faults.for_request(LIST, Subject(number=self._count(LIST)))
        await self._misbehave(request, faults)
        await _slow(faults)
        query = request.query
        try:
            page = self._register.page(
                cursor=query.get("cursor"),
                after=_instant(query.get("created_after")),
                before=_instant(query.get("created_before")),
            )
        except ValueError as error:
            raise Refusal(problems.problem(400, f"Invalid query: {error}")) from error
        # Only what was made through the API is here; the web interface made nothing.
        results = [] if query.get("source") == "web" else page.results
        now = self._clock.now()
        return web.json_response(
            {
                "next": _page_url(request, page.next),
                "previous": _page_url(request, page.previous),
                "results": [
                    shapes.answer(one, now=now, echo_webhook=self._settings.echo_webhook)
                    for one in results
                ],
            }
        )

    async def _get(self, request: web.Request) -> web.StreamResponse:
        prediction = await self._asked_for(request, GET)
        body = shapes.answer(
            prediction, now=self._clock.now(), echo_webhook=self._settings.echo_webhook
        )
        return web.json_response(body)

    async def _cancel(self, request: web.Request) -> web.StreamResponse:
        prediction = await self._asked_for(request, CANCEL)
        finished = prediction.ended.is_set()
        self._lives.cancel(prediction)
        body = shapes.answer(
            prediction, now=self._clock.now(), echo_webhook=self._settings.echo_webhook
        )
        return web.json_response(
            body, status=self._settings.cancel_finished_status if finished else 200
        )

    async def _asked_for(self, request: web.Request, route: str) -> Prediction:
        number = self._count(route)
        prediction = self._register.get(request.match_info["id"])
        if prediction is None:
            raise Refusal(problems.not_found())
        request[PREDICTION] = prediction.id
        faults = self._faults.for_request(
            route,
            Subject(
                number=number,
                model=prediction.model.ref,
                input=prediction.input,
                webhook=prediction.webhook or "",
            ),
        )
        await self._misbehave(request, faults)
        await _slow(faults)
        return prediction

    async def _secret(self, _request: web.Request) -> web.Response:
        first = self._settings.webhook_secret.get_secret_value().split(",")[0]
        return web.json_response({"key": first})

    async def _misbehave(self, request: web.Request, faults: Chosen) -> None:
        """What happens instead of the thing that was asked."""
        if "tear" in faults:
            raise Refusal(_torn(request, "tear"))
        if (refuse := faults.get("refuse")) is None:
            return
        request[FAULT] = "refuse"
        status, retry_after = int(refuse["status"]), int(refuse["retry_after"])
        match status:
            case 401:
                raise Refusal(problems.unauthenticated())
            case 402:
                raise Refusal(problems.insufficient_credit())
            case 404:
                raise Refusal(problems.not_found())
            case 422:
                refused = InvalidField("format", "input.image", "Does not match format 'uri'")
                raise Refusal(problems.invalid_input([refused]))
            case 429:
                raise Refusal(
                    problems.throttled(
                        retry_after,
                        low_credit=self._settings.low_credit,
                        header=self._settings.retry_after_header,
                    )
                )
            case _:
                raise Refusal(problems.broken(status))

    def _count(self, route: str) -> int:
        self._asked[route] = self._asked.get(route, 0) + 1
        return self._asked[route]


async def _slow(faults: Chosen) -> None:
    if slow := faults.get("slow_answer"):
        await asyncio.sleep(float(slow["seconds"]))


def _torn(request: web.Request, fault: str) -> web.Response:
    """Close the connection under the caller; what is returned goes nowhere."""
    request[FAULT], request[TORN] = fault, True
    if request.transport is not None:
        request.transport.abort()
    return web.Response(status=500)


def _wrong_input(body: Mapping[str, Any]) -> InvalidField:
    if "input" not in body:
        return InvalidField("required", "", "input is required")
    given = kind_of(body["input"])
    return InvalidField("invalid_type", "input", f"Invalid type. Expected: object, given: {given}")


def _wrong_webhook(webhook: Any, events: Any, *, https_only: bool) -> list[InvalidField]:
    found = []
    if webhook and not (
        isinstance(webhook, str)
        and is_uri(webhook)
        and webhook.startswith("https://" if https_only else ("https://", "http://"))
    ):
        found.append(InvalidField("format", "webhook", "Does not match format 'uri'"))
    if events is not None and not isinstance(events, list):
        given = kind_of(events)
        found.append(
            InvalidField(
                "invalid_type",
                "webhook_events_filter",
                f"Invalid type. Expected: array, given: {given}",
            )
        )
    elif events is not None:
        allowed = ", ".join(f'"{event}"' for event in EVENTS)
        found += [
            InvalidField(
                "enum",
                f"webhook_events_filter.{place}",
                f"webhook_events_filter.{place} must be one of the following: {allowed}",
            )
            for place, event in enumerate(events)
            if event not in EVENTS
        ]
    return found


def _wait_s(prefer: str | None) -> float | None:
    match = PREFER.match(prefer or "")
    if match is None:
        return None
    return float(match.group(1) or 60)


def _deadline_s(cancel_after: str | None) -> float | None:
    if not cancel_after:
        return None
    match = CANCEL_AFTER.match(cancel_after)
    seconds = 0
    if match is not None:
        hours, minutes, rest = (int(part or 0) for part in match.groups())
        seconds = hours * 3600 + minutes * 60 + rest
    if seconds < 5:
        raise Refusal(problems.problem(400, "Cancel-After must be a duration of at least 5s"))
    return float(seconds)


def _instant(text: str | None) -> datetime | None:
    if not text:
        return None
    # A plus sign that was not escaped arrives as a space.
    instant = datetime.fromisoformat(text.replace(" ", "+"))
    return instant if instant.tzinfo else instant.replace(tzinfo=UTC)


def _page_url(request: web.Request, cursor: str | None) -> str | None:
    if cursor is None:
        return None
    kept = {name: value for name, value in request.query.items() if name != "cursor"}
    origin = f"{request.scheme}://{request.host}"
    return f"{origin}{request.rel_url.with_query({**kept, 'cursor': cursor})}"
