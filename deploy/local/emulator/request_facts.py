"""What a handler learns about a request that the witness shall write down with it."""

from aiohttp import web

PREDICTION = web.RequestKey("prediction", str)
FAULT = web.RequestKey("fault", str)
TORN = web.RequestKey("torn", bool)  # the connection was closed under the caller
