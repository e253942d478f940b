"""Encrypted ways to broker, database and bucket: what an address must say, and whom it trusts.

Each client reads its trust from its address, so an authority of one's own is written into it here,
once, and every command and service that reads the setting has it. Pure.
"""

from urllib.parse import parse_qsl, urlencode, urlsplit, urlunsplit

# What Postgres calls it when the server's name is checked too; anything less can be answered by
# whoever stands in between.
CHECKED = "verify-full"


def broker_url(url: str, *, ca_file: str | None, required: bool) -> str:
    """The address with its trust. Raises ValueError with what is wrong, never with the address."""
    parts = urlsplit(url)
    query = dict(parse_qsl(parts.query))
    if parts.scheme != "amqps":
        if required:
            raise ValueError("must begin with amqps:// where TLS_REQUIRED is set")
        if ca_file:
            raise ValueError("must begin with amqps://, or AMQP_CA_FILE has no effect")
        return url
    if required and query.get("no_verify_ssl", "0") != "0":
        raise ValueError("must not carry no_verify_ssl where TLS_REQUIRED is set")
    if not ca_file:
        return url
    return urlunsplit(parts._replace(query=urlencode(query | {"cafile": ca_file}, safe="/")))


def database_url(url: str, *, ca_file: str | None, required: bool) -> str:
    """The same for Postgres, whose client by default takes plain text where TLS is not offered."""
    parts = urlsplit(url)
    query = dict(parse_qsl(parts.query))
    if not (required or ca_file):
        return url
    if query.setdefault("sslmode", CHECKED) != CHECKED:
        setting = "TLS_REQUIRED" if required else "DATABASE_CA_FILE"
        raise ValueError(f"must say sslmode={CHECKED}, or nothing of it, where {setting} is set")
    if ca_file:
        query["sslrootcert"] = ca_file
    if "sslrootcert" not in query:
        raise ValueError("needs DATABASE_CA_FILE where TLS_REQUIRED is set: whom to believe")
    return urlunsplit(parts._replace(query=urlencode(query, safe="/")))


def endpoint_url(url: str, *, required: bool) -> str:
    """The address of a bucket; its trust is AWS_CA_BUNDLE, as everywhere at Amazon."""
    if required and urlsplit(url).scheme != "https":
        raise ValueError("must be https where TLS_REQUIRED is set")
    return url
