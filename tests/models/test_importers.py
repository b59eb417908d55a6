"""Importers on small checkpoints in the published key layouts; each value lands where it belongs."""

from __future__ import annotations

import argparse
import pickle
import re
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import save_file
from torch import Tensor

from mien.core.errors import BadConfig, BadInput, MissingWeights
from mien.layers.pointmlp import PointMLP
from mien.models.composite.facial_lm import FacialLM
from mien.models.composite.systems import prepare
from mien.models.emola import system as emola
from mien.models.formats.importers import import_weights, read_checkpoint


def noise(state: dict[str, Tensor]) -> dict[str, Tensor]:
    generator = torch.Generator().manual_seed(5)
    return {
        key: torch.randn(value.shape, generator=generator) if value.is_floating_point() else value + 3
        for key, value in state.items()
    }


def original_llava(model: FacialLM, tower: bool = True) -> dict[str, Tensor]:
    """Our values under liuhaotian's names."""
    said = {}
    for key, value in noise(dict(model.state_dict())).items():
        key = re.sub(r"^model\.language_model\.", "model.", key)
        key = re.sub(r"^model\.projectors\.image\.", "model.mm_projector.", key)
        if key.startswith("model.encoders.image.model."):
            if not tower:
                continue
            key = key.replace("model.encoders.image.model.", "model.vision_tower.vision_tower.vision_model.")
        said[key] = value
    return said


@pytest.mark.parametrize(
    ("layout", "prefix"),
    [
        ("pointmlp", "module."),
        ("pointmlp", ""),
        ("ulip-pointmlp", "module.point_encoder."),
        ("ulip-pointmlp", "point_encoder."),
    ],
)
def test_pointmlp_loads_without_renaming(layout: str, prefix: str) -> None:
    model = PointMLP("tiny", points=64)
    values = noise(dict(model.state_dict()))
    checkpoint: dict[str, object] = {prefix + key: value for key, value in values.items()}
    if layout == "ulip-pointmlp":
        checkpoint[prefix.replace("point_encoder.", "pc_projection")] = torch.zeros(2, 2)
    report = import_weights(model, {"state_dict": checkpoint, "epoch": 7}, layout)
    assert all(torch.equal(value, values[key]) for key, value in model.state_dict().items())
    assert report.missing == () and len(report.loaded) == len(values)
    assert len(report.unused) == (layout == "ulip-pointmlp")


@pytest.mark.parametrize("numpy_before_2", [False, True])
def test_ulip_s_own_file(tmp_path: Path, numpy_before_2: bool) -> None:
    """Its trainer keeps the command line and the best accuracy, a numpy number, beside the weights."""
    model = PointMLP("tiny", points=64)
    values = noise(dict(model.state_dict()))
    path = tmp_path / "ulip.pt"
    content = {
        "epoch": 99,
        "state_dict": {f"module.point_encoder.{key}": value for key, value in values.items()},
        "optimizer": {"state": {}, "param_groups": [{"lr": 1e-5, "betas": (0.9, 0.98), "params": [0]}]},
        "scaler": {"scale": 65536.0, "growth_factor": 2.0},
        "best_acc1": np.float64(60.9),
        "args": argparse.Namespace(model="ULIP_PointMLP", lr=3e-3, betas=(0.9, 0.98), distributed=True),
    }
    torch.save(content, path, _use_new_zipfile_serialization=False)
    if numpy_before_2:
        path.write_bytes(path.read_bytes().replace(b"numpy._core.multiarray", b"numpy.core.multiarray"))
        assert b"numpy.core.multiarray" in path.read_bytes()
    import_weights(model, path, "ulip-pointmlp")
    assert all(torch.equal(value, values[key]) for key, value in model.state_dict().items())


def test_emola_s_own_projector_file_comes_last(tmp_path: Path) -> None:
    """Its builder loads landmark_feature_projector.bin after non_lora_trainables.bin, whatever the keys begin with."""
    model = FacialLM(emola.configure("tiny"))
    width = model.model.projectors["prior"][0].weight.shape
    for file, prefix, value in (
        ("landmark_feature_projector.bin", "model.", 2.0),
        ("non_lora_trainables.bin", "base_model.model.model.", 1.0),
    ):
        torch.save(
            {f"{prefix}landmark_feature_projector.0.weight": torch.full(width, value)}, tmp_path / file
        )
    import_weights(model, tmp_path, "emola", partial=True)
    assert model.model.projectors["prior"][0].weight.eq(2.0).all()


@pytest.mark.parametrize("tower", [True, False])
def test_llava_original(tower: bool) -> None:
    model = FacialLM(emola.configure("tiny", layout="visual"))
    before = {key: value.clone() for key, value in model.state_dict().items()}
    expected = noise(dict(model.state_dict()))
    report = import_weights(model, original_llava(model, tower), "llava-1.5")
    for key, value in model.state_dict().items():
        kept = "encoders" in key and not tower
        assert torch.equal(value, before[key] if kept else expected[key]), key
    assert report.unused == report.missing == ()


