"""How the ingress hands on what it has."""

from collections.abc import Awaitable, Callable

from shared.envelope import Envelope

# Returns when the broker has the event for good; raises BrokerUnavailable or Unroutable in time.
Publish = Callable[[Envelope], Awaitable[None]]
