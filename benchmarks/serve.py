"""What serving costs: start, processor time per photo beside the analyzer's own, many clients, live frames.

    python benchmarks/serve.py [--limit SECONDS]

The server is a process of its own; its clients are this one, on the same cores. With ``--limit N``: N seconds of load.
"""

from __future__ import annotations

import asyncio
import re
import resource
import statistics
import subprocess
import tempfile
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from io import BytesIO

import httpx2
from _process import mien_command
from _record import EXAMPLES, Record, parser, run
from PIL import Image
from websockets.asyncio.client import connect

from mien.analyze.analyzer import Analyzer
from mien.analyze.sources import Source

READY_BAR, COST_BAR, FRAME_BAR, MEMORY_BAR = 3.0, 1.15, 40.0, 5.0
PHOTOS, CLIENTS, SECONDS, FRAMES, FPS = 96, 200, 600, 250, 25
STARTS, AT_ONCE = 3, 8


def photos(count: int) -> list[bytes]:
    """Photos of 320 px, no two the same."""
    made = []
    for number in range(count):
        with Image.open(EXAMPLES / ("eileen_collins.jpg", "grace_hopper.jpg")[number % 2]) as opened:
            small = opened.convert("RGB").resize((320, 320)).rotate(number % 7 - 3)
        out = BytesIO()
        small.save(out, "JPEG", quality=80 + number % 15)
        made.append(out.getvalue())
    return made


@contextmanager
def server(*arguments: str) -> Iterator[tuple[str, float]]:
    """Address and seconds until ready."""
    with tempfile.TemporaryFile() as said:
        began = time.perf_counter()
        process = subprocess.Popen(
            [*mien_command(), "serve", "--port", "0", *arguments], stderr=said, stdout=subprocess.DEVNULL
        )
        try:
            while True:
                said.seek(0)
                found = re.search(r"mien serves on (\S+)", said.read().decode())
                if found is not None:
                    yield found[1], time.perf_counter() - began
                    return
                time.sleep(0.01)
        finally:
            process.terminate()
            process.wait()


def gauge(address: str, name: str) -> float:
    """One of the server's own figures."""
    text = httpx2.get(f"{address}/metrics").text
    return sum(float(line.split()[-1]) for line in text.splitlines() if line.startswith(name))


def measure(record: Record) -> None:
    """Everything, the quick first."""
    starts = []
    for _ in range(STARTS):
        with server() as (_, seconds):
            starts.append(seconds)
    record.add("until ready", min(starts), "s", bar=READY_BAR, at_most=True, n=STARTS, note="best")
    pictures = photos(PHOTOS)
    with server() as (address, _):
        asyncio.run(send_all(address, pictures[:8]))
        cost(record, address, pictures)
        asyncio.run(live(record, address))
    with server() as (address, _):
        asyncio.run(crowd(record, address, pictures, record.options.limit or SECONDS))


def cost(record: Record, address: str, pictures: list[bytes]) -> None:
    """Processor seconds per photo: the server's beside those of the analyzer in this process."""
    analyzer = Analyzer()
    sources = [Source(f"{number}", "image", data) for number, data in enumerate(pictures)]
    list(analyzer.analyze(sources[:8]))
    own, served = [], []
    for _ in range(3):
        began = resource.getrusage(resource.RUSAGE_SELF)
        list(analyzer.analyze(sources))
        ended = resource.getrusage(resource.RUSAGE_SELF)
        own.append(ended.ru_utime + ended.ru_stime - began.ru_utime - began.ru_stime)
        before = gauge(address, "process_cpu_seconds_total")
        asyncio.run(send_all(address, pictures))
        after = gauge(address, "process_cpu_seconds_total")
        served.append(after - before)
    note = f"{1000 * min(own) / len(pictures):.1f} ms in process, {1000 * min(served) / len(pictures):.1f} ms served"
    record.add(
        "processor time per photo over the analyzer's own", min(served) / min(own), bar=COST_BAR, at_most=True,
        n=len(pictures), note=note,
    )  # fmt: skip


async def send_all(address: str, pictures: list[bytes]) -> None:
    """All photos, a few at once."""
    gate = asyncio.Semaphore(AT_ONCE)
    async with httpx2.AsyncClient(base_url=address, timeout=120) as client:

        async def send(data: bytes) -> None:
            async with gate:
                reply = await client.post("/v1/analyze", content=data)
                assert reply.status_code == 200, reply.text

        await asyncio.gather(*map(send, pictures))


async def crowd(record: Record, address: str, pictures: list[bytes], seconds: float) -> None:
    """Many clients, each with its next photo as soon as it has an answer; who is sent away comes back."""
    codes: Counter[int] = Counter()
    times: list[float] = []
    until = time.perf_counter() + seconds
    limits = httpx2.Limits(max_connections=CLIENTS, max_keepalive_connections=CLIENTS)

    async with httpx2.AsyncClient(base_url=address, timeout=300, limits=limits) as client:

        async def one(number: int) -> None:
            while time.perf_counter() < until:
                began = time.perf_counter()
                reply = await client.post("/v1/analyze", content=pictures[number % len(pictures)])
                codes[reply.status_code] += 1
                if reply.status_code == 200:
                    times.append(time.perf_counter() - began)
                else:
                    await asyncio.sleep(float(reply.headers.get("retry-after", 1)))

        running = asyncio.gather(*map(one, range(CLIENTS)))
        await asyncio.sleep(min(20.0, seconds / 4))
        early = gauge(address, "process_resident_memory_bytes")
        await running
        late = gauge(address, "process_resident_memory_bytes")
    answered = codes[200]
    name = f"{CLIENTS} clients"
    record.add(f"{name}: answers of 5xx", sum(codes[one] for one in codes if one >= 500), bar=0, at_most=True)
    record.add(
        f"{name}: photos per second", answered / seconds, n=answered, note=f"{codes[429]} sent away with 429"
    )
    ranked = sorted(times)
    record.add(f"{name}: median until the answer", statistics.median(ranked), "s", n=answered)
    record.add(f"{name}: 99 of 100 within", ranked[int(0.99 * (len(ranked) - 1))], "s", n=answered)
    record.add(
        f"{name}: growth of memory", 100 * (late / early - 1), "%", bar=MEMORY_BAR, at_most=True,
        note=f"{early / 1e6:.0f} MB, then {late / 1e6:.0f} MB",
    )  # fmt: skip


async def live(record: Record, address: str) -> None:
    """A stream of camera frames of 320 px at their rate."""
    (frame,) = photos(1)
    sent: list[float] = []
    took: list[float] = []
    async with connect(
        f"{address.replace('http', 'ws')}/v1/stream?fps={FPS}&drop=false", proxy=None, ping_interval=None
    ) as socket:

        async def receive() -> None:
            for number in range(FRAMES):
                await socket.recv()
                took.append(1000 * (time.perf_counter() - sent[number]))

        reading = asyncio.create_task(receive())
        began = time.perf_counter()
        for number in range(FRAMES):
            await asyncio.sleep(max(0.0, began + number / FPS - time.perf_counter()))
            sent.append(time.perf_counter())
            await socket.send(frame)
        await reading
    ranked = sorted(took[FPS:])
    record.add(
        f"live frames at {FPS} per second: 95 of 100 within", ranked[int(0.95 * (len(ranked) - 1))], "ms",
        bar=FRAME_BAR, at_most=True, n=len(ranked), note=f"median {statistics.median(ranked):.1f} ms",
    )  # fmt: skip


if __name__ == "__main__":
    run("serve", parser(__doc__.splitlines()[0]), measure)
