"""Deterministic training shards: every picture depends only on (seed, index)."""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from functools import lru_cache, partial
from multiprocessing import get_context
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from renderer.faces import AU_NAMES, FaceModel
from renderer.finish import develop, wear
from renderer.persona import Persona, make_persona
from renderer.sampling import PROTOTYPES, draw_expression, draw_pose
from renderer.scene import Renderer, draw_background, draw_camera, draw_light

__all__ = ["IMAGES_PER_IDENTITY", "SHARD", "Job", "Sample", "draw_sample", "write_shards"]

IMAGES_PER_IDENTITY = 8
# Identities that validation holds back; `mien.train.data.renders` reads them so.
HOLD_BACK_EVERY = 10
# Pictures per shard file: whole identities, and about 15 MB at 144 pixels.
SHARD = 256
# Drawn this many times larger and averaged down.
_OVERSAMPLE = 2


@dataclass(frozen=True)
class Job:
    """What to render: count pictures of size x size pixels into folder, from seed, out of the data folder.

    With `held_back` only the identities that validation holds back (every tenth)."""

    data: Path
    folder: Path
    count: int
    size: int
    seed: int
    held_back: bool = False


@dataclass(frozen=True)
class Sample:
    """image: uint8 [S, S, 3]; au: float32 [22] 0-1; pose: degrees float32 [3] (yaw, pitch, roll);
    gaze: degrees float32 [2]; landmarks: pixels float32 [68, 2]; identity and prototype: numbers (-1:
    no prototype)."""

    image: NDArray[np.uint8]
    au: NDArray[np.float32]
    pose: NDArray[np.float32]
    gaze: NDArray[np.float32]
    landmarks: NDArray[np.float32]
    identity: int
    prototype: int


@lru_cache(maxsize=1)
def _renderer(data: Path) -> Renderer:
    return Renderer(FaceModel(data))


@lru_cache(maxsize=2)
def _person(data: Path, seed: int, identity: int) -> Persona:
    studio = _renderer(data)
    rng = np.random.default_rng([seed, 1, identity])
    return make_persona(rng, studio.model, studio.shade, studio.maps)


def draw_sample(data: Path, size: int, seed: int, index: int) -> Sample:
    """Picture number `index`; the same arguments give the same bytes."""
    studio = _renderer(data)
    identity = index // IMAGES_PER_IDENTITY
    person = _person(data, seed, identity)
    rng = np.random.default_rng([seed, 2, index])
    expression, pose = draw_expression(rng, studio.model), draw_pose(rng)
    camera, light = draw_camera(rng), draw_light(rng, person.looks.gloss)
    large = size * _OVERSAMPLE
    background = draw_background(rng, large, large)
    brightness = 0.10 + 0.28 * float(person.looks.skin.mean()) ** 1.5
    exposure = float(np.clip(rng.normal(brightness, 0.05), 0.05, 0.42))
    picture = studio.draw(person, expression, pose, camera, light, background, exposure)
    image = wear(rng, develop(picture.image, (size, size)))
    angles = np.array([pose.yaw, pose.pitch, pose.roll], np.float32)
    gaze = np.array(expression.gaze, np.float32)
    landmarks = (picture.landmarks / _OVERSAMPLE).astype(np.float32)
    return Sample(image, picture.au, angles, gaze, landmarks, identity, expression.prototype)


def _write_shard(job: Job, shard: int) -> int:
    """Render one shard file unless it is there; returns how many pictures were drawn."""
    target = job.folder / f"shard_{shard:04d}.npz"
    rows = [
        index
        for index in range(shard * SHARD, min((shard + 1) * SHARD, job.count))
        if not job.held_back or (index // IMAGES_PER_IDENTITY) % HOLD_BACK_EVERY == 0
    ]
    if not rows or _complete(target, len(rows)):
        return 0
    samples = [draw_sample(job.data, job.size, job.seed, index) for index in rows]
    draft = target.with_name(f".{target.stem}.{os.getpid()}.npz")
    np.savez(
        draft,
        images=np.stack([sample.image for sample in samples]),
        au=np.stack([sample.au for sample in samples]),
        au_names=np.array(AU_NAMES),
        identity=np.array([sample.identity for sample in samples], np.int32),
        index=np.array(rows, np.int32),
        pose=np.stack([sample.pose for sample in samples]),
        gaze=np.stack([sample.gaze for sample in samples]),
        prototype=np.array([sample.prototype for sample in samples], np.int8),
        prototype_names=np.array([prototype[0] for prototype in PROTOTYPES]),
        landmarks68=np.stack([sample.landmarks for sample in samples]),
    )
    draft.replace(target)
    return len(samples)


def _complete(target: Path, rows: int) -> bool:
    if not target.exists():
        return False
    with np.load(target, allow_pickle=False) as file:
        return len(file["identity"]) == rows


def write_shards(job: Job, workers: int, report: Callable[[str], None]) -> int:
    """Write all missing shards of a job and return how many pictures were drawn.

    A shard is written under a temporary name and renamed, so a stopped job leaves no half file and can
    be started again.  `report` receives one line of progress per shard.
    """
    job.folder.mkdir(parents=True, exist_ok=True)
    shards = range(-(-job.count // SHARD))
    began, drawn, passed = time.monotonic(), 0, 0
    for shard, new in _run(job, shards, workers):
        drawn += new
        passed += 1
        spent = time.monotonic() - began
        rate = drawn / spent if drawn else 0.0
        left = (len(shards) - passed) * SHARD / rate if rate else 0.0
        done = f"shard {shard + 1}/{len(shards)}"
        report(f"{done}  {drawn} drawn  {rate:.1f} images/s  {left / 60:.1f} min left")
    return drawn


def _run(job: Job, shards: range, workers: int) -> Iterator[tuple[int, int]]:
    if workers <= 1:
        for shard in shards:
            yield shard, _write_shard(job, shard)
        return
    with ProcessPoolExecutor(workers, mp_context=get_context("spawn")) as pool:
        yield from zip(shards, pool.map(partial(_write_shard, job), shards), strict=True)
