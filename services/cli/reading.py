"""An order as somebody typed it, checked by the rules that the generator will check it by."""

import io
import json
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from pydantic import TypeAdapter, ValidationError

from shared.domain import keys
from shared.errors import Permanent
from shared.events import KeySource, UploadReceived, UrlSource, adapter
from shared.media.images import measure
from shared.media.sniff import sniff
from shared.orders import LARGEST_ORDER, check_words, why_not_kept
from shared.recipes import RECIPES, validated
from shared.recipes.recipe import Recipe, SourceRule
from shared.validation import sentence

LARGEST_PHOTO = 50 * 1000 * 1000  # what generators take unless they are told otherwise


def the_recipe(name: str) -> Recipe:
    """The recipe of that name. Raises Permanent with those that there are."""
    found = next((recipe for recipe in RECIPES if recipe.name == name), None)
    if found is None:
        known = ", ".join(recipe.name for recipe in RECIPES)
        raise Permanent(f"there is no recipe {name!r}; there is {known}")
    return found


def read_params(recipe: Recipe, given: Iterable[str]) -> dict[str, Any]:
    """``name=value`` each; the value is JSON, or text as it stands where text is wanted.

    Raises Permanent with the sentence that the order's job would fail with.
    """
    properties = TypeAdapter(recipe.params).json_schema()["properties"]
    params: dict[str, Any] = {}
    for text in given:
        name, equals, value = text.partition("=")
        if not equals or not name:
            raise Permanent(f"{text!r} is not name=value")
        if name in params:
            raise Permanent(f"{name} is given twice; a list is written in one: {name}='[…]'")
        params[name] = _value(name, value, text_is_wanted=_takes_text(properties.get(name, {})))
    validated(recipe, params)
    return params


def _value(name: str, value: str, *, text_is_wanted: bool) -> Any:
    if text_is_wanted and not value.startswith('"'):
        return value  # 42 and true are words too
    try:
        return json.loads(value)
    except ValueError as error:
        if value.lstrip()[:1] in ("[", "{"):
            raise Permanent(
                f'{name} is not JSON: {error}. Quote it for your shell: {name}=\'["a", "b"]\''
            ) from None
        return value


def _takes_text(schema: Mapping[str, Any]) -> bool:
    return any(one.get("type") == "string" for one in (schema, *schema.get("anyOf", ())))


def check_source(
    recipe: Recipe, photo: bytes | None, url: str | None, key: str | None = None
) -> KeySource | UrlSource | None:
    """Whether the recipe takes what is brought; the source, where it is a URL or lies in the bucket
    already. Raises Permanent."""
    brought = sum(one is not None for one in (photo, url, key))
    if brought > 1:
        raise Permanent("give one of --photo, --source-key and --source-url, not more")
    if recipe.source is SourceRule.NONE and brought:
        raise Permanent(
            f"{recipe.name} takes no original: leave --photo, --source-key and --source-url out"
        )
    if recipe.source is SourceRule.REQUIRED and not brought:
        raise Permanent(
            f"{recipe.name} needs an original: give --photo, --source-key or --source-url"
        )
    if photo is not None:
        _check_photo(recipe, photo)
    if key is not None:
        if not keys.is_plain(key):
            raise Permanent("--source-key: must be folders and a name, as jobs/JOB/original/NAME")
        return KeySource(key=key)
    if url is None:
        return None
    try:
        return TypeAdapter(UrlSource).validate_python({"url": url})
    except ValidationError as error:
        raise Permanent(f"--source-url: {sentence(error, whole='the URL')}") from None


def _check_photo(recipe: Recipe, photo: bytes) -> None:
    if not photo:
        raise Permanent("the photo is empty")
    if len(photo) > LARGEST_PHOTO:
        raise Permanent(f"the photo is larger than {LARGEST_PHOTO // 1_000_000} MB")
    kind = sniff(photo[:4096])
    if kind not in recipe.source_types:
        raise Permanent(
            f"{recipe.name} takes {', '.join(sorted(recipe.source_types))}; "
            f"this file is {kind or 'none that we know'}"
        )
    measure(io.BytesIO(photo))


def check_order(fact: UploadReceived) -> None:
    """What is left to check of the whole. Raises Permanent."""
    body = adapter(UploadReceived).dump_json(fact)
    if len(body) > LARGEST_ORDER:
        raise Permanent(f"an order may have {LARGEST_ORDER // 1024} KiB at most")
    if (flaw := why_not_kept(adapter(UploadReceived).dump_python(fact))) is not None:
        raise Permanent(flaw)
    try:
        adapter(UploadReceived).validate_json(body)
    except ValidationError as error:
        raise Permanent(sentence(error, whole="the order")) from None
    check_words(fact)


def read_photo(path: Path | None) -> bytes | None:
    """The file's bytes. Raises Permanent where it cannot be read."""
    try:
        return None if path is None else path.read_bytes()
    except OSError as error:
        raise Permanent(f"{path} cannot be read: {error.strerror}") from None
