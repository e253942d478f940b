"""Four 1024² concepts, finished: decoded, clamped to the palette, scored, encoded and stored.

``python -m tests.benchmark.finishing``. The four are what the local model paints over a stencil;
the bucket is a real one. As in storage, the work is done in threads, two at a time. The reference
does the same plainly: one picture after the other, every pixel's distance to every colour of the
palette in double precision (and Pillow's own ``quantize`` beside it, which looks in RGB), stored as
Pillow writes it. Memory is what finishing adds to a process, at its highest.
"""

import argparse
import asyncio
import io
import sys
import time
from collections import defaultdict
from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor, ThreadPoolExecutor
from multiprocessing import get_context
from pathlib import Path
from statistics import median
from typing import Any, TypeVar
from uuid import uuid4

import numpy as np
from PIL import Image

from deploy.local.emulator import images as emulated
from deploy.local.emulator.making import Order
from shared.domain import keys
from shared.media import palette, ranking, stencil
from shared.media.colour import Bytes, palette_of, to_oklab
from shared.media.images import decode
from shared.objects import Bucket, open_bucket
from shared.settings import BucketSettings
from tests.benchmark.rig import machine, parts, say

T = TypeVar("T")

GOAL_S = 0.8
THREADS = 2
GRANULES = ["#c1272d", "#e8a33d", "#f4e3b2", "#3b7a57", "#1f4e79", "#7fb7be", "#6b4226", "#2b2b2b"]
MANY = [
    f"#{37 * n % 256:02x}{(91 * n + 40) % 256:02x}{(151 * n + 90) % 256:02x}" for n in range(32)
]


def concepts(colours: list[str]) -> list[bytes]:
    """Four outputs of one order, as the model delivers them."""
    brief = {"width": 10.0, "height": 10.0, "colours": colours, "seed": 11}
    options: dict[str, Any] = {
        "width": 1024,
        "height": 1024,
        "num_outputs": 4,
        "prompt": "a playground by the sea",
        "prompt_strength": 0.75,
    }
    files = {"image": stencil.prepare(brief).data}
    return [one.data for one in emulated.variations(Order(input=options, seed=11, files=files))]


def a_large_photo() -> bytes:
    """A JPEG of 50 megapixels, soft and noisy as cameras make them."""
    chance = np.random.default_rng(1)
    rough = Image.fromarray(chance.integers(0, 256, (600, 900, 3), dtype=np.uint8))
    file = io.BytesIO()
    rough.resize((8660, 5773), Image.Resampling.BICUBIC).save(file, "JPEG", quality=90)
    return file.getvalue()


# ---- memory


def _status(name: str) -> float:
    """A line of Linux's note on this process, in MiB."""
    note = Path("/proc/self/status").read_text(encoding="ascii")
    lines = dict(line.split(":", 1) for line in note.splitlines())
    return int(lines[name].split()[0]) / 1024


def most_held(pictures: list[bytes], options: dict[str, Any]) -> float:
    """MiB beyond what a process holds that has finished one small picture, at the highest."""
    small = io.BytesIO()
    Image.effect_noise((64, 64), 60).save(small, "PNG")
    palette.finish(small.getvalue(), options)
    before = _status("VmRSS")
    with ThreadPoolExecutor(THREADS) as pool:
        list(pool.map(palette.finish, pictures, [options] * len(pictures)))
    return _status("VmHWM") - before


def memory(pictures: list[bytes], options: dict[str, Any]) -> str:
    if sys.platform != "linux":
        return "memory is not measured on this system"
    # In a process of its own: what others have held before would hide it.
    with ProcessPoolExecutor(1, mp_context=get_context("spawn")) as alone:
        return f"{alone.submit(most_held, pictures, options).result():.0f} MiB at its highest"


# ---- the steps, each alone


def each_step(pictures: list[bytes], colours: list[str], *, dither: bool) -> dict[str, float]:
    """Seconds that each step takes for all of ``pictures``, one after the other."""
    granules = palette_of(colours)
    taken: dict[str, float] = defaultdict(float)

    def timed(name: str, work: Callable[..., T], *given: Any, **more: Any) -> T:
        began = time.perf_counter()
        made = work(*given, **more)
        taken[name] += time.perf_counter() - began
        return made

    for data in pictures:
        picture = timed("decode", decode, data)
        clamped = timed("clamp", palette.clamp, picture, granules, dither=dither)
        timed("score", lambda seen: ranking.score(ranking.looked_at(seen), granules), picture)
        timed("encode", palette.encoded, clamped)
    return taken


# ---- the whole


async def ours(
    bucket: Bucket, pool: ThreadPoolExecutor, pictures: list[bytes], options: dict[str, Any]
) -> tuple[float, list[float], list[bytes]]:
    """Seconds for all, seconds of each store, and the files."""
    job, loop = uuid4(), asyncio.get_running_loop()
    stores: list[float] = []

    async def one(index: int, data: bytes) -> bytes:
        made = await loop.run_in_executor(pool, palette.finish, data, options)
        key = keys.derived(job, 1, 1, index, variant="quantised", content_type=made.content_type)
        began = time.perf_counter()
        await bucket.put(key, made.data, content_type=made.content_type, if_absent=True)
        stores.append(time.perf_counter() - began)
        return made.data

    began = time.perf_counter()
    made = await asyncio.gather(*(one(index, data) for index, data in enumerate(pictures)))
    return time.perf_counter() - began, stores, made


