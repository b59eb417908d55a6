"""Media strings of every reader -> pictures: each kind, each damage, one opening per container, bounded cost."""

from __future__ import annotations

import io
import zipfile
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from PIL import Image as pillow

from mien.core.errors import BadConfig, BadInput, MienError
from mien.core.nouns import Image
from mien.face.decode import containers
from mien.face.decode.images import ImageLimits
from mien.face.decode.media import MediaReader, is_clip, iter_media, open_media, split_media

Encoder = Callable[..., Path]


def shade(value: int, side: int = 16) -> Image:
    return np.full((side, side, 3), value, np.uint8)


def png(value: int, side: int = 16) -> bytes:
    data = io.BytesIO()
    pillow.fromarray(shade(value, side)).save(data, "PNG")
    return data.getvalue()


def value_of(media: str | Path) -> int:
    """The one grey value of a picture."""
    image = open_media(str(media))
    assert image.dtype == np.uint8 and image.ndim == 3 and image.shape[2] == 3
    return round(float(image.mean()))


def archive(path: Path, members: dict[str, bytes], method: int = zipfile.ZIP_STORED) -> Path:
    with zipfile.ZipFile(path, "w", method) as file:
        for name, data in members.items():
            file.writestr(name, data)
    return path


def fer_table(path: Path, rows: int, side: int = 48) -> Path:
    lines = [f"{row % 7},{' '.join([str(row)] * side * side)},Training" for row in range(rows)]
    path.write_text("\n".join(["emotion,pixels,Usage", *lines]) + "\n")
    return path


def test_plain_pictures_and_names_with_an_exclamation_mark(tmp_path: Path) -> None:
    (tmp_path / "a.png").write_bytes(png(40))
    odd = tmp_path / "oh!" / "no!.png"
    odd.parent.mkdir()
    odd.write_bytes(png(50))
    assert value_of(tmp_path / "a.png") == 40 and value_of(odd) == 50
    pack = archive(tmp_path / "oh!" / "pack.zip", {"b!.png": png(60)})
    assert split_media(f"{pack}!b!.png") == (str(pack), "b!.png")
    assert value_of(f"{pack}!b!.png") == 60


@pytest.mark.parametrize("method", [zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED])
def test_members_of_an_archive(method: int, tmp_path: Path) -> None:
    pack = archive(tmp_path / "p.zip", {"img/a.png": png(1), "img/b.png": png(2)}, method)
    assert [value_of(f"{pack}!img/{name}.png") for name in "ab"] == [1, 2]


def test_rows_of_arrays(tmp_path: Path) -> None:
    grey = np.arange(5, dtype=np.uint8)[:, None, None] * np.ones((1, 48, 48), np.uint8)
    np.savez_compressed(tmp_path / "grey.npz", images=grey, votes=np.zeros((5, 10)))
    np.savez(tmp_path / "rgb.npz", images=np.stack([shade(7), shade(9)]))
    assert open_media(f"{tmp_path / 'grey.npz'}!3").shape == (48, 48, 3)
    assert [value_of(f"{tmp_path / 'grey.npz'}!{row}") for row in (4, 0)] == [4, 0]
    assert value_of(f"{tmp_path / 'rgb.npz'}!1") == 9


def test_rows_of_a_pixel_table_in_any_order(tmp_path: Path) -> None:
    path = fer_table(tmp_path / "fer2013.csv", 9)
    with MediaReader() as reader:
        means = [int(reader.open(f"{path}!{row}").mean()) for row in (5, 0, 8, 8, 2)]
    assert means == [5, 0, 8, 8, 2]


def test_rows_of_arrow_and_parquet(tmp_path: Path) -> None:
    arrow = pytest.importorskip("pyarrow")
    parquet = pytest.importorskip("pyarrow.parquet")
    (tmp_path / "beside.png").write_bytes(png(77))
    cells = [{"bytes": png(row), "path": f"{row}.png"} for row in range(6)] + [
        {"bytes": None, "path": "beside.png"}
    ]
    table = arrow.table({"label": list(range(7)), "image": cells})
    with arrow.OSFile(str(tmp_path / "data.arrow"), "wb") as sink:
        with arrow.ipc.new_stream(sink, table.schema) as writer:
            writer.write_table(table, max_chunksize=2)
    parquet.write_table(table, tmp_path / "data.parquet", row_group_size=3)
    plain = arrow.table({"media": ["beside.png"], "label": [1]})
    parquet.write_table(plain, tmp_path / "plain.parquet")
    for name in ("data.arrow", "data.parquet"):
        assert [value_of(f"{tmp_path / name}!{row}") for row in (0, 5, 2, 6)] == [0, 5, 2, 77]
        with pytest.raises(BadInput, match="'7' of 7"):
            open_media(f"{tmp_path / name}!7")
    assert value_of(f"{tmp_path / 'plain.parquet'}!0") == 77


