"""The document as a page that people read: made once, without script."""

from functools import cache
from pathlib import Path
from typing import Any

from jinja2 import Environment, FileSystemLoader, StrictUndefined
from markupsafe import Markup, escape

TEMPLATES = Path(__file__).parent / "templates"
STYLE = TEMPLATES / "docs.css"


@cache
def _environment() -> Environment:
    environment = Environment(
        loader=FileSystemLoader(TEMPLATES),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters["prose"] = prose
    return environment


def page_of(document: dict[str, Any]) -> bytes:
    return _environment().get_template("docs.html").render(api=document, kind=kind_of).encode()


def prose(text: str) -> Markup:
    """Words between backticks, as code."""
    parts = text.split("`")
    return Markup("").join(
        Markup("<code>{}</code>").format(part) if number % 2 else escape(part)
        for number, part in enumerate(parts)
    )


def kind_of(schema: dict[str, Any]) -> dict[str, str]:
    """What a field may be, in a few words: ``text``, and ``model`` where it has a section."""
    if "$ref" in schema:
        model = schema["$ref"].rpartition("/")[2]
        return {"text": model, "model": model}
    either = schema.get("anyOf", schema.get("oneOf", ()))
    if either:
        told = [kind_of(each) for each in either]
        models = [one["model"] for one in told if one["model"]]
        return {"text": " or ".join(one["text"] for one in told), "model": (models or [""])[0]}
    if "enum" in schema:
        return {"text": ", ".join(map(str, schema["enum"])), "model": ""}
    if "const" in schema:
        return {"text": str(schema["const"]), "model": ""}
    if schema.get("type") == "array":
        item = kind_of(schema.get("items", {}))
        return {"text": f"list of {item['text']}", "model": item["model"]}
    words = [str(schema.get("type", "anything"))]
    if "format" in schema:
        words = [str(schema["format"])]
    least = schema.get("minimum", schema.get("minLength", schema.get("exclusiveMinimum")))
    most = schema.get("maximum", schema.get("maxLength"))
    if least is not None:
        words.append(f"from {least}")
    if most is not None:
        words.append(f"to {most}")
    return {"text": " ".join(words), "model": ""}
