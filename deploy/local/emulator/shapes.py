"""How predictions look from outside: answers, lists and webhook bodies."""

import json
import math
from typing import Any

from deploy.local.emulator.predictions import Moment, Prediction

BAR = 10  # characters of a progress bar
EIGHTHS = ("", *"▏▎▍▌▋▊▉")  # of one of them
MOST_LINES = 50


def answer(prediction: Prediction, *, now: float, echo_webhook: bool) -> dict[str, Any]:
    """What a GET says. A create's answer is the same: what has not happened yet is absent."""
    body = _seen(prediction, now=now)
    body["source"] = "api"
    if echo_webhook and prediction.webhook and "no_webhook_echo" not in prediction.faults:
        body["webhook"] = prediction.webhook
        body["webhook_events_filter"] = list(prediction.events)
    return body


def sync_answer(prediction: Prediction, *, now: float, echo_webhook: bool) -> dict[str, Any]:
    """A create that waited: the output may be whole while the status still says processing."""
    body = answer(prediction, now=now, echo_webhook=echo_webhook)
    if prediction.status == "succeeded":
        body["status"] = "processing"
        body.pop("completed_at", None)
        body.pop("metrics", None)
    return body


def webhook_body(prediction: Prediction, *, now: float, **instead: Any) -> bytes:
    """The same, with the webhook that it goes to, without `source`, keys sorted.

    `instead` is what this delivery says otherwise: the news of a moment ago, or of a moment hence.
    """
    body = _seen(prediction, now=now) | instead
    body["webhook"] = prediction.webhook
    body["webhook_events_filter"] = list(prediction.events)
    if "metrics" in body and not prediction.model.reports_total_time:
        body["metrics"].pop("total_time", None)
    return json.dumps(body, sort_keys=True, separators=(",", ":"), ensure_ascii=False).encode()


def _seen(prediction: Prediction, *, now: float) -> dict[str, Any]:
    removed = prediction.data_removed
    page = f"{prediction.api_url}/v1/predictions/{prediction.id}"
    body: dict[str, Any] = {
        "id": prediction.id,
        "model": prediction.model.ref,
        "version": prediction.version,
        "input": {} if removed else dict(prediction.input),
        "logs": "" if removed else logs(prediction, now),
        "output": None if removed else prediction.output,
        "data_removed": removed,
        "error": prediction.error,
        "status": prediction.status,
        "created_at": timestamp(prediction.created, "milliseconds"),
        "urls": {
            "cancel": f"{page}/cancel",
            "get": page,
            "stream": f"{prediction.api_url}/v1/streams/{prediction.id}",
            "web": f"https://replicate.com/p/{prediction.id}",
        },
    }
    if prediction.deployment is not None:
        body["deployment"] = prediction.deployment
    if prediction.deadline is not None:
        body["deadline"] = prediction.deadline.isoformat().replace("+00:00", "Z")
    if prediction.started is not None:
        body["started_at"] = timestamp(prediction.started, "nanoseconds")
    if prediction.completed is not None:
        body["completed_at"] = timestamp(prediction.completed, "nanoseconds")
        body["metrics"] = _metrics(prediction, now)
    return body


def _metrics(prediction: Prediction, now: float) -> dict[str, Any]:
    ended = prediction.completed
    total = 0.0 if ended is None else ended.provider - prediction.created.provider
    metrics: dict[str, Any] = {
        "predict_time": round(prediction.ran_s(now), 9),
        "total_time": round(total, 9),
    }
    if prediction.status == "succeeded":
        outputs = len(prediction.output) if isinstance(prediction.output, list) else 1
        metrics |= prediction.model.metrics(prediction.order, outputs)
    return metrics


def timestamp(moment: Moment, precision: str) -> str:
    """As the provider prints instants: milliseconds, or nanoseconds with trailing zeros cut."""
    wall = moment.wall
    if precision == "milliseconds":
        return wall.strftime("%Y-%m-%dT%H:%M:%S.") + f"{wall.microsecond // 1000:03}Z"
    # The wall knows microseconds; the digits behind them are those of the provider's clock.
    nanos = wall.microsecond * 1000 + int(moment.provider * 1e9) % 1000
    return wall.strftime("%Y-%m-%dT%H:%M:%S.") + f"{nanos:09}".rstrip("0").ljust(1, "0") + "Z"


def logs(prediction: Prediction, now: float) -> str | None:
    """As far as the run has come; they grow with time, nobody appends to them."""
    if prediction.started is None:
        return None if prediction.status == "canceled" else ""
    share = 1.0 if prediction.status == "succeeded" else prediction.ran_s(now) / prediction.run_s
    script = prediction.script
    text = script.head + _progress(script.steps, min(1.0, share), prediction.run_s)
    if share >= 1:
        text += script.tail
    if huge := prediction.faults.get("huge_logs"):
        text += "x" * int(huge["bytes"] * share) + "\n"
    if "shrinking_logs" in prediction.faults and share > 0.5:
        text = text[-(len(text) // 10) :]
    return text


def _progress(steps: int, share: float, run_s: float) -> str:
    """The lines that tqdm leaves in a log: one for a tenth of a second, fifty for a long run."""
    if steps <= 0:
        return ""
    done = int(steps * share)
    every = max(1, steps // MOST_LINES, math.ceil(steps / run_s / 10))
    shown = [*range(0, done + 1, every)]
    if done == steps and shown[-1] != steps:
        shown.append(steps)
    return "".join(_progress_line(step, steps, run_s) for step in shown)


def _progress_line(step: int, steps: int, run_s: float) -> str:
    part = step / steps
    whole, eighths = divmod(int(part * BAR * 8), 8)
    bar = ("█" * whole + EIGHTHS[eighths]).ljust(BAR)
    times = f"{_clock(part * run_s)}<{_clock(run_s - part * run_s) if step else '?'}"
    a_second = steps / run_s
    rate = f"{a_second:5.2f}it/s" if a_second >= 1 else f"{1 / a_second:5.2f}s/it"
    return f"{part:4.0%}|{bar}| {step}/{steps} [{times}, {rate if step else '?it/s'}]\n"


def _clock(seconds: float) -> str:
    return f"{int(seconds) // 60:02}:{int(seconds) % 60:02}"
