"""The example for Node, run as its page says: it orders, follows and fetches over HTTP alone."""

import asyncio
import json
import os
import shutil
import subprocess
from pathlib import Path
from uuid import UUID, uuid4

import pytest

from shared.media.sniff import sniff
from tests.support import photos
from tests.support.ports import a_port
from tests.support.scripted_http import answer, scripted_server
from tests.support.world import World

EXAMPLE = Path(__file__).parents[2] / "examples" / "node"
NODE = shutil.which("node") or shutil.which("nodejs")

pytestmark = pytest.mark.skipif(NODE is None, reason="Node is not here: apt-get install nodejs")


async def node(*words: str, at: Path, **env: str) -> subprocess.CompletedProcess[str]:
    assert NODE is not None
    return await asyncio.to_thread(
        subprocess.run,
        [NODE, *words],
        cwd=at,
        env={"PATH": os.defpath, "HOME": "/nonexistent", **env},
        capture_output=True,
        text=True,
        timeout=180,
    )


async def test_it_orders_with_a_photo_follows_live_and_fetches_the_files(
    world: World, tmp_path: Path
) -> None:
    (tmp_path / "photo.jpg").write_bytes(photos.a_photo())
    # It is under way for a while: what there is to see live is not over before somebody looks.
    await world.misbehave(None, {"fault": "slow_run", "seconds": 4.0})

    said = await node(
        *(str(EXAMPLE / "order.mjs"), "photo.jpg", "files"),
        at=tmp_path,
        DARKROOM_URL=world.system.layout.api_url,
        ORDER=(order := f"order-{uuid4()}"),
    )
    again = await node(
        *(str(EXAMPLE / "order.mjs"), "photo.jpg", "files"),
        at=tmp_path,
        DARKROOM_URL=world.system.layout.api_url,
        ORDER=order,
    )

    assert (said.returncode, again.returncode) == (0, 0), said.stderr + again.stderr
    first, *rest = said.stdout.splitlines()
    job_id = UUID(first.removeprefix("ordered "))
    live = [line for line in rest if line.startswith("live ")]
    files = [line.split() for line in rest if line.startswith("file ")]
    assert len(live) >= 2  # how it stood at first, and at least one change
    assert rest[-1].startswith("completed ")
    assert again.stdout.splitlines()[0] == first
    assert len(await world.purchases(job_id)) == 2
    assert len(files) >= 3  # two pictures and the report
    for _, name, content_type, size in files:
        data = (tmp_path / "files" / name).read_bytes()
        assert len(data) == int(size)
        assert content_type == "text/html" or sniff(data[:4096]) == content_type


async def test_what_is_refused_is_told_by_its_name(world: World, tmp_path: Path) -> None:
    (tmp_path / "photo.jpg").write_bytes(b"")

    said = await node(
        str(EXAMPLE / "order.mjs"),
        "photo.jpg",
        at=tmp_path,
        DARKROOM_URL=world.system.layout.api_url,
    )

    assert said.returncode == 1
    assert said.stderr.startswith("flawed: bytes")
    assert len(said.stderr.splitlines()) == 1


async def test_who_names_no_photo_is_told_how_it_is_called(tmp_path: Path) -> None:
    said = await node(str(EXAMPLE / "order.mjs"), at=tmp_path)

    assert (said.returncode, said.stdout) == (2, "")
    assert said.stderr.startswith("usage: node order.mjs PHOTO")
    assert len(said.stderr.splitlines()) == 1


async def test_a_photo_that_is_not_there_is_one_line_with_its_name(tmp_path: Path) -> None:
    said = await node(str(EXAMPLE / "order.mjs"), "holiday.jpg", at=tmp_path)

    assert (said.returncode, said.stdout) == (1, "")
    assert said.stderr.startswith("the photo cannot be read: ")
    assert "holiday.jpg" in said.stderr
    assert len(said.stderr.splitlines()) == 1


@pytest.mark.parametrize("address", ["127.0.0.1:8090", "localhost:8090", "http://", "darkroom"])
async def test_an_address_that_is_none_is_one_line_that_repeats_it(
    tmp_path: Path, address: str
) -> None:
    (tmp_path / "photo.jpg").write_bytes(photos.a_photo())

    said = await node(str(EXAMPLE / "order.mjs"), "photo.jpg", at=tmp_path, DARKROOM_URL=address)

    assert (said.returncode, said.stdout) == (1, "")
    assert said.stderr.startswith("DARKROOM_URL is no address such as http")
    assert said.stderr.endswith(f": {address}\n")
    assert len(said.stderr.splitlines()) == 1


async def test_somebody_else_at_the_address_is_one_line(tmp_path: Path) -> None:
    (tmp_path / "photo.jpg").write_bytes(photos.a_photo())
    async with scripted_server(answer(404, "<html>nginx</html>")) as server:
        said = await node(
            str(EXAMPLE / "order.mjs"), "photo.jpg", at=tmp_path, DARKROOM_URL=server.url
        )

    assert said.returncode == 1
    assert said.stderr == f"what answers at {server.url} is not the API: 404, and no JSON\n"


async def test_an_api_that_is_away_is_one_line_with_its_address(tmp_path: Path) -> None:
    (tmp_path / "photo.jpg").write_bytes(photos.a_photo())
    with a_port() as nobodys:
        away = f"http://127.0.0.1:{nobodys}"
        said = await node(str(EXAMPLE / "order.mjs"), "photo.jpg", at=tmp_path, DARKROOM_URL=away)

    assert said.returncode == 3
    assert said.stderr.startswith(f"nobody answers at {away}: ")
    assert len(said.stderr.splitlines()) == 1


