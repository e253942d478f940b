"""What each service asks of the database, read off its source: from the service's modules along
every name that they use, to the SQL in the functions that they reach.

A class that is reached is reached with all its methods, so the answer is never too small for what
runs. Locking rows asks for the right to update some column: whoever locks here also writes, which
the running system shows.
"""

import ast
import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path

PROJECT = Path(__file__).parents[2]

Symbol = tuple[str, str]  # module, name

_SQL = re.compile(r"\b(SELECT|INSERT INTO|UPDATE|DELETE FROM|FROM|JOIN|USING)\b")
_CREATE = re.compile(r"^CREATE TABLE ([a-z_]+)", re.MULTILINE)
_READ = re.compile(r"\b(?:FROM|JOIN|USING)\s+(?:ONLY\s+)?([a-z_]+)\b")
_INSERT = re.compile(r"\bINSERT\s+INTO\s+([a-z_]+)\b")
_DELETE = re.compile(r"\bDELETE\s+FROM\s+([a-z_]+)\b")
_UPDATE = re.compile(r"\bUPDATE\s+([a-z_]+)(?:\s+(?:AS\s+)?[a-z_]+)?\s+SET\b")
_UPSERT = re.compile(r"\bDO\s+UPDATE\s+SET\b")


@dataclass
class Asked:
    """Of one table: the verbs, and the columns that UPDATE writes."""

    verbs: set[str] = field(default_factory=set)
    updates: set[str] = field(default_factory=set)


def tables() -> frozenset[str]:
    """Every table that the migrations make."""
    files = (PROJECT / "shared/db/migrations").glob("*.sql")
    made = {name for file in files for name in _CREATE.findall(file.read_text(encoding="utf-8"))}
    return frozenset({*made, "schema_migrations"})


def asked_by(service: str, tables: frozenset[str]) -> dict[str, Asked]:
    """What the modules of ``services.<service>`` ask of ``tables``, directly and indirectly."""
    asked: dict[str, Asked] = {}
    for module, name in sorted(_reached(f"services.{service}")):
        for text in _texts(module, name):
            _read(text, tables, asked)
    return asked


def _read(text: str, tables: frozenset[str], asked: dict[str, Asked]) -> None:
    def of(table: str) -> Asked:
        return asked.setdefault(table, Asked())

    for table in {*_READ.findall(text)} & tables:
        of(table).verbs.add("SELECT")
    for found in _INSERT.finditer(text):
        if found[1] not in tables:
            continue
        of(found[1]).verbs.add("INSERT")
        statement = text[found.end() :]
        if "RETURNING" in statement:
            of(found[1]).verbs.add("SELECT")
        if upsert := _UPSERT.search(statement):
            of(found[1]).verbs.add("SELECT")
            of(found[1]).updates |= set(_assigned(statement[upsert.end() :]))
    for table in {*_DELETE.findall(text)} & tables:
        of(table).verbs |= {"DELETE", "SELECT"}
    for found in _UPDATE.finditer(text):
        if found[1] in tables:
            of(found[1]).verbs.add("SELECT")
            of(found[1]).updates |= set(_assigned(text[found.end() :]))


def _assigned(text: str) -> Iterator[str]:
    """The columns on the left of ``a = …, b = …``, until the clause that follows."""
    depth, expecting = 0, True
    for token in re.findall(r"'(?:[^']|'')*'|[A-Za-z_.]+|[(),=;]|\S", text):
        if token == "(":
            depth += 1
        elif token == ")":
            depth -= 1
            if depth < 0:
                return
        elif depth:
            continue
        elif token == ",":
            expecting = True
        elif token.upper() in ("WHERE", "FROM", "RETURNING") or token == ";":
            return
        elif expecting:
            yield token
            expecting = False


# ---- names


@dataclass
class Module:
    symbols: dict[str, list[ast.AST]]  # top-level names and what defines them
    imports: dict[str, Symbol | str]  # a name here: a symbol of a module, or a module


