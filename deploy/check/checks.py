"""The checks, each a function that returns a line about what it saw, or raises what is wrong."""

import json
import os
import shutil
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from jsonschema.validators import validator_for

from deploy.check import chart, chart_files, image, tools
from deploy.check.tools import ROOT, run
from deploy.local.system import SERVICES

KUBERNETES = ("1.30", "1.34", "1.37")
COMPOSE = ROOT / "compose.yaml"
IGNORED = tools.HERE / "trivyignore"
RULES = ROOT / "deploy" / "prometheus" / "rules.yaml"
# Where schemas of custom resources are looked for if CRDS says nothing.
BESIDE = (ROOT.parent / "crds", ROOT.parent / "shared" / "crds")
# What a user has to set where the provider is a real one; the names of the demonstration's defaults.
PASSWORDS = ("POSTGRES_PASSWORD", "RABBITMQ_PASSWORD", "AWS_SECRET_ACCESS_KEY")
# What jobs of the chart and of the compose file run, and how everything says that it has no settings.
STEPS = (
    ("migrate",),
    ("topology", "apply"),
    ("topology", "users"),
    ("doctor",),
    ("demo", "--running"),
)
LACKS_SETTINGS = 2
LEFT_OUT = (".git", ".venv", ".tools", ".darkroom", "node_modules")


class Bad(Exception):
    """What a tool found, in its own words."""


class NotRun(Exception):
    """Why a check had nothing to look at."""


@dataclass(frozen=True, slots=True)
class Check:
    name: str
    what: str
    run: Callable[[], str]


def _clean(done: Any, beside: str = "") -> str:
    """The tool's output; raises Bad with it where the tool is not content."""
    told = f"{done.stdout}{done.stderr}".strip()
    if done.returncode != 0:
        raise Bad(f"{beside}{told}")
    return told


def _beside(name: str) -> Path:
    """A program of the environment that this runs in."""
    return Path(sys.executable).parent / name


# ---- image and compose


def dockerfile() -> str:
    _clean(run([_beside("hadolint"), ROOT / "deploy" / "Dockerfile"]))
    return "hadolint has no remark"


def image_contents() -> str:
    """The lock file and our package alone, without an engine: everything that runs in the image
    begins, and what it lacks is settings, no module and no file."""
    there, steps = image.install()
    for done in steps:
        _clean(done)
    _clean(there.run(image.proof()), "its own proof: ")
    _clean(there.run(["python", "-c", "import deploy.local.emulator.__main__"]), "emulator: ")
    commands = [["python", "-m", f"services.{service}"] for service in SERVICES]
    commands += [["python", "-m", "services"], *(["darkroom", *words] for words in STEPS)]
    for words in commands:
        done = there.run(words)
        if done.returncode != LACKS_SETTINGS or "is missing" not in done.stderr:
            raise Bad(f"{' '.join(words)}: {done.returncode} {done.stdout}{done.stderr}".strip())
    return f"{len(commands)} commands begin, and ask for their settings"


def compose() -> str:
    """As a bare clone has it, with every profile, and with a real account but no passwords."""
    bare = dict.fromkeys((*PASSWORDS, "REPLICATE_API_TOKEN", "COMPOSE_PROFILES"), "")
    words = [_beside("docker-compose"), "-f", COMPOSE, "--env-file", os.devnull]
    _clean(run([*words, "config", "-q"], more=bare))
    _clean(run([*words, "--profile", "*", "config", "-q"], more=bare))
    real = bare | {"REPLICATE_API_TOKEN": "r8_of_an_account"}
    if run([*words, "config", "-q"], more=real).returncode == 0:
        raise Bad("a real account is accepted together with the demonstration's passwords")
    _clean(run([*words, "config", "-q"], more=real | dict.fromkeys(PASSWORDS, "chosen")))
    schema = ["--builtin-schema", "vendor.compose-spec"]
    _clean(run([_beside("check-jsonschema"), *schema, COMPOSE]))
    return "Compose's own parser and its schema; a real account is refused without passwords"


# ---- the chart


