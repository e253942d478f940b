"""Order a job once more from the command line."""

from typing import Annotated
from uuid import UUID, uuid4

import typer
from pydantic import ValidationError

from services.cli import completing
from services.cli.environment import settings
from services.cli.live import FollowSettings, JsonLines, Tongue, follow, how_it_ended, shown
from services.cli.naming import read_name, the_job
from services.cli.telling import AsJson, document, fail, run
from shared.clock import utc_now
from shared.db import jobs, journal, retention
from shared.db.connection import Connection, open_database
from shared.errors import Permanent
from shared.events import UploadReceived, adapter, state
from shared.once_more import OnceMore, once_more, said
from shared.recipes import validated
from shared.settings import BucketSettings
from shared.validation import sentence


class RetrySettings(FollowSettings, BucketSettings):
    """What ordering a job once more needs: its rows, its original, and somebody to tell."""


def retry(
    job_id: Annotated[
        str,
        typer.Argument(
            help="The id of a job, or how it begins (8 digits or more).",
            metavar="ID",
            autocompletion=completing.job_ids,
        ),
    ],
    as_job: Annotated[
        str | None,
        typer.Option(
            "--job-id", help="The new job, a uuid: the same command may then be repeated."
        ),
    ] = None,
    watch: Annotated[
        bool,
        typer.Option(
            "--watch", "--wait", help="Follow the new job to its end; --wait is the older name."
        ),
    ] = False,
    locale: Annotated[Tongue, typer.Option(help="The language of what is shown.")] = Tongue.EN,
    as_json: AsJson = False,
) -> None:
    """Order once more what an ended job was ordered for; prints the new job's id.

    What is stored of it is copied and costs nothing: only the slots that failed, were lost or were
    canceled are bought.
    """
    name = read_name(job_id)
    try:
        again = UUID(as_job) if as_job else uuid4()
    except ValueError:
        raise typer.BadParameter(f"{as_job!r} is no uuid", param_hint="--job-id") from None
    where = settings(RetrySettings)
    try:
        old = run(_order_again(where, name, again), cannot="not ordered")
    except Permanent as error:
        fail(f"not ordered: {error}")
    if as_json:
        document({"job_id": again, "retry_of": old})
    else:
        typer.echo(str(again))
    if watch:
        show = JsonLines() if as_json else shown(locale)
        views = run(follow(where, [again], show=show))
        raise typer.Exit(how_it_ended(views[again]))


async def _order_again(where: RetrySettings, name: UUID | str, again: UUID) -> UUID:
    """Lay the original beside the new job, then publish its order. The job that it does again."""
    from shared.messaging.publisher import open_publisher
    from shared.objects import ObjectMissing, open_bucket

    async with open_database(where.database_url.get_secret_value(), name="cli") as database:
        async with database.connection() as tx:
            old = await the_job(tx, name)
            job = await jobs.get(tx, old)
            first = await journal.order_of(tx, old)
            buried = job is None and await retention.is_buried(tx, old)
            if not await _is_free(tx, again, of=old):
                raise Permanent(f"there is another job {again} already")
    if job is None:
        said = "was deleted after its retention" if buried else "is not known here"
        raise Permanent(f"job {old} {said}")
    if job.is_open:
        raise Permanent(f"job {old} has not ended; cancel it first, or wait")
    wanted = once_more(job, first, again)
    fact = _checked(wanted)
    if wanted.original is not None and wanted.to is not None:
        async with open_bucket(where) as bucket:
            try:
                await bucket.copy(wanted.original, wanted.to)
            except ObjectMissing:
                raise Permanent("the original of this job is not kept any more") from None
    async with open_publisher(where.amqp_url.get_secret_value(), name="darkroom-cli") as publisher:
        await publisher.publish(state(fact, source="cli", now=utc_now()))
    return old


async def _is_free(tx: Connection, again: UUID, *, of: UUID) -> bool:
    """Whether the job ``again`` is to come, or does ``of`` once more already: beside any other one
    nothing is laid."""
    there = await jobs.get(tx, again)
    if there is not None:
        return there.retry_of == of
    ordered = said(await journal.order_of(tx, again))
    return not ordered or ordered.get("retry_of") == str(of)


def _checked(wanted: OnceMore) -> UploadReceived:
    """Raises Permanent where the job could not be ordered today."""
    from services.cli import reading

    try:
        fact = adapter(UploadReceived).validate_python(wanted.body)
    except ValidationError as error:
        raise Permanent(sentence(error, whole="the order")) from None
    validated(reading.the_recipe(fact.recipe), fact.params)
    reading.check_order(fact)
    return fact
