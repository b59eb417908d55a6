"""A model of transformers that knows nothing of mien answers suites, as transformers itself would have it answer."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from typer.testing import CliRunner

torch = pytest.importorskip("torch", reason="models of transformers need torch")

from PIL import Image  # noqa: E402
from tokenizers import Tokenizer, models, pre_tokenizers  # noqa: E402
from transformers import (  # noqa: E402
    AutoModelForImageTextToText,
    AutoProcessor,
    CLIPImageProcessorPil,
    CLIPVisionConfig,
    LlamaConfig,
    LlavaConfig,
    LlavaForConditionalGeneration,
    LlavaProcessor,
    PreTrainedTokenizerFast,
)

from mien.app.cli import app  # noqa: E402
from mien.core.errors import MienError  # noqa: E402
from mien.evaluate.run import read_rows  # noqa: E402
from mien.evaluate.suite import open_suite  # noqa: E402

TEMPLATE = (
    "{% for m in messages %}USER: {% for c in m['content'] %}{% if c['type'] == 'image' %}<image> "
    "{% else %}{{ c['text'] }}{% endif %}{% endfor %}{% endfor %} ASSISTANT:"
)


def stranger(folder: Path) -> Path:
    """LLaVA's own class, tiny and random, with eight words of its own."""
    words = [
        "<pad>",
        "</s>",
        "<image>",
        "[UNK]",
        *(word for word in open_suite("rafdb").words),
        "USER",
        "ASSISTANT",
    ]
    tokenizer = Tokenizer(models.WordLevel({word: at for at, word in enumerate(words)}, "[UNK]"))
    tokenizer.pre_tokenizer = pre_tokenizers.WhitespaceSplit()
    fast = PreTrainedTokenizerFast(
        tokenizer_object=tokenizer, pad_token="<pad>", eos_token="</s>", unk_token="[UNK]",
        additional_special_tokens=["<image>"],
    )  # fmt: skip
    sizes = {"hidden_size": 16, "intermediate_size": 32, "num_hidden_layers": 2, "num_attention_heads": 2}
    text = LlamaConfig(vocab_size=len(words), pad_token_id=0, eos_token_id=1, bos_token_id=None, **sizes)
    vision = CLIPVisionConfig(image_size=28, patch_size=14, projection_dim=16, **sizes)
    torch.manual_seed(1)
    LlavaForConditionalGeneration(
        LlavaConfig(vision_config=vision, text_config=text, image_token_index=2)
    ).save_pretrained(folder)
    pictures = CLIPImageProcessorPil(size={"shortest_edge": 28}, crop_size={"height": 28, "width": 28})
    LlavaProcessor(
        pictures, fast, patch_size=14, vision_feature_select_strategy="default", chat_template=TEMPLATE,
        image_token="<image>", num_additional_image_tokens=1,
    ).save_pretrained(folder)  # fmt: skip
    return folder


def test_it_answers_as_transformers_has_it_answer(miniature, tmp_path):
    folder, root = stranger(tmp_path / "some-vlm"), miniature("rafdb")
    words = ["eval", str(folder), "--suite", "rafdb", "--root", str(root), "--limit", "3"]
    found = CliRunner().invoke(app, [*words, "--out", str(tmp_path / "run")])
    assert found.exit_code == 0, found.output
    rows, suite = read_rows(tmp_path / "run"), open_suite("rafdb")
    assert len(rows) == 3 and {row["status"] for row in rows} == {"answered"}
    processor, model = (
        AutoProcessor.from_pretrained(folder),
        AutoModelForImageTextToText.from_pretrained(folder),
    )
    content = [{"type": "image"}, {"type": "text", "text": suite.asked}]
    prompt = processor.apply_chat_template([{"role": "user", "content": content}], add_generation_prompt=True)
    for row in rows:
        picture = Image.fromarray(np.asarray(Image.open(row["media"]).convert("RGB")))
        inputs = processor(text=prompt, images=picture, return_tensors="pt")
        ids = model.generate(**inputs, max_new_tokens=suite.max_new_tokens, do_sample=False)
        told = processor.decode(ids[0, inputs["input_ids"].shape[1] :], skip_special_tokens=True)
        assert row["answer"] == told.strip()


def test_what_it_lacks_is_said(miniature, tmp_path):
    folder, root = stranger(tmp_path / "some-vlm"), miniature("rafdb")
    words = ["eval", str(folder), "--suite", "rafdb", "--root", str(root), "--out", str(tmp_path / "run")]
    weights = (folder / "model.safetensors").read_bytes()
    (folder / "model.safetensors").write_bytes(weights[:-100])
    assert isinstance(CliRunner().invoke(app, words).exception, MienError)
    (folder / "model.safetensors").write_bytes(weights)
    for file in folder.glob("*template*"):
        file.unlink()
    about = folder / "processor_config.json"
    about.write_text(
        json.dumps({k: v for k, v in json.loads(about.read_text()).items() if k != "chat_template"})
    )
    error = CliRunner().invoke(app, words).exception
    assert isinstance(error, MienError) and "chat template" in str(error) and not (tmp_path / "run").exists()
