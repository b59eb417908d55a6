"""Mutants of everything that mien reads: seeds, what is done to them, and how each is read.

Seeds are written by Pillow, PyAV and NumPy, drawn from the examples, or are mien's own texts. ``tests/fuzz`` reads some
hundreds of each kind, ``benchmarks/fuzz.py`` ten thousand and more under a watch of time and memory.
"""

from __future__ import annotations

import csv
import io
import json
import shutil
from collections.abc import Callable, Iterator
from copy import deepcopy
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image as pillow

from mutators import MUTATORS, Generator

Seeds = list[tuple[str, bytes]]
EXAMPLES = Path(__file__).resolve().parent.parent / "examples"


@dataclass(frozen=True)
class Case:
    """One mutant."""

    what: str
    """Kind, number and seed: makes it again."""
    reads: tuple[Callable[[], Any], ...]
    """Ways to read it, the main one first; each gives something or raises a `MienError`."""


def mutants(seeds: Seeds, count: int, seed: int) -> Iterator[tuple[str, bytes]]:
    """``count`` files: each of the seeds in turn, changed once to three times."""
    rng = np.random.default_rng(seed)
    for number in range(count):
        name, data = seeds[number % len(seeds)]
        changed = bytearray(data)
        for _ in range(rng.integers(1, 4)):
            changed = MUTATORS[int(rng.integers(0, len(MUTATORS)))](changed, rng) or bytearray(b"\0")
        yield name, bytes(changed)


def picture_seeds() -> Seeds:
    rng = np.random.default_rng(0)
    small = pillow.fromarray(rng.integers(0, 255, (12, 16, 3), dtype=np.uint8))
    images = [small.resize((64, 48)), small.rotate(90).resize((64, 48))]
    moving = {"save_all": True, "append_images": images[1:], "duration": 80}
    wanted: list[tuple[str, dict[str, Any]]] = [
        ("a.jpg", {}),
        ("b.jpg", {"progressive": True}),
        ("a.png", {}),
        ("b.png", moving),
        ("a.webp", {}),
        ("b.webp", moving),
        ("a.gif", moving),
        ("a.bmp", {}),
        ("a.tif", {"compression": "tiff_deflate"}),
        ("b.tif", {"save_all": True, "append_images": images[1:]}),
        ("a.avif", {}),
        ("b.avif", moving),
        ("a.jp2", {}),
        ("a.ppm", {}),
        ("a.tga", {}),
        ("a.ico", {}),
    ]
    seeds = []
    for name, options in wanted:
        file = io.BytesIO()
        images[0].save(file, pillow.registered_extensions()["." + name.split(".")[1]], **options)
        seeds.append((name, file.getvalue()))
    grey = io.BytesIO()
    pillow.fromarray(np.arange(64 * 48, dtype=np.uint16).reshape(48, 64) + 20_000).save(grey, "PNG")
    return [*seeds, ("c.png", grey.getvalue())]


def video_seeds(folder: Path) -> Seeds:
    import av

    seeds = []
    codecs = {".mp4": "mpeg4", ".mkv": "libx264", ".webm": "libvpx", ".avi": "mjpeg", ".ts": "mpeg2video"}
    for suffix, codec in codecs.items():
        path = folder / f"seed{suffix}"
        with av.open(str(path), "w") as container:
            stream = container.add_stream(codec, rate=25)
            stream.width, stream.height = 64, 48
            stream.pix_fmt = "yuvj420p" if codec == "mjpeg" else "yuv420p"
            for index in range(6):
                image = np.full((48, 64, 3), 40 * index, dtype=np.uint8)
                container.mux(stream.encode(av.VideoFrame.from_ndarray(image, format="rgb24")))
            container.mux(stream.encode(None))
        seeds.append((f"a{suffix}", path.read_bytes()))
    return seeds


