"""Reads what processes and broker count while a row runs: metrics, open files, readiness, queues."""

import json
import urllib.error
import urllib.request
from base64 import b64encode
from collections import defaultdict
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from urllib.parse import quote, unquote, urlsplit

from prometheus_client.parser import text_string_to_metric_families

from deploy.local.stack.rabbitmq import MANAGEMENT

ANSWERS_WITHIN_S = 2.5

# What a row's promises call it, by the sample and the labels that it is the sum of.
COUNTED: Mapping[str, tuple[str, Mapping[str, str]]] = {
    "ambiguous commits": ("darkroom_ambiguous_commits_total", {}),
    "cancels of the client": ("darkroom_foreign_cancel_total", {}),
    "stale writes refused": ("darkroom_stale_writes_refused_total", {}),
    "confirms": ("darkroom_publish_total", {"outcome": "confirmed"}),
}
# Who notices a silent link, and by which word of its readiness. The provider has none: there it is
# the first call that fails.
NOTICED_BY: Mapping[str, tuple[tuple[str, ...], str]] = {
    "broker": (
        ("ingress", "generator", "storage", "aggregator", "report", "reconciler"),
        "rabbitmq",
    ),
    "database": (("generator", "storage", "aggregator", "report", "reconciler"), "postgres"),
    "s3": (("generator", "storage", "report"), "bucket"),
    "provider": (("generator",), ""),
}
NO_ANSWER = frozenset({"InDoubt", "NeverSent"})


@dataclass(slots=True)
class Counters:
    """Totals over processes that come and go: of each the last look counts."""

    _last: dict[tuple[str, int], Mapping[str, float]] = field(default_factory=dict)

    def note(self, replica: str, pid: int, exposition: str) -> None:
        """Take in what one process says at ``/metrics``."""
        totals: defaultdict[str, float] = defaultdict(float)
        for family in text_string_to_metric_families(exposition):
            for sample in family.samples:
                for what, (name, labels) in COUNTED.items():
                    if sample.name == name and labels.items() <= sample.labels.items():
                        totals[what] += sample.value
        self._last[replica, pid] = totals

    def totals(self) -> dict[str, float]:
        whole: defaultdict[str, float] = defaultdict(float)
        for each in self._last.values():
            for what, count in each.items():
                whole[what] += count
        return dict(whole)


@dataclass(slots=True)
class Descriptors:
    """Open files of processes: at the first look that counts, and at the most."""

    _seen: defaultdict[tuple[str, int], list[tuple[float, int]]] = field(
        default_factory=lambda: defaultdict(list)
    )

    def note(self, replica: str, pid: int, at: float) -> None:
        try:
            open_files = sum(1 for _ in Path(f"/proc/{pid}/fd").iterdir())
        except OSError:
            return  # it died meanwhile, or the kernel has no /proc
        self._seen[replica, pid].append((at, open_files))

    def told(self, *, warm_after_s: float) -> dict[str, tuple[int, int]]:
        """First and most of each process that lived longer, once it was warm."""
        told = {}
        for (replica, pid), looks in self._seen.items():
            warm = [count for at, count in looks if at - looks[0][0] >= warm_after_s]
            if warm:
                told[f"{replica} ({pid})"] = (warm[0], max(warm))
        return told


def ask(url: str) -> str:
    """The body of an answer, whatever its status. Raises OSError where there is none."""
    try:
        with urllib.request.urlopen(url, timeout=ANSWERS_WITHIN_S) as answer:  # noqa: S310 - loopback, ours
            return str(answer.read().decode())
    except urllib.error.HTTPError as error:
        return error.read().decode()


def failed_calls(health_url: str) -> float:
    """Calls of the provider that got no answer, since the process began; 0 where it says nothing."""
    try:
        exposition = ask(f"{health_url}/metrics")
    except OSError:
        return 0.0
    return sum(
        sample.value
        for family in text_string_to_metric_families(exposition)
        for sample in family.samples
        if sample.name == "darkroom_replicate_calls_total" and sample.labels["outcome"] in NO_ANSWER
    )


def has_noticed(health_url: str, link: str, *, failed_before: float) -> bool:
    """Whether a process knows that this link of its own is of no use. One that says nothing knows
    nothing. ``failed_before``: the failed calls when the link was whole."""
    _, dependency = NOTICED_BY[link]
    if not dependency:
        return failed_calls(health_url) > failed_before
    try:
        said = json.loads(ask(f"{health_url}/readyz"))
    except (OSError, ValueError):
        return False
    return bool(said.get(dependency, "ok") != "ok")


class Broker:
    """The broker's own word on its queues, through its management API. All of it raises OSError."""

    def __init__(self, parts: Mapping[str, str]) -> None:
        at = urlsplit(parts[MANAGEMENT])
        vhost = unquote(urlsplit(parts["AMQP_URL"]).path[1:])
        self._url = f"http://{at.hostname}:{at.port}/api/queues/{quote(vhost, safe='')}"
        user = f"{unquote(at.username or '')}:{unquote(at.password or '')}"
        login = b64encode(user.encode()).decode()
        self._headers = {"Authorization": f"Basic {login}", "Content-Type": "application/json"}

    def queued(self) -> int:
        """Messages in all queues, in consumers' hands or not."""
        return sum(int(queue.get("messages", 0)) for queue in self.ask("GET"))

    def redelivered(self) -> int:
        """Deliveries that had been made before, since the broker began."""
        stats = (queue.get("message_stats", {}) for queue in self.ask("GET"))
        return sum(int(each.get("redeliver", 0)) for each in stats)

    def ask(self, method: str, path: str = "", body: Mapping[str, Any] | None = None) -> Any:
        """What it answers below the queues of our virtual host, or None."""
        request = urllib.request.Request(  # noqa: S310 - loopback, ours
            self._url + path,
            None if body is None else json.dumps(body).encode(),
            self._headers,
            method=method,
        )
        with urllib.request.urlopen(request, timeout=30) as answer:  # noqa: S310 - the same
            said = answer.read()
        return json.loads(said) if said else None
