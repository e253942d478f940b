"""What strangers write on the wire must not end our link."""

from pamqp.header import ContentHeader

# In place of headers that cannot be read: says why. Nothing else of such a message is known.
UNREADABLE = "darkroom-unreadable"

_strict = ContentHeader.unmarshal


def tolerate_junk() -> None:
    """Have the client read any properties that the broker delivers; once, or as often as you like.

    The broker carries most properties without looking at them. On invalid UTF-8, or on a time that
    no calendar has, the client ends the connection, gets the same message again, and so on.
    """
    ContentHeader.unmarshal = _lenient  # type: ignore[method-assign]


def _lenient(self: ContentHeader, data: bytes) -> None:
    try:
        _strict(self, data)
    except Exception as error:  # noqa: BLE001 - whatever the decoder trips over, the link must live
        # The size of the body stands before the properties and has been read.
        self.properties = type(self.properties)(headers={UNREADABLE: type(error).__name__})
