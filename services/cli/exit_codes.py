"""What the exit code of a command means: the same of every command."""

from collections.abc import Mapping
from enum import IntEnum


class ExitCode(IntEnum):
    """``docs/commands.md`` has them as a table."""

    DONE = 0
    FOUND = 1
    USAGE = 2
    UNREACHABLE = 3
    CANCELED = 4
    INTERRUPTED = 130


MEANINGS: Mapping[ExitCode, str] = {
    ExitCode.DONE: "Done; nothing is wrong; the job completed, and its report is published.",
    ExitCode.FOUND: (
        "The answer is no: something was found (`audit`, `doctor`, `ledger`, `prove`, `status`), the "
        "job failed, what was named is not there, or what was asked for was refused."
    ),
    ExitCode.USAGE: "The command was not understood, or a setting is missing or wrong.",
    ExitCode.UNREACHABLE: (
        "A part did not answer (Postgres, RabbitMQ, the bucket, the provider), so nothing can be said."
    ),
    ExitCode.CANCELED: "The job that was followed was canceled.",
    ExitCode.INTERRUPTED: "Stopped from the keyboard; jobs go on without us.",
}
