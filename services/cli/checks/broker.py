"""RabbitMQ: there, as the table says, and heard."""

from services.cli.checks.finding import Finding, bad, well
from services.cli.checks.settings import DoctorSettings
from shared.errors import BrokerUnavailable, Misconfigured
from shared.messaging.apply import check, unheard

CHECK = "rabbitmq"
APPLY = "darkroom topology apply"


async def look(chosen: DoctorSettings) -> list[Finding]:
    url = chosen.amqp_url.get_secret_value()
    try:
        differs = await check(url)
    except (BrokerUnavailable, Misconfigured) as error:
        mend = "see AMQP_URL (user, password, virtual host), and that RabbitMQ runs"
        return [bad(CHECK, str(error), mend)]
    found = [well(CHECK, "answers")]
    for line in differs:
        said, _, mend = line.partition("; ")
        found.append(bad("topology", said, mend or APPLY))
    if any(line.endswith("is missing") for line in differs):
        return found  # nobody can listen to what is not there
    if not differs:
        found.append(
            well("topology", "every queue, its limits and the exchange are as they should")
        )
    return found + await _heard(url)


async def _heard(url: str) -> list[Finding]:
    alone = await unheard(url)
    if not alone:
        return [well("consumers", "every queue has somebody who listens")]
    return [
        bad(
            "consumers",
            f"nobody listens to {queue}",
            f"start {_service(queue)} (on this machine `darkroom up`), or see its log",
        )
        for queue in alone
    ]


def _service(queue: str) -> str:
    """The service that a queue's name names; the dead letters are the reconciler's."""
    parts = queue.split(".")
    return parts[1] if len(parts) > 2 else "reconciler"
