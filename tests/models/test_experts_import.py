"""Published checkpoints with their outside nets: import, folder, photo; and training on from there."""

from __future__ import annotations

import json
import re
import shutil
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from safetensors.torch import load_file
from torch import Tensor
from typer.testing import CliRunner

import mien
from mien.app.cli import app
from mien.app.models.transfer import run_export, run_import
from mien.backends.torch import TorchReader
from mien.core.errors import BadConfig, MissingWeights
from mien.core.nouns import Evidence, Turn
from mien.face.crop import canonical_crop
from mien.face.decode.images import load_image
from mien.face.finder import FaceFinder
from mien.layers.facexformer import FaceXFormer
from mien.models.composite.evidence_inputs import inherited_inputs
from mien.models.composite.experts import (
    EXPERTS,
    FaceExpert,
    InstructionWords,
    name_experts,
    open_face_expert,
    write_experts,
)
from mien.models.composite.facial_lm import FacialLM
from mien.models.emo_llama import system as emo_llama
from mien.models.emola import system as emola
from mien.train.composite import write_model
from mien.train.recipe_files import load_recipe
from mien.train.runs import Run

SIDE = 28


def emola_checkpoint(nets: Any, folder: Path) -> Path:
    """LLaVA-1.5 under liuhaotian's names, EmoLA's adapter and projector on top of it, and a tokenizer."""
    torch.manual_seed(0)
    whole = FacialLM(emola.configure("tiny")).state_dict()
    llava: dict[str, Tensor] = {}
    above: dict[str, Tensor] = {}
    for key, value in whole.items():
        value = torch.randn_like(value) * 0.3 if key.startswith("model.projectors") else value
        key = re.sub(r"^model\.language_model\.", "model.", key)
        key = re.sub(r"^model\.projectors\.image\.", "model.mm_projector.", key)
        key = re.sub(
            r"^model\.encoders\.image\.model\.", "model.vision_tower.vision_tower.vision_model.", key
        )
        prior = re.sub(r"^model\.projectors\.prior\.", "model.landmark_feature_projector.", key)
        (llava if prior == key else above)[prior] = value
    stem = "base_model.model.model.layers.0.self_attn.q_proj.lora_"
    above |= {f"{stem}A.weight": torch.randn(4, 32), f"{stem}B.weight": torch.randn(32, 4)}
    llava["lm_head.weight"] = 0.1 * torch.randn_like(llava["lm_head.weight"])
    folder.mkdir()
    torch.save(llava, folder / "llava.bin")
    torch.save(above, folder / "emola.bin")
    nets.letters(folder / "tokenizer.json")
    return folder


def import_emola(folder: Path, out: Path, **options: Any) -> list[str]:
    return run_import(
        [folder / "emola.bin"], "emola", out, [folder / "llava.bin"], "tiny", "float32",
        folder / "tokenizer.json", **options,
    )  # fmt: skip


