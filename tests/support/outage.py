"""An outage that is over: predictions that were bought, ran and ended while nobody heard of them."""

import asyncio
import json
import secrets
from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from functools import cache
from uuid import UUID, uuid4

import asyncpg

from deploy.local.emulator import Emulator
from deploy.local.emulator.life import Lives
from deploy.local.emulator.models import MadeFile, Model, Order, find_model
from deploy.local.emulator.predictions import Moment, Prediction, new_prediction_id
from shared.domain.slot_ref import SlotRef
from tests.support.waiting import eventually

MODEL = "stability-ai/sdxl"
RUN_S = 4.0
# Made at once before their ends are waited for: so many of the whole.
CHUNKS = 50


@dataclass(frozen=True, slots=True)
class Purchase:
    """One slot's only prediction, as the buyer knows it: it was bought, and nothing was heard."""

    ref: SlotRef
    prediction_id: str
    created_at: datetime


def _jobs(count: int, slots_each: int) -> list[SlotRef]:
    refs: list[SlotRef] = []
    while len(refs) < count:
        job_id = uuid4()
        slots = min(slots_each, count - len(refs))
        refs += [SlotRef(job_id, n, 1, secrets.token_urlsafe(24)) for n in range(1, slots + 1)]
    return refs


async def lived_through(
    emulator: Emulator, count: int, *, lasting: timedelta, slots_each: int = 100
) -> list[Purchase]:
    """Let ``count`` predictions have been bought evenly over ``lasting``, which ends now, and let
    each have run to its end. The provider's clock passes as much; no webhook is asked for. Oldest
    first.
    """
    refs = _jobs(count, slots_each)
    step = lasting.total_seconds() / count
    made: list[Purchase] = []
    chunk = max(1, count // CHUNKS)
    for begin in range(0, count, chunk):
        some: list[Prediction] = []
        for number, ref in enumerate(refs[begin : begin + chunk], start=begin):
            emulator.clock.set_wall_back(lasting.total_seconds() - number * step)
            some.append(_bought(emulator, number, ref))
            emulator.clock.advance(step)
            made.append(Purchase(ref, some[-1].id, some[-1].created.wall))
            if number % 20 == 0:
                await asyncio.sleep(0)

        async def running(some: Sequence[Prediction] = some) -> int:
            # What ends now would have ended long ago: time does not pass for it while it is made.
            return sum(not prediction.ended.is_set() for prediction in some)

        await eventually("they end", running, holds=lambda n: n == 0, within=600)
    emulator.clock.set_wall_back(0)
    return made


@cache
def _quick_model() -> Model:
    """The real one, whose picture is drawn once: here it is only to be fetched."""
    model = find_model(MODEL)
    assert model is not None

    @cache
    def drawn() -> tuple[MadeFile, ...]:
        assert model is not None
        order = Order(input=model.with_defaults({"prompt": "a lake"}), seed=1, files={})
        return model.make(replace(order, longest_side=64))

    return replace(model, make=lambda _order: drawn())


def _bought(emulator: Emulator, number: int, ref: SlotRef) -> Prediction:
    model = _quick_model()
    given = {"prompt": "a lake", "seed": number % 1000}
    order = Order(
        input=model.with_defaults(given),
        seed=number % 1000,
        files={},
        longest_side=emulator.settings.longest_side,
    )
    lives: Lives = emulator.lives
    moment: Moment = lives.moment()
    prediction = Prediction(
        number=number,
        id=new_prediction_id(),
        model=model,
        version=model.version,
        input=given,
        order=order,
        script=model.script(order),
        api_url=emulator.url,
        created=moment,
        run_s=emulator.settings.run_s or RUN_S,
        faults={},
    )
    emulator.predictions.add(prediction)
    emulator.ledger.write(
        "purchase",
        prediction=prediction.id,
        number=number,
        model=model.ref,
        seed=order.seed,
        input=given,
        webhook=None,
        slot=str(ref),
        sensitive=["slot"],
    )
    lives.begin(prediction, deadline_s=None)
    return prediction


async def enter(database_url: str, made: Sequence[Purchase], *, recipe: str = "variations") -> None:
    """Write down what the buyer wrote: jobs, slots and purchases that were answered. All of them
    are silent for long enough to be asked about."""
    connection = await asyncpg.connect(database_url)
    try:
        slots: dict[UUID, int] = {}
        for one in made:
            slots[one.ref.job_id] = slots.get(one.ref.job_id, 0) + 1
        now = made[-1].created_at
        await connection.copy_records_to_table(
            "job",
            columns=("id", "recipe", "n", "state", "ordered_at", "queued_at"),
            records=[(job_id, recipe, n, "queued", now, now) for job_id, n in slots.items()],
        )
        await connection.copy_records_to_table(
            "slot",
            columns=("job_id", "ordinal", "state", "model", "input", "moved_at"),
            records=[
                (one.ref.job_id, one.ref.ordinal, "submitted", MODEL, _INPUT, one.created_at)
                for one in made
            ],
        )
        await connection.copy_records_to_table(
            "prediction",
            columns=(
                *("job_id", "ordinal", "attempt", "token", "model", "prediction_id", "status"),
                *("outcome", "intended_at", "create_deadline", "answered_at", "created_at"),
                *("ask_every", "ask_at"),
            ),
            records=[
                (
                    *(one.ref.job_id, one.ref.ordinal, one.ref.attempt, one.ref.token, MODEL),
                    *(one.prediction_id, "starting", "accepted", one.created_at, one.created_at),
                    *(one.created_at, one.created_at, _ASK_EVERY, one.created_at),
                )
                for one in made
            ],
        )
        await connection.execute("ANALYZE")
    finally:
        await connection.close()


_INPUT = json.dumps({"prompt": "a lake"})
_ASK_EVERY = timedelta(seconds=30)
