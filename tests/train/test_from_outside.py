"""What a newcomer adds in one file each: an encoder, a data set, a system; named in a recipe and trained."""

from __future__ import annotations

import shutil
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import nn

from mien.backends.torch import open_torch
from mien.core.errors import BadConfig
from mien.core.nouns import Evidence, Face
from mien.data import open_dataset
from mien.models.composite.evidence_inputs import Inputs, evidence_inputs
from mien.models.composite.facial_lm import FacialLMConfig
from mien.models.registry import open_system
from mien.train.recipe_files import load_recipe
from mien.train.runs import Run


@pytest.fixture
def examples(repository: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The examples on the path, and the portraits with their list."""
    monkeypatch.syspath_prepend(repository / "examples")
    for name in ("eileen_collins.jpg", "grace_hopper.jpg"):
        shutil.copy(repository / "examples" / name, tmp_path)
    (tmp_path / "labels.txt").write_text("eileen_collins.jpg happiness\ngrace_hopper.jpg neutral\n")
    yield tmp_path  # type: ignore[misc]
    for name in ("new_encoder", "new_dataset"):
        sys.modules.pop(name, None)


def test_an_encoder_and_a_data_set_of_one_s_own_train(
    examples: Path, repository: Path, tmp_path: Path
) -> None:
    recipe = load_recipe(repository / "examples/newcomer.yaml", "tiny", [f"data.0.root={examples}"])
    folder = Run(recipe, tmp_path / "run").train()
    reader = open_torch(folder)
    assert type(reader.model.model.encoders["image"]).__name__ == "ColourGrid"
    crop = np.zeros((28, 28, 3), np.uint8)
    (result,) = reader.measure([Evidence(Face(np.asarray([0, 0, 28, 28], np.float32), 1.0), crop)])
    assert sum(result.emotions.values()) == pytest.approx(1.0)


class Corners(nn.Module):
    """An encoder of something else than pictures: it says what it reads."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.line = nn.Linear(4, width)

    @staticmethod
    def prepare(entry: object, inputs: object, batch: list[Evidence]) -> torch.Tensor:
        return torch.stack([torch.from_numpy(one.face.box) for one in batch])

    def forward(self, boxes: torch.Tensor) -> torch.Tensor:
        made: torch.Tensor = self.line(boxes)
        return made


def test_an_encoder_may_say_what_it_reads() -> None:
    config = open_system("expllm").configure("tiny", 400)
    place = f"{__name__}:Corners"
    entry = {**config.evidence["image"], "encoder": {"type": place, "width": 8}, "width": 8, "rows": 1}
    made = FacialLMConfig(text_config=config.text_config, evidence={"box": entry})
    face = Evidence(Face(np.asarray([1, 2, 3, 4], np.float32), 1.0))
    assert evidence_inputs(made, Inputs(), [face, face])["box"].tolist() == [[1, 2, 3, 4]] * 2  # type: ignore[union-attr]


def test_what_is_no_encoder_data_set_or_system_is_not_run() -> None:
    config = open_system("expllm").configure("tiny", 400)
    entry = {**config.evidence["image"], "encoder": {"type": "subprocess:Popen", "args": "true"}}
    with pytest.raises(BadConfig, match="subprocess:Popen, which is no encoder type"):
        FacialLMConfig(text_config=config.text_config, evidence={"image": entry})
    with pytest.raises(BadConfig, match="is no dataset"):
        open_dataset("pathlib:Path")
    with pytest.raises(BadConfig, match=r"system 'nobody'.*llava-1\.5"):
        open_system("nobody")
    with pytest.raises(BadConfig, match="cannot|No module"):
        open_system("no_such_package_here:SYSTEM")