@pytest.fixture(scope="module")
def emola_files(nets: Any, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return emola_checkpoint(nets, tmp_path_factory.mktemp("emola") / "files")


@pytest.fixture(scope="module")
def portrait(photos: list[Path]) -> tuple[Path, Evidence]:
    """A photo, and its face as a reader of 28 px gets it."""
    image = load_image(photos[0])
    face = FaceFinder(threads=1).find(image)[0]
    crop, transform = canonical_crop(image, face, SIDE)
    return photos[0], Evidence(replace(face, crop=transform), crop)


def test_imported_emola_reads_a_photo_through_the_net(
    nets: Any, tmp_path: Path, emola_files: Path, portrait: tuple[Path, Evidence]
) -> None:
    net = nets.landmark_net(tmp_path / "2d106det.onnx")
    lines = import_emola(emola_files, tmp_path / "model", experts=[net])
    assert any("2d106det.onnx: EmoLA's facial prior, fed as insightface" in line for line in lines)
    about = json.loads((tmp_path / "model" / "mien.json").read_text())
    assert about["inputs"] == {"crop_size": SIDE, "image_size": SIDE, "prior": "insightface"}
    net.unlink()
    photo, evidence = portrait
    analyzer = mien.Analyzer(tmp_path / "model", threads=1)
    (frame,) = analyzer.analyze(photo)
    reader = analyzer.reader
    assert isinstance(reader, TorchReader)
    assert frame.faces[0].emotions == pytest.approx(reader.measure([evidence])[0].emotions, abs=1e-5)
    prior = reader._inputs([evidence], [[Turn("user", "What?")]])["prior"]
    assert evidence.crop is not None
    np.testing.assert_allclose(prior[0], nets.seen(evidence.crop, nets.placed_box(evidence)), atol=1e-3)
    # The stand-in, or the other way to feed the net, would have answered otherwise.
    for choice in ("mesh106", "insightface-emola"):
        reader.inputs = replace(reader.inputs, prior=choice)
        other = reader.measure([evidence])[0].emotions
        assert other != pytest.approx(dict(frame.faces[0].emotions), rel=1e-3)


def test_imported_emola_without_the_net_is_said_and_does_not_open(
    nets: Any, tmp_path: Path, emola_files: Path, portrait: tuple[Path, Evidence]
) -> None:
    lines = import_emola(emola_files, tmp_path / "model", prior="insightface-emola")
    (line,) = (line for line in lines if line.startswith("missing 2d106det.onnx"))
    assert "buffalo_l" in line and "--expert" in line and "non-commercial" in line
    for _ in range(2):
        with pytest.raises(MissingWeights, match=r"experts without 2d106det\.onnx"):
            mien.load_model(tmp_path / "model")
        # Nor does a folder whose description says nothing of the net.
        path = tmp_path / "model" / "mien.json"
        about = json.loads(path.read_text())
        saved = about["inputs"].pop("prior", None)
        path.write_text(json.dumps(about))
        assert saved in ("insightface-emola", None)
    (tmp_path / "model" / "experts").mkdir()
    nets.landmark_net(tmp_path / "model" / "experts" / "2d106det.onnx")
    assert mien.load_model(tmp_path / "model").measure([portrait[1]])


def vid_checkpoint(path: Path) -> Path:
    """A tiny LLaMA-VID under its published names."""
    torch.manual_seed(0)
    own = FacialLM(emo_llama.configure("tiny", priors="none", generation="llama-vid")).state_dict()
    at = "model.encoders.image."
    renamed = [
        (r"model\.language_model\.", "model."), (rf"{at}projectors\.visual", "model.mm_projector"),
        (rf"{at}aggregator\.queries", "model.vlm_att_query"), (rf"{at}aggregator\.norm", "model.vlm_att_ln"),
        (rf"{at}aggregator\.match_query", "model.vlm_att_projector"),
        (rf"{at}aggregator\.match_key", "model.vlm_att_key_projector"),
        (rf"{at}projectors\.clue", "model.vlm_att_val_projector"),
        (rf"{at}aggregator\.qformer", "model.vlm_att_encoder.bert"),
        (r"embeddings\.layernorm", "embeddings.LayerNorm"), (r"attention\.attention\.", "attention.self."),
        (rf"{at}tower\.model\.", "model.vision_tower.vision_tower."), (r"embeddings\.class_embedding", "cls_token"),
        (r"embeddings\.position_embedding$", "pos_embed"), (r"embeddings\.patch_embedding", "patch_embed.proj"),
        (r"encoder\.layers\.", "blocks."), (r"layer_norm(\d)", r"norm\1"), (r"self_attn\.qkv", "attn.qkv"),
        (r"self_attn\.projection", "attn.proj"),
    ]  # fmt: skip
    theirs: dict[str, Tensor] = {}
    for key, value in own.items():
        for pattern, name in renamed:
            key = re.sub(pattern, name, key)
        if key.endswith("attn.qkv.bias"):
            query, _, values = value.chunk(3)
            stem = key.removesuffix("qkv.bias")
            theirs |= {f"{stem}q_bias": query.clone(), f"{stem}v_bias": values.clone()}
        elif "post_layernorm" not in key:
            theirs[key] = value
    torch.save(theirs, path)
    return path


def test_imported_llama_vid_reads_its_question_in_berts_words(
    nets: Any, tmp_path: Path, portrait: tuple[Path, Evidence]
) -> None:
    """Without BERT's tokenizer the import says so and the folder does not open; with it the question goes there."""
    vid, words = vid_checkpoint(tmp_path / "vid.bin"), nets.bert(tmp_path / "bert.json")
    nets.letters(tmp_path / "tokenizer.json")
    options: dict[str, Any] = {"scale": "tiny", "dtype": "float32", "tokenizer": tmp_path / "tokenizer.json"}
    lines = run_import([vid], "llama-vid", tmp_path / "bare", **options)
    assert any("missing instruction_tokenizer.json" in line and "bert-base-uncased" in line for line in lines)
    with pytest.raises(MissingWeights, match=r"without instruction_tokenizer\.json"):
        TorchReader(tmp_path / "bare")
    lines = run_import([vid], "llama-vid", tmp_path / "ours", experts=[words], **options)
    assert not any("missing" in line for line in lines)
    reader = TorchReader(tmp_path / "ours")
    question = "What is this face?"
    read = reader._inputs([portrait[1]], [[Turn("user", f"<image>\n{question}")]])["image"]
    assert read["instruction_ids"][0].tolist() == InstructionWords(words).encode(question, 64)
    assert sum(reader.measure([portrait[1]])[0].emotions.values()) == pytest.approx(1.0)


def test_an_exported_folder_keeps_its_nets(nets: Any, tmp_path: Path, emola_files: Path) -> None:
    import_emola(emola_files, tmp_path / "model", experts=[nets.landmark_net(tmp_path / "net.onnx")])
    run_export(tmp_path / "model", tmp_path / "copy")
    shutil.rmtree(tmp_path / "model")
    assert TorchReader(tmp_path / "copy").inputs.prior == "insightface"


def test_command_line_takes_experts(nets: Any, tmp_path: Path, emola_files: Path) -> None:
    net = nets.landmark_net(tmp_path / "2d106det.onnx")
    arguments = [
        "models", "import", str(emola_files / "emola.bin"), "--base", str(emola_files / "llava.bin"), "-f", "emola",
        "-o", str(tmp_path / "out"), "--scale", "tiny", "--expert", str(net), "--prior", "insightface-emola",
    ]  # fmt: skip
    result = CliRunner().invoke(app, arguments)
    assert result.exit_code == 0, result.output
    assert "fed as insightface-emola" in result.output
    assert (tmp_path / "out" / "experts" / "2d106det.onnx").read_bytes() == net.read_bytes()


def test_experts_of_the_wrong_kind_are_refused(nets: Any, tmp_path: Path, emola_files: Path) -> None:
    out = tmp_path / "out"
    with pytest.raises(BadConfig, match=r"expert .*net\.h5.*\.onnx for EmoLA"):
        import_emola(emola_files, out, experts=[tmp_path / "net.h5"])
    net = nets.landmark_net(tmp_path / "2d106det.onnx")
    with pytest.raises(BadConfig, match="beside"):
        import_emola(emola_files, out, experts=[net, nets.landmark_net(tmp_path / "again.onnx")])
    with pytest.raises(MissingWeights, match=r"no file .*gone\.pt.*kartiknarayan"):
        import_emola(emola_files, out, experts=[tmp_path / "gone.pt"])
    with pytest.raises(BadConfig, match="prior 'mesh106'"):
        import_emola(emola_files, out, prior="mesh106")
    torch.save(FaceXFormer("tiny").state_dict(), tmp_path / "own.pt")
    with pytest.raises(BadConfig, match="a single encoder"):
        run_import([tmp_path / "own.pt"], "facexformer", out, scale="tiny", experts=[net], partial=True)
    assert not out.exists()


def test_published_face_expert_is_stored_without_pickle(nets: Any, tmp_path: Path) -> None:
    """A checkpoint under the published names becomes safetensors under ours that reads the same."""
    from mien.models.formats.layouts import LAYOUTS, own_keys

    own = nets.face_expert(tmp_path / "own.safetensors").state_dict()
    theirs = {key.removeprefix("encoder."): value for key, value in own.items() if "backbone" not in key}
    theirs |= swin_names({key: value for key, value in own.items() if "backbone" in key})
    assert {
        name for key in theirs for rule in LAYOUTS["facexformer"].rules for name in own_keys(rule, key)
    } >= {key for key in own if "relative_position_index" not in key}
    torch.save({"state_dict_backbone": theirs}, tmp_path / "model.pt")
    named = name_experts([tmp_path / "model.pt"])
    write_experts(named, tmp_path / "experts")
    stored = load_file(tmp_path / "experts" / EXPERTS["face"].file)
    assert stored.keys() == own.keys()
    crops = nets.pictures(2)
    expected = FaceExpert(tmp_path / "own.safetensors").read(crops)
    got = open_face_expert(tmp_path / "experts" / EXPERTS["face"].file).read(crops)
    torch.testing.assert_close(got.face, expected.face)
    assert got.words == expected.words


def swin_names(own: dict[str, Tensor]) -> dict[str, Tensor]:
    """torchvision's names of our Swin, qkv joined."""
    theirs: dict[str, Tensor] = {}
    renamed = [
        (r"embeddings\.patch_embeddings\.projection", "0.0.0"), (r"embeddings\.norm", "0.0.2"),
        (r"layernorm_before", "norm1"), (r"layernorm_after", "norm2"), (r"^layernorm", "1"),
        (r"attention\.o_proj", "attn.proj"), (r"mlp\.fc1", "mlp.0"), (r"mlp\.fc2", "mlp.3"),
        (r"attention\.relative_position_bias\.relative_position_bias_table", "attn.relative_position_bias_table"),
    ]  # fmt: skip
    joined: dict[str, dict[str, Tensor]] = {}
    for key, value in own.items():
        key = key.removeprefix("encoder.backbone.")
        key = re.sub(r"encoder\.layers\.(\d)\.blocks\.", lambda at: f"0.{2 * int(at[1]) + 1}.", key)
        key = re.sub(r"encoder\.layers\.(\d)\.downsample", lambda at: f"0.{2 * int(at[1]) + 2}", key)
        for pattern, name in renamed:
            key = re.sub(pattern, name, key)
        part = re.fullmatch(r"(.+)attention\.([qkv])_proj\.(.+)", key)
        if part:
            joined.setdefault(f"backbone.{part[1]}attn.qkv.{part[3]}", {})[part[2]] = value
        else:
            theirs[f"backbone.{key}"] = value
    return theirs | {key: torch.cat([parts[name] for name in "qkv"]) for key, parts in joined.items()}


def test_training_on_keeps_the_nets_of_the_imported_model(
    nets: Any, tmp_path: Path, emola_files: Path
) -> None:
    import_emola(emola_files, tmp_path / "model", experts=[nets.landmark_net(tmp_path / "net.onnx")])
    assert inherited_inputs(None) == inherited_inputs("liuhaotian/llava-v1.5-7b") == {}
    # As a run's folder, too, which holds its model as RUN/model.
    assert inherited_inputs(tmp_path) == inherited_inputs(tmp_path / "model")
    recipe = load_recipe("emola", "tiny", [f"weights.model={tmp_path / 'model'}"])
    run = Run(recipe, tmp_path / "run")
    assert run.inputs.prior == "insightface" and Path(run.inputs.experts) == tmp_path / "model" / "experts"
    explicit = load_recipe("emola", "tiny", [f"weights.model={tmp_path / 'model'}", "inputs.prior=mesh106"])
    assert Run(explicit, tmp_path / "run").inputs.prior == "mesh106"


def test_a_trained_folder_holds_the_nets_that_it_was_trained_on(nets: Any, tmp_path: Path) -> None:
    brought = tmp_path / "brought"
    brought.mkdir()
    nets.landmark_net(brought / "2d106det.onnx")
    nets.face_expert(brought / "facexformer.safetensors")
    recipe = load_recipe("emola", "tiny", ["inputs.prior=insightface", f"inputs.experts={brought}"])
    run = Run(recipe, tmp_path / "run")
    model = FacialLM(emola.configure("tiny"))
    target = write_model(tmp_path / "run", model, nets.letters(tmp_path / "t.json"), recipe, run.inputs, 8)
    shutil.rmtree(brought)
    assert [path.name for path in (target / "experts").iterdir()] == ["2d106det.onnx"]
    assert TorchReader(target).measure(nets.faces(2))[1].emotions
    with pytest.raises(MissingWeights, match=r"brought without 2d106det\.onnx"):
        write_model(tmp_path / "other", model, nets.letters(tmp_path / "t.json"), recipe, run.inputs, 8)
