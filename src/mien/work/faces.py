"""Faces of a whole dataset, found once: `Sample` -> `Face`, landmarks and canonical crop, in shards on disk.

Each shard of 256 samples is one safetensors file that remembers a hash of every picture's pixels, of what the sample
says about the face, and of the front-end. Going on after a kill, or after pictures changed, computes only the shards
whose hashes differ; the folder ends with the same bytes either way. Only one shard's results are in memory, and the
pictures one by one (small ones 64 at a time).
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import asdict, dataclass, replace
from functools import cache
from itertools import islice
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from mien.core.errors import BadConfig, BadData, BadInput, MienError
from mien.core.nouns import LANDMARKS, CropTransform, Face, FloatArray, Image, Sample
from mien.core.paths import forget_killed, output_errors, write_whole
from mien.face.crop import canonical_crop, whole_image
from mien.face.decode.media import iter_media
from mien.face.finder import FaceFinder, box_overlap
from mien.face.nets import read_manifest
from mien.face.pose import head_pose
from mien.work.rows import Rows, tensor_rows

__all__ = ["SHARD", "CachedFace", "FaceCache", "FaceSummary", "derive_faces", "face_of", "front_end_version"]

SHARD = 256
"""Samples per file."""
_FORMAT = "1"
"""Raised whenever the same pixels would give another face: part of every key."""
_INDEX, _ERRORS = "faces.json", "errors.jsonl"
_COUNTED = ("samples", "with_landmarks", "without_landmarks", "failed")
_BATCH, _BATCH_PIXELS = 64, 16_000_000
_AROUND = 0.5
"""A given box is widened by this share of its longer side before a face is looked for in it."""
_SAME = 0.1
"""Overlap from which a found face is the one that the box means; boxes of other detectors are framed differently."""


@cache
def front_end_version() -> str:
    """Short hash of the face nets; other nets find other faces."""
    files = read_manifest()["files"]
    text = json.dumps([_FORMAT, sorted((name, about["sha256"]) for name, about in files.items())])
    return hashlib.sha256(text.encode()).hexdigest()[:12]


def face_of(sample: Sample, image: Image, finder: FaceFinder) -> Face:
    """The face that a sample means.

    In this order: given landmarks; a picture that is a face crop; the face in the given box (the box alone, without
    landmarks, when none is found there); the largest face of the picture.

    Args:
        sample: what the dataset says.
        image: (H, W, 3) uint8 RGB of ``sample.media``.
        finder: the front-end.

    Raises:
        BadInput: no face, or landmarks or a box that do not belong to this picture.
    """
    height, width = image.shape[:2]
    if sample.landmarks is not None:
        if float(np.ptp(sample.landmarks[:, :2], axis=0).max()) < 4.0:
            raise BadInput(
                got=f"landmarks of {sample.id} that span less than 4 px",
                expected="landmarks in px of the picture, not scaled ones",
                fix="Derive faces from samples as the reader gives them",
            )
        face = finder.from_landmarks(sample.landmarks, (width, height))
        return replace(face, crop=_whole(width, height)) if sample.cropped else face
    if sample.cropped:
        return finder.find_cropped(image)
    if sample.box is not None:
        return _in_box(image, sample.box, finder)
    faces = finder.find(image)
    if not faces:
        raise BadInput(
            got=f"no face in the picture of {width} x {height} px",
            expected="a face of 20 px or more",
            fix="Leave the sample out, or give its box",
        )
    return faces[0]


def _whole(width: int, height: int) -> CropTransform:
    return whole_image(width, height, max(width, height))


def _in_box(image: Image, box: tuple[float, float, float, float], finder: FaceFinder) -> Face:
    height, width = image.shape[:2]
    given = np.asarray(box, np.float32)
    margin = _AROUND * float(max(given[2] - given[0], given[3] - given[1]))
    low = np.maximum(given[:2] - margin, 0).astype(int)
    high = np.minimum(np.ceil(given[2:] + margin), (width, height)).astype(int)
    inside = np.clip(given, 0, (width, height, width, height))
    if (inside[2:] - inside[:2]).min() < 1:
        raise BadInput(
            got=f"the box {', '.join(f'{edge:g}' for edge in box)} in a picture of {width} x {height} px",
            expected="left < right and top < bottom, inside the picture",
            fix="Run `mien data check` on the dataset",
        )
    part = np.ascontiguousarray(image[low[1] : high[1], low[0] : high[0]])
    shift = np.array([low[0], low[1]], np.float32)
    moved = [replace(face, box=face.box + np.tile(shift, 2)) for face in finder.find(part)]
    best = max(moved, key=lambda face: box_overlap(face.box, given), default=None)
    if best is None or best.landmarks is None or box_overlap(best.box, given) < _SAME:
        return Face(inside, 1.0)
    return replace(best, landmarks=best.landmarks + np.append(shift, np.float32(0)))


@dataclass(frozen=True, slots=True)
class FaceSummary:
    """What became of a dataset's samples."""

    samples: int
    with_landmarks: int
    without_landmarks: int
    """A face crop or box in which the mesh finds no face."""
    failed: int
    """Unreadable pictures and pictures without a face; each is named in ``errors.jsonl``."""
    computed: int
    """Shards computed in this call; the others were there already."""


