"""What must be true of one job, given what the provider sold for it: pure."""

from collections import Counter, defaultdict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from deploy.local.prove.files import Expected
from deploy.local.prove.log import ENDS, Bought, File, For
from deploy.local.prove.verdict import Finding

OPEN = frozenset({"pending", "creating", "in_doubt", "submitted", "running", "succeeded"})
CLOSED = frozenset({"stored", "failed", "canceled"})
ENDS_OF_JOBS = {
    "job.completed": "completed",
    "job.failed": "failed",
    "job.canceled": "canceled",
}
# Reasons that say of a run how it ended. Where the provider saw it succeed, they are no reason.
REFUTED_BY_SUCCESS = frozenset({"nsfw", "canceled", "aborted", "invalid_input"})
# Reasons that say of files what was wrong with them. Where nothing was, they are no reason.
REFUTED_BY_GOOD_FILES = frozenset({"expired", "unusable_output"})

Row = Mapping[str, Any]


@dataclass(frozen=True, slots=True, kw_only=True)
class Seen:
    """One job as the database holds it (rows as they stand there), and what was bought for it.

    ``facts`` counts its facts in the journal by type. ``bought`` are the provider's predictions:
    those whose webhook names this job, and those that its rows name, by id. ``before`` are those
    that other jobs' slots were bought with which this one says it took over.
    """

    job: Row
    slots: Sequence[Row] = ()
    predictions: Sequence[Row] = ()
    artifacts: Sequence[Row] = ()
    facts: Mapping[str, int] = field(default_factory=dict)
    bought: Mapping[str, Bought] = field(default_factory=dict)
    before: Mapping[For, Bought] = field(default_factory=dict)

    @property
    def id(self) -> str:
        return str(self.job["id"])

    @property
    def has_ended(self) -> bool:
        return self.job["ended_at"] is not None


@dataclass(slots=True)
class Judged:
    """What is wrong with one job, what must lie in the bucket for it, and what was counted."""

    lost: list[Finding] = field(default_factory=list)
    duplicated: list[Finding] = field(default_factory=list)
    unaccounted: list[Finding] = field(default_factory=list)
    stuck: list[Finding] = field(default_factory=list)
    expected: list[Expected] = field(default_factory=list)
    counts: Counter[str] = field(default_factory=Counter)


def judge_job(seen: Seen, *, since: datetime | None = None) -> Judged:
    """Judge one job. Purchases from before ``since`` need not be in the provider's log."""
    judged = Judged()
    judged.counts["jobs"] += 1
    judged.counts[f"jobs_{seen.job['state']}"] += 1
    judged.stuck += _still_moving(seen)
    judged.duplicated += _ended_twice(seen)
    judged.duplicated += _counted_twice(seen)
    judged.duplicated += _taken_twice(seen)
    judged.duplicated += _bought_twice(seen)
    _judge_purchases(seen, judged, since=since)
    _judge_outputs(seen, judged)
    _judge_report(seen, judged)
    return judged


def _still_moving(seen: Seen) -> Iterator[Finding]:
    if not seen.has_ended:
        yield Finding(seen.id, f"the job is {seen.job['state']} and has not ended")
    elif not any(seen.facts.get(fact) for fact in ENDS_OF_JOBS):
        yield Finding(seen.id, f"the job is {seen.job['state']}, and no fact says so")
    if seen.job["state"] == "completed" and seen.job["report"] == "pending":
        yield Finding(seen.id, "the job is completed and has no report")
    for slot in seen.slots:
        if slot["state"] in OPEN:
            yield Finding(_slot_id(slot), f"the slot is {slot['state']}, attempt {slot['attempt']}")
        elif slot["state"] not in CLOSED:
            yield Finding(_slot_id(slot), f"the slot is {slot['state']}, which nobody knows")
        elif not seen.has_ended and slot["counted_at"] is None:
            yield Finding(
                _slot_id(slot), f"the slot is {slot['state']}, and its job has not counted it"
            )