def landmark_seeds() -> Seeds:
    points = np.random.default_rng(0).uniform(50, 400, (478, 3)).round(1)
    npy, npz = io.BytesIO(), io.BytesIO()
    np.save(npy, points)
    np.savez_compressed(npz, landmarks=points, size=np.array([640, 480]))
    text = json.dumps({"landmarks": points.tolist(), "size": [640, 480]})
    table = "\n".join(",".join(map(str, row)) for row in points.tolist())
    names = ",".join(f"mesh_{axis}_{point}" for point in range(478) for axis in "xyz")
    frames = f"{names}\n" + "\n".join([",".join(map(str, points.ravel()))] * 2)
    return [
        ("a.npy", npy.getvalue()),
        ("a.npz", npz.getvalue()),
        ("a.json", text.encode()),
        ("a.csv", table.encode()),
        ("b.csv", frames.encode()),
    ]


ODD: tuple[Any, ...] = (
    None, True, -1, 0, 10**30, 1e308, float("nan"), float("-inf"), "", "x" * 3000, "\x1b[31m\udce9", "../../x", [], {},
    [None], {"a": {"a": 1}}, "os:system", 0.5, "1e-3", [1] * 2000,
)  # fmt: skip


def leaves(content: Any, path: tuple[Any, ...] = ()) -> Iterator[tuple[Any, ...]]:
    """Places of all values in nested lists and mappings."""
    inner = (
        content.items()
        if isinstance(content, dict)
        else enumerate(content)
        if isinstance(content, list)
        else ()
    )
    for key, value in inner:
        yield (*path, key)
        yield from leaves(value, (*path, key))


def restated(content: Any, rng: Generator) -> Any:
    """One value made odd, taken out, or put under another name."""
    places = list(leaves(content))
    if not places:
        return content
    *above, last = places[int(rng.integers(0, len(places)))]
    inner = content
    for key in above:
        inner = inner[key]
    how = int(rng.integers(0, 8))
    if how == 0:
        del inner[last]
    elif how == 1 and isinstance(inner, dict):
        inner[str(ODD[int(rng.integers(0, len(ODD)))])[:40]] = inner.pop(last)
    else:
        inner[last] = deepcopy(ODD[int(rng.integers(0, len(ODD)))])
    return content


def texts(seeds: Seeds, count: int, seed: int) -> Iterator[tuple[str, bytes]]:
    """Half of them mutants of bytes, half JSON (which is YAML) that says something odd."""
    rng = np.random.default_rng(seed)
    for number, (name, data) in enumerate(mutants(seeds, count, seed)):
        if number % 2:
            yield name, data
            continue
        content = json.loads(dict(seeds)[name]) if name.endswith(("json", "yaml")) else None
        for _ in range(rng.integers(1, 3)):
            content = restated(content, rng)
        yield name, data if content is None else json.dumps(content).encode()


def recipe_seeds() -> Seeds:
    content = {
        "system": "expllm", "tasks": {"label": 1}, "seed": 1,
        "scales": {"tiny": {
            "inputs": {"crop_size": 28, "image_size": 28}, "vocabulary": 400,
            "data": [{"dataset": "ferplus", "split": "train", "limit": 5}],
            "stages": [{"name": "own", "objective": "language", "trains": ["model.", "lm_head."], "batch": 2,
                        "learning_rate": 1e-3, "epochs": 2, "loss": "sample", "precision": "fp32"}],
        }},
    }  # fmt: skip
    return [
        ("a.yaml", json.dumps(content).encode()),
        ("b.yaml", json.dumps({"extends": "emola", "seed": 3}).encode()),
    ]


def manifest_seeds() -> Seeds:
    rows = [
        {
            "media": "a.jpg",
            "emotion": "happy",
            "AU12": "1",
            "AU06_r": "2.5",
            "split": "train",
            "subject": "s1",
        },
        {"media": "b.mp4", "frame": "12", "emotion": "7", "AU12": "", "cropped": "true", "split": "test"},
    ]
    table = io.StringIO()
    writer = csv.DictWriter(table, [*rows[0], "frame", "cropped"])
    writer.writeheader()
    writer.writerows(rows)
    lines = "\n".join(json.dumps(row) for row in rows)
    return [("manifest.csv", table.getvalue().encode()), ("manifest.jsonl", lines.encode()),
            ("manifest.tsv", table.getvalue().replace(",", "\t").encode())]  # fmt: skip


