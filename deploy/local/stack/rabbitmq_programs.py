"""Where RabbitMQ's programs come from: what is installed, else Debian's package."""

import contextlib
import fcntl
import os
import re
import shutil
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

from deploy.local.stack import shelter
from deploy.local.stack.errors import PartMissing, StackError
from deploy.local.stack.processes import PATH, run

Report = Callable[[str], None]

# Not Debian's /usr/sbin/rabbitmq-server: that one insists on its own user and its own paths.
INSTALLED = (
    Path("/usr/lib/rabbitmq/bin/rabbitmq-server"),
    Path("/opt/homebrew/sbin/rabbitmq-server"),
    Path("/usr/local/sbin/rabbitmq-server"),
)
POLICY = Path("/usr/sbin/policy-rc.d")
INSTALL_COMMAND = "apt-get update && apt-get install --no-install-recommends rabbitmq-server"
DENY_ALL = "#!/bin/sh\nexit 101\n"
PROXIES = ("http_proxy", "https_proxy", "no_proxy")  # the only way out of some networks
APT = {"PATH": PATH, "LC_ALL": "C.UTF-8", "DEBIAN_FRONTEND": "noninteractive"} | {
    name: os.environ[name]  # noqa: TID251  (apt's own setting, passed on as it is)
    for name in PROXIES
    if name in os.environ  # noqa: TID251
}
PATIENCE_S = 600.0  # a slow mirror, or somebody else's installation that has to end first


@dataclass(frozen=True, slots=True)
class Programs:
    server: Path  # rabbitmqctl lies beside it
    epmd: Path
    path: str  # the PATH on which the server finds Erlang


def find_or_fetch(tools: Path, report: Report) -> Programs:
    """Take what is there; else install it (root) or unpack it under ``tools`` (anybody)."""
    found = installed() or unpacked(tools)
    if found is not None:
        return found
    if shutil.which("apt-get", path=PATH) is None:
        raise PartMissing(
            "RabbitMQ is missing and there is no apt-get here: install it, on a Mac with"
            " `brew install rabbitmq`, and run this again."
        )
    with _alone(tools):
        found = installed() or unpacked(tools) or _fetch(tools, report)
    if found is None:
        raise PartMissing(
            f"RabbitMQ is missing and could not be fetched: install it with `{INSTALL_COMMAND}`."
        )
    return found


def installed() -> Programs | None:
    epmd = shutil.which("epmd", path=PATH)
    on_path = shutil.which("rabbitmq-server", path=PATH)
    candidates = [*INSTALLED, *([Path(on_path)] if on_path else [])]
    for server in candidates:
        if server.exists() and epmd is not None:
            return Programs(server, Path(epmd), PATH)
    return None


def unpacked(tools: Path) -> Programs | None:
    tree = tools / "rabbitmq"
    erlang = tree / "usr/lib/erlang"
    servers = sorted(tree.glob("usr/lib/rabbitmq/lib/rabbitmq_server-*/sbin/rabbitmq-server"))
    epmds = sorted(erlang.glob("erts-*/bin/epmd"))
    if not servers or not epmds:
        return None
    _settle_erlang(erlang)
    return Programs(servers[-1], epmds[-1], f"{erlang / 'bin'}:{PATH}")


def _fetch(tools: Path, report: Report) -> Programs | None:
    if os.geteuid() == 0:
        install(report)
        if installed() is not None:
            return installed()
    unpack(tools, report)
    return unpacked(tools)


def install(report: Report) -> None:
    """Install Debian's package without letting it start, now or at the next boot."""
    report("installing RabbitMQ with apt-get (once; about 10 s, 40 MB to fetch)")
    with services_stay_down():
        words = ("install", "-y", "--no-install-recommends", "rabbitmq-server")
        wait = ("-o", "DPkg::Lock::Timeout=300")
        if apt_get(*wait, *words) is not None:
            report("reading the package lists with apt-get update")
            apt_get("update")
            complaint = apt_get(*wait, *words)
            if complaint is not None:
                report(f"apt-get could not install it: {complaint}")
                return
    # We start nodes of our own; the machine's service would only hold the usual ports.
    done = run(["update-rc.d", "rabbitmq-server", "disable"], environment=APT)
    if done.returncode != 0:
        report("RabbitMQ's own service could not be disabled: it may start at the next boot")