@dataclass(frozen=True, slots=True, eq=False)
class CachedFace:
    """One row of the cache."""

    id: str
    face: Face | None
    """None when it failed."""
    crop: Image | None
    """(S, S, 3) uint8 RGB; None when it failed or when the cache holds no crops."""
    transform: CropTransform | None
    """From the picture to this crop; None without one."""
    error: str | None


@dataclass(frozen=True, slots=True)
class _Settings:
    """What a shard's content depends on, besides its samples."""

    front_end: str
    crop_size: int


def derive_faces(
    samples: Iterable[Sample],
    folder: Path,
    *,
    crop_size: int | None = None,
    threads: int | None = None,
    resume: bool = True,
    on_shard: Callable[[int], None] | None = None,
    share: tuple[int, int] = (0, 1),
    meet: Callable[[], None] = lambda: None,
) -> FaceSummary:
    """Find the face of every sample and keep it in ``folder``; a sample that fails is noted, the rest goes on.

    Args:
        samples: with unique ids, always in the same order.
        folder: of this one list of samples; made when absent. One process at a time, or the ``share`` of each.
        crop_size: side of the canonical crop in px; None keeps none.
        threads: CPU threads of the nets.
        resume: False refuses a folder that holds shards already.
        on_shard: called with the number of samples done so far.
        share: which process this is, from 0, of how many that work on the folder together.
        meet: returns when all of them have called it.

    Raises:
        BadConfig: the folder is in use and ``resume`` is False, or ``crop_size`` is below 8.
        BadData: the dataset is not in its published format (from the reader).
    """
    if crop_size is not None and crop_size < 8:
        raise BadConfig(got=f"crops of {crop_size} px", expected="8 px or more", fix="Pass a larger size")
    if not resume and any(folder.glob("faces-*.safetensors")):
        raise BadConfig(
            got=f"{folder}, which holds faces already",
            expected="an empty folder, or leave to go on",
            fix="Pass --resume to go on, or choose another folder",
        )
    with output_errors(folder):
        folder.mkdir(parents=True, exist_ok=True)
    if share[0] == 0:
        forget_killed(folder)
    meet()
    settings = _Settings(front_end_version(), crop_size or 0)
    work, stream, computed, done, number = _Work(settings, threads), iter(samples), 0, 0, 0
    while block := list(islice(stream, SHARD)):
        path = _shard_path(folder, number)
        if number % share[1] == share[0] and not _kept(path, block, settings):
            _write_shard(path, work.shard(block), settings)
            computed += 1
        done, number = done + len(block), number + 1
        if on_shard is not None:
            on_shard(done)
    meet()
    if share[0] == 0:
        for stale in sorted(folder.glob("faces-*.safetensors"))[number:]:
            stale.unlink()
        _finish(folder, number, settings)
    meet()
    return FaceSummary(**_read_index(folder), computed=computed)


def _shard_path(folder: Path, number: int) -> Path:
    return folder / f"faces-{number:06d}.safetensors"


def _finish(folder: Path, shards: int, settings: _Settings) -> None:
    """Write the index and the errors of all shards, from what they say of themselves."""
    counts, errors, digest = dict.fromkeys(_COUNTED, 0), [], hashlib.sha256()
    for number in range(shards):
        about = _read_about(_shard_path(folder, number))
        for one, key, error in zip(about["ids"], about["keys"], about["errors"], strict=True):
            digest.update(f"{one}\0{key}\n".encode())
            if error is not None:
                errors.append(json.dumps({"id": one, "error": error}, ensure_ascii=False))
        counts["samples"] += len(about["ids"])
        counts["with_landmarks"] += about["with_landmarks"]
        counts["without_landmarks"] += about["errors"].count(None) - about["with_landmarks"]
    counts["failed"] = len(errors)
    index = {**asdict(settings), **counts, "shards": shards, "shard_size": SHARD, "hash": digest.hexdigest()}
    write_whole(folder / _ERRORS, "".join(f"{line}\n" for line in errors).encode())
    write_whole(folder / _INDEX, (json.dumps(index, indent=1) + "\n").encode())


def _read_index(folder: Path) -> dict[str, int]:
    index = json.loads((folder / _INDEX).read_text(encoding="utf-8"))
    return {name: int(index[name]) for name in _COUNTED}