# -- what reads them -------------------------------------------------------------------------------------
# Libraries load late: a process that reads one kind should hold what that kind needs.

Made = Iterator[tuple[str, bytes]]
Reads = tuple[Callable[[], Any], ...]


def written(kind: str, folder: Path, made: Made, seed: int, reads: Callable[[Path], Reads]) -> Iterator[Case]:
    """Each mutant as a file of its name, in the same place."""
    for number, (name, data) in enumerate(made):
        (folder / name).write_bytes(data)
        yield Case(f"{kind} {number} of seed {seed} ({name})", reads(folder / name))


def pictures(folder: Path, count: int, seed: int) -> Iterator[Case]:
    from mien.face.decode.images import load_image
    from mien.face.decode.video import read_frames

    def reads(path: Path) -> Reads:
        moving = (partial(drain, read_frames, path),) if path.name[0] == "b" else ()
        return partial(load_image, path.read_bytes()), *moving

    return written("picture", folder, mutants(picture_seeds(), count, seed), seed, reads)


def videos(folder: Path, count: int, seed: int) -> Iterator[Case]:
    from mien.face.decode.video import probe, read_frames

    def frames(path: Path) -> None:
        times: list[float] = []
        try:
            times.extend(frame.time for frame in read_frames(path))
        finally:
            assert times == sorted(times), f"{path.name}: time runs backwards"

    made = mutants(video_seeds(folder), count, seed)
    return written("video", folder, made, seed, lambda path: (partial(frames, path), partial(probe, path)))


def landmarks(folder: Path, count: int, seed: int) -> Iterator[Case]:
    from mien.face.landmark_files import read_landmarks

    made = mutants(landmark_seeds(), count, seed)
    return written("landmark file", folder, made, seed, lambda path: (partial(read_landmarks, path),))


def models(folder: Path, count: int, seed: int) -> Iterator[Case]:
    """Model folders whose files are changed one at a time; the checksums are as they were."""
    from mien.backends.base import open_reader
    from mien.backends.pocket_bundle import verify_bundle
    from mien.core.paths import pocket_weights

    model = folder / "model"
    shutil.copytree(pocket_weights(), model)
    sound = {name: (model / name).read_bytes() for name in ("bundle.json", "tokenizer.json")}
    card, tokens = sound.items()
    for number, (name, data) in enumerate(texts([card] * 4 + [tokens], count, seed)):
        (model / name).write_bytes(data)
        # Opening loads the nets, which takes long; it begins with what most mutants do not pass.
        read = partial(open_reader, str(model)) if number % 20 == 0 else partial(verify_bundle, model)
        yield Case(f"model {number} of seed {seed} ({name})", (read,))
        (model / name).write_bytes(sound[name])


def recipes(folder: Path, count: int, seed: int) -> Iterator[Case]:
    from mien.train.recipe_files import load_recipe

    made = texts(recipe_seeds(), count, seed)
    return written("recipe", folder, made, seed, lambda path: (partial(load_recipe, path, "tiny"),))


def suites(folder: Path, count: int, seed: int) -> Iterator[Case]:
    from mien.evaluate.suite import open_suite

    own = {**open_suite("rafdb").model_dump(mode="json"), "name": "mine"}
    made = texts([("a.yaml", json.dumps(own).encode())], count, seed)
    return written("suite", folder, made, seed, lambda path: (partial(open_suite, str(path)),))