async def test_a_bucket_that_nobody_answers_at_is_one_line_without_what_opens_it(
    tmp_path: Path,
) -> None:
    (tmp_path / "photo.jpg").write_bytes(photos.a_photo())
    with a_port() as nobodys:
        away = f"http://127.0.0.1:{nobodys}"
        place = {"url": f"{away}/originals/x.jpg?X-Amz-Signature=s3cret", "job_id": "j"}
        async with scripted_server(answer(201, json.dumps(place))) as server:
            said = await node(
                str(EXAMPLE / "order.mjs"), "photo.jpg", at=tmp_path, DARKROOM_URL=server.url
            )

    assert (said.returncode, said.stdout) == (3, "")
    assert said.stderr.startswith(f"nobody answers at {away}: ")
    assert "s3cret" not in said.stderr
    assert len(said.stderr.splitlines()) == 1


ENDED = "event: end\ndata: " + json.dumps({"state": "completed", "sentence": {"en": "x"}}) + "\n\n"


async def fetched_after_the_end(
    tmp_path: Path, folder: str, link: str
) -> subprocess.CompletedProcess[str]:
    """What it says of a job that was ordered before and has one file, behind ``link``."""
    (tmp_path / "photo.jpg").write_bytes(photos.a_photo())
    file = {"kind": "generated", "key": "jobs/j/1.png", "url": link, "content_type": "image/png"}
    ordered = {"code": "ordered", "detail": "before", "instance": "/v1/jobs/j"}
    async with scripted_server(
        answer(409, json.dumps(ordered)),
        answer(200, json.dumps({"events_url": "/v1/jobs/j/events"})),
        answer(200, ENDED),
        answer(200, json.dumps({"artifacts": [file]})),
    ) as server:
        said = await node(
            *(str(EXAMPLE / "order.mjs"), "photo.jpg", folder),
            at=tmp_path,
            DARKROOM_URL=server.url,
        )
    assert said.stdout == "ordered j\n", said.stderr
    return said


async def test_a_file_behind_a_link_that_nobody_answers_at_is_one_line(tmp_path: Path) -> None:
    with a_port() as nobodys:
        away = f"http://127.0.0.1:{nobodys}"
        said = await fetched_after_the_end(tmp_path, "files", f"{away}/1.png?sig=s3cret")

    assert said.returncode == 3
    assert said.stderr.startswith(f"nobody answers at {away}: ")
    assert "s3cret" not in said.stderr
    assert len(said.stderr.splitlines()) == 1


async def test_a_file_that_breaks_off_is_one_line(tmp_path: Path) -> None:
    half = answer(200, "half").replace(b"Content-Length: 4", b"Content-Length: 9")
    async with scripted_server(half) as bucket:
        said = await fetched_after_the_end(tmp_path, "files", f"{bucket.url}/1.png")

    assert said.returncode == 1
    assert said.stderr.startswith("a file broke off: ")
    assert len(said.stderr.splitlines()) == 1


@pytest.mark.parametrize("in_its_way", ["files", "files/1.png/x"])
async def test_files_that_cannot_be_written_are_one_line(tmp_path: Path, in_its_way: str) -> None:
    # A file where the folder is to be; a folder where a file is to be.
    (tmp_path / in_its_way).parent.mkdir(parents=True, exist_ok=True)
    (tmp_path / in_its_way).touch()
    async with scripted_server(answer(200, "whole")) as bucket:
        said = await fetched_after_the_end(tmp_path, "files", f"{bucket.url}/1.png")

    assert said.returncode == 1
    assert said.stderr.startswith("the files cannot be written: ")
    assert len(said.stderr.splitlines()) == 1


FOLLOW = """
import { EventSource } from "%s";
const events = new EventSource(process.argv[2]);
events.addEventListener("change", ({ data }) => console.log("change", data));
events.addEventListener("end", ({ data }) => { console.log("end", data); events.close(); });
events.addEventListener("error", () => console.log("error", events.readyState));
"""


async def followed(tmp_path: Path, *answers: bytes) -> tuple[list[str], list[bytes]]:
    """What the stand-in for EventSource tells of these answers, and what it asked."""
    (tmp_path / "follow.mjs").write_text(FOLLOW % (EXAMPLE / "event-source.mjs"))
    async with scripted_server(*answers) as server:
        said = await node("follow.mjs", server.url, at=tmp_path)
        assert said.returncode == 0, said.stderr
        return said.stdout.splitlines(), server.requests


async def test_a_line_that_breaks_goes_on_behind_the_last_event(tmp_path: Path) -> None:
    broken = answer(200, 'retry: 10\n\nevent: change\nid: a1\ndata: {"n": 1}\n\nevent: chan')
    whole = answer(200, ':\n\nevent: end\nid: b2\ndata: {"n": 2}\n\n')

    told, asked = await followed(tmp_path, broken, whole)

    assert told == ['change {"n": 1}', "error 0", 'end {"n": 2}']
    assert b"last-event-id" not in asked[0].lower()
    assert b"last-event-id: a1" in asked[1].lower()


async def test_one_that_is_refused_does_not_come_again(tmp_path: Path) -> None:
    told, asked = await followed(tmp_path, answer(401, "{}"))

    assert (told, len(asked)) == (["error 2"], 1)
