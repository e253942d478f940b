"""Where the parts' files may lie, so that the unprivileged user who runs them can reach them.

Root usually clones into its own home, which nobody else may enter. Then the files go to a directory
of ours under /var/tmp, and the programs they need are copied there; no door is opened elsewhere.
"""

import hashlib
import os
import shutil
import stat
from collections.abc import Callable
from pathlib import Path

from deploy.local.stack.errors import StackError
from deploy.local.stack.processes import PATH, Account, run

PUBLIC = Path("/var/tmp")  # noqa: S108  (survives a reboot, and our directory's owner is checked)


def home_of(root: Path, run_as: Account | None, report: Callable[[str], None]) -> Path:
    if run_as is None or can_enter(root, run_as):
        return root
    home = elsewhere(root)
    report(f"{root} is closed to the user who runs the servers, so their files lie in {home}")
    home.mkdir(mode=0o755, exist_ok=True)
    _refuse_if_foreign(home, run_as)
    return home


def elsewhere(root: Path) -> Path:
    """Where the files of a root lie that the servers cannot reach."""
    return PUBLIC / f"darkroom-{hashlib.sha256(str(root).encode()).hexdigest()[:12]}"


def _refuse_if_foreign(path: Path, run_as: Account | None) -> None:
    """Anybody may have made a directory, or a link, under a name that can be foretold."""
    found = path.lstat()
    ours = {os.geteuid()} | ({run_as.uid} if run_as is not None else set())
    if not stat.S_ISDIR(found.st_mode) or found.st_uid not in ours:
        raise StackError(f"{path} belongs to somebody else; remove it with `rm -r {path}`.")


def can_enter(directory: Path, user: Account) -> bool:
    """Ask the kernel, as that user: modes, groups and access lists all count."""
    return _as(user, "-x", directory)


def _as(user: Account, question: str, path: Path) -> bool:
    return run(["test", question, path], environment={"PATH": PATH}, run_as=user).returncode == 0


def own_directory(path: Path, run_as: Account | None) -> Path:
    """Make a directory that only the servers' user (and root) may enter."""
    path.mkdir(mode=0o700, exist_ok=True)
    _refuse_if_foreign(path, run_as)
    if run_as is not None:
        os.chown(path, run_as.uid, run_as.gid)
    return path


def own_file(path: Path, text: str, run_as: Account | None) -> Path:
    """Write a file that only the servers' user (and root) may read."""
    path.unlink(missing_ok=True)
    handle = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    with os.fdopen(handle, "w") as file:
        file.write(text)
        if run_as is not None:
            os.fchown(file.fileno(), run_as.uid, run_as.gid)
    return path


def within_reach(
    program: Path, tree: Path, home: Path, run_as: Account | None, *, beside: tuple[Path, ...] = ()
) -> Path:
    """Give back ``program``, or its copy under ``home`` when the servers' user cannot run it.

    ``tree`` is what must be copied with it: the file itself, or the directory that it lies in.
    ``beside`` are neighbours of the tree that its programs load from where it stands.
    """
    if run_as is None or _as(run_as, "-x", program):
        return program
    for neighbour in beside:
        _copied(neighbour, home)
    copy = _copied(tree, home)
    return copy / program.relative_to(tree) if tree.is_dir() else copy


def _copied(tree: Path, home: Path) -> Path:
    copy = home / "programs" / tree.name
    if not copy.exists():
        draft = copy.with_name(f"{copy.name}.draft")
        shutil.rmtree(draft, ignore_errors=True)
        draft.parent.mkdir(mode=0o755, exist_ok=True)
        if tree.is_dir():
            shutil.copytree(tree, draft, symlinks=True)
        else:
            shutil.copy2(tree, draft)
        open_to_all(draft)
        draft.rename(copy)
    return copy


def open_to_all(tree: Path) -> None:
    """Let everybody read the programs, however strict the mask was that they were unpacked with."""
    for path in (tree, *tree.rglob("*")):
        if not path.is_symlink():
            mode = path.stat().st_mode
            path.chmod(mode | 0o444 | (0o111 if mode & 0o100 else 0))