@cache
def _module(name: str) -> Module | None:
    path = PROJECT / Path(*name.split("."))
    file = path / "__init__.py" if path.is_dir() else path.with_suffix(".py")
    if not file.exists():
        return None
    tree = ast.parse(file.read_text(encoding="utf-8"))
    return Module(_symbols(tree), _imports(tree))


def _symbols(tree: ast.Module) -> dict[str, list[ast.AST]]:
    symbols: dict[str, list[ast.AST]] = {}
    for node in tree.body:
        match node:
            case ast.FunctionDef() | ast.AsyncFunctionDef() | ast.ClassDef():
                symbols.setdefault(node.name, []).append(node)
            case ast.Assign():
                for target in node.targets:
                    if isinstance(target, ast.Name):
                        symbols.setdefault(target.id, []).append(node.value)
            case ast.AnnAssign(target=ast.Name(id=known), value=ast.expr() as value):
                symbols.setdefault(known, []).append(value)
            case _:
                pass
    return symbols


def _imports(tree: ast.Module) -> dict[str, Symbol | str]:
    imports: dict[str, Symbol | str] = {}
    for node in ast.walk(tree):
        if isinstance(node, ast.ImportFrom) and node.module and not node.level:
            for alias in node.names:
                whole = f"{node.module}.{alias.name}"
                is_module = _exists(whole)
                imports[alias.asname or alias.name] = (
                    whole if is_module else (node.module, alias.name)
                )
        elif isinstance(node, ast.Import):
            for alias in node.names:
                imports[alias.asname or alias.name.partition(".")[0]] = alias.name
    return imports


def _exists(name: str) -> bool:
    path = PROJECT / Path(*name.split("."))
    return path.with_suffix(".py").exists() or (path / "__init__.py").exists()


@cache
def _reached(package: str) -> frozenset[Symbol]:
    folder = PROJECT / Path(*package.split("."))
    waiting: list[Symbol] = []
    for file in folder.glob("*.py"):
        name = f"{package}.{file.stem}"
        module = _module(name)
        waiting += [(name, symbol) for symbol in module.symbols] if module else []
    seen: set[Symbol] = set()
    while waiting:
        symbol = waiting.pop()
        if symbol in seen:
            continue
        seen.add(symbol)
        waiting += _used(symbol)
    return frozenset(seen)


def _used(symbol: Symbol) -> Iterator[Symbol]:
    module = _module(symbol[0])
    if module is None:
        return
    if symbol[1] not in module.symbols and symbol[1] in module.imports:
        again = module.imports[symbol[1]]  # imported there from elsewhere
        if isinstance(again, tuple):
            yield again
        return
    for definition in module.symbols.get(symbol[1], ()):
        for node in ast.walk(definition):
            if isinstance(node, ast.Attribute) and isinstance(node.value, ast.Name):
                target = module.imports.get(node.value.id)
                if isinstance(target, str):
                    yield target, node.attr
            if isinstance(node, ast.Name):
                if node.id in module.symbols:
                    yield symbol[0], node.id
                elif isinstance(imported := module.imports.get(node.id), tuple):
                    yield imported


def _texts(module_name: str, name: str) -> Iterator[str]:
    """The SQL that a symbol holds; an interpolated constant stands where it is interpolated."""
    module = _module(module_name)
    if module is None or not module_name.startswith(("shared.db", "services")):
        return
    inside: set[int] = set()
    for definition in module.symbols.get(name, ()):
        for node in ast.walk(definition):
            if isinstance(node, ast.JoinedStr):
                inside |= {id(part) for part in node.values}
                yield "".join(
                    str(part.value) if isinstance(part, ast.Constant) else " "
                    for part in node.values
                )
        for node in ast.walk(definition):
            if (
                isinstance(node, ast.Constant)
                and isinstance(node.value, str)
                and id(node) not in inside
                and _SQL.search(node.value)
            ):
                yield node.value
