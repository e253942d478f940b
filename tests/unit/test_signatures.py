"""The strict reading of a signed webhook, held against svix itself."""

import base64
from datetime import UTC, datetime, timedelta

import pytest
import standardwebhooks.webhooks
from hypothesis import example, given
from hypothesis import strategies as st
from svix.webhooks import Webhook

from shared.clock import utc_now
from shared.errors import Misconfigured
from shared.signatures import (
    BadSignature,
    Malformed,
    NotGenuine,
    Secrets,
    Stale,
    is_secret,
    read_claim,
    sign,
)

# Published with Replicate's own client, as are the id, time, body and signature below.
SECRET = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"
OTHER = "whsec_C2FVsBQIhrscChlQIMV+b5sSYspob7oD"
PUBLISHED = {
    "webhook-id": "msg_p5jXN8AQM9LWM0D4loKWxJek",
    "webhook-timestamp": "1614265330",
    "webhook-signature": "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE=",
}
PUBLISHED_BODY = b'{"test": 2432232314}'
PUBLISHED_AT = datetime.fromtimestamp(1614265330, UTC)
BODY = b'{"id":"p","status":"succeeded"}'


def signed(
    body: bytes = BODY,
    *,
    secret: str = SECRET,
    at: datetime | None = None,
    webhook_id: str = "msg_1",
) -> dict[str, str]:
    at = at or utc_now()
    return {
        "webhook-id": webhook_id,
        "webhook-timestamp": str(int(at.timestamp())),
        "webhook-signature": sign(secret, webhook_id=webhook_id, timestamp=at, body=body),
    }


def verify(headers: dict[str, str], body: bytes = BODY, *, secrets: str = SECRET) -> str:
    return Secrets(secrets).verify(headers.items(), body, now=utc_now()).id


class FrozenClock(datetime):
    @classmethod
    def now(cls, tz: object = None) -> "FrozenClock":  # noqa: ARG003
        return cls.fromtimestamp(PUBLISHED_AT.timestamp(), UTC)


def test_the_published_vector_is_believed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(standardwebhooks.webhooks, "datetime", FrozenClock)

    webhook = Secrets(SECRET).verify(PUBLISHED.items(), PUBLISHED_BODY, now=PUBLISHED_AT)

    assert (webhook.id, webhook.timestamp) == ("msg_p5jXN8AQM9LWM0D4loKWxJek", 1614265330)


def test_we_sign_as_the_published_vector_does() -> None:
    made = sign(
        SECRET, webhook_id=PUBLISHED["webhook-id"], timestamp=PUBLISHED_AT, body=PUBLISHED_BODY
    )

    assert made == PUBLISHED["webhook-signature"]


def test_a_time_in_another_zone_signs_the_same_instant() -> None:
    seoul = datetime.fromisoformat("2021-02-26T00:02:10+09:00")

    made = sign(SECRET, webhook_id=PUBLISHED["webhook-id"], timestamp=seoul, body=PUBLISHED_BODY)

    assert made == PUBLISHED["webhook-signature"]


@pytest.mark.parametrize("used", [SECRET, OTHER])
def test_while_rotating_both_secrets_are_believed(used: str) -> None:
    assert verify(signed(secret=used), secrets=f"{SECRET}, {OTHER}") == "msg_1"


def test_a_secret_that_was_rotated_out_is_not_believed() -> None:
    with pytest.raises(BadSignature):
        verify(signed(secret=OTHER), secrets=SECRET)


def test_every_key_is_tried_even_after_one_fits(monkeypatch: pytest.MonkeyPatch) -> None:
    tried: list[object] = []
    real = Webhook.verify

    def counting(self: Webhook, data: str, headers: dict[str, str]) -> None:
        tried.append(self)
        real(self, data, headers)

    monkeypatch.setattr(Webhook, "verify", counting)

    verify(signed(secret=SECRET), secrets=f"{SECRET},{OTHER}")

    assert len(set(tried)) == 2


@pytest.mark.parametrize(
    "junk",
    ["rubbish", "v1,", "v1,%%%", "v2,abc", "v1,a,b", "", "v1a,AAAA", ",", "v1," + "A" * 43 + "é"],
)
def test_junk_before_a_good_signature_does_not_hide_it(junk: str) -> None:
    headers = signed()
    headers["webhook-signature"] = f"{junk} {headers['webhook-signature']}"

    assert verify(headers) == "msg_1"


