"""What calling back reads from the environment."""

from typing import Annotated

from pydantic import AfterValidator, BeforeValidator, Field, SecretStr
from pydantic_settings import NoDecode
from yarl import URL

from shared.events import callback_url_of
from shared.guard import Forbidden, checked
from shared.recipes import RECIPES
from shared.settings import BrokerSettings, DatabaseSettings, HttpUrl
from shared.signatures import is_secret

OF_OURS = (
    "must be whsec_ and the base64 of 24 to 64 random bytes, several with commas between them while "
    "rotating. `darkroom secret --new` makes one"
)


def _secrets(listed: SecretStr) -> SecretStr:
    if not all(map(is_secret, _parts(listed))):
        raise ValueError(OF_OURS)
    return listed


def _addresses(listed: SecretStr) -> SecretStr:
    known = [recipe.name for recipe in RECIPES]
    for part in _parts(listed):
        recipe, is_pair, url = part.partition("=")
        if not (is_pair and recipe.strip() and callback_url_of(url.strip())):
            raise ValueError("must be recipe=https://…, several with commas between them")
        if recipe.strip() not in known:
            # Its name is not repeated: an address that holds a = may stand in its place.
            raise ValueError(f"names what is no recipe; there is {', '.join(known)}")
    return listed


def _parts(listed: SecretStr) -> list[str]:
    return [part.strip() for part in listed.get_secret_value().split(",") if part.strip()]


def _listed(text: object) -> object:
    return tuple(_parts(SecretStr(text))) if isinstance(text, str) else text


class CallbackSettings(BrokerSettings, DatabaseSettings):
    """``callback_secret`` signs: several (with commas between them) while rotating, and each signs.
    ``callback_urls`` are called where an order of that recipe names no address of its own; they are
    a secret, as an address may let in who knows it.

    ``callback_hosts`` and what lies below them may be called; none named: every name whose address
    is of the open internet. ``callback_allowed_origin`` opens exactly one more origin, on a laptop
    and in tests.
    """

    callback_secret: Annotated[SecretStr, AfterValidator(_secrets)] = SecretStr("")
    callback_urls: Annotated[SecretStr, AfterValidator(_addresses)] = SecretStr("")
    callback_hosts: Annotated[tuple[str, ...], NoDecode, BeforeValidator(_listed)] = ()
    callback_allowed_origin: HttpUrl | None = None
    callback_within_seconds: Annotated[float, Field(gt=0, le=60)] = 10.0
    callback_concurrency: Annotated[int, Field(ge=1, le=256)] = 32

    @property
    def signing_keys(self) -> tuple[str, ...]:
        return tuple(_parts(self.callback_secret))

    def why_never_called(self, url: str) -> str | None:
        """Why ``url`` could not be called however well its host is; None: it may be tried."""
        if not self.signing_keys:
            return "nobody is called back here: this installation has no CALLBACK_SECRET"
        near = self.callback_allowed_origin
        try:
            checked(
                url,
                self.callback_hosts or None,
                URL(near).origin() if near else None,
                setting="CALLBACK_HOSTS",
            )
        except Forbidden as error:
            return str(error)
        return None

    @property
    def address_of_recipe(self) -> dict[str, str]:
        pairs = (part.partition("=") for part in _parts(self.callback_urls))
        return {recipe.strip(): url.strip() for recipe, _, url in pairs}
