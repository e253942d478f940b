"""What an address must say where everything is to be encrypted, and whom it trusts."""

import pytest

from shared import tls


def test_an_authority_of_ones_own_goes_into_the_address() -> None:
    broker = tls.broker_url("amqps://u:p@h/v", ca_file="/etc/ca.pem", required=False)
    database = tls.database_url("postgresql://u:p@h/d", ca_file="/etc/ca.pem", required=False)

    assert broker == "amqps://u:p@h/v?cafile=/etc/ca.pem"
    assert database == "postgresql://u:p@h/d?sslmode=verify-full&sslrootcert=/etc/ca.pem"


def test_what_is_said_already_stays() -> None:
    url = "amqps://u:p@h/v?heartbeat=5"

    assert tls.broker_url(url, ca_file="/ca", required=True) == f"{url}&cafile=/ca"


@pytest.mark.parametrize(
    "url", ["amqp://u:p@h/v", "amqps://u:p@h/v", "amqps://u:p@h/v?no_verify_ssl=1"]
)
def test_without_a_setting_the_address_is_left_alone(url: str) -> None:
    assert tls.broker_url(url, ca_file=None, required=False) == url


@pytest.mark.parametrize(
    ("url", "told"),
    [
        ("amqp://u:hunter2@h/v", "must begin with amqps"),
        ("amqps://u:hunter2@h/v?no_verify_ssl=1", "no_verify_ssl"),
    ],
)
def test_a_way_to_the_broker_that_can_be_overheard_is_refused(url: str, told: str) -> None:
    with pytest.raises(ValueError, match=told) as refused:
        tls.broker_url(url, ca_file=None, required=True)

    assert "hunter2" not in str(refused.value)


def test_an_authority_without_tls_is_a_mistake_and_not_a_silence() -> None:
    with pytest.raises(ValueError, match="AMQP_CA_FILE has no effect"):
        tls.broker_url("amqp://u:p@h/v", ca_file="/ca", required=False)


@pytest.mark.parametrize("mode", ["disable", "allow", "prefer", "require", "verify-ca"])
def test_a_way_to_the_database_that_checks_less_than_the_name_is_refused(mode: str) -> None:
    url = f"postgresql://u:p@h/d?sslmode={mode}"

    with pytest.raises(ValueError, match="must say sslmode=verify-full"):
        tls.database_url(url, ca_file="/ca", required=True)


def test_a_database_wants_to_know_whom_to_believe() -> None:
    with pytest.raises(ValueError, match="DATABASE_CA_FILE"):
        tls.database_url("postgresql://u:p@h/d", ca_file=None, required=True)


def test_a_bucket_in_plain_text_is_refused() -> None:
    with pytest.raises(ValueError, match="must be https"):
        tls.endpoint_url("http://s3:9000", required=True)
    assert tls.endpoint_url("http://s3:9000", required=False) == "http://s3:9000"