def manifests(folder: Path, count: int, seed: int) -> Iterator[Case]:
    """Problems are told, so most can be read."""
    from mien.data import open_dataset

    dataset = open_dataset("manifest")

    def every(root: Path) -> None:
        for split in dataset.splits(root):
            drain(dataset.read, split, root)

    for number, (name, data) in enumerate(texts(manifest_seeds(), count, seed)):
        root = folder / str(number)
        root.mkdir()
        (root / name).write_bytes(data)
        reads = (partial(dataset.check, root), partial(every, root))
        yield Case(f"manifest {number} of seed {seed} ({name})", reads)
        shutil.rmtree(root)


def face_seeds() -> Seeds:
    """A portrait, small, in the formats of cameras and the web."""
    with pillow.open(EXAMPLES / "eileen_collins.jpg") as opened:
        portrait = opened.convert("RGB").resize((160, 200))
    seeds = []
    for name, options in (("a.jpg", {}), ("b.jpg", {"progressive": True}), ("a.png", {}), ("a.webp", {}),
                          ("a.avif", {}), ("a.bmp", {}), ("a.tif", {}), ("a.ppm", {})):  # fmt: skip
        file = io.BytesIO()
        portrait.save(file, pillow.registered_extensions()[Path(name).suffix], **options)
        seeds.append((name, file.getvalue()))
    return seeds


class SecondFace(AssertionError):
    """A picture of one face gave two."""


def faces(folder: Path, count: int, seed: int) -> Iterator[Case]:
    """Measured as well: one face at most, and every number a number of its range or NaN."""
    from mien import Analyzer
    from mien.core.errors import BadInput

    analyzer = Analyzer(threads=1)

    def read(data: bytes, explain: bool) -> None:
        (result,) = analyzer.analyze([data], explain=explain)
        if result.error is not None:
            assert not result.faces and "\n" not in result.error
            raise BadInput(got=result.error, expected="a picture")
        if len(result.faces) > 1:
            raise SecondFace(f"{len(result.faces)} faces")
        for face in result.faces:
            values = [*face.emotions.values(), *(reading.intensity for reading in face.aus.values())]
            assert all(np.isnan(value) or 0 <= value <= 1 for value in values)

    for number, (name, data) in enumerate(mutants(face_seeds(), count, seed)):
        yield Case(f"face {number} of seed {seed} ({name})", (partial(read, data, number % 8 == 0),))


def table_seeds(folder: Path) -> Seeds:
    """The table of a short clip's worth of faces, as mien and as OpenFace write it."""
    from mien import Analyzer
    from mien.analyze.tables.frame import to_frame

    (result,) = Analyzer(threads=1).analyze([EXAMPLES / "eileen_collins.jpg"])
    own = to_frame([result] * 3).assign(input="a.mp4", frame=[0, 1, 2], time=[0.0, 0.04, 0.08])
    aus = "".join(f",AU{number:02d}_r,AU{number:02d}_c" for number in (1, 4, 12))
    rows = "".join(f"{n},0,{n / 25:.3f},0.98,1,.1,.2,.3{',1.2,1' * 3}\n" for n in range(1, 4))
    openface = f"frame,face_id,timestamp,confidence,success,pose_Rx,pose_Ry,pose_Rz{aus}\n{rows}"
    return [
        ("faces.csv", own.to_csv(index=False).encode()),
        ("faces.jsonl", own.to_json(orient="records", lines=True).encode()),
        ("openface.csv", openface.encode()),
    ]


def tables(folder: Path, count: int, seed: int) -> Iterator[Case]:
    from mien.face.landmark_files import read_landmarks
    from mien.study.tables import read_faces

    made = mutants(table_seeds(folder), count, seed)
    reads = lambda path: (partial(read_faces, path), partial(read_landmarks, path))  # noqa: E731
    return written("table", folder, made, seed, reads)