def _ended_twice(seen: Seen) -> Iterator[Finding]:
    said = {fact: seen.facts[fact] for fact in ENDS_OF_JOBS if seen.facts.get(fact)}
    if sum(said.values()) > 1:
        yield Finding(seen.id, f"the job ended more than once: {_counted(said)}")
    for fact in said:
        if ENDS_OF_JOBS[fact] != seen.job["state"]:
            yield Finding(seen.id, f"the job is {seen.job['state']}, and {fact} was said of it")
    published = seen.facts.get("report.published", 0)
    if published > 1:
        yield Finding(seen.id, f"the job was reported {published} times")
    reports = [file for file in seen.artifacts if file["kind"] == "report"]
    if len(reports) > 1:
        yield Finding(seen.id, f"the job has {len(reports)} reports")


def _counted_twice(seen: Seen) -> Iterator[Finding]:
    """What a job counted, against the slots that it may have counted. (Those that closed after its
    end count as canceled, so it may have counted fewer.)"""
    job = seen.job
    counted = Counter(s["state"] for s in seen.slots if s["counted_at"] is not None)
    for state in ("stored", "failed"):
        if job[state] > counted[state]:
            yield Finding(
                seen.id, f"the job counts {job[state]} slots as {state}; {counted[state]} are"
            )
    total = job["stored"] + job["failed"] + job["canceled"]
    if total > job["n"] or (seen.has_ended and total != job["n"]):
        yield Finding(seen.id, f"the job counts {total} slots of {job['n']}")
    if job["n"] != len(seen.slots):
        yield Finding(
            seen.id, f"the job was planned with {job['n']} slots and has {len(seen.slots)}"
        )


def _taken_twice(seen: Seen) -> Iterator[Finding]:
    """An output, or what was derived from it, that a slot has twice."""
    taken: defaultdict[tuple[Any, ...], list[Row]] = defaultdict(list)
    for file in seen.artifacts:
        if file["kind"] in ("generated", "derived"):
            taken[file["kind"], file["ordinal"], file["index"], file["variant"]].append(file)
    for (kind, ordinal, index, _), files in taken.items():
        if len(files) > 1:
            keys = ", ".join(file["key"] for file in files)
            yield Finding(
                f"{seen.id}.{ordinal}", f"output {index} of the slot is {kind} twice: {keys}"
            )


def _bought_twice(seen: Seen) -> Iterator[Finding]:
    attempts: defaultdict[str, list[str]] = defaultdict(list)
    for one in seen.bought.values():
        if one.bought_for is not None and one.bought_for.job == seen.id:
            attempts[str(one.bought_for)].append(one.prediction)
    for attempt, predictions in attempts.items():
        if len(predictions) > 1:
            yield Finding(attempt, f"one attempt was bought as {', '.join(sorted(predictions))}")


def _judge_purchases(seen: Seen, judged: Judged, *, since: datetime | None) -> None:
    """Every row that names a prediction against the provider's log. (What the log has and no row
    names is found when all jobs are through.)"""
    per_slot: Counter[int] = Counter()
    for row in seen.predictions:
        prediction, whose = row["prediction_id"], _purchase_id(row)
        if prediction is None:
            continue
        per_slot[row["ordinal"]] += 1
        one = seen.bought.get(prediction)
        if one is None:
            if since is None or datetime.fromisoformat(row["intended_at"]) >= since:
                judged.unaccounted.append(
                    Finding(prediction, f"{whose} names it, and the provider never sold it")
                )
            continue
        if one.bought_for is not None and str(one.bought_for) != whose:
            judged.unaccounted.append(
                Finding(prediction, f"{whose} names it, and it was sold for {one.bought_for}")
            )
        _judge_end(row, one, judged)
    judged.counts["bought_again"] += sum(count - 1 for count in per_slot.values())
    judged.counts["adopted"] += sum(bool(row["adopted"]) for row in seen.predictions)


