"""What strangers write on the wire must end neither our link nor a delivery."""

from pamqp.header import ContentHeader

# In place of headers that cannot be read: says why. Nothing else of such a message is known.
UNREADABLE = "darkroom-unreadable"

_strict = ContentHeader.unmarshal


def tolerate_junk() -> None:
    """Have the client read any properties that the broker delivers; once, or as often as you like.

    The broker carries properties without looking at them. On invalid UTF-8, or on a time that no
    calendar has, the client closes the connection, gets the same message again, and so on; on an
    unknown delivery mode it loses the delivery on the way to its callback, unacknowledged for ever.
    """
    ContentHeader.unmarshal = _lenient  # type: ignore[method-assign]


def _lenient(self: ContentHeader, data: bytes) -> None:
    properties = self.properties
    try:
        _strict(self, data)
    except Exception as error:  # noqa: BLE001 - whatever the decoder trips over, the link must live
        # The size of the body stands before the properties and has been read.
        self.properties = type(properties)(headers={UNREADABLE: type(error).__name__})
        return
    if properties.delivery_mode not in {1, 2}:
        properties.delivery_mode = None
    # Nothing of ours asks for it, and the client trips over one that is no number.
    properties.expiration = None