def dialogue_seeds() -> Seeds:
    turns = [{"from": "human", "value": "<image>\nWhich emotion?"}, {"from": "gpt", "value": "Happiness."}]
    said = [
        {"role": "user", "content": "<image>Which emotion?"},
        {"role": "assistant", "content": "Happiness."},
    ]
    parts = [{"type": "image_url", "image_url": {"url": "a.jpg"}}, {"type": "text", "text": "Which emotion?"}]
    return [
        ("llava.json", json.dumps([{"id": "1", "image": "a.jpg", "conversations": turns}]).encode()),
        ("sharegpt.json", json.dumps([{"conversations": turns, "images": ["a.jpg"]}]).encode()),
        ("messages.json", json.dumps([{"messages": said, "images": ["a.jpg"]}]).encode()),
        ("openai.json", json.dumps({"messages": [{"role": "user", "content": parts}, said[1]]}).encode()),
    ]


def dialogues(folder: Path, count: int, seed: int) -> Iterator[Case]:
    from mien.dialogue.files.exchange_files import read_items

    made = texts(dialogue_seeds(), count, seed)
    return written(
        "dialogues", folder, made, seed, lambda path: (partial(drain, read_items, path, path.stem),)
    )


def predictions(folder: Path, count: int, seed: int) -> Iterator[Case]:
    from mien.evaluate.predictions import read_predictions

    row = {
        "id": "1",
        "status": "answered",
        "emotion": "happiness",
        "true": {"emotion": "sadness"},
        "text": "x",
    }
    made = texts([("a.json", json.dumps(row).encode())], count, seed)
    return written("predictions", folder, made, seed, lambda path: (partial(read_predictions, path),))


def journals(folder: Path, count: int, seed: int) -> Iterator[Case]:
    """Memories of runs: joined with others, and gone on with."""
    from mien.work.folder import RunFolder
    from mien.work.journal import JOURNAL, Entry, Row
    from mien.work.merging import read_part

    def go_on(out: Path) -> None:
        with RunFolder(out, ["table.csv"], {"a": 1}, resume=True) as run:
            run.journal.check_settings({"a": 1})
            run.journal.forget_unfinished()
            list(run.journal.bodies(list(run.journal.entries()), "frame"))
            run.finish()

    out = folder / "run"
    with RunFolder(out, ["table.csv"], {"a": 1}) as run:
        run.journal.check_settings({"a": 1})
        for item in "abcd":
            run.journal.add([Row(item, "frame", n, item * 40) for n in range(4)], [Entry(item, "1")])
        with run.writing("table.csv") as path:
            path.write_text("x")
        run.finish()
    sound = (out / JOURNAL).read_bytes()
    for number, (_, data) in enumerate(mutants([("journal", sound)], count, seed)):
        for beside in (out / JOURNAL).parent.glob("*"):
            beside.unlink()
        (out / JOURNAL).write_bytes(data)
        yield Case(f"journal {number} of seed {seed}", (partial(read_part, out), partial(go_on, out)))


SAID = (
    "AU12 is strong (level 4), AU6 at 60 %, no AU4; AU1 and AU2 slightly present. The person looks happy, not sad.",
    '{"AU12": 0.8, "AU06": 3, "emotion": "happiness"}',
    "<think>AU4?</think><answer>The brow is not lowered. Anger is absent; contempt or disgust.</answer>",
)


def words(folder: Path, count: int, seed: int) -> Iterator[Case]:
    """What models say: read for claims and emotion, and any bytes that came."""
    from mien import read_claims, read_emotion

    seeds = [(f"{number}.txt", text.encode()) for number, text in enumerate(SAID)]
    for number, (name, data) in enumerate(mutants(seeds, count, seed)):
        text = data.decode("utf-8", "surrogateescape" if number % 2 else "replace")
        yield Case(
            f"text {number} of seed {seed} ({name})",
            (partial(read_claims, text), partial(read_emotion, text)),
        )


def drain(read: Callable[..., Iterator[Any]], *arguments: Any) -> None:
    """All that it gives."""
    for _ in read(*arguments):
        pass


KINDS: tuple[Callable[[Path, int, int], Iterator[Case]], ...] = (
    pictures, videos, landmarks, faces, models, recipes, suites, manifests, tables, dialogues, predictions, journals,
    words,
)  # fmt: skip
