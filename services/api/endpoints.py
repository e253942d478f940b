"""Everything that can be asked: one table, which the server serves and the document describes."""

from dataclasses import dataclass

from services.api.answers import (
    Index,
    JobPage,
    JobStory,
    Ordered,
    Recipes,
    Standing,
    Upload,
    WebhookHealth,
)
from services.api.asked import Lately, WhichJobs, Wish
from services.api.problems import (
    CONFLICT,
    FLAWED,
    GONE,
    HAS_ENDED,
    NOT_JSON,
    ORDERED,
    STILL_OPEN,
    TOO_LARGE,
    TOO_SLOW,
    UNKNOWN_JOB,
    UNREADABLE,
    Kind,
)
from services.api.uploads import NewUpload
from shared.domain.token import Scope
from shared.events import UploadReceived

_OF_A_BODY = (UNREADABLE, TOO_SLOW, TOO_LARGE, NOT_JSON, FLAWED)


@dataclass(frozen=True, slots=True, kw_only=True)
class Endpoint:
    """``name`` is its operation in the document, in metrics and in logs. ``scope`` None: nobody is
    asked for a token. ``body`` and ``query`` are what it reads, ``answer`` the class that it writes
    (None: something else than JSON, as ``content`` says). ``keyed``: it heeds Idempotency-Key."""

    name: str
    method: str
    path: str
    summary: str
    told: str = ""
    scope: Scope | None
    status: int = 200
    answer: type | None
    content: str = "application/json"
    body: type | None = None
    body_needed: bool = True
    query: type | None = None
    keyed: bool = False
    also: tuple[int, ...] = ()
    refuses: tuple[Kind, ...] = ()


INDEX = Endpoint(
    name="index",
    method="GET",
    path="/v1",
    summary="Where things are",
    scope=None,
    answer=Index,
)
PLACE = Endpoint(
    name="placeOrder",
    method="POST",
    path="/v1/jobs",
    summary="Order a job",
    told="The order is on record when this is answered. With an Idempotency-Key, or a job_id of"
    " yours, the same order may be sent any number of times; another one under the same key is"
    " refused. Fields that nobody here reads are noted on the job.",
    scope=Scope.WRITE,
    status=202,
    answer=Ordered,
    body=UploadReceived,
    keyed=True,
    refuses=(*_OF_A_BODY, CONFLICT, GONE),
)
LIST = Endpoint(
    name="listJobs",
    method="GET",
    path="/v1/jobs",
    summary="The latest jobs",
    scope=Scope.READ,
    answer=JobPage,
    query=WhichJobs,
    refuses=(FLAWED,),
)
SHOW = Endpoint(
    name="showJob",
    method="GET",
    path="/v1/jobs/{job_id}",
    summary="One job: how it stands, its files, its story, its cost",
    scope=Scope.READ,
    answer=JobStory,
    refuses=(UNKNOWN_JOB, GONE),
)
EVENTS = Endpoint(
    name="followJob",
    method="GET",
    path="/v1/jobs/{job_id}/events",
    summary="One job, live",
    told="Server-sent events. `snapshot` comes first and tells all of it; `change` tells the head"
    " anew, and of the slots those that are different; `end` tells all of it for the last time, and"
    " the stream closes. Every event's id names the state that it leads to. Who comes back with"
    " Last-Event-ID is told what is new since; who has the end already is answered 204, after which"
    " browsers do not come back. Who is slow gets the newest state instead of each one. Browsers,"
    " which send no header here, take `events_url` of the job with its ticket; where there is no room"
    " for them, the stream ends at once with a `retry`, after which they come back by themselves."
    " A stream ends half a minute at the latest after its token, or its ticket's, is revoked.",
    scope=Scope.READ,
    answer=Standing,
    content="text/event-stream",
    also=(204,),
    refuses=(UNKNOWN_JOB, GONE),
)
CANCEL = Endpoint(
    name="cancelJob",
    method="POST",
    path="/v1/jobs/{job_id}/cancel",
    summary="End a job now",
    told="Nothing more is bought for it, what runs is stopped, and what is stored stays. The wish is"
    " on record when this is answered; the job ends a moment later.",
    scope=Scope.WRITE,
    status=202,
    answer=Ordered,
    body=Wish,
    body_needed=False,
    refuses=(*_OF_A_BODY, UNKNOWN_JOB, HAS_ENDED, GONE),
)
RETRY = Endpoint(
    name="retryJob",
    method="POST",
    path="/v1/jobs/{job_id}/retry",
    summary="Order once more what a job was ordered for",
    told="A new job that names this one as retry_of, with the same parameters and the original that"
    " is here already. What is stored of this one is copied and costs nothing; only the slots that"
    " failed, were lost or were canceled are bought. So is what a recipe would do otherwise by now.",
    scope=Scope.WRITE,
    status=202,
    answer=Ordered,
    keyed=True,
    refuses=(FLAWED, UNKNOWN_JOB, STILL_OPEN, CONFLICT, GONE, TOO_LARGE),
)
UPLOAD = Endpoint(
    name="beginUpload",
    method="POST",
    path="/v1/uploads",
    summary="A place for the original of a job to be ordered",
    told="Put the file there, then order with the job_id and the source of this answer. With an"
    " Idempotency-Key the job is the one that the same key orders; once that is ordered, the answer is"
    " 409 ordered, and its instance is the job.",
    scope=Scope.WRITE,
    status=201,
    answer=Upload,
    body=NewUpload,
    keyed=True,
    refuses=(*_OF_A_BODY, ORDERED),
)
RECIPES = Endpoint(
    name="listRecipes",
    method="GET",
    path="/v1/recipes",
    summary="What can be ordered",
    scope=Scope.READ,
    answer=Recipes,
)
WEBHOOKS = Endpoint(
    name="webhookHealth",
    method="GET",
    path="/v1/health/webhooks",
    summary="How webhooks and jobs have fared lately",
    scope=Scope.READ,
    answer=WebhookHealth,
    query=Lately,
    refuses=(FLAWED,),
)
DOCUMENT = Endpoint(
    name="document",
    method="GET",
    path="/v1/openapi.json",
    summary="This document",
    scope=None,
    answer=None,
)
PAGE = Endpoint(
    name="documentation",
    method="GET",
    path="/v1/docs",
    summary="This document, to be read",
    scope=None,
    answer=None,
    content="text/html",
)

STYLE = Endpoint(
    name="style",
    method="GET",
    path="/v1/docs.css",
    summary="How that page looks",
    scope=None,
    answer=None,
    content="text/css",
)

ENDPOINTS = (
    INDEX,
    PLACE,
    LIST,
    SHOW,
    EVENTS,
    CANCEL,
    RETRY,
    UPLOAD,
    RECIPES,
    WEBHOOKS,
    DOCUMENT,
    PAGE,
    STYLE,
)
