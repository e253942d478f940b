"""Lengths of sounds, as orders give them."""


def to_milliseconds(seconds: float) -> float:
    """Nobody hears less, and the last digits of a computed length must not buy a second more."""
    return round(seconds, 3)
