"""The chart, rendered: what it makes of each set of values in its ``ci`` folder."""

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import yaml

from deploy.check.tools import ROOT, run

CHART = ROOT / "deploy" / "helm" / "darkroom"
NAMESPACE = "pictures"
RELEASE = "rel"

Document = dict[str, Any]


class NotRendered(Exception):
    """What Helm says instead of documents."""


def value_sets() -> list[Path]:
    return sorted((CHART / "ci").glob("*.yaml"))


def render(helm: Path, values: Path, *more: str) -> str:
    """The documents as text; ``more`` are further words for Helm, such as ``--set``."""
    words = ["template", RELEASE, CHART, "--namespace", NAMESPACE, "-f", values, *more]
    done = run([helm, *words])
    if done.returncode != 0:
        raise NotRendered(done.stderr.strip())
    return done.stdout


def documents(text: str) -> list[Document]:
    return [document for document in yaml.safe_load_all(text) if document]


def named(documents: Sequence[Document]) -> Iterator[tuple[str, Document]]:
    """Each with its kind and name, for messages."""
    for document in documents:
        yield f"{document['kind']}/{document['metadata']['name']}", document
