"""The rules of a bucket about pages of other origins, as its owner sets them."""

from collections.abc import Mapping
from typing import Any


def rule(origin: str, *methods: str, headers: tuple[str, ...] = ()) -> dict[str, Any]:
    return {
        "AllowedOrigins": [origin],
        "AllowedMethods": list(methods),
        "AllowedHeaders": list(headers),
    }


async def let_pages_in(known: Mapping[str, Any], *rules: Any) -> None:
    """Set the bucket's rules, and no others; ``known`` has the settings that lead to it."""
    import aioboto3

    session = aioboto3.Session(
        aws_access_key_id=known["aws_access_key_id"],
        aws_secret_access_key=known["aws_secret_access_key"],
        region_name=known["aws_default_region"],
    )
    async with session.client("s3", endpoint_url=known["s3_endpoint_url"]) as client:
        await client.put_bucket_cors(
            Bucket=known["s3_bucket"], CORSConfiguration={"CORSRules": list(rules)}
        )
