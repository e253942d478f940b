"""Orders jobs from Darkroom over HTTP, follows them to their end, and believes its callbacks.

>>> from darkroom_client import Darkroom
>>> with Darkroom("https://darkroom.example.com", token="dk_…") as darkroom:
...     order = darkroom.submit("variations", source=darkroom.upload(photo, "image/jpeg"))
...     job = darkroom.wait(order.id)

It stands on httpx alone and takes nothing from the rest of this project. As httpx does, it goes through
the proxy that HTTPS_PROXY, HTTP_PROXY or ALL_PROXY names, but for the hosts of NO_PROXY; never to an
API that is asked by plain http, which is one on this machine.
"""

from darkroom_client.asynchronous import AsyncDarkroom
from darkroom_client.callbacks import Callback, NotGenuine, verify
from darkroom_client.errors import DarkroomError, NotYet, Refused, Unanswered
from darkroom_client.shapes import (
    Cost,
    Fault,
    File,
    Job,
    JobLine,
    Moment,
    Ordered,
    Slot,
    Standing,
    Upload,
)
from darkroom_client.synchronous import Darkroom

__all__ = [
    "AsyncDarkroom",
    "Callback",
    "Cost",
    "Darkroom",
    "DarkroomError",
    "Fault",
    "File",
    "Job",
    "JobLine",
    "Moment",
    "NotGenuine",
    "NotYet",
    "Ordered",
    "Refused",
    "Slot",
    "Standing",
    "Unanswered",
    "Upload",
    "verify",
]