def _judge_end(row: Row, one: Bought, judged: Judged) -> None:
    status, ended, whose = row["status"], one.ended, _purchase_id(row)
    if status in ENDS and ended is None:
        judged.unaccounted.append(
            Finding(one.prediction, f"{whose} says that it {status}; the provider says it runs")
        )
    elif status in ENDS and ended in ENDS and status != ended:
        wrong = judged.lost if ended == "succeeded" else judged.unaccounted
        wrong.append(
            Finding(one.prediction, f"{whose} says that it {status}; the provider says {ended}")
        )
    elif ended in ENDS and status not in ENDS:
        judged.stuck.append(
            Finding(one.prediction, f"it {ended}, and {whose} has not heard of it ({status})")
        )


def _judge_outputs(seen: Seen, judged: Judged) -> None:
    """Every output that the provider made for a slot of this job, against the slot's fate."""
    slots = {slot["ordinal"]: slot for slot in seen.slots}
    # What no row names was still made for the slot that its webhook names.
    made = {
        (one.bought_for.ordinal, one.bought_for.attempt): one
        for one in seen.bought.values()
        if one.bought_for is not None and one.bought_for.job == seen.id
    } | {
        (row["ordinal"], row["attempt"]): seen.bought[row["prediction_id"]]
        for row in seen.predictions
        if row["prediction_id"] in seen.bought
    }
    for (ordinal, attempt), one in made.items():
        if one.ended != "succeeded":
            continue
        judged.counts["outputs"] += len(one.files)
        slot = slots.get(ordinal)
        if slot is None:
            judged.lost.append(
                Finding(one.prediction, f"it succeeded for slot {ordinal}, which is gone")
            )
        elif slot["state"] == "stored" and slot["winner"] == attempt:
            _judge_files(seen, slot, one, judged)
        elif slot["state"] == "stored":
            judged.counts["outputs_spare"] += len(one.files)
        elif slot["state"] == "failed":
            judged.counts["outputs_failed"] += len(one.files)
            if attempt == slot["attempt"] and _refuted(slot["failure_code"], one):
                judged.lost.append(
                    Finding(
                        one.prediction,
                        f"it succeeded, and slot {_slot_id(slot)} failed as"
                        f" {slot['failure_code']}: {slot['failure_detail']}",
                    )
                )
        elif slot["state"] == "canceled":
            judged.counts["outputs_canceled"] += len(one.files)
            if not seen.has_ended:
                judged.lost.append(
                    Finding(
                        one.prediction,
                        f"it succeeded, and slot {_slot_id(slot)} is canceled in an open job",
                    )
                )
    for slot in _taken_over(seen):
        _judge_taken_over(seen, slot, made, judged)
    judged.unaccounted += _from_nowhere(seen, made)
    for slot in seen.slots:
        if slot["state"] == "failed":
            judged.counts[f"slots_failed_{slot['failure_code']}"] += 1


def _taken_over(seen: Seen) -> Iterator[Row]:
    return (slot for slot in seen.slots if slot["reused_from"] is not None)


def _judge_taken_over(
    seen: Seen, slot: Row, made: Mapping[tuple[int, int], Bought], judged: Judged
) -> None:
    """A slot that came stored holds what another job's purchase made, and is not bought as well."""
    whose = For(slot["reused_from"], slot["ordinal"], slot["winner"])
    judged.counts["slots_taken_over"] += 1
    for (ordinal, attempt), one in made.items():
        if ordinal == slot["ordinal"]:
            judged.duplicated.append(
                Finding(
                    one.prediction,
                    f"slot {_slot_id(slot)} was taken over from {whose}, and bought as well,"
                    f" as attempt {attempt}",
                )
            )
    sold = seen.before.get(whose)
    if sold is None or sold.ended != "succeeded":
        what = "was never sold" if sold is None else f"has {sold.ended or 'not ended'}"
        judged.unaccounted.append(
            Finding(_slot_id(slot), f"it is said to be taken over from {whose}, which {what}")
        )
        return
    _judge_files(seen, slot, sold, judged)


