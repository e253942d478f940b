"""S3 requests signed with nothing but the standard library (AWS Signature, version 4)."""

import hashlib
import hmac
from datetime import datetime
from http.client import HTTPConnection, HTTPSConnection
from urllib.parse import quote, urlsplit


def signed(
    method: str,
    endpoint: str,
    path: str,
    *,
    access_key: str,
    secret_key: str,
    region: str,
    now: datetime,
    body: bytes = b"",
    query: str = "",
) -> dict[str, str]:
    """The headers that let one path-style request pass. ``path`` and ``query`` are quoted already,
    the parameters of the query in order."""
    headers = {
        "host": urlsplit(endpoint).netloc,
        "x-amz-content-sha256": hashlib.sha256(body).hexdigest(),
        "x-amz-date": f"{now:%Y%m%dT%H%M%SZ}",
    }
    names = ";".join(sorted(headers))
    lines = "".join(f"{name}:{headers[name]}\n" for name in sorted(headers))
    request = "\n".join((method, path, query, lines, names, headers["x-amz-content-sha256"]))
    scope = f"{now:%Y%m%d}/{region}/s3/aws4_request"
    digest = hashlib.sha256(request.encode()).hexdigest()
    to_sign = f"AWS4-HMAC-SHA256\n{headers['x-amz-date']}\n{scope}\n{digest}"
    key = b"AWS4" + secret_key.encode()
    for word in scope.split("/"):
        key = hmac.digest(key, word.encode(), "sha256")
    signature = hmac.digest(key, to_sign.encode(), "sha256").hex()
    headers["authorization"] = (
        f"AWS4-HMAC-SHA256 Credential={access_key}/{scope},"
        f"SignedHeaders={names},Signature={signature}"
    )
    return headers


def send(
    method: str,
    endpoint: str,
    path: str,
    *,
    access_key: str,
    secret_key: str,
    region: str,
    now: datetime,
    body: bytes = b"",
    timeout: float = 10,
) -> int:
    """Send one path-style request and give back the status. Raises ``OSError`` if none came."""
    where = urlsplit(endpoint)
    path = quote(path)
    headers = signed(
        method,
        endpoint,
        path,
        access_key=access_key,
        secret_key=secret_key,
        region=region,
        now=now,
        body=body,
    )
    kind = HTTPSConnection if where.scheme == "https" else HTTPConnection
    connection = kind(where.hostname or "", where.port, timeout=timeout)
    try:
        connection.request(method, path, body=body, headers=headers)
        answer = connection.getresponse()
        answer.read()
        return answer.status
    finally:
        connection.close()