def lint() -> str:
    for name, helm in tools.helms().items():
        for values in chart.value_sets():
            words = ["lint", "--strict", chart.CHART, "-f", values]
            _clean(run([helm, *words]), f"{name}, {values.name}: ")
    return f"helm 3 and 4, {len(chart.value_sets())} sets of values"


def same() -> str:
    """Helm 3 and Helm 4 make the same of every set of values."""
    helms, count = tools.helms(), 0
    for values in chart.value_sets():
        ours, theirs = (
            dict(chart.named(chart.documents(chart.render(helms[name], values))))
            for name in ("helm3", "helm4")
        )
        differing = [key for key in ours.keys() | theirs.keys() if ours.get(key) != theirs.get(key)]
        if differing:
            raise Bad(f"{values.name}: {', '.join(sorted(differing))} differ")
        count += len(ours)
    return f"{count} documents, equal"


def current_schema() -> str:
    if old := chart_files.stale():
        raise Bad(f"a setting has changed: `make chart-schema` writes {', '.join(old)} anew")
    return "the schema of the values, and who is given what, follow from the settings"


def yaml_style() -> str:
    rules = "{extends: relaxed, rules: {line-length: disable}}"
    folder = chart.CHART
    files = [folder / "Chart.yaml", folder / "values.yaml", folder / "ci", COMPOSE]
    _clean(run([tools.python_tool("yamllint"), "--strict", "-d", rules, *files]))
    return "yamllint has no remark"


def kubernetes() -> str:
    validate, count = tools.python_tool("kubernetes-validate"), 0
    for values in chart.value_sets():
        text = chart.render(tools.helms()["helm4"], values)
        count += len(chart.documents(text))
        rendered = _kept(values, text)
        for version in KUBERNETES:
            words = ["--strict", "--no-warn", "--quiet", "-k", version, rendered]
            _clean(run([validate, *words]), f"{values.name}, Kubernetes {version}: ")
    return f"{count} documents, strictly, against {', '.join(KUBERNETES)}"


def custom_resources() -> str:
    """Against the schemas that their projects publish, where there is a folder of them:
    ``<group>/<kind>_<version>.json``, as in the public catalogue of such schemas. They are others'
    work, under licences of their own, and no part of this project."""
    folder = _schemas_of_others()
    seen: set[str] = set()
    unseen: set[str] = set()
    for values in chart.value_sets():
        documents = chart.documents(chart.render(tools.helms()["helm4"], values))
        for name, document in chart.named(documents):
            schema = _schema_of(folder, document)
            if schema is None:
                unseen |= {document["kind"]} if _is_custom(document) else set()
                continue
            seen.add(document["kind"])
            faults = list(validator_for(schema)(schema).iter_errors(document))
            if faults:
                told = "; ".join(f"{fault.json_path}: {fault.message}" for fault in faults)
                raise Bad(f"{values.name}, {name}: {told}")
    told = f"no schema of {', '.join(sorted(unseen))} in {folder}"
    if not seen:
        raise NotRun(told)
    return ", ".join(sorted(seen)) + (f"; {told}" if unseen else "")


def _schemas_of_others() -> Path:
    named = os.environ.get("CRDS")  # noqa: TID251 - a path for this check, no setting
    for folder in [Path(named)] if named else BESIDE:
        if folder.is_dir():
            return folder
    raise NotRun(
        "CRDS names no folder with the schemas of custom resources, and none lies beside the checkout"
    )


def _is_custom(document: chart.Document) -> bool:
    """Whether Kubernetes itself knows nothing of it."""
    group = document["apiVersion"].rpartition("/")[0]
    return "." in group and group != "networking.k8s.io"


def _schema_of(folder: Path, document: chart.Document) -> dict[str, Any] | None:
    group, _, version = document["apiVersion"].partition("/")
    path = folder / group / f"{document['kind'].lower()}_{version}.json"
    return json.loads(path.read_text(encoding="utf-8")) if path.exists() else None


