"""Misbehaviour by name: which predictions it meets is decided by rule, rate and seed."""

import itertools
import json
import random
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

CREATE, GET, LIST, CANCEL = "create", "get", "list", "cancel"
ROUTES = (CREATE, GET, LIST, CANCEL)


@dataclass(frozen=True, slots=True)
class Fault:
    """What a fault does, and its options with their defaults."""

    does: str
    options: Mapping[str, Any] = field(default_factory=dict)
    of_requests: bool = False  # met by requests on the routes of its option `on`


FAULTS: Mapping[str, Fault] = {
    # the request
    "refuse": Fault(
        "answers 401, 402, 404, 422, 429, 500, 502 or 503 and does nothing",
        {"status": 502, "retry_after": 5, "on": [CREATE]},
        of_requests=True,
    ),
    "tear": Fault("closes the connection and does nothing", {"on": [CREATE]}, of_requests=True),
    "slow_answer": Fault(
        "does what was asked, and answers so many wall seconds later",
        {"seconds": 5.0, "on": [CREATE]},
        of_requests=True,
    ),
    "lose_create_answer": Fault("makes the prediction, then closes the connection"),
    "unreadable_create_answer": Fault("makes the prediction, then answers 201 with a page of HTML"),
    "hidden_version": Fault("answers with version `hidden`"),
    "no_webhook_echo": Fault("answers do not name the webhook; its own body still does"),
    # the run
    "cold_start": Fault("starts only after so many provider seconds", {"seconds": 120.0}),
    "early_start": Fault("`started_at` lies some milliseconds before `created_at`"),
    "stuck_starting": Fault("never starts; only a cancel or its deadline ends it"),
    "slow_run": Fault("runs for so many provider seconds", {"seconds": 600.0}),
    "abort": Fault("ends as `aborted` before it has started"),
    "cancel": Fault("ends as `canceled` half way, though nobody asked"),
    "fail": Fault(
        "ends as `failed` with this error, half way",
        {"error": "Prediction interrupted; please retry (code: PA)"},
    ),
    "unknown_status": Fault("ends with a status that is in no list", {"status": "successful"}),
    "nsfw": Fault(
        "drops the outputs of these indices (`all`: fails with the NSFW text)", {"drop": "all"}
    ),
    "output": Fault(
        "succeeds with another shape: null, empty, string, list, dict, number, data_url",
        {"shape": "null"},
    ),
    "other_format": Fault(
        "pictures come as jpg, png or webp, or sounds as wav, mp3, flac or ogg, whatever was "
        "asked for",
        {"format": "jpg"},
    ),
    "silent": Fault("sounds are as long as asked for, and nothing is to be heard"),
    "empty_sound": Fault("sounds are the head of their format, and nothing behind it"),
    "empty_file": Fault("the files have no bytes at all"),
    "wrong_file": Fault(
        "the files are another thing under their own name and type: html, text, png, jpg or wav",
        {"what": "png"},
    ),
    "huge_logs": Fault("logs grow by so many bytes", {"bytes": 2 * 2**20}),
    "shrinking_logs": Fault("logs lose all but their last tenth half way"),
    # the webhooks
    "drop_terminal": Fault("the terminal webhook is never sent"),
    "drop_webhooks": Fault("no webhook is ever sent"),
    "duplicate": Fault(
        "the terminal webhook comes in so many copies more", {"copies": 1, "same_id": True}
    ),
    "late_start": Fault("the start webhook comes after the terminal one"),
    "delay_webhooks": Fault("every webhook is late by so many provider seconds", {"seconds": 30.0}),
    "shuffle_webhooks": Fault(
        "every webhook is late by up to so many provider seconds, each by another span",
        {"seconds": 2.0},
    ),
    # the files: all of them, or the `outputs` of these indices
    "missing_file": Fault("the file answers 404", {"outputs": "all"}),
    "early_expiry": Fault(
        "data and files are removed so many provider seconds after the end", {"seconds": 0.0}
    ),
    "failing_file": Fault("the first fetches answer 500", {"fetches": 1, "outputs": "all"}),
    "truncated_file": Fault("the connection closes half way through the file", {"outputs": "all"}),
    "short_file": Fault(
        "half the file, with a matching length: only decoding tells", {"outputs": "all"}
    ),
    "slow_file": Fault(
        "the file comes in pieces over so many wall seconds", {"seconds": 10.0, "outputs": "all"}
    ),
    "wrong_content_type": Fault(
        "the file claims another type", {"content_type": "text/html", "outputs": "all"}
    ),
    "not_an_image": Fault(
        "the file is a page of HTML under the name and type of a picture", {"outputs": "all"}
    ),
    "redirected_file": Fault(
        "the file answers 302 to another place",
        {"location": "http://127.0.0.1:9/elsewhere", "outputs": "all"},
    ),
}

PICTURES, SOUNDS = ("jpg", "png", "webp"), ("wav", "mp3", "flac", "ogg")
FORMATS = (*PICTURES, *SOUNDS)
THINGS = ("html", "text", "png", "jpg", "wav")
SHAPES = ("null", "empty", "string", "list", "dict", "number", "data_url")

Chosen = Mapping[str, Mapping[str, Any]]