def _pixel_key(sample: Sample, image: Image | MienError, settings: _Settings) -> str:
    """Hash of the pixels and of all that the face depends on; empty for a picture that cannot be read."""
    if isinstance(image, MienError):
        return ""
    given = [settings.front_end, settings.crop_size, sample.cropped, sample.box, image.shape]
    digest = hashlib.sha256(repr(given).encode())
    digest.update(np.ascontiguousarray(image).data)
    if sample.landmarks is not None:
        digest.update(np.ascontiguousarray(sample.landmarks, np.float32).data)
    return digest.hexdigest()[:32]


def _kept(path: Path, block: Sequence[Sample], settings: _Settings) -> bool:
    """Whether a finished shard fits these samples and their present pixels."""
    if not path.exists():
        return False
    try:
        about = _read_about(path)
    except BadData:
        return False
    if about["settings"] != asdict(settings) or about["ids"] != [sample.id for sample in block]:
        return False
    pictures = iter_media(sample.media for sample in block)
    keys = (_pixel_key(one, image, settings) for one, image in zip(block, pictures, strict=True))
    return all(now == then for now, then in zip(keys, about["keys"], strict=True))


class _Work:
    """Computes shards; the nets are loaded when the first is needed."""

    def __init__(self, settings: _Settings, threads: int | None) -> None:
        self._settings, self._threads = settings, threads
        self._finder: FaceFinder | None = None

    def shard(self, block: Sequence[Sample]) -> _Shard:
        if self._finder is None:
            self._finder = FaceFinder(threads=self._threads)
        shard = _Shard.empty([sample.id for sample in block], self._settings.crop_size)
        waiting: list[tuple[int, Image]] = []
        for row, image in enumerate(iter_media(sample.media for sample in block)):
            sample = block[row]
            shard.keys[row] = _pixel_key(sample, image, self._settings)
            if isinstance(image, MienError):
                shard.errors[row] = str(image)
            elif sample.cropped and sample.landmarks is None:
                waiting.append((row, image))
                if len(waiting) == _BATCH or sum(one.size for _, one in waiting) > 3 * _BATCH_PIXELS:
                    self._flush(shard, waiting)
            else:
                try:
                    shard.put(row, image, face_of(sample, image, self._finder))
                except MienError as error:
                    shard.errors[row] = str(error)
        self._flush(shard, waiting)
        return shard

    def _flush(self, shard: _Shard, waiting: list[tuple[int, Image]]) -> None:
        if self._finder is not None and waiting:
            faces = self._finder.find_cropped_batch([image for _, image in waiting])
            for (row, image), face in zip(waiting, faces, strict=True):
                shard.put(row, image, face)
        waiting.clear()


@dataclass(slots=True, eq=False)
class _Shard:
    """Rows of one file."""

    ids: list[str]
    keys: list[str]
    errors: list[str | None]
    boxes: FloatArray
    scores: FloatArray
    """Detector score and presence."""
    cropped: npt.NDArray[np.uint8]
    landmarks: FloatArray
    """NaN where there are none."""
    sizes: npt.NDArray[np.int32]
    """Width and height of the picture."""
    matrices: npt.NDArray[np.float64]
    """Picture px -> crop px."""
    crops: npt.NDArray[np.uint8]

    @classmethod
    def empty(cls, ids: list[str], size: int) -> _Shard:
        count = len(ids)
        return cls(
            ids,
            [""] * count,
            [None] * count,
            np.full((count, 4), np.nan, np.float32),
            np.full((count, 2), np.nan, np.float32),
            np.zeros(count, np.uint8),
            np.full((count, LANDMARKS, 3), np.nan, np.float32),
            np.zeros((count, 2), np.int32),
            np.full((count, 2, 3), np.nan, np.float64),
            np.zeros((count, size, size, 3), np.uint8),
        )

    def put(self, row: int, image: Image, face: Face) -> None:
        size = self.crops.shape[1]
        if size:
            try:
                self.crops[row], transform = canonical_crop(image, face, size)
            except BadInput as error:
                self.errors[row] = str(error)
                return
            self.matrices[row] = transform.matrix
        self.boxes[row] = face.box
        self.sizes[row] = image.shape[1], image.shape[0]
        self.scores[row] = face.score, face.presence
        self.cropped[row] = face.crop is not None
        if face.landmarks is not None:
            self.landmarks[row] = face.landmarks


def _write_shard(path: Path, shard: _Shard, settings: _Settings) -> dict[str, Any]:
    from safetensors.numpy import save

    tensors: dict[str, npt.NDArray[Any]] = {
        "boxes": shard.boxes,
        "scores": shard.scores,
        "cropped": shard.cropped,
        "landmarks": shard.landmarks,
        "sizes": shard.sizes,
        "matrices": shard.matrices,
        "crops": shard.crops,
    }
    about = {
        "settings": asdict(settings),
        "ids": shard.ids,
        "keys": shard.keys,
        "errors": shard.errors,
        "with_landmarks": int(np.isfinite(shard.landmarks[:, 0, 0]).sum()),
    }
    # One key only: safetensors writes several in any order, and equal content must give equal bytes.
    write_whole(path, save(tensors, metadata={"mien": json.dumps(about)}))
    return about


