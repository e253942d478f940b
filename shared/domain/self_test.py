"""The webhook that ``darkroom doctor`` sends to itself: recorded on its way, and moving nothing.

It is told by its id, which is part of what is signed: only who holds the secret can send one.
"""

_PREFIX = "msg_darkroom_doctor_"


def a_self_test_id(nonce: str) -> str:
    return _PREFIX + nonce


def is_self_test(webhook_id: str | None) -> bool:
    return webhook_id is not None and webhook_id.startswith(_PREFIX)
