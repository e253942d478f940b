"""A process that has loaded every library and not a line of ours: it forks for each run of tests.

Loading the libraries takes longer than most of the tests that are run. Asked by lines of JSON
(``arguments`` of pytest, ``output``: the file to print into); answers with the child's pid, and with
how it ended when it has. Run as a script, so that nothing of the project comes along.
"""

import importlib
import json
import os
import sys

LIBRARIES = (
    *("aio_pika", "aioboto3", "aiohttp", "asyncpg", "hypothesis", "hypothesis.stateful", "jinja2"),
    *("numpy", "pika", "PIL.Image", "prometheus_client", "pydantic", "pydantic_settings", "pytest"),
    *("pytest_asyncio.plugin", "replicate", "rich.console", "structlog", "svix", "typer", "uvloop"),
)
# Of two copies of a library the one that is loaded already counts.
QUIET = ("-W", "ignore::pytest.PytestAssertRewriteWarning")


def main() -> None:
    sys.path.pop(0)  # this script's own folder
    for name in LIBRARIES:
        importlib.import_module(name)
    answer({"warm": True})
    for line in sys.stdin:
        asked = json.loads(line)
        pid = os.fork()
        if pid == 0:
            run(asked["arguments"], asked["output"])
        answer({"pid": pid})
        _, status = os.waitpid(pid, 0)
        answer({"code": os.waitstatus_to_exitcode(status)})


def answer(said: dict[str, object]) -> None:
    sys.stdout.write(json.dumps(said) + "\n")
    sys.stdout.flush()


def run(arguments: list[str], output: str) -> None:
    """In the child: it never returns."""
    os.setsid()
    printed = os.open(output, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
    for stream in (1, 2):
        os.dup2(printed, stream)
    os.dup2(os.open(os.devnull, os.O_RDONLY), 0)
    code = 70
    try:
        import pytest

        code = int(pytest.main([*QUIET, *arguments]))
    finally:
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(code)


if __name__ == "__main__":
    main()