def test_frames_of_a_video(encoder: Encoder, tmp_path: Path) -> None:
    shades = [20, 60, 100, 140, 180]
    ticks = [0, 10, 20, 100, 110]  # in 1/100 s: a long hold after the third
    clip = encoder(tmp_path / "clip.mp4", [shade(value, 64) for value in shades], ticks)

    def near(media: str) -> int:
        return int(np.argmin(np.abs(np.array(shades) - int(open_media(media).mean()))))

    assert [near(f"{clip}!{frame}") for frame in (0, 3, 4)] == [0, 3, 4]
    assert [near(f"{clip}!{when}s") for when in ("0", "0.15", "0.99", "1.0", "9")] == [0, 1, 2, 3, 4]
    assert near(str(clip)) == 2
    with pytest.raises(BadInput, match="a video of 5 frames"):
        open_media(f"{clip}!5")
    with pytest.raises(BadInput, match="frame number"):
        open_media(f"{clip}!last")


def test_frames_in_rising_order_cost_one_pass(
    encoder: Encoder, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    clip = encoder(tmp_path / "clip.mp4", [shade(10 * k, 64) for k in range(12)])
    passes = []
    real = containers.read_frames
    monkeypatch.setattr(containers, "read_frames", lambda *given: passes.append(1) or real(*given))
    frames = [
        image
        for image in iter_media(f"{clip}!{k}" for k in (0, 0, 3, 7, 11))
        if not isinstance(image, MienError)
    ]
    assert len(frames) == 5 and len(passes) == 1
    assert [round(float(image.mean()) / 10) for image in frames] == [0, 0, 3, 7, 11]


def test_frames_before_the_damage_are_good(encoder: Encoder, tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    options = {"movflags": "frag_keyframe+empty_moov"}
    images = [rng.integers(0, 255, (64, 64, 3)).astype(np.uint8) for _ in range(60)]
    clip = encoder(tmp_path / "clip.mp4", images, None, None, options)
    data = clip.read_bytes()
    clip.write_bytes(data[: len(data) * 6 // 10])
    assert open_media(f"{clip}!2").shape == (64, 64, 3)
    with pytest.raises(BadInput, match="clip.mp4"):
        open_media(f"{clip}!59")


def test_folder_of_frames(tmp_path: Path) -> None:
    for number in (2, 10, 1, 9, 3):
        (tmp_path / f"img{number}.png").write_bytes(png(number))
    (tmp_path / "notes.txt").write_text("none of the frames")
    assert value_of(tmp_path) == 3
    assert [value_of(f"{tmp_path}!{place}") for place in range(5)] == [1, 2, 3, 9, 10]
    with pytest.raises(BadInput, match="of 5"):
        open_media(f"{tmp_path}!5")
    empty = tmp_path / "empty"
    empty.mkdir()
    with pytest.raises(BadInput, match="without pictures"):
        open_media(str(empty))


def test_containers_are_opened_once_and_few_stay_open(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    packs = [archive(tmp_path / f"{k}.zip", {"a.png": png(k), "b.png": png(k)}) for k in range(3)]
    opened: list[str] = []
    real = containers.open_container
    monkeypatch.setattr(
        "mien.face.decode.media.open_container",
        lambda path, limits: opened.append(path.name) or real(path, limits),
    )
    medias = [f"{packs[k]}!{name}.png" for name in "ab" for k in (0, 1)]
    assert len([one for one in iter_media(medias) if not isinstance(one, MienError)]) == 4
    assert opened == ["0.zip", "1.zip"]
    opened.clear()
    assert len(list(iter_media([f"{packs[k]}!a.png" for k in (0, 1, 2, 0)], keep=2))) == 4
    assert opened == ["0.zip", "1.zip", "2.zip", "0.zip"]
    with pytest.raises(BadConfig, match="keep=0"):
        MediaReader(keep=0)


def bad_npz(root: Path) -> str:
    np.savez(root / "f.npz", images=np.zeros((2, 8, 8), np.float32))
    return f"{root / 'f.npz'}!0"


def short_row(root: Path) -> str:
    (root / "f.csv").write_text("emotion,pixels,Usage\n0,1 2 3,Training\n")
    return f"{root / 'f.csv'}!0"


def no_pixels(root: Path) -> str:
    (root / "f.csv").write_text("a,b\n1,2\n")
    return f"{root / 'f.csv'}!0"


def locked(root: Path) -> str:
    path = archive(root / "p.zip", {"a.png": png(1)})
    data = bytearray(path.read_bytes())
    data[6] |= 1  # general purpose flag of the local and of the central entry: encrypted
    data[data.index(b"PK\x01\x02") + 8] |= 1
    path.write_bytes(bytes(data))
    return f"{path}!a.png"


def written(name: str, data: bytes, member: str = "") -> Callable[[Path], str]:
    def act(root: Path) -> str:
        (root / name).write_bytes(data)
        return f"{root / name}{member}"

    return act


def packed(member: str, data: bytes = b"", ask: str = "a.png") -> Callable[[Path], str]:
    return lambda root: f"{archive(root / 'p.zip', {member: data or png(1)})}!{ask}"


FAULTS = {
    "no file": (lambda root: str(root / "gone.jpg"), "does not exist"),
    "no archive file": (lambda root: f"{root / 'gone.zip'}!a.png", "does not exist"),
    "no archive": (written("p.zip", b"PK no archive", "!a.png"), "complete zip archive"),
    "no member": (packed("a.png", ask="b.png"), "no member b.png"),
    "member is no picture": (packed("a.png", b"hello there"), "p.zip!a.png"),
    "climbing member": (packed("../a.png", ask="../a.png"), "inside the archive"),
    "absolute member": (packed("/a.png", ask="/a.png"), "inside the archive"),
    "locked member": (locked, "without a password"),
    "archive itself": (
        lambda root: str(archive(root / "p.zip", {"a.png": png(1)})),
        "no picture that can be read",
    ),
    "no npz": (written("f.npz", b"123", "!0"), "npz file with an array"),
    "float array": (bad_npz, "float32"),
    "short row": (short_row, "with 3 grey values"),
    "no pixel column": (no_pixels, "a column 'pixels'"),
    "no arrow": (written("f.arrow", b"ARROW", "!0"), "complete .arrow file"),
    "no parquet": (written("f.parquet", b"PAR", "!0"), "complete .parquet file"),
    "no container": (written("f.txt", b"text", "!0"), "asked for one of its members"),
    "no video": (written("f.mp4", b"not a video"), "f.mp4"),
}


@pytest.mark.parametrize("name", FAULTS)
def test_one_clear_error_per_item(name: str, tmp_path: Path) -> None:
    if "arrow" in name or "parquet" in name:
        pytest.importorskip("pyarrow")
    build, words = FAULTS[name]
    media = build(tmp_path)
    (tmp_path / "good.png").write_bytes(png(9))
    good = str(tmp_path / "good.png")
    first, bad, again, last = iter_media([good, media, media, good])
    assert isinstance(bad, MienError) and words in str(bad), bad
    assert isinstance(again, MienError) and str(again) == str(bad)
    assert isinstance(first, np.ndarray) and isinstance(last, np.ndarray)
    assert str(bad).count(". ") >= 2  # three sentences


def test_bombs_are_refused_before_they_unfold(tmp_path: Path) -> None:
    bomb = archive(tmp_path / "p.zip", {"a.png": b"\0" * 5_000_000}, zipfile.ZIP_DEFLATED)
    with pytest.raises(BadInput, match="decompression bombs"):
        open_media(f"{bomb}!a.png", limits=ImageLimits(max_bytes=100_000))
    wide = archive(tmp_path / "w.zip", {"a.png": png(1, 400)})
    with pytest.raises(BadInput, match="400 x 400"):
        open_media(f"{wide}!a.png", limits=ImageLimits(max_pixels=10_000))
    # A header that promises 80 GB is believed and refused, not allocated.
    header = io.BytesIO()
    np.lib.format.write_array_header_2_0(
        header, {"descr": "|u1", "fortran_order": False, "shape": (9_000_000, 96, 96)}
    )
    huge = archive(tmp_path / "h.npz", {"images.npy": header.getvalue() + b"\0" * 100})
    with pytest.raises(BadInput, match="at most 4,294,967,296 bytes"):
        open_media(f"{huge}!0")


def test_whole_clips_are_told_from_pictures(encoder: Encoder, tmp_path: Path) -> None:
    clip = encoder(tmp_path / "clip.mp4", [shade(10, 64)] * 2)
    (tmp_path / "a.png").write_bytes(png(1))
    told = {media: is_clip(str(media)) for media in (clip, tmp_path, tmp_path / "a.png", tmp_path / "none")}
    assert list(told.values()) == [True, True, False, False]
    assert not is_clip(f"{clip}!1") and not is_clip(f"{tmp_path}!0") and not is_clip("pack.zip!a.jpg")
