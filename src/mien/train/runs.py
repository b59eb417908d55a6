"""A recipe from data to a folder that `mien.load_model` opens: stages in order, each done once, then validation.

RUN/run.json  result.json  predictions.jsonl    what was run, its figures, every answer they come from
RUN/model/                                      weights, configuration, tokenizer
RUN/stages/0-align.safetensors                  what each stage changed: for adapters, the adapters alone
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import torch
from accelerate import PartialState  # type: ignore[import-untyped]
from safetensors.torch import load_file, save_file
from tokenizers import Tokenizer
from transformers import TrainerCallback

from mien.core.emotions import EMOTIONS
from mien.core.run_record import RunRecord
from mien.models.adapters import merge_adapters
from mien.models.evidence_inputs import Inputs
from mien.models.facephi import alignment_text
from mien.models.facial_lm import FacialLM
from mien.models.systems import Stage, System, open_system, prepare
from mien.train.align import AlignmentTask, ClassificationTask, FaceBatches, FaceRowsOf, emotion_frequency
from mien.train.composite import build_composite, write_model
from mien.train.evaluation import constants, predict, score, write_predictions
from mien.train.faces import Faces, gather, taught
from mien.train.instructions import Instruction, draw_instructions, open_tokenizer
from mien.train.recipe import Recipe, StageRun, resolve_stage
from mien.train.stage_trainer import StageOptions, run_stage, trained_state
from mien.train.supervised import run_supervised

__all__ = ["Run", "run_recipe"]


class Run:
    """One run of a recipe in its folder.

    Args:
        recipe: what to train.
        folder: of the run; a killed run goes on from it.
        cache: for landmarks; beside the run by default, so that runs in one place share it.
        callbacks: of the trainer, in every stage.
    """

    def __init__(
        self,
        recipe: Recipe,
        folder: Path,
        cache: Path | None = None,
        callbacks: Sequence[TrainerCallback] = (),
    ) -> None:
        self.recipe, self.folder, self.cache = recipe, folder, cache or folder.parent / "cache"
        self.system: System = open_system(recipe.system)
        self.inputs = Inputs.of(recipe.inputs)
        self.callbacks = tuple(callbacks)
        self.process = PartialState(cpu=not torch.cuda.is_available())

    def train(self) -> Path:
        """Run every stage that is not done, validate, and write the model; returns the folder.

        Raises:
            BadConfig: an entry that cannot be.
            BadData: data that cannot be read.
            MissingWeights: published weights that the recipe needs are not given.
        """
        (self.folder / "stages").mkdir(parents=True, exist_ok=True)
        record = RunRecord.start(self.recipe.model_dump(mode="json"), seed=self.recipe.seed)
        with self.process.main_process_first():
            faces = self._faces(self.recipe.data)
        items = self._items(faces)
        tokenizer = self._tokenizer(items)
        model = build_composite(self.recipe, self.system, tokenizer)
        for place, stage in enumerate(
            one for one in self.recipe.stages if one.unless not in self.recipe.weights
        ):
            self._stage(place, stage, model, tokenizer, faces, items)
        if self.process.is_main_process:
            self._finish(record, model, tokenizer, faces, items)
        self.process.wait_for_everyone()
        return self.folder

    def _faces(self, parts: Sequence[Any]) -> Faces:
        need = self.recipe.system in ("facephi", "emola", "emo-llama")
        faces = gather(parts, self.inputs.crop_size, self.cache, need)
        return faces if self.recipe.teacher is None else taught(faces, self.recipe.teacher, self.recipe.seed)

    def _items(self, faces: Faces) -> list[Instruction]:
        recipe = self.recipe
        options = {task: self._dialogue(recipe.dialogues.get(task, {})) for task in recipe.tasks}
        return draw_instructions(self.system, faces, recipe.tasks, recipe.balance, recipe.seed, options)

    def _dialogue(self, own: Mapping[str, Any]) -> dict[str, Any]:
        """Options of a task's dialogues; a layout of the evidence (EmoLA) holds for the prompt as for the model."""
        shared = {name: value for name, value in self.recipe.options.items() if name == "layout"}
        return {**shared, **own}

    def _tokenizer(self, items: Sequence[Instruction]) -> Tokenizer:
        path = self.folder / "tokenizer.json"
        with self.process.main_process_first():
            if not path.is_file():
                made = open_tokenizer(self.system, self.recipe.tokenizer, items, self.recipe.vocabulary)
                partial = path.with_suffix(".partial")
                made.save(str(partial))
                partial.rename(path)
        return Tokenizer.from_file(str(path))

    def _stage(
        self,
        place: int,
        run: StageRun,
        model: FacialLM,
        tokenizer: Tokenizer,
        faces: Faces,
        items: Sequence[Instruction],
    ) -> None:
        """Train one stage, or take what it left behind; its adapters end up in the weights."""
        stage = resolve_stage(self.system, run)
        target = self.folder / "stages" / f"{place}-{run.name}.safetensors"
        torch.manual_seed(self.recipe.seed + place)
        prepare(model, stage)
        if target.is_file():
            model.load_state_dict(load_file(target), strict=False)
        else:
            options = StageOptions(
                folder=target.with_suffix(""),
                seed=self.recipe.seed + place,
                micro_batch=run.micro_batch,
                save_steps=run.save_steps,
                gradient_checkpointing=run.gradient_checkpointing,
                callbacks=self.callbacks,
            )
            if stage.objective == "language":
                run_supervised(
                    model, self.system, stage, items, faces, self.inputs, tokenizer, options,
                    cache=run.cache, augment=run.augment,
                )  # fmt: skip
            else:
                self._train_encoder(run, stage, model, tokenizer, faces, options)
            if self.process.is_main_process:
                partial = target.with_suffix(".partial")
                save_file(trained_state(model), partial)
                partial.rename(target)
            self.process.wait_for_everyone()
        merge_adapters(model)

    def _train_encoder(
        self,
        run: StageRun,
        stage: Stage,
        model: FacialLM,
        tokenizer: Tokenizer,
        faces: Faces,
        options: StageOptions,
    ) -> None:
        name = run.encoder or next(iter(model.config.evidence))
        batches = FaceBatches(model.config, name, self.inputs, faces, run.augment)
        task: AlignmentTask | ClassificationTask
        if stage.objective == "contrastive":
            texts = [alignment_text(label) for label in EMOTIONS]
            task = AlignmentTask(model, name, texts, tokenizer, run.target)
        else:
            task = ClassificationTask(model, name, emotion_frequency(faces))
        run_stage(task, stage, FaceRowsOf(range(len(faces))), batches, options)

    def _finish(
        self,
        record: RunRecord,
        model: FacialLM,
        tokenizer: Tokenizer,
        faces: Faces,
        items: Sequence[Instruction],
    ) -> None:
        recipe = self.recipe
        most = max((one.max_new_tokens for one in recipe.evaluation), default=64)
        write_model(self.folder, model.eval(), tokenizer, recipe, self.inputs, most)
        predictions: list[dict[str, Any]] = []
        results: dict[str, Any] = {}
        if recipe.evaluation:
            held = self._faces(recipe.validation)
            for wanted in recipe.evaluation:
                wanted = wanted.model_copy(update={"dialogue": self._dialogue(wanted.dialogue)})
                rows = predict(model, self.system, held, self.inputs, tokenizer, wanted)
                predictions += rows
                always = constants(self._truths(items, wanted.task))
                results[wanted.task] = {"constant": always, **score(rows, always)}
        write_predictions(self.folder / "predictions.jsonl", predictions)
        text = json.dumps(
            {"system": recipe.system, "scale": recipe.scale, "tasks": results}, indent=2, sort_keys=True
        )
        (self.folder / "result.json").write_text(text + "\n", encoding="utf-8")
        unparsed = sum(row["status"] == "unparsed" for row in predictions)
        counts = {
            "faces": len(faces),
            "dialogues": len(items),
            "items": len(predictions),
            "unparsed": unparsed,
        }
        record.finish(**counts).write(self.folder / "run.json")

    def _truths(self, items: Sequence[Instruction], task: str) -> list[dict[str, Any]]:
        """What the training answers of a task say, as the system reads them."""
        truths: list[dict[str, Any]] = []
        for item in items:
            if item.task == task:
                read = self.system.read(item.turns[-1].text, task=task).labels
                if read is not None and read.emotion:
                    truths.append({"emotion": read.emotion})
                elif read is not None:
                    values = read.au_intensity or read.au_level or read.au_presence or {}
                    truths.append({"aus": {key: float(value) for key, value in values.items()}})
        return truths


def run_recipe(recipe: Recipe, folder: Path, cache: Path | None = None) -> Path:
    """Train a recipe in ``folder`` and return it; see `Run`."""
    return Run(recipe, folder, cache).train()