def test_one_changed_byte_of_the_body_is_not_believed() -> None:
    with pytest.raises(BadSignature):
        verify(signed(), BODY.replace(b"succeeded", b"succeedee"))


def test_a_changed_id_is_not_believed() -> None:
    with pytest.raises(BadSignature):
        verify(signed() | {"webhook-id": "msg_2"})


def test_a_body_that_is_not_utf8_is_malformed() -> None:
    with pytest.raises(Malformed, match="UTF-8"):
        verify(signed(), b"\xff\xfe{}")


@pytest.mark.parametrize("name", ["webhook-id", "webhook-timestamp", "webhook-signature"])
def test_a_missing_header_is_malformed(name: str) -> None:
    headers = signed()
    del headers[name]

    with pytest.raises(Malformed, match=f"{name} is missing"):
        verify(headers)


@pytest.mark.parametrize("name", ["webhook-id", "webhook-timestamp", "webhook-signature"])
def test_a_header_that_comes_twice_is_malformed_even_if_it_says_the_same(name: str) -> None:
    headers = signed()

    with pytest.raises(Malformed, match=f"{name} comes twice"):
        Secrets(SECRET).verify(
            [*headers.items(), (name.upper(), headers[name])], BODY, now=utc_now()
        )


@pytest.mark.parametrize("name", ["svix-id", "Svix-Timestamp", "svix-signature"])
def test_foreign_names_beside_the_right_ones_are_malformed(name: str) -> None:
    with pytest.raises(Malformed, match="svix"):
        verify(signed() | {name: "1"})


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("webhook-id", ""),
        ("webhook-id", "a" * 129),
        ("webhook-id", "a.b"),
        ("webhook-id", "a\n"),
        ("webhook-id", "é"),
        ("webhook-timestamp", "1674087231.9"),
        ("webhook-timestamp", "167_4087231"),
        ("webhook-timestamp", " 1674087231"),
        ("webhook-timestamp", "+1674087231"),
        ("webhook-timestamp", "١٦٧٤٠٨٧٢٣١"),
        ("webhook-timestamp", "9" * 13),
        ("webhook-timestamp", "nan"),
        ("webhook-timestamp", "167408723"),
        ("webhook-signature", ""),
        ("webhook-signature", "v1"),
        ("webhook-signature", "v1,====="),
        ("webhook-signature", "v2," + "A" * 43 + "="),
        ("webhook-signature", " ".join(["v1," + "A" * 43 + "="] * 6)),
        ("webhook-signature", "v1," + "A" * 1100),
    ],
)
def test_a_header_of_another_shape_is_malformed(name: str, value: str) -> None:
    with pytest.raises(Malformed):
        verify(signed() | {name: value})


@pytest.mark.parametrize("seconds", [-301, 301, -86_400, 86_400, 900_000_000_000])
def test_a_time_beyond_five_minutes_is_stale_and_tells_how_far(seconds: int) -> None:
    now = utc_now().replace(microsecond=0)
    headers = signed() | {"webhook-timestamp": str(int(now.timestamp()) + seconds)}

    with pytest.raises(Stale) as stale:
        read_claim(headers.items(), now=now)

    assert stale.value.skew == timedelta(seconds=seconds)


@pytest.mark.parametrize("seconds", [-86_400, -301, 0, 301])
def test_what_a_key_of_ours_made_is_known_whatever_the_time_is(seconds: int) -> None:
    at = utc_now() + timedelta(seconds=seconds)
    claim = read_claim(signed(at=at).items(), now=at)

    assert Secrets(SECRET).made(claim, BODY)
    assert Secrets(f"{OTHER},{SECRET}").made(claim, BODY)
    assert not Secrets(SECRET).made(claim, BODY + b" ")
    assert not Secrets(OTHER).made(claim, BODY)
    assert not Secrets(SECRET).made(claim, b"\xff")


@pytest.mark.parametrize("seconds", [-295, 295])
def test_a_time_within_five_minutes_is_believed(seconds: int) -> None:
    assert verify(signed(at=utc_now() + timedelta(seconds=seconds))) == "msg_1"