@pytest.mark.parametrize("modern", [True, False])
def test_llava_hf(modern: bool) -> None:
    model = FacialLM(emola.configure("tiny", layout="visual"))
    expected = noise(dict(model.state_dict()))
    said = {}
    for key, value in expected.items():
        if not modern:
            key = re.sub(r"^model\.language_model\.", "language_model.model.", key)
            key = re.sub(r"^lm_head", "language_model.lm_head", key)
        start = "model." if modern else ""
        key = re.sub(r"^model\.projectors\.image\.0", f"{start}multi_modal_projector.linear_1", key)
        key = re.sub(r"^model\.projectors\.image\.2", f"{start}multi_modal_projector.linear_2", key)
        key = re.sub(r"^model\.encoders\.image\.model\.", f"{start}vision_tower.vision_model.", key)
        said[key] = value
    import_weights(model, said, "llava-1.5-hf")
    assert all(torch.equal(value, expected[key]) for key, value in model.state_dict().items())


def test_emola_adapter_and_projectors() -> None:
    model = FacialLM(emola.configure("tiny"))
    names = prepare(model, emola.SYSTEM.stages["code"])
    learnt = noise({name: model.state_dict()[name] for name in names})
    files: dict[str, dict[str, Tensor]] = {"adapter": {}, "rest": {}}
    for key, value in learnt.items():
        if ".lora_" in key:
            key = key.replace("model.language_model.", "base_model.model.model.").replace(".default", "")
            files["adapter"][key] = value
        else:
            key = key.replace("model.projectors.prior.", "base_model.model.model.landmark_feature_projector.")
            key = key.replace("model.projectors.image.", "base_model.model.model.mm_projector.")
            files["rest"][key] = value
    with pytest.raises(MissingWeights, match=r"landmark_feature_projector\.bin"):
        import_weights(model, files["adapter"], "emola")
    report = import_weights(model, files["adapter"], "emola", partial=True)
    assert all("projectors.prior" in key for key in report.missing) and len(report.missing) == 4
    import_weights(model, {**files["adapter"], **files["rest"]}, "emola")
    assert all(torch.equal(model.state_dict()[key], value) for key, value in learnt.items())


def test_wrong_shapes_are_named_and_change_nothing() -> None:
    model = PointMLP("tiny", points=64)
    before = {key: value.clone() for key, value in model.state_dict().items()}
    values: dict[str, object] = dict(noise(dict(before)))
    values["classifier.0.weight"] = torch.zeros(3, 4)
    with pytest.raises(BadInput, match=r"classifier\.0\.weight \(3, 4\) for \(32, 32\)"):
        import_weights(model, values, "pointmlp")
    del values["classifier.0.weight"]
    with pytest.raises(MissingWeights, match=r"classifier\.0\.weight"):
        import_weights(model, values, "pointmlp")
    assert all(torch.equal(value, before[key]) for key, value in model.state_dict().items())
    with pytest.raises(BadConfig, match="ulip-pointmlp"):
        import_weights(model, values, "pointnet")


def test_reads_files_and_folders(tmp_path: Path) -> None:
    first, second = {"a": torch.ones(2)}, {"b": torch.zeros(1)}
    save_file(first, tmp_path / "model-1.safetensors")
    torch.save({"net": second, "acc": 0.5}, tmp_path / "net.pth")
    assert read_checkpoint(tmp_path / "net.pth").keys() == {"b"}
    assert read_checkpoint(tmp_path / "model-1.safetensors")["a"].tolist() == [1.0, 1.0]
    torch.save(second, tmp_path / "model-2.bin")
    (tmp_path / "net.pth").unlink()
    assert read_checkpoint(tmp_path).keys() == {"a", "b"}
    with pytest.raises(MissingWeights, match="no weight file"):
        read_checkpoint(tmp_path / "absent.bin")


class _Runs:
    def __reduce__(self) -> tuple[object, tuple[str, ...]]:
        return Path.touch, (Path("harm"),)  # type: ignore[return-value]


@pytest.mark.parametrize("content", ["code", "text", "truncated"])
def test_a_file_that_could_run_code_is_refused(content: str, tmp_path: Path) -> None:
    path = tmp_path / "weights.pt"
    if content == "code":
        path.write_bytes(pickle.dumps({"state_dict": _Runs()}, protocol=2))
    elif content == "text":
        path.write_text("not a checkpoint")
    else:
        torch.save({"a": torch.ones(99)}, path)
        path.write_bytes(path.read_bytes()[:300])
    with pytest.raises(MissingWeights, match=r"weights\.pt"):
        read_checkpoint(path)
    assert not Path("harm").exists()
