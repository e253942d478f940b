"""Files that an order may name by their address, on the origin of the outputs."""

import aiohttp
import pytest

from tests.support.emulated import World, a_world


async def put(world: World, query: str = "", data: bytes = b"a picture") -> tuple[int, str]:
    """The status, and the address or the complaint."""
    url = f"{world.emulator.url}/_emulator/sources/photo.jpg{query}"
    headers = {"Content-Type": "image/jpeg"}
    async with world.http.put(url, data=data, headers=headers) as answer:
        body = await answer.json()
        return answer.status, body.get("url") or body["detail"]


async def test_a_source_is_served_from_the_origin_of_the_outputs() -> None:
    async with a_world() as world:
        made, url = await put(world)

        assert made == 201
        assert url == f"{world.emulator.files_url}/sources/photo.jpg"
        assert await world.fetch(url) == (200, "image/jpeg", b"a picture")
        [fetch] = world.emulator.ledger.entries("source_fetch")
        assert (fetch["name"], fetch["status"]) == ("photo.jpg", 200)


async def test_a_source_can_be_replaced_and_removed() -> None:
    async with a_world() as world:
        await put(world)
        _, url = await put(world, data=b"another")
        replaced = await world.fetch(url)
        removed, _, _ = await world.ask("DELETE", "/_emulator/sources/photo.jpg")
        again, _, _ = await world.ask("DELETE", "/_emulator/sources/photo.jpg")

        assert replaced[2] == b"another"
        assert (removed, again, (await world.fetch(url))[0]) == (204, 404, 404)


async def test_a_source_can_answer_anything() -> None:
    async with a_world() as world:
        _, url = await put(world, "?status=404")

        assert (await world.fetch(url))[0] == 404


async def test_a_source_can_send_elsewhere() -> None:
    async with a_world() as world:
        _, url = await put(world, "?location=http://169.254.169.254/latest")
        async with aiohttp.ClientSession() as session:
            async with session.get(url, allow_redirects=False) as answer:
                assert answer.status == 302
                assert answer.headers["Location"] == "http://169.254.169.254/latest"


async def test_a_source_can_grow_without_telling_its_length() -> None:
    async with a_world() as world:
        _, url = await put(world, "?grows_to=200000")
        async with aiohttp.ClientSession() as session:
            async with session.get(url) as answer:
                data = await answer.read()

        assert "Content-Length" not in answer.headers
        assert len(data) == 200_000
        assert data.startswith(b"a picture\0")


async def test_a_source_can_be_slow() -> None:
    async with a_world() as world:
        _, url = await put(world, "?delay_s=30")
        async with aiohttp.ClientSession(timeout=aiohttp.ClientTimeout(total=0.3)) as session:
            with pytest.raises(TimeoutError):
                await session.get(url)


@pytest.mark.parametrize(
    "query", ["?status=99", "?delay_s=soon", "?delay_s=-1", "?grows_to=-1", "?colour=red"]
)
async def test_a_source_that_cannot_be_served_is_refused(query: str) -> None:
    async with a_world() as world:
        assert (await put(world, query))[0] == 400


async def test_only_so_many_sources_are_kept() -> None:
    async with a_world() as world:
        for number in range(100):
            await world.ask("PUT", f"/_emulator/sources/{number}.jpg")

        assert (await put(world))[0] == 400
