"""Faces of a suite: the samples of its splits, and each as a model sees it, a block at a time."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cache
from pathlib import Path

import numpy as np

from mien.core.aus import AU_SETS
from mien.core.errors import BadConfig, BadData, BadInput, MienError
from mien.core.nouns import Evidence, Face, Image, Labels, Sample
from mien.core.objects import read_json
from mien.data import open_dataset
from mien.evaluate.answering import Answerer, Shown
from mien.evaluate.forms import Value, truth_of
from mien.evaluate.suite import Suite, open_suite
from mien.face.crop import canonical_crop
from mien.face.decode.media import MediaReader, is_clip, split_media
from mien.face.finder import FaceFinder
from mien.models.composite.frames import central_evidence, clip_evidence
from mien.work.faces import face_of
from mien.work.loop import attempt

__all__ = ["Asked", "Faces", "asked_of", "items_of", "refuse_leak"]

_MOST_FRAMES = 16


@dataclass(frozen=True, slots=True, eq=False)
class Asked:
    """One item of a suite."""

    suite: str
    fold: str
    sample: Sample
    truth: Value
    place: int = 0
    """Among all items of the run, from 0."""


def asked_of(suite: Suite, root: Path | None, limit: int | None = None) -> tuple[list[Asked], int]:
    """The items of all parts of a suite, in order, and how many samples are left out for want of its label.

    Args:
        suite: the protocol.
        root: folder of the dataset; None for the packs of the data folder.
        limit: at most so many per part, spread evenly, as the suite's own.

    Raises:
        BadConfig: no sample has a label that the suite asks for.
        BadData: the dataset is not in its published format.
    """
    found: list[Asked] = []
    left_out = 0
    most = min((one for one in (limit, suite.data.limit) if one is not None), default=None)
    for part in suite.data.parts:
        items: list[Asked] = []
        for sample in _samples(suite, part, root):
            truth = truth_of(suite, sample.labels)
            if truth is None:
                left_out += 1
            else:
                items.append(Asked(suite.name, part if suite.data.folds else "", sample, truth))
        found += items if most is None or most >= len(items) else _spread(items, most)
    if not found:
        raise BadConfig(
            got=f"{left_out} samples of {suite.data.dataset}, none with a label for suite {suite.name}",
            expected=f"labels of {', '.join(suite.words or suite.units)}",
            fix="Choose a suite for these data, or data with these labels",
        )
    return found, left_out


@cache
def items_of(name: str, root: str | None, limit: int | None) -> tuple[Suite, tuple[Asked, ...]]:
    """A suite and its numbered items, for a harness that asks for them one by one; arguments as `asked_of`."""
    suite = open_suite(name)
    found, _ = asked_of(suite, None if root is None else Path(root), limit)
    return suite, tuple(replace(item, place=place) for place, item in enumerate(found))


def refuse_leak(model: Path, suite: Suite, part: str) -> None:
    """Refuse a trained system whose recipe learnt from the very part that is tested.

    Args:
        model: its folder, or its run's.
        suite: the protocol.
        part: split that is tested.

    Raises:
        BadConfig: it did.
    """
    for folder in (model, model.parent):
        record = folder / "recipe.json"
        if not record.is_file():
            continue
        try:
            recipe = read_json(record.read_text(encoding="utf-8"))
            learnt = [
                one.get("split") or "train"
                for one in recipe.get("data") or ()
                if one.get("dataset") == suite.data.dataset
            ]
        except (OSError, ValueError, AttributeError):
            continue
        for split in learnt:
            if _holds(split, part):
                raise BadConfig(
                    got=f"{model}, which was trained on {suite.data.dataset} {split}",
                    expected=f"a model that never saw {part}, which {suite.name} tests",
                    fix="Train without that fold and name one model per fold with {fold}, such as runs/disfa-{fold}; "
                    "or test one fold alone, by a suite of your own",
                )
        return


def _holds(learnt: str, tested: str) -> bool:
    """Whether a split that was learnt holds items of one that is tested: the other rounds' tests are all trained on."""
    rounds = [re.fullmatch(r"(fold\d+)-(train|test)", one) for one in (learnt, tested)]
    if rounds[0] and rounds[1]:
        return rounds[0][2] == "train" and rounds[1][2] == "test" and rounds[0][1] != rounds[1][1]
    return learnt == tested