def _refuted(code: str, one: Bought) -> bool:
    """Whether what the provider knows of a purchase that succeeded contradicts this reason."""
    if code == "no_output":
        return bool(one.files)
    good = bool(one.files) and not one.spoiled
    return code in REFUTED_BY_SUCCESS or (good and code in REFUTED_BY_GOOD_FILES)


def _judge_files(seen: Seen, slot: Row, one: Bought, judged: Judged) -> None:
    """Each file of the winner is ours byte for byte, or skipped with its reason."""
    ours = {
        file["index"]: file
        for file in seen.artifacts
        if file["kind"] == "generated"
        and (file["ordinal"], file["attempt"]) == (slot["ordinal"], slot["winner"])
    }
    skipped = {skip["index"] for skip in slot["skipped"] if skip.get("why")}
    for index, file in enumerate(one.files):
        about = f"output {index} of {one.prediction} for slot {_slot_id(slot)}"
        artifact = ours.get(index)
        if artifact is None and index in skipped and not one.spoiled:
            judged.lost.append(
                Finding(one.prediction, f"{about} was skipped, and nothing was wrong with it")
            )
        elif artifact is None and index in skipped:
            judged.counts["outputs_skipped"] += 1
        elif artifact is None:
            judged.lost.append(
                Finding(one.prediction, f"{about} is neither stored nor skipped with a reason")
            )
        elif not _same(artifact, file):
            judged.lost.append(
                Finding(
                    one.prediction,
                    f"{about} has sha256 {file.sha256[:12]}…; {artifact['key']} is said to have"
                    f" {artifact['sha256'][:12]}…",
                )
            )
        else:
            judged.counts["outputs_stored"] += 1
            judged.expected.append(Expected(artifact["key"], file.bytes, file.sha256, about))
    judged.expected += [
        Expected(
            file["key"], file["bytes"], file["sha256"], f"{file['variant']} of {_slot_id(slot)}"
        )
        for file in seen.artifacts
        if file["kind"] == "derived" and file["ordinal"] == slot["ordinal"]
    ]


def _from_nowhere(seen: Seen, made: Mapping[tuple[int, int], Bought]) -> Iterator[Finding]:
    for file in seen.artifacts:
        if file["kind"] != "generated":
            continue
        one = made.get((file["ordinal"], file["attempt"]))
        if one is not None and file["index"] >= len(one.files):
            yield Finding(
                one.prediction, f"{file['key']} is said to be its output, and it made no such file"
            )


def _judge_report(seen: Seen, judged: Judged) -> None:
    job = seen.job
    if job["report"] == "published":
        reports = [file for file in seen.artifacts if file["key"] == job["report_key"]]
        if not reports:
            judged.lost.append(Finding(seen.id, "its report is published and no file of ours"))
        for file in reports[:1]:
            judged.counts["reports"] += 1
            judged.expected.append(
                Expected(file["key"], file["bytes"], file["sha256"], f"the report of job {seen.id}")
            )
        if not seen.facts.get("report.published"):
            judged.stuck.append(Finding(seen.id, "its report is published, and no fact says so"))
    elif job["report"] == "failed":
        judged.counts["reports_failed"] += 1


def _same(artifact: Row, file: File) -> bool:
    return (artifact["bytes"], artifact["sha256"]) == (file.bytes, file.sha256)


def _slot_id(slot: Row) -> str:
    return f"{slot['job_id']}.{slot['ordinal']}"


def _purchase_id(row: Row) -> str:
    return f"{row['job_id']}.{row['ordinal']}.{row['attempt']}"


def _counted(said: Mapping[str, int]) -> str:
    return ", ".join(f"{count} × {fact}" for fact, count in said.items())
