"""The accounts of an installation. One name for one party, at broker, database and bucket alike."""

from shared.messaging.topology import SERVICES

# Other teams' services: one account for those that order, one for those that listen to us.
PUBLISHER = "publisher"
SUBSCRIBER = "subscriber"
# Whoever types `darkroom`; and the autoscaler, which counts messages.
OPERATOR = "operator"
KEDA = "keda"
# The two steps that prepare an installation: queues, and tables (whose owner runs `migrate`).
TOPOLOGY = "topology"

PARTIES = (
    *(service.name for service in SERVICES),
    *(PUBLISHER, SUBSCRIBER, OPERATOR, KEDA, TOPOLOGY),
)


def account(party: str) -> str:
    """The name that ``party`` logs in by: user, role or identity."""
    return f"darkroom_{party}"