def of_output(chosen: Chosen, index: int) -> Chosen:
    """What of it concerns one output."""
    return {
        name: options
        for name, options in chosen.items()
        if (outputs := options.get("outputs", "all")) == "all" or index in outputs
    }


class UnknownFault(ValueError):
    """No such fault, option or condition."""


@dataclass(frozen=True, slots=True)
class Subject:
    """What a rule's conditions look at. A read knows its prediction, a list knows nothing."""

    number: int  # of the request among its like, from 1
    model: str = ""
    input: Mapping[str, Any] = field(default_factory=dict)
    webhook: str = ""


@dataclass(slots=True)
class Rule:
    """One fault, for whatever fits all conditions of `when`.

    Conditions: `model` (owner/name), `seed`, `number` (equal); `prompt`, `input`, `webhook`
    (contained in it).
    """

    id: int
    fault: str
    when: Mapping[str, Any]
    options: Mapping[str, Any]
    rate: float
    times: int | None  # how often it may still fire; None: for ever
    fired: int = 0

    def fits(self, subject: Subject) -> bool:
        return all(_CONDITIONS[name](subject, value) for name, value in self.when.items())

    def described(self) -> dict[str, Any]:
        return {
            "id": self.id,
            "fault": self.fault,
            "when": dict(self.when),
            "options": dict(self.options),
            "rate": self.rate,
            "times": self.times,
            "fired": self.fired,
        }


_CONDITIONS: Mapping[str, Any] = {
    "model": lambda subject, value: subject.model == value,
    "seed": lambda subject, value: subject.input.get("seed") == value,
    "number": lambda subject, value: subject.number == value,
    "prompt": lambda subject, value: value in str(subject.input.get("prompt", "")),
    "input": lambda subject, value: value in json.dumps(subject.input, ensure_ascii=False),
    "webhook": lambda subject, value: value in subject.webhook,
}


class Faults:
    """The rules that stand. The same seed, rules and order of requests meet the same faults."""

    def __init__(self, seed: int, rules: Iterable[Mapping[str, Any]] = ()) -> None:
        self._seed = seed
        self._ids = itertools.count(1)
        self._rules: dict[int, Rule] = {}
        for rule in rules:
            self.add_described(rule)

    def add(
        self,
        fault: str,
        *,
        rate: float = 1.0,
        times: int | None = None,
        when: Mapping[str, Any] | None = None,
        **options: Any,
    ) -> Rule:
        known = FAULTS.get(fault)
        if known is None:
            raise UnknownFault(f"no fault is called {fault!r}; there are {', '.join(FAULTS)}")
        for name in options:
            if name not in known.options:
                raise UnknownFault(f"{fault} has no option {name!r}")
        for name in when or {}:
            if name not in _CONDITIONS:
                raise UnknownFault(
                    f"no condition is called {name!r}; there are {', '.join(_CONDITIONS)}"
                )
        if options.get("shape", "null") not in SHAPES:
            raise UnknownFault(f"there are the shapes {', '.join(SHAPES)}")
        if options.get("format", "jpg") not in FORMATS:
            raise UnknownFault(f"there are the formats {', '.join(FORMATS)}")
        if options.get("what", "png") not in THINGS:
            raise UnknownFault(f"there are the things {', '.join(THINGS)}")
        outputs = options.get("outputs", "all")
        if outputs != "all" and not (
            isinstance(outputs, list) and all(type(index) is int for index in outputs)
        ):
            raise UnknownFault("outputs are indices, or all")
        if not 0 <= rate <= 1:
            raise UnknownFault("a rate lies between 0 and 1")
        rule = Rule(
            id=next(self._ids),
            fault=fault,
            when=dict(when or {}),
            options={**known.options, **options},
            rate=rate,
            times=times,
        )
        self._rules[rule.id] = rule
        return rule

    def add_described(self, rule: Mapping[str, Any]) -> Rule:
        """A rule as JSON states it: {"fault": …, "rate": …, "times": …, "when": {…}, option: …}."""
        known = dict(rule)
        fault = known.pop("fault", "")
        try:
            return self.add(str(fault), **known)
        except TypeError as error:
            raise UnknownFault(str(error)) from error

    def remove(self, rule_id: int) -> bool:
        return self._rules.pop(rule_id, None) is not None

    def clear(self) -> None:
        self._rules.clear()

    def listing(self) -> list[dict[str, Any]]:
        return [rule.described() for rule in self._rules.values()]

    def for_create(self, subject: Subject) -> Chosen:
        """Everything that will go wrong with this purchase, decided once."""
        return self._choose(
            subject,
            lambda rule: not FAULTS[rule.fault].of_requests or CREATE in rule.options["on"],
        )

    def for_request(self, route: str, subject: Subject) -> Chosen:
        return self._choose(
            subject,
            lambda rule: FAULTS[rule.fault].of_requests and route in rule.options["on"],
        )

    def _choose(self, subject: Subject, concerns: Any) -> Chosen:
        chosen: dict[str, Mapping[str, Any]] = {}
        for rule in self._rules.values():
            if rule.times == 0 or not concerns(rule) or not rule.fits(subject):
                continue
            dice = random.Random(f"{self._seed}:{rule.id}:{subject.number}")
            if dice.random() < rule.rate:
                rule.fired += 1
                rule.times = None if rule.times is None else rule.times - 1
                chosen[rule.fault] = rule.options
        return chosen