def policy() -> str:
    """Misconfigurations of any weight, in what the chart makes and in the image."""
    words = ["config", "--quiet", "--skip-check-update", "--exit-code", "1"]
    words += ["--ignorefile", str(IGNORED)]
    looked_at = tools.TOOLS / "policy"
    shutil.rmtree(looked_at, ignore_errors=True)
    looked_at.mkdir(parents=True)
    shutil.copy(ROOT / "deploy" / "Dockerfile", looked_at)
    for values in chart.value_sets():
        text = chart.render(tools.helms()["helm4"], values)
        (looked_at / values.name).write_text(text, encoding="utf-8")
    _clean(run([tools.trivy(), *words, looked_at]))
    return f"trivy has no remark but those that {IGNORED.relative_to(ROOT)} gives a reason against"


def chart_tests() -> str:
    tools.helms()
    words = ["-m", "pytest", "-q", "-p", "no:randomly", "tests/deploy"]
    told = _clean(run([sys.executable, *words]))
    return told.splitlines()[-1]


def _kept(values: Path, text: str) -> Path:
    folder = tools.TOOLS / "rendered"
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / values.name
    path.write_text(text, encoding="utf-8")
    return path


# ---- what others read: rules, events, HTTP


def prometheus() -> str:
    if not RULES.exists():
        raise Bad("there are no rules")
    promtool = tools.promtool()
    _clean(run([promtool, "check", "rules", RULES]))
    told = ["rules"]
    settings = RULES.parent / "prometheus.yaml"
    _clean(run([promtool, "check", "config", settings]))
    told.append("settings")
    tests = sorted((RULES.parent / "tests").glob("*.yaml"))
    if not tests:
        raise Bad("the rules have no tests")
    _clean(run([promtool, "test", "rules", *tests]))
    told.append(f"{len(tests)} files of tests")
    return f"promtool: {', '.join(told)}"


def asyncapi() -> str:
    found = list(documents_of("asyncapi"))
    if not found:
        raise Bad("there is no AsyncAPI document")
    for path in found:
        _clean(run([*tools.asyncapi(), path]), f"{path.relative_to(ROOT)}: ")
    return f"AsyncAPI's parser: {', '.join(str(path.relative_to(ROOT)) for path in found)}"


def openapi() -> str:
    found = list(documents_of("openapi"))
    if not found:
        raise Bad("there is no OpenAPI document")
    validator = tools.python_tool("openapi-spec-validator")
    for path in found:
        _clean(run([validator, path]), f"{path.relative_to(ROOT)}: ")
    return f"openapi-spec-validator: {', '.join(str(path.relative_to(ROOT)) for path in found)}"


def schemas() -> str:
    found = sorted((ROOT / "docs").rglob("*.schema.json"))
    if not found:
        raise Bad("there are no JSON Schemas")
    _clean(run([_beside("check-jsonschema"), "--check-metaschema", *found]))
    return f"{len(found)} JSON Schemas are ones"


def documents_of(kind: str) -> Iterator[Path]:
    """Documents of ``kind``: ``docs/…/asyncapi.json``, ``…/ingress.openapi.yaml`` and the like."""
    for folder, folders, names in os.walk(ROOT):
        folders[:] = sorted(set(folders) - set(LEFT_OUT))
        for name in sorted(names):
            if kind in name and name.endswith((".json", ".yaml", ".yml")):
                yield Path(folder) / name


ALL = (
    Check("dockerfile", "the image's recipe", dockerfile),
    Check("image", "what the image holds, installed without an engine", image_contents),
    Check("compose", "the system with Docker", compose),
    Check("yaml", "style of the hand-written YAML", yaml_style),
    Check("schema", "the chart's values against the services' settings", current_schema),
    Check("lint", "the chart, by Helm itself", lint),
    Check("same", "one chart for both Helms", same),
    Check("kubernetes", "what the chart makes, against Kubernetes' schemas", kubernetes),
    Check("crds", "custom resources, against their projects' schemas", custom_resources),
    Check("policy", "known misconfigurations", policy),
    Check("rules-of-ours", "what no schema knows: drain, queues, secrets, rights", chart_tests),
    Check("prometheus", "recording rules, alerts and their tests", prometheus),
    Check("asyncapi", "the events, for others", asyncapi),
    Check("json-schemas", "each event's body, for others", schemas),
    Check("openapi", "the ingress, for others", openapi),
)