def _spread(items: Sequence[Asked], most: int) -> list[Asked]:
    return [items[place * len(items) // most] for place in range(most)]


def _samples(suite: Suite, part: str, root: Path | None) -> Iterator[Sample]:
    if suite.data.dataset == "renders":
        return _renders(root, part)
    return open_dataset(suite.data.dataset).read(part, root, **suite.data.options)


def _renders(root: Path | None, part: str) -> Iterator[Sample]:
    """Faces of ``tools/render_faces.py``; a tenth of the identities is held back as ``val``."""
    shards = sorted(root.glob("shard_*.npz")) if root is not None else []
    if not shards:
        raise BadData(
            got=f"no shard in {root}",
            expected="shard_0000.npz and so on",
            fix="Run: python tools/render_faces.py --count 27136 --size 144 --out FOLDER, and pass --root FOLDER",
        )
    for path in shards:
        with np.load(path, allow_pickle=False) as shard:
            names = tuple(map(str, shard["au_names"]))
            identity, values = shard["identity"], shard["au"]
        if names != AU_SETS["pocket"]:
            raise BadData(got=f"{path.name} with AUs {names}", expected="pocket's AUs", fix="Render again")
        for row in np.flatnonzero((identity % 10 == 0) == (part == "val")):
            labels = Labels(au_intensity=dict(zip(names, map(float, values[row]), strict=True)))
            yield Sample(
                f"{path.stem}-{row}",
                "renders",
                part,
                f"{path}!{row}",
                labels,
                str(identity[row]),
                cropped=True,
            )


@dataclass
class Faces:
    """Pictures and faces of blocks of items; what cannot be read comes out as its error.

    Args:
        answerer: who will look.
        landmarks_only: give no pixels.
        threads: of the face nets.
    """

    answerer: Answerer
    landmarks_only: bool = False
    threads: int | None = None
    _finder: FaceFinder | None = field(default=None, init=False)
    _media: MediaReader = field(default_factory=MediaReader, init=False)

    def of(self, items: Sequence[Asked]) -> list[Shown | MienError]:
        """One per item, in order."""
        size = self.answerer.crop_size
        pictures: dict[int, Image | MienError] = {}
        for place, item in enumerate(items):
            if not (size is not None and self.answerer.clips and is_clip(item.sample.media)):
                pictures[place] = self._tried(item.sample)
        if size is None:
            return [
                one if isinstance(one, MienError) else Shown(items[place].sample, (), one)
                for place, one in pictures.items()
            ]
        whole = self._whole(items, pictures)
        return [self._shown(item, pictures.get(place), whole.get(place)) for place, item in enumerate(items)]

    def close(self) -> None:
        """Close the archives and videos that are open."""
        self._media.close()

    @property
    def finder(self) -> FaceFinder:
        """The front-end, loaded when the first face is looked for."""
        if self._finder is None:
            self._finder = FaceFinder(threads=self.threads)
        return self._finder

    def _tried(self, sample: Sample) -> Image | MienError:
        return attempt(lambda: self._media.open(sample.media), sample.media)

    def _whole(self, items: Sequence[Asked], pictures: Mapping[int, Image | MienError]) -> dict[int, Face]:
        """Faces of pictures that are crops already, found together."""
        places = [
            place
            for place, one in pictures.items()
            if not isinstance(one, MienError)
            and items[place].sample.cropped
            and items[place].sample.landmarks is None
        ]
        images = [one for place in places if not isinstance(one := pictures[place], MienError)]
        return dict(zip(places, self.finder.find_cropped_batch(images), strict=True)) if images else {}

    def _shown(self, item: Asked, picture: Image | MienError | None, face: Face | None) -> Shown | MienError:
        if isinstance(picture, MienError):
            return picture
        return attempt(lambda: self._looked(item.sample, picture, face), item.sample.media)

    def _looked(self, sample: Sample, picture: Image | None, face: Face | None) -> Shown:
        if picture is None:
            return Shown(sample, self._clip(sample))
        return Shown(sample, (self._evidence(picture, face or face_of(sample, picture, self.finder)),))

    def _clip(self, sample: Sample) -> tuple[Evidence, ...]:
        path = Path(split_media(sample.media)[0])
        size = None if self.landmarks_only else self.answerer.crop_size
        found = clip_evidence(path, self.finder, size, limit=_MOST_FRAMES, cropped=sample.cropped)
        if not found:
            one = central_evidence(path, self.finder, size, cropped=sample.cropped)
            found = [] if one is None else [one]
        if not found:
            raise _no_face(sample)
        return tuple(found)

    def _evidence(self, picture: Image, face: Face) -> Evidence:
        size = self.answerer.crop_size
        if self.landmarks_only or size is None:
            return Evidence(face)
        crop, transform = canonical_crop(picture, face, size)
        return Evidence(replace(face, crop=transform), crop)


def _no_face(sample: Sample) -> BadInput:
    return BadInput(got=f"no face in {sample.media}", expected="a face of 20 px or more", fix="Look at it")