def _read_about(path: Path) -> dict[str, Any]:
    from safetensors import SafetensorError, safe_open

    try:
        with safe_open(path, framework="np") as file:
            about: dict[str, Any] = json.loads((file.metadata() or {})["mien"])
    except (OSError, SafetensorError, KeyError, ValueError) as error:
        raise BadData(
            got=f"{path}, which cannot be read ({error})",
            expected="a shard of faces",
            fix="Run the command that made it again with --resume; it repairs the folder",
        ) from error
    return about


class FaceCache:
    """Faces that `derive_faces` left in a folder, read shard by shard.

    Raises:
        BadData: the folder holds no finished cache, or a shard is damaged.
    """

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        try:
            self.index: dict[str, Any] = json.loads((folder / _INDEX).read_text(encoding="utf-8"))
            self._shards = int(self.index["shards"])
        except (OSError, ValueError, KeyError) as error:
            raise BadData(
                got=f"{folder} without a readable {_INDEX}",
                expected="a folder that derive_faces finished",
                fix="Run the command that made it again with --resume",
            ) from error

    def __len__(self) -> int:
        return int(self.index["samples"])

    def __iter__(self) -> Iterator[CachedFace]:
        """All rows in the order of the samples."""
        for number in range(self._shards):
            yield from self._rows(number)

    def landmarks(self) -> Iterator[tuple[list[str], FloatArray]]:
        """Ids and (n, 478, 3) px of the faces that have landmarks, shard by shard."""
        for number in range(self._shards):
            about, tensors = self._load(number, ("landmarks",))
            found = np.isfinite(tensors["landmarks"][:, 0, 0])
            yield (
                [one for one, here in zip(about["ids"], found, strict=True) if here],
                tensors["landmarks"][found],
            )

    def found(self) -> Iterator[tuple[bool, bool]]:
        """Of each sample, in order: whether it has a face, and whether that has landmarks."""
        for number in range(self._shards):
            about, tensors = self._load(number, ("landmarks",))
            meshed = np.isfinite(tensors["landmarks"][:, 0, 0]).tolist()
            yield from ((error is None, mesh) for error, mesh in zip(about["errors"], meshed, strict=True))

    def rows(self, name: str, places: Sequence[int]) -> Rows:
        """The ``crops`` (S, S, 3), ``landmarks`` (478, 3) or ``matrices`` (2, 3) of some samples, left on the disk."""
        files = [self._file(number) for number in range(self._shards)]
        size = int(self.index["crop_size"])
        shape = {"crops": (size, size, 3), "landmarks": (LANDMARKS, 3), "matrices": (2, 3)}[name]
        return Rows([tensor_rows(file, (name,))[name] for file in files], shape).take(places)

    def _file(self, number: int) -> Path:
        return _shard_path(self._folder, number)

    def _rows(self, number: int) -> Iterator[CachedFace]:
        names = ("boxes", "scores", "cropped", "landmarks", "sizes", "matrices", "crops")
        about, tensors = self._load(number, names)
        size = tensors["crops"].shape[1]
        for row, (one, error) in enumerate(zip(about["ids"], about["errors"], strict=True)):
            if error is not None:
                yield CachedFace(one, None, None, None, error)
                continue
            crop = tensors["crops"][row] if size else None
            transform = CropTransform(tensors["matrices"][row], size) if size else None
            yield CachedFace(one, _face(tensors, row), crop, transform, None)

    def _load(self, number: int, names: Sequence[str]) -> tuple[dict[str, Any], dict[str, npt.NDArray[Any]]]:
        from safetensors import SafetensorError, safe_open

        path = self._file(number)
        about = _read_about(path)
        try:
            with safe_open(path, framework="np") as file:
                return about, {name: file.get_tensor(name) for name in names}
        except (OSError, SafetensorError) as error:
            raise BadData(
                got=f"{path}, which cannot be read ({error})",
                expected="a shard of faces",
                fix="Run with --resume",
            ) from error


def _face(tensors: dict[str, npt.NDArray[Any]], row: int) -> Face:
    box, points = tensors["boxes"][row], tensors["landmarks"][row]
    known = bool(np.isfinite(points[0, 0]))
    return Face(
        box,
        float(tensors["scores"][row, 0]),
        points if known else None,
        float(tensors["scores"][row, 1]),
        head_pose(points) if known else None,
        _whole(*tensors["sizes"][row].tolist()) if tensors["cropped"][row] else None,
    )
