"""Faces of photos that are no crops: found by the detector, framed, and left out one by one where there is none."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
from PIL import Image

from mien.train.data.faces import gather
from mien.train.recipe import DataPart

SIZE, PLACE = 160, (700, 90)


def test_a_small_face_in_a_large_photo_is_framed(photos: list[Path], tmp_path: Path) -> None:
    folder = tmp_path / "data" / "train" / "happiness"
    folder.mkdir(parents=True)
    whole = Image.new("RGB", (1200, 800), (90, 110, 90))
    with Image.open(photos[0]) as portrait:
        small = portrait.convert("RGB").resize((SIZE, SIZE * portrait.height // portrait.width))
    whole.paste(small, PLACE)
    whole.save(folder / "a.png")
    Image.new("RGB", (300, 300), (90, 110, 90)).save(folder / "b.png")
    (folder / "c.png").write_bytes(b"no picture")
    part = DataPart(dataset="folder", split="train", root=tmp_path / "data")
    faces = gather([part], 64, tmp_path / "cache", need_landmarks=False)
    assert [Path(sample.media).name for sample in faces.samples] == ["a.png"]
    points = faces.landmarks[0, :, :2]
    assert (points > PLACE).all() and (points < np.add(PLACE, small.size)).all()
    shown = points @ faces.transforms[0][:, :2].T + faces.transforms[0][:, 2]
    assert 0.4 * 64 < np.ptp(shown[:, 0]) < 64, "the face fills the crop"
    (left_out,) = (tmp_path / "cache" / "faces").glob("*/errors.jsonl")
    told = [json.loads(line) for line in left_out.read_text().splitlines()]
    assert len(told) == 2 and "no face" in told[0]["error"]