def unpack(tools: Path, report: Report) -> None:
    """Fetch the package and its Erlang, and unpack them where no rights are needed."""
    report(f"fetching RabbitMQ for {tools} (once; about 35 MB)")
    drafts = tools / "rabbitmq.draft"
    shutil.rmtree(drafts, ignore_errors=True)
    downloads, tree = drafts / "debs", drafts / "tree"
    downloads.mkdir(parents=True)
    tree.mkdir()
    complaint = _download((), downloads)
    if complaint is not None:
        # No lists, or old ones; root's are not ours to renew.
        report("reading the package lists with apt-get update")
        private = _lists_of_our_own(tools)
        apt_get(*private, "update")
        complaint = _download(private, downloads)
    if complaint is not None:
        raise PartMissing(
            f"RabbitMQ is missing and could not be fetched ({complaint}): install it with"
            f" `{INSTALL_COMMAND}`."
        )
    for package in sorted(downloads.glob("*.deb")):
        done = run(["dpkg", "-x", package, tree], environment=APT, timeout=PATIENCE_S)
        if done.returncode != 0:
            raise StackError(f"{package.name} cannot be unpacked: {done.stderr.strip()}")
    shelter.open_to_all(tree)
    shutil.rmtree(tools / "rabbitmq", ignore_errors=True)
    tree.rename(tools / "rabbitmq")
    for leftover in (drafts, tools / "apt"):
        shutil.rmtree(leftover, ignore_errors=True)


def _download(private: tuple[str, ...], into: Path) -> str | None:
    """Fetch the broker and its Erlang; give back apt's complaint, or None if all went well."""
    kinds = ("recommends", "suggests", "conflicts", "breaks", "replaces", "enhances")
    asked = run(
        [
            "apt-cache",
            *private,
            "depends",
            "--recurse",
            *(f"--no-{kind}" for kind in kinds),
            "rabbitmq-server",
        ],
        environment=APT,
    )
    # What else it depends on (a C library, a shell) a Debian machine has anyway.
    erlang = {line for line in asked.stdout.splitlines() if re.fullmatch(r"erlang-[\w-]+", line)}
    return apt_get(*private, "download", "rabbitmq-server", *sorted(erlang), directory=into)


def _lists_of_our_own(tools: Path) -> tuple[str, ...]:
    """Options that let apt keep package lists without root's rights."""
    lists, cache = tools / "apt/lists", tools / "apt/cache"
    for directory in (lists, cache):
        directory.mkdir(parents=True, exist_ok=True)
    return (
        *("-o", f"Dir::State::Lists={lists}", "-o", f"Dir::Cache={cache}"),
        *("-o", "Debug::NoLocking=1"),
    )


def _settle_erlang(erlang: Path) -> None:
    """Tell ``erl`` where it lies: Debian wrote its place into the script."""
    script = erlang / "bin/erl"
    text = script.read_text()
    settled = re.sub(r"^ROOTDIR=.*$", f'ROOTDIR="{erlang}"', text, count=1, flags=re.MULTILINE)
    if settled != text:
        draft = script.with_suffix(".draft")
        draft.write_text(settled)
        draft.chmod(0o755)
        draft.replace(script)


def apt_get(*words: str, directory: Path | None = None) -> str | None:
    """Run apt-get; give back its complaint, or None if all went well."""
    done = run(["apt-get", "-q", *words], environment=APT, directory=directory, timeout=PATIENCE_S)
    if done.returncode == 0:
        return None
    complaints = [line for line in done.stderr.splitlines() if line.startswith("E:")]
    return (complaints or [f"code {done.returncode}"])[-1].removeprefix("E:").strip()


@contextlib.contextmanager
def services_stay_down() -> Iterator[None]:
    """Forbid packages to start services while we install; whatever policy there was returns."""
    if _policy_denies():
        yield
        return
    kept = POLICY.with_name("policy-rc.d.before-darkroom")
    if POLICY.exists():
        POLICY.rename(kept)
    POLICY.write_text(DENY_ALL)
    POLICY.chmod(0o755)
    try:
        yield
    finally:
        POLICY.unlink(missing_ok=True)
        if kept.exists():
            kept.rename(POLICY)


def _policy_denies() -> bool:
    if not os.access(POLICY, os.X_OK):
        return False
    return run([POLICY, "rabbitmq-server", "start"], environment=APT).returncode == 101


@contextlib.contextmanager
def _alone(tools: Path) -> Iterator[None]:
    """One fetches at a time; the others find what it fetched."""
    tools.mkdir(parents=True, exist_ok=True)
    with (tools / "fetch.lock").open("w") as handle:
        fcntl.flock(handle, fcntl.LOCK_EX)
        yield
