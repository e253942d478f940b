"""The accounts of a private installation: each service logs in as itself, and may do what the
tables of rights say. What it needs and lacks is an error here, before it is one in production."""

import asyncio
from collections.abc import Mapping
from dataclasses import dataclass
from urllib.parse import quote, unquote, urlsplit, urlunsplit

from deploy.local.stack.rabbitmq import MANAGEMENT
from deploy.local.stack.s3 import derived
from shared.db.roles import apply_roles
from shared.messaging.users import apply_users, vhost_of
from shared.rights import broker, bucket, database
from shared.rights.accounts import account

# Who calls the provider; the others have no business with its token.
BUYERS = ("generator", "reconciler")


@dataclass(frozen=True, slots=True, kw_only=True)
class Logins:
    """``with_bucket``: the bucket knows the accounts too, which it does where the stack is ours."""

    with_bucket: bool = True

    def of(self, service: str, variables: Mapping[str, str]) -> dict[str, str]:
        """What ``service`` gets of ``variables``, which name an administrator: its own accounts in
        their place, and nothing of what it has no account for."""
        own = dict(variables)
        own["AMQP_URL"] = as_party(own["AMQP_URL"], service)
        if service in database.RIGHTS:
            own["DATABASE_URL"] = as_party(own["DATABASE_URL"], service)
        else:
            own.pop("DATABASE_URL", None)
        if service not in BUYERS:
            own.pop("REPLICATE_API_TOKEN", None)
        if service not in bucket.RIGHTS:
            for name in [name for name in own if name.startswith(("S3_", "AWS_"))]:
                del own[name]
        elif self.with_bucket:
            own["AWS_ACCESS_KEY_ID"] = account(service)
            own["AWS_SECRET_ACCESS_KEY"] = derived(own["AWS_SECRET_ACCESS_KEY"], service)
        return own


def as_party(url: str, party: str) -> str:
    """The address by which ``party`` goes where ``url`` leads an administrator."""
    parts = urlsplit(url)
    word = quote(derived(_password(url), party), safe="")
    host = parts.netloc.rpartition("@")[2]
    return urlunsplit(parts._replace(netloc=f"{account(party)}:{word}@{host}"))


def create_users(parts: Mapping[str, str]) -> None:
    """Make the accounts of the broker, with their rights in the virtual host of ``parts``."""
    url = parts["AMQP_URL"]
    passwords = {party: derived(_password(url), party) for party in broker.RIGHTS}
    asyncio.run(apply_users(parts[MANAGEMENT], vhost_of(url), passwords))


def create_roles(database_url: str) -> None:
    """Make the roles of the database, with their rights to its tables."""
    passwords = {party: derived(_password(database_url), party) for party in database.RIGHTS}
    apply_roles(database_url, passwords)


def _password(url: str) -> str:
    return unquote(urlsplit(url).password or "")
