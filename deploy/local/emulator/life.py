"""What happens to a prediction between its create and the hour after its end."""

import asyncio
import base64
import hashlib
import json
import logging
import random
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import Executor
from dataclasses import replace
from datetime import timedelta
from functools import partial
from typing import Any

from deploy.local.emulator import shapes
from deploy.local.emulator.clock import Clock
from deploy.local.emulator.faults import of_output
from deploy.local.emulator.inputs import InputFiles
from deploy.local.emulator.ledger import Ledger
from deploy.local.emulator.making import MadeFile, RunFailed
from deploy.local.emulator.models import Script
from deploy.local.emulator.outputs import Outputs
from deploy.local.emulator.predictions import Moment, Prediction
from deploy.local.emulator.settings import Settings
from deploy.local.emulator.spoiling import spoiled
from deploy.local.emulator.webhooks import Deliveries, new_message_id

log = logging.getLogger(__name__)

NSFW = "NSFW content detected. Try running it again, or try a different prompt."
TIMED_OUT = "Prediction timed out"
CRASHED = "Prediction failed for an unknown reason. (E1000)"

# The most wall seconds that a webhook waits for the one before it: order is likely, not promised.
ORDER_S = 2.0


class Lives:
    def __init__(
        self,
        *,
        settings: Settings,
        clock: Clock,
        ledger: Ledger,
        inputs: InputFiles,
        outputs: Outputs,
        deliveries: Deliveries,
        pool: Executor,
    ) -> None:
        self._settings = settings
        self._clock = clock
        self._ledger = ledger
        self._inputs = inputs
        self._outputs = outputs
        self._deliveries = deliveries
        self._pool = pool
        # Each holds a photo in memory while its picture is made.
        self._making = asyncio.Semaphore(settings.workers * 2)
        self._tasks: set[asyncio.Task[None]] = set()
        self._last_delivery: dict[str, asyncio.Task[None]] = {}
        self._held: dict[str, bytes] = {}  # start webhooks that shall come too late

    def moment(self) -> Moment:
        return Moment(self._clock.wall(), self._clock.now())

    def begin(self, prediction: Prediction, *, deadline_s: float | None) -> None:
        prediction.work = self._spawn(self._work(prediction))
        prediction.work.add_done_callback(partial(self._see_crash, prediction))
        if deadline_s is not None:
            self._spawn(self._until_deadline(prediction, deadline_s))

    async def close(self) -> None:
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    def cancel(self, prediction: Prediction) -> None:
        """Somebody asked for it. Nothing happens to what has ended."""
        self._stop(prediction, "canceled")

    def _stop(self, prediction: Prediction, status: str) -> None:
        self._end(prediction, status)
        if prediction.work is not None:
            prediction.work.cancel()

    async def _until_deadline(self, prediction: Prediction, deadline_s: float) -> None:
        await self._clock.sleep(deadline_s)
        self._stop(prediction, "aborted" if prediction.started is None else "canceled")

    async def _work(self, prediction: Prediction) -> None:
        faults = prediction.faults
        cold = faults.get("cold_start", {"seconds": self._settings.cold_start_s})
        await self._clock.sleep(float(cold["seconds"]))
        if "stuck_starting" in faults:
            await prediction.ended.wait()
        if "abort" in faults:
            self._end(prediction, "aborted")
            return
        prediction.started = self.moment()
        if "early_start" in faults:
            early = prediction.created.wall - timedelta(milliseconds=4)
            prediction.started = Moment(early, prediction.started.provider)
        self._tell(prediction, "start", status=self._settings.start_webhook_status)
        prediction.status = "processing"
        made: Sequence[MadeFile] = ()
        failure = None
        try:
            async with asyncio.TaskGroup() as run:
                making = run.create_task(self._make(prediction))
                run.create_task(self._run(prediction))
            made = making.result()
        except* RunFailed as failures:
            failure = str(failures.exceptions[0])
        if failure is None:
            await self._succeed(prediction, made)
        else:
            self._end(prediction, "failed", error=failure)

    async def _run(self, prediction: Prediction) -> None:
        """Let the time of the run pass. Raises RunFailed where it does not come to its end."""
        faults = prediction.faults
        run_s = prediction.run_s
        if "cancel" in faults:
            await self._pass(prediction, run_s / 2)
            self._end(prediction, "canceled")
            raise RunFailed("canceled")
        if "fail" in faults:
            await self._pass(prediction, run_s / 2)
            raise RunFailed(str(faults["fail"]["error"]))
        await self._pass(prediction, min(run_s, self._settings.run_limit_s))
        if run_s > self._settings.run_limit_s:
            raise RunFailed(TIMED_OUT)

    async def _pass(self, prediction: Prediction, seconds: float) -> None:
        """Time passes, with a logs webhook for each throttled step of it if they are wanted."""
        until = self._clock.now() + seconds
        step = max(self._settings.webhook_throttle_s, seconds / 100)
        if "logs" in prediction.events and prediction.webhook:
            while self._clock.now() + step < until:
                await self._clock.sleep(step)
                self._tell(prediction, "logs")
        await self._clock.sleep(until - self._clock.now())

    async def _make(self, prediction: Prediction) -> Sequence[MadeFile]:
        async with self._making:
            order = prediction.order
            files = {
                one.name: await self._inputs.fetch(
                    str(order.input[one.name]), prediction=prediction.id
                )
                for one in prediction.model.inputs
                if one.uri and order.input.get(one.name)
            }
            loop = asyncio.get_running_loop()
            made = await loop.run_in_executor(
                self._pool, prediction.model.make, replace(order, files=files)
            )
            return await loop.run_in_executor(self._pool, spoiled, made, prediction.faults)

    async def _succeed(self, prediction: Prediction, made: Sequence[MadeFile]) -> None:
        faults = prediction.faults
        if (nsfw := faults.get("nsfw")) is not None:
            drop = nsfw["drop"]
            made = [file for index, file in enumerate(made) if drop != "all" and index not in drop]
            if not made:
                self._end(prediction, "failed", error=NSFW)
                return
        urls = []
        for index, file in enumerate(made):
            token, url = await self._outputs.keep(prediction.id, file, of_output(faults, index))
            prediction.file_tokens.append(token)
            urls.append(url)
        output: Any = urls if prediction.model.output == "list" else urls[0]
        if (other := faults.get("output")) is not None:
            output = _in_shape(str(other["shape"]), urls, made)
        prediction.output = output
        prediction.script = _with_figures(prediction, made)
        self._tell(prediction, "output")
        unknown = faults.get("unknown_status")
        named = json.dumps(output)
        files = await asyncio.to_thread(
            _described, [file for file, url in zip(made, urls, strict=True) if url in named]
        )
        self._end(prediction, str(unknown["status"]) if unknown else "succeeded", files=files)

    def _end(
        self,
        prediction: Prediction,
        status: str,
        *,
        error: str | None = None,
        files: Sequence[Mapping[str, Any]] = (),
    ) -> None:
        """The one way to an end; the first to come here decides it. ``files`` are those that the
        output names, in its order."""
        if prediction.completed is not None:
            return
        prediction.status = status
        prediction.error = error
        prediction.completed = self.moment()
        prediction.ended.set()
        ran_s = prediction.ran_s(self._clock.now())
        self._ledger.write(
            "ended",
            prediction=prediction.id,
            status=status,
            predict_s=round(ran_s, 3),
            billed=prediction.started is not None,
            outputs=len(prediction.file_tokens),
            files=list(files),
        )
        if status != "aborted" or self._settings.webhook_for_aborted:
            self._tell(prediction, "completed")
        self._spawn(self._expire(prediction))

    async def _expire(self, prediction: Prediction) -> None:
        early = prediction.faults.get("early_expiry", {"seconds": self._settings.retention_s})
        await self._clock.sleep(float(early["seconds"]))
        prediction.data_removed = True
        prediction.input = {}
        prediction.output = None
        # Data URLs may be megabytes; the rest of the order still words the metrics.
        files = {one.name for one in prediction.model.inputs if one.uri}
        kept = {name: value for name, value in prediction.order.input.items() if name not in files}
        prediction.order = replace(prediction.order, input=kept)
        for token in prediction.file_tokens:
            self._outputs.drop(token)
        self._last_delivery.pop(prediction.id, None)
        self._ledger.write("data_removed", prediction=prediction.id)

    def _tell(self, prediction: Prediction, event: str, **instead: Any) -> None:
        """Send this moment's body to the webhook, if it asked for such news."""
        url, faults = prediction.webhook, prediction.faults
        if url is None or event not in prediction.events or "drop_webhooks" in faults:
            return
        if event == "completed" and "drop_terminal" in faults:
            return
        body = shapes.webhook_body(prediction, now=self._clock.now(), **instead)
        if event == "start" and "late_start" in faults:
            self._held[prediction.id] = body
            return
        before = self._last_delivery.get(prediction.id)
        if event == "completed":
            delivery = self._last_word(prediction, url, body)
        else:
            delivery = self._deliveries.once(url, body, event=event, prediction=prediction.id)
        self._last_delivery[prediction.id] = self._deliveries.spawn(
            self._in_turn(prediction, event, before, delivery)
        )

    async def _in_turn(
        self,
        prediction: Prediction,
        event: str,
        before: "asyncio.Task[None] | None",
        delivery: Any,
    ) -> None:
        faults = prediction.faults
        try:
            late_s = float(faults["delay_webhooks"]["seconds"]) if "delay_webhooks" in faults else 0
            if "shuffle_webhooks" in faults:
                dice = random.Random(f"{self._settings.seed}:{prediction.number}:{event}")
                late_s += dice.uniform(0, float(faults["shuffle_webhooks"]["seconds"]))
            elif before is not None:
                await asyncio.wait({before}, timeout=ORDER_S)
            await self._clock.sleep(late_s)
        except asyncio.CancelledError:
            delivery.close()
            raise
        await delivery

    async def _last_word(self, prediction: Prediction, url: str, body: bytes) -> None:
        message_id = new_message_id()
        await self._deliveries.until_heard(
            url, body, message_id=message_id, prediction=prediction.id
        )
        if (held := self._held.pop(prediction.id, None)) is not None:
            await self._deliveries.once(url, held, event="start", prediction=prediction.id)
        again = prediction.faults.get("duplicate", {"copies": 0, "same_id": True})
        for _ in range(int(again["copies"])):
            await self._deliveries.until_heard(
                url,
                body,
                message_id=message_id if again["same_id"] else new_message_id(),
                prediction=prediction.id,
            )

    def _see_crash(self, prediction: Prediction, work: "asyncio.Task[None]") -> None:
        """A fault of the emulator's own: told to the buyer as the provider would, and to us."""
        if work.cancelled() or (crash := work.exception()) is None:
            return
        log.error("prediction %s crashed", prediction.id, exc_info=crash)
        self._ledger.write("crash", prediction=prediction.id, error=repr(crash))
        self._end(prediction, "failed", error=CRASHED)

    def _spawn(self, life: Any) -> "asyncio.Task[None]":
        task: asyncio.Task[None] = asyncio.create_task(life)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
        return task


def _with_figures(prediction: Prediction, made: Sequence[MadeFile]) -> Script:
    """The tail of the logs tells sizes and times that are known only now."""
    size = sum(len(file.data) for file in made)
    script = prediction.script
    tail = script.tail.format(run=prediction.run_s, bytes=size, mib=size / 2**20)
    return Script(head=script.head, steps=script.steps, tail=tail)


def _described(made: Sequence[MadeFile]) -> list[dict[str, Any]]:
    """What the witness needs to know a file again, wherever it has come to lie."""
    return [
        {"bytes": len(file.data), "sha256": hashlib.sha256(file.data).hexdigest()} for file in made
    ]


def _in_shape(shape: str, urls: Sequence[str], made: Sequence[MadeFile]) -> Any:
    shapes_: Mapping[str, Callable[[], Any]] = {
        "null": lambda: None,
        "empty": list,
        "string": lambda: urls[0],
        "list": lambda: list(urls),
        "dict": lambda: {"files": list(urls), "seeds": []},
        "number": lambda: 42,
        "data_url": lambda: (
            f"data:{made[0].content_type};base64,{base64.b64encode(made[0].data).decode()}"
        ),
    }
    return shapes_[shape]()
