"""Pictures for the leak test: the same people under eight moods, with and without one more AU of equal strength.

If a reading of that unit differs between the moods, it follows the mood and not the muscle. The people are held back
from training: every tenth identity of seed 0, the first forty of them.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from functools import lru_cache
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from renderer.faces import AU_NAMES, FaceModel
from renderer.finish import develop
from renderer.persona import make_persona
from renderer.sampling import PROTOTYPES, RIVALS, Expression, draw_pose, shapes_from_aus
from renderer.scene import Renderer, draw_background, draw_camera, draw_light

__all__ = ["MOODS", "PEOPLE", "draw_person", "write_leak_pictures"]

SEED = 0
PEOPLE = tuple(range(0, 400, 10))
MOODS = ("neutral", *(name for name, _, _ in PROTOTYPES))
_STRENGTH, _EXTRA = 0.7, 0.5
_UNITS_PER_PERSON = 3
_OVERSAMPLE = 2


@lru_cache(maxsize=1)
def _studio(data: Path) -> Renderer:
    return Renderer(FaceModel(data))


def _expressions(person: int) -> Iterator[tuple[int, dict[str, float]]]:
    """(mood, AUs) of a person's pictures: each mood alone, then with units that the mood neither holds nor bars."""
    rng = np.random.default_rng([SEED, 3, person])
    units = [str(unit) for unit in rng.permutation(AU_NAMES)[:_UNITS_PER_PERSON]]
    for mood in range(len(MOODS)):
        base = dict.fromkeys(PROTOTYPES[mood - 1][1] if mood else (), _STRENGTH)
        yield mood, base
        for unit in units:
            barred = {other for name in base for other in RIVALS.get(name, ())}
            if unit not in base and unit not in barred and not barred.intersection(RIVALS.get(unit, ())):
                yield mood, {**base, unit: _EXTRA}


def draw_person(data: Path, size: int, person: int) -> dict[str, NDArray[np.generic]]:
    """All pictures of one person, in one light and from one place; the pose changes a little with each unit."""
    studio = _studio(data)
    looks = make_persona(np.random.default_rng([SEED, 1, person]), studio.model, studio.shade, studio.maps)
    images, truths, poses, moods = [], [], [], []
    large = size * _OVERSAMPLE
    for mood, units in _expressions(person):
        # The same numbers for every mood, so that pairs differ in the mood alone.
        extra = sum(AU_NAMES.index(name) + 1 for name, value in units.items() if value == _EXTRA)
        rng = np.random.default_rng([SEED, 4, person, extra])
        pose, camera, light = draw_pose(rng), draw_camera(rng), draw_light(rng, looks.looks.gloss)
        background = draw_background(rng, large, large)
        brightness = 0.10 + 0.28 * float(looks.looks.skin.mean()) ** 1.5
        expression = Expression(shapes_from_aus(studio.model, units), (0.0, 0.0), mood - 1)
        picture = studio.draw(looks, expression, pose, camera, light, background, brightness)
        images.append(develop(picture.image, (size, size)))
        truths.append(picture.au)
        poses.append((pose.yaw, pose.pitch, pose.roll))
        moods.append(mood)
    return {
        "images": np.stack(images), "au": np.stack(truths), "au_names": np.array(AU_NAMES),
        "pose": np.array(poses, np.float32), "mood": np.array(moods, np.int8), "mood_names": np.array(MOODS),
        "identity": np.full(len(moods), person, np.int32),
    }  # fmt: skip


def write_leak_pictures(data: Path, size: int, folder: Path) -> Iterator[str]:
    """Write ``person_0000.npz`` … unless they are there; yields a line for each."""
    folder.mkdir(parents=True, exist_ok=True)
    for done, person in enumerate(PEOPLE, 1):
        target = folder / f"person_{person:04d}.npz"
        if not target.exists():
            draft = target.with_name(f".{target.stem}.{os.getpid()}.npz")
            np.savez(draft, **draw_person(data, size, person))
            draft.replace(target)
        yield f"person {done}/{len(PEOPLE)}"
