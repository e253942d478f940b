"""What each account may do at the broker, worked out from the topology.

RabbitMQ asks three expressions (configure, write, read) about each queue and exchange that an
operation touches, and two more (write, read) about routing keys at a topic exchange. An account
without the latter may use every routing key, so each account here has them.
"""

import json
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from shared.messaging.topology import (
    EXCHANGE,
    FOR_OTHERS,
    FROM_OTHERS,
    QUEUES,
    SERVICES,
    Service,
)
from shared.rights.accounts import (
    KEDA,
    OPERATOR,
    PUBLISHER,
    SUBSCRIBER,
    TOPOLOGY,
    account,
)

NOTHING = "^$"
EVERYTHING = ".*"
# What the broker calls the exchange without a name, which leads to the queue that the key names.
DEFAULT_EXCHANGE = "amq.default"
# Queues that the broker names itself, for a look that ends with its connection.
OWN_WATCH = r"amq\.gen-.+"
# Other teams' queues lie under this name, whoever they are, and are kept this long at the most.
SUBSCRIBERS_QUEUES = r"subscriber\..+"
SUBSCRIBERS_KEEP = 100_000


@dataclass(frozen=True, slots=True, kw_only=True)
class BrokerRights:
    """The five expressions of one account; ``tags`` open the management pages to it."""

    configure: str = NOTHING
    write: str = NOTHING
    read: str = NOTHING
    routes_to: str = NOTHING  # routing keys that it may publish by
    binds_by: str = NOTHING  # routing keys that it may bind a queue by
    tags: tuple[str, ...] = ()


def of_service(service: Service) -> BrokerRights:
    """What ``service`` needs to listen and to state, and nothing beside."""
    exchanges = [EXCHANGE] if service.states else []
    if service.returns:
        exchanges.append(DEFAULT_EXCHANGE)
    states = {fact for known in SERVICES for fact in known.states} if service.returns else ()
    own = OWN_WATCH if service.watches else None
    watched = [EXCHANGE] if service.watches else []
    return BrokerRights(
        configure=one_of([], and_like=own),
        write=one_of(exchanges, and_like=own),
        read=one_of([*watched, *(queue.name for queue in service.listens)], and_like=own),
        binds_by=one_of(service.watches),
        # Who brings back relays everybody's facts, also those of other teams.
        routes_to=one_of({*service.states, *states, *(FROM_OTHERS if service.returns else ())}),
    )


def one_of(names: Iterable[str], *, and_like: str | None = None) -> str:
    """The expression that takes exactly ``names``, and what is like ``and_like``."""
    told = [re.escape(name).replace(r"\_", "_") for name in sorted(set(names))]
    if and_like is not None:
        told.append(and_like)
    return f"^({'|'.join(told)})$" if told else NOTHING


_QUEUES = tuple(queue.name for queue in QUEUES)

RIGHTS: Mapping[str, BrokerRights] = {
    **{service.name: of_service(service) for service in SERVICES},
    PUBLISHER: BrokerRights(write=one_of([EXCHANGE]), routes_to=one_of(FROM_OTHERS)),
    SUBSCRIBER: BrokerRights(
        configure=one_of([], and_like=SUBSCRIBERS_QUEUES),
        write=one_of([], and_like=SUBSCRIBERS_QUEUES),
        read=one_of([EXCHANGE], and_like=SUBSCRIBERS_QUEUES),
        binds_by=one_of(FOR_OTHERS),
    ),
    # Orders, cancels, and looks on at everything that passes; touches no queue of a service.
    OPERATOR: BrokerRights(
        configure=one_of([], and_like=OWN_WATCH),
        write=one_of([EXCHANGE], and_like=OWN_WATCH),
        read=one_of([EXCHANGE], and_like=OWN_WATCH),
        routes_to=one_of(FROM_OTHERS),
        binds_by=EVERYTHING,
    ),
    # A passive declare asks for no right at all; the pages' numbers want the tag.
    KEDA: BrokerRights(tags=("monitoring",)),
    # Declares and binds. Dead letters go by the exchange without a name, which is asked about too.
    TOPOLOGY: BrokerRights(
        configure=one_of([EXCHANGE, *_QUEUES]),
        write=one_of([EXCHANGE, DEFAULT_EXCHANGE, *_QUEUES]),
        read=one_of([EXCHANGE, *_QUEUES]),
        binds_by=EVERYTHING,
    ),
}


def definitions(
    vhost: str, hashes: Mapping[str, str], *, parties: Iterable[str] = RIGHTS
) -> dict[str, object]:
    """What ``rabbitmqctl import_definitions`` and the management API take, for ``parties``.

    ``hashes``: the password hash of each party; whoever has none here cannot log in by password.
    """
    chosen = {party: RIGHTS[party] for party in parties}
    return {
        "users": [
            {
                "name": account(party),
                "password_hash": hashes.get(party, ""),
                "hashing_algorithm": "rabbit_password_hashing_sha256",
                "tags": ",".join(rights.tags),
            }
            for party, rights in chosen.items()
        ],
        "permissions": [
            {
                "user": account(party),
                "vhost": vhost,
                "configure": rights.configure,
                "write": rights.write,
                "read": rights.read,
            }
            for party, rights in chosen.items()
        ],
        "topic_permissions": [
            {
                "user": account(party),
                "vhost": vhost,
                "exchange": EXCHANGE,
                "write": rights.routes_to,
                "read": rights.binds_by,
            }
            for party, rights in chosen.items()
        ],
        "policies": [_subscribers_policy(vhost)],
    }


def commands(vhost: str) -> list[str]:
    """The same as lines for a shell; each password is asked for on the terminal."""
    lines = []
    for party, rights in RIGHTS.items():
        user = account(party)
        lines += [
            f"rabbitmqctl add_user {user}",
            f"rabbitmqctl set_user_tags {user} {' '.join(rights.tags)}".rstrip(),
            f"rabbitmqctl set_permissions -p {_quoted(vhost)} {user} "
            + " ".join(_quoted(e) for e in (rights.configure, rights.write, rights.read)),
            f"rabbitmqctl set_topic_permissions -p {_quoted(vhost)} {user} {EXCHANGE} "
            + " ".join(_quoted(e) for e in (rights.routes_to, rights.binds_by)),
        ]
    policy = _subscribers_policy(vhost)
    lines.append(
        f"rabbitmqctl set_policy -p {_quoted(vhost)} --apply-to {policy['apply-to']} {policy['name']} "
        f"{_quoted(str(policy['pattern']))} {_quoted(json.dumps(policy['definition']))}"
    )
    return lines


def _subscribers_policy(vhost: str) -> dict[str, object]:
    # A queue that its team forgot must not fill the broker for everybody.
    return {
        "vhost": vhost,
        "name": "darkroom-subscribers",
        "pattern": f"^{SUBSCRIBERS_QUEUES}$",
        "apply-to": "queues",
        "priority": 0,
        "definition": {"max-length": SUBSCRIBERS_KEEP, "overflow": "drop-head"},
    }


def _quoted(text: str) -> str:
    return "'" + text.replace("'", "'\\''") + "'"
