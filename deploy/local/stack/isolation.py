"""A database, a virtual host, a bucket for one test, on any parts: ours or somebody else's."""

import json
from abc import ABC, abstractmethod
from base64 import b64encode
from collections.abc import Mapping
from datetime import UTC, datetime
from http.client import HTTPConnection, HTTPSConnection
from urllib.parse import quote, unquote, urlsplit, urlunsplit

from deploy.local.stack import psql, sigv4
from deploy.local.stack.errors import StackError
from deploy.local.stack.rabbitmq import MANAGEMENT


class Isolation(ABC):
    """Makes and removes rooms of one's own on the parts that an environment names."""

    @abstractmethod
    def environment(self) -> dict[str, str]:
        """The variables that lead the services to the parts, and ``MANAGEMENT`` beside them."""

    def create_database(self, name: str, template: str | None = None) -> str:
        """Make a database, empty or a copy of ``template``, and give back its URL."""
        source = f" TEMPLATE {psql.quoted(template)}" if template else ""
        self._sql(f"CREATE DATABASE {psql.quoted(name)}{source}")
        return psql.with_database(self.environment()["DATABASE_URL"], name)

    def rename_database(self, name: str, to: str) -> None:
        self._sql(f"ALTER DATABASE {psql.quoted(name)} RENAME TO {psql.quoted(to)}")

    def has_database(self, name: str) -> bool:
        return name in self._sql("SELECT datname FROM pg_database").splitlines()

    def drop_database(self, name: str) -> None:
        """Remove a database, whoever is still connected to it."""
        self._sql(f"DROP DATABASE IF EXISTS {psql.quoted(name)} WITH (FORCE)")

    def create_vhost(self, name: str) -> str:
        """Make a virtual host that our user may do everything in, and give back its URL."""
        user = quote(unquote(urlsplit(self.environment()["AMQP_URL"]).username or ""), safe="")
        host = quote(name, safe="")
        everything = {"configure": ".*", "write": ".*", "read": ".*"}
        self._manage("PUT", f"/api/vhosts/{host}")
        self._manage("PUT", f"/api/permissions/{host}/{user}", everything)
        amqp = urlsplit(self.environment()["AMQP_URL"])
        return urlunsplit(amqp._replace(path=f"/{host}"))

    def drop_vhost(self, name: str) -> None:
        self._manage("DELETE", f"/api/vhosts/{quote(name, safe='')}")

    def create_bucket(self, name: str) -> str:
        self._s3("PUT", name)
        return name

    def drop_bucket(self, name: str) -> None:
        """Remove a bucket; SeaweedFS takes what is in it along."""
        self._s3("DELETE", name)

    def _sql(self, statement: str) -> str:
        # Not from inside the database that is copied, renamed or dropped.
        return psql.ask(
            psql.with_database(self.environment()["DATABASE_URL"], "postgres"), statement
        )

    def _manage(self, method: str, path: str, body: Mapping[str, str] | None = None) -> None:
        address = urlsplit(self.environment()[MANAGEMENT])
        login = f"{unquote(address.username or '')}:{unquote(address.password or '')}"
        kind = HTTPSConnection if address.scheme == "https" else HTTPConnection
        connection = kind(address.hostname or "", address.port, timeout=30)
        try:
            connection.request(
                method,
                path,
                body=json.dumps(body or {}),
                headers={
                    "authorization": f"Basic {b64encode(login.encode()).decode()}",
                    "content-type": "application/json",
                },
            )
            answer = connection.getresponse()
            said = answer.read().decode(errors="replace")
        finally:
            connection.close()
        if answer.status >= 400:
            raise StackError(f"RabbitMQ refused {method} {path}: {answer.status} {said}")

    def _s3(self, method: str, bucket: str) -> None:
        status = sigv4.send(
            method,
            self.environment()["S3_ENDPOINT_URL"],
            f"/{bucket}",
            access_key=self.environment()["AWS_ACCESS_KEY_ID"],
            secret_key=self.environment()["AWS_SECRET_ACCESS_KEY"],
            region=self.environment()["AWS_DEFAULT_REGION"],
            now=datetime.now(UTC),  # noqa: TID251  (a signature wants the wall clock)
            timeout=30,
        )
        if status >= 400:
            raise StackError(f"S3 refused {method} of the bucket {bucket}: {status}")