@pytest.mark.parametrize(
    "listed",
    [
        "r8_abcdefabcdefabcdefabcdefabcdefabcdef",
        "whsec_",
        "whsec_short",
        "whsec_" + base64.b64encode(b"k" * 23).decode(),
        "whsec_" + base64.b64encode(b"k" * 65).decode(),
        "whsec_" + "-" * 32,
        "whsec_" + "é" * 32,
        f"{SECRET},",
        f"{SECRET},{SECRET[6:]}",
        "",
    ],
)
def test_what_is_no_secret_is_refused_with_where_to_get_one(listed: str) -> None:
    with pytest.raises(Misconfigured, match="darkroom secret") as refusal:
        Secrets(listed)

    assert SECRET not in str(refusal.value)


@given(st.binary(min_size=24, max_size=64))
def test_every_secret_of_24_to_64_bytes_is_taken_with_and_without_padding(key: bytes) -> None:
    encoded = base64.b64encode(key).decode()

    assert is_secret(f"whsec_{encoded}")
    assert is_secret(f"whsec_{encoded.rstrip('=')}")


HEADER_TEXT = st.text(max_size=60) | st.from_regex(r"v[0-9a-z]{0,2},[A-Za-z0-9+/=]{0,50}")


@given(
    body=st.binary(max_size=200) | st.text(max_size=200).map(str.encode),
    webhook_id=st.from_regex(r"[A-Za-z0-9_-]{1,40}", fullmatch=True) | st.text(max_size=20),
    secret=st.sampled_from([SECRET, OTHER]),
    before=st.lists(HEADER_TEXT, max_size=2),
    skew=st.integers(-280, 280) | st.integers(-(10**6), 10**6),
    tamper=st.sampled_from(["nothing", "body", "signature", "timestamp", "id", "junk"]),
)
@example(body=b"\xff", webhook_id="msg", secret=SECRET, before=[], skew=0, tamper="nothing")
@example(body=BODY, webhook_id="m", secret=OTHER, before=["rubbish"], skew=0, tamper="nothing")
def test_we_believe_nothing_that_svix_does_not(
    *, body: bytes, webhook_id: str, secret: str, before: list[str], skew: int, tamper: str
) -> None:
    at = utc_now() + timedelta(seconds=skew)
    timestamp = str(int(at.timestamp()))
    good = Webhook(secret).sign(webhook_id, at, body.decode(errors="replace"))
    headers = {
        "webhook-id": webhook_id + ("x" if tamper == "id" else ""),
        "webhook-timestamp": timestamp + (".0" if tamper == "timestamp" else ""),
        "webhook-signature": " ".join(
            [*before, good[:-3] + "AA=" if tamper == "signature" else good]
            if tamper != "junk"
            else before
        ),
    }
    received = body + b" " if tamper == "body" else body

    ours = _ours(headers, received)
    # The library is asked about each item alone, because rubbish before a good one makes it fail.
    theirs = any(
        _svix(secret, headers | {"webhook-signature": item}, received)
        for secret in (SECRET, OTHER)
        for item in headers["webhook-signature"].split(" ")
    )

    assert theirs or not ours
    if tamper == "nothing" and abs(skew) < 290 and _is_plain(webhook_id) and _is_utf8(body):
        assert ours
        assert theirs


@given(
    headers=st.lists(
        st.tuples(
            st.sampled_from(
                ["webhook-id", "webhook-timestamp", "webhook-signature", "svix-id", "x"]
            ),
            HEADER_TEXT,
        ),
        max_size=6,
    ),
    body=st.binary(max_size=50),
)
def test_whatever_comes_the_answer_is_one_of_ours(
    headers: list[tuple[str, str]], body: bytes
) -> None:
    with pytest.raises(NotGenuine):
        _BOTH.verify(headers, body, now=utc_now())


_BOTH = Secrets(f"{SECRET},{OTHER}")


def _ours(headers: dict[str, str], body: bytes) -> bool:
    try:
        _BOTH.verify(headers.items(), body, now=utc_now())
    except NotGenuine:
        return False
    return True


def _svix(secret: str, headers: dict[str, str], body: bytes) -> bool:
    try:
        Webhook(secret).verify(body, headers)
    except Exception:  # noqa: BLE001 - the oracle raises what it likes
        return False
    return True


def _is_plain(webhook_id: str) -> bool:
    return webhook_id.isascii() and webhook_id.replace("-", "_").replace("_", "a").isalnum()


def _is_utf8(body: bytes) -> bool:
    try:
        body.decode()
    except UnicodeDecodeError:
        return False
    return True
