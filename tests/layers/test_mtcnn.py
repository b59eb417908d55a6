"""MTCNN: sizes and names of the published nets, the cascade against the published steps written out, errors.

The trained weights are no part of the repository; the nets here are random, with heads wide enough that boxes pass.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from torch import Tensor
from torch.nn import functional

from mien.core.errors import BadInput, MissingWeights
from mien.face.mtcnn_crop import expert_crop, largest_box
from mien.layers.mtcnn import Mtcnn, load_mtcnn

PICTURE = np.random.default_rng(5).integers(0, 256, (40, 52, 3), dtype=np.uint8)


def random_nets(seed: int = 3) -> Mtcnn:
    """Random nets whose thresholds lie within what they say of parts of the picture."""
    torch.manual_seed(seed)
    model = Mtcnn().eval()
    whole = (torch.from_numpy(PICTURE).permute(2, 0, 1)[None].float() - 127.5) / 128.0
    parts = torch.cat(
        [functional.adaptive_avg_pool2d(whole[..., x : x + 20, x : x + 20], 24) for x in range(20)]
    )
    views = {
        "pnet.conv4_1": functional.adaptive_avg_pool2d(whole, (25, 32)),
        "rnet.dense5_1": parts,
        "onet.dense6_1": functional.adaptive_avg_pool2d(parts, 48),
    }
    with torch.no_grad():
        for name, view in views.items():
            head = model.get_submodule(name)
            head.weight.mul_(20.0)
            said = model.get_submodule(name.split(".")[0])(view)[0].flatten().double()
            head.bias[1] += 0.8 - said.logit().median().float()
    return model


def test_published_sizes_and_names(tmp_path: Path) -> None:
    model = Mtcnn()
    assert sum(p.numel() for p in model.parameters()) == 495_850
    assert {key.rpartition(".")[0] for key in model.rnet.state_dict()} == {
        "conv1", "prelu1", "conv2", "prelu2", "conv3", "prelu3", "dense4", "prelu4", "dense5_1", "dense5_2",
    }  # fmt: skip
    shapes = {key: tuple(value.shape) for key, value in model.onet.state_dict().items()}
    assert shapes["dense5.weight"] == (256, 1152) and shapes["dense6_3.weight"] == (10, 256)
    with torch.no_grad():
        assert model.pnet(torch.zeros(1, 3, 12, 12))[1].shape == (1, 4, 1, 1)
        assert [part.shape for part in model.onet(torch.zeros(2, 3, 48, 48))] == [(2,), (2, 4), (2, 10)]
    for net in ("pnet", "rnet", "onet"):
        torch.save(getattr(model, net).state_dict(), tmp_path / f"{net}.pt")
    loaded = load_mtcnn(tmp_path).state_dict()
    assert all(torch.equal(value, loaded[key]) for key, value in model.state_dict().items())


def rnet(state: dict[str, Tensor], x: Tensor) -> tuple[Tensor, Tensor]:
    """The second net on its published keys; its linear layer reads columns before rows."""
    for number, pool in ((1, 3), (2, 3), (3, 0)):
        x = functional.conv2d(x, state[f"conv{number}.weight"], state[f"conv{number}.bias"])
        x = functional.prelu(x, state[f"prelu{number}.weight"])
        x = functional.max_pool2d(x, pool, 2, ceil_mode=True) if pool else x
    flat = torch.stack([x[:, :, row, column] for column in range(3) for row in range(3)], dim=1).flatten(1)
    flat = functional.prelu(flat @ state["dense4.weight"].T + state["dense4.bias"], state["prelu4.weight"])
    share = (flat @ state["dense5_1.weight"].T + state["dense5_1.bias"]).softmax(dim=1)[:, 1]
    return share, flat @ state["dense5_2.weight"].T + state["dense5_2.bias"]


def test_second_net_by_its_keys() -> None:
    model = random_nets()
    x = torch.randn(3, 3, 24, 24, generator=torch.Generator().manual_seed(0))
    with torch.no_grad():
        for got, expected in zip(model.rnet(x), rnet(dict(model.rnet.state_dict()), x), strict=True):
            torch.testing.assert_close(got, expected, atol=1e-5, rtol=1e-5)


Box = list[float]


def suppressed(boxes: list[Box], scores: list[float], limit: float, smaller: bool = False) -> list[int]:
    one = 1.0 if smaller else 0.0
    order = sorted(range(len(boxes)), key=lambda i: (scores[i], i if smaller else -i), reverse=True)
    kept: list[int] = []
    for i in order:
        a, fits = boxes[i], True
        for j in kept:
            b = boxes[j]
            inner = max(0.0, min(a[2], b[2]) - max(a[0], b[0]) + one) * max(
                0.0, min(a[3], b[3]) - max(a[1], b[1]) + one
            )
            area = [(box[2] - box[0] + one) * (box[3] - box[1] + one) for box in (a, b)]
            fits = fits and inner / (min(area) if smaller else sum(area) - inner) <= limit
        kept += [i] if fits else []
    return kept


def squared(box: Box) -> Box:
    width, height = box[2] - box[0], box[3] - box[1]
    side = max(width, height)
    left, top = box[0] + width / 2 - side / 2, box[1] + height / 2 - side / 2
    return [left, top, left + side, top + side]


def moved(box: Box, share: list[float], one: float) -> Box:
    width, height = box[2] - box[0] + one, box[3] - box[1] + one
    return [
        edge + by * size for edge, by, size in zip(box, share, (width, height, width, height), strict=True)
    ]


def resized(pixels: Tensor, box: Box, side: int) -> Tensor:
    """Area averages of the part in the picture; coordinates count from 1 and are cut to whole px."""
    left, top, right, bottom = (int(edge) for edge in box)
    left, top = max(left, 1), max(top, 1)
    right, bottom = min(right, pixels.shape[2]), min(bottom, pixels.shape[1])
    part = pixels[:, top - 1 : bottom, left - 1 : right]
    return (functional.adaptive_avg_pool2d(part, side) - 127.5) / 128.0


def cascade(model: Mtcnn, image: np.ndarray) -> list[tuple[Box, float, list[Box]]]:
    """The three published stages with loops over boxes."""
    pixels = torch.from_numpy(image).permute(2, 0, 1).float()
    found: list[tuple[Box, float, list[float]]] = []
    scale = 12 / 20
    while min(image.shape[:2]) * scale >= 12:
        size = (int(image.shape[0] * scale + 1), int(image.shape[1] * scale + 1))
        shares, moves = model.pnet((functional.adaptive_avg_pool2d(pixels, size)[None] - 127.5) / 128.0)
        level = []
        for row in range(shares.shape[1]):
            for column in range(shares.shape[2]):
                if shares[0, row, column] >= 0.6:
                    start, end = ((2 * column + 1, 2 * row + 1), (2 * column + 12, 2 * row + 12))
                    # the published code divides in single precision
                    edges = [float((torch.tensor(float(at)) / scale).floor()) for at in (*start, *end)]
                    level.append((edges, float(shares[0, row, column]), moves[0, :, row, column].tolist()))
        found += [level[i] for i in suppressed([x[0] for x in level], [x[1] for x in level], 0.5)]
        scale *= 0.709
    found = [found[i] for i in suppressed([x[0] for x in found], [x[1] for x in found], 0.7)]
    boxes = [squared(moved(box, share, 0.0)) for box, _, share in found]
    for net, side in ((model.rnet, 24), (model.onet, 48)):
        said = net(torch.stack([resized(pixels, box, side) for box in boxes]))
        sure = [i for i in range(len(boxes)) if said[0][i] > 0.7]
        boxes, scores = [boxes[i] for i in sure], [float(said[0][i]) for i in sure]
        shares = [said[1][i].tolist() for i in sure]
        if net is model.rnet:
            kept = suppressed(boxes, scores, 0.7)
            boxes = [squared(moved(boxes[i], shares[i], 1.0)) for i in kept]
    faces = []
    for box, score, share, index in zip(boxes, scores, shares, sure, strict=True):
        raw, width, height = said[2][index].tolist(), box[2] - box[0] + 1, box[3] - box[1] + 1
        points = [[width * raw[k] + box[0] - 1, height * raw[5 + k] + box[1] - 1] for k in range(5)]
        faces.append((moved(box, share, 1.0), score, points))
    kept = suppressed([face[0] for face in faces], [face[1] for face in faces], 0.7, smaller=True)
    area = {i: (faces[i][0][2] - faces[i][0][0]) * (faces[i][0][3] - faces[i][0][1]) for i in kept}
    return [faces[i] for i in sorted(kept, key=lambda i: -area[i])]


def test_cascade_is_the_published_one() -> None:
    model = random_nets()
    got = model.detect(PICTURE)
    with torch.no_grad():
        expected = cascade(model, PICTURE)
    assert len(got.boxes) == len(expected) >= 2
    for row, (box, score, points) in enumerate(expected):
        np.testing.assert_allclose(got.boxes[row], box, atol=1e-2)
        np.testing.assert_allclose(got.scores[row], score, atol=1e-4)
        np.testing.assert_allclose(got.points[row], points, atol=1e-2)
    assert largest_box(got.boxes) == 0
    crop, (left, top, right, bottom) = expert_crop(PICTURE, got.boxes[0])
    assert crop.shape == (bottom - top, right - left, 3)


def test_no_face_gives_no_boxes() -> None:
    model = random_nets()
    with torch.no_grad():
        model.pnet.get_submodule("conv4_1").bias[1] = -1e4
    for picture in (PICTURE, np.zeros((9, 9, 3), np.uint8)):
        got = model.detect(picture)
        assert got.boxes.shape == (0, 4) and got.scores.shape == (0,) and got.points.shape == (0, 5, 2)


def test_speaks_about_bad_input(tmp_path: Path) -> None:
    with pytest.raises(MissingWeights, match=r"pnet\.pt.*facenet-pytorch 2\.5\.3"):
        load_mtcnn(tmp_path)
    for net in ("pnet", "rnet", "onet"):
        torch.save(Mtcnn().pnet.state_dict(), tmp_path / f"{net}.pt")
    with pytest.raises(MissingWeights, match=r"rnet\.pt, which cannot be loaded"):
        load_mtcnn(tmp_path)
    (tmp_path / "pnet.pt").write_text("no weights")
    with pytest.raises(MissingWeights, match=r"pnet\.pt"):
        load_mtcnn(tmp_path)
    for picture in (PICTURE[..., 0], PICTURE.astype(np.float32), PICTURE[:0]):
        with pytest.raises(BadInput, match="uint8 RGB"):
            Mtcnn().detect(picture)