async def plain(
    bucket: Bucket, pictures: list[bytes], clamp: Callable[[Image.Image], Image.Image]
) -> tuple[float, list[bytes]]:
    """The same by ``clamp``, one after the other, without a score. Seconds, and the files."""
    job, files = uuid4(), []
    began = time.perf_counter()
    for index, data in enumerate(pictures):
        picture = Image.open(io.BytesIO(data)).convert("RGB")
        file = io.BytesIO()
        clamp(picture).save(file, "PNG")
        key = keys.derived(job, 1, 1, index, variant="plain", content_type="image/png")
        await bucket.put(key, file.getvalue(), content_type="image/png")
        files.append(file.getvalue())
    return time.perf_counter() - began, files


def by_every_distance(granules: Bytes) -> Callable[[Image.Image], Image.Image]:
    possible = to_oklab(granules, np.float64)

    def clamp(picture: Image.Image) -> Image.Image:
        seen = to_oklab(np.asarray(picture), np.float64)
        nearest = np.empty(seen.shape[:2], dtype=np.intp)
        for row, line in enumerate(seen):  # all rows at once would take gigabytes
            nearest[row] = ((line[:, None] - possible) ** 2).sum(axis=-1).argmin(axis=1)
        return Image.fromarray(granules[nearest])

    return clamp


def by_quantize(granules: Bytes) -> Callable[[Image.Image], Image.Image]:
    swatches = Image.new("P", (1, 1))
    swatches.putpalette(granules.tobytes())
    return lambda picture: picture.quantize(palette=swatches, dither=Image.Dither.NONE)


def rgb(data: bytes) -> Bytes:
    return np.asarray(Image.open(io.BytesIO(data)).convert("RGB"))


async def measured(bucket: Bucket, rounds: int) -> None:
    with ThreadPoolExecutor(THREADS) as pool:
        for name, colours, dither in (
            ("8 colours", GRANULES, False),
            ("32 colours", MANY, False),
            ("8 colours, dithered", GRANULES, True),
        ):
            pictures = concepts(colours)
            options = {"colours": colours, "dither": dither}
            await ours(bucket, pool, pictures, options)  # connections and libraries are warm then
            worked = time.process_time()
            runs = [await ours(bucket, pool, pictures, options) for _ in range(rounds)]
            worked = (time.process_time() - worked) / rounds
            steps = [each_step(pictures, colours, dither=dither) for _ in range(rounds)]
            say(f"\n{name}: four concepts of 1024²")
            for step in steps[0]:
                alone = median(taken[step] for taken in steps) / len(pictures)
                say(f"  {step:8} {alone * 1000:7.1f} ms a picture")
            stores = [taken for _, each, _ in runs for taken in each]
            say(f"  {'store':8} {median(stores) * 1000:7.1f} ms a picture")
            totals = [seconds for seconds, _, _ in runs]
            size = sum(len(data) for data in runs[0][2]) / len(pictures) / 1024
            say(
                f"  all four {median(totals):5.3f} s (worst {max(totals):5.3f} s; goal: ≤ {GOAL_S} s"
                f" in {THREADS} threads), {worked:.3f} s of processor time,"
                f" {memory(pictures, options)}, {size:.0f} KiB a file"
            )
            if not dither:
                await compared(bucket, pictures, palette_of(colours), runs[0][2], median(totals))
    large, options = a_large_photo(), {"colours": GRANULES, "dither": False}
    began = time.perf_counter()
    made = palette.finish(large, options)
    taken = time.perf_counter() - began
    say(f"\none photo of {made.width} × {made.height}: {taken:.2f} s, {memory([large], options)}")


async def compared(
    bucket: Bucket, pictures: list[bytes], granules: Bytes, made: list[bytes], seconds: float
) -> None:
    for name, clamp in (
        ("every distance", by_every_distance(granules)),
        ("Pillow's quantize", by_quantize(granules)),
    ):
        plainly, files = await plain(bucket, pictures, clamp)
        pairs = [(rgb(one), rgb(other)) for one, other in zip(made, files, strict=True)]
        same = float(np.mean([(one == other).all(axis=-1).mean() for one, other in pairs]))
        say(
            f"  reference: {name:18} {plainly:6.3f} s; ours takes {seconds / plainly:.2f} × that, "
            f"and {same:.2%} of the pixels agree"
        )


async def run(environment: dict[str, str], rounds: int) -> None:
    settings = BucketSettings(
        s3_bucket=environment["S3_BUCKET"],
        s3_endpoint_url=environment["S3_ENDPOINT_URL"],
        aws_access_key_id=environment["AWS_ACCESS_KEY_ID"],
        aws_secret_access_key=environment["AWS_SECRET_ACCESS_KEY"],
        aws_default_region=environment["AWS_DEFAULT_REGION"],
    )
    async with open_bucket(settings) as bucket:
        await measured(bucket, rounds)


def main() -> None:
    reading = argparse.ArgumentParser(description=__doc__)
    reading.add_argument("--rounds", type=int, default=10)
    asked = reading.parse_args()
    say(machine("numpy", "pillow", "aioboto3"))
    with parts() as environment:
        asyncio.run(run(environment, asked.rounds))


if __name__ == "__main__":
    main()
