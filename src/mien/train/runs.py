"""A recipe from data to a folder that `mien.load_model` opens: stages in order, each done once, then validation.

RUN/run.json  result.json  predictions.jsonl    what was run, its figures, every answer they come from
RUN/model/                                      weights, configuration, tokenizer
RUN/stages/0-align.safetensors                  what each stage changed: for adapters, the adapters alone
RUN/heads/0-classify.safetensors  .json         a classifier's head, and its figures on the validation faces
RUN/adapters/0-code/                            the same as `save_adapters` writes it, where a stage has adapters
RUN/recipe.json                                 what may go on here
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, replace
from datetime import timedelta
from itertools import accumulate
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import save_file
from tokenizers import Tokenizer
from transformers import TrainerCallback

from mien.core.emotions import EMOTIONS
from mien.core.errors import BadConfig, MissingWeights
from mien.core.nouns import Turn
from mien.core.paths import write_whole, written_whole
from mien.core.run_record import RunRecord
from mien.dialogue.say.face_tasks import QUESTIONS
from mien.evaluate.figures import constants, score_answers
from mien.evaluate.predictions import Row, write_predictions
from mien.models.composite.adapters import load_trained, merge_adapters, save_adapters
from mien.models.composite.evidence_inputs import needed_experts
from mien.models.composite.experts import require_experts
from mien.models.composite.facial_lm import FacialLM
from mien.models.composite.precision import one_precision
from mien.models.composite.quantised import quantise
from mien.models.composite.systems import Stage, System, prepare
from mien.models.composite.text_tower import open_text_tower
from mien.models.formats.loading import MODEL_FOLDER
from mien.models.registry import open_system
from mien.train import processes
from mien.train.align import (
    AlignmentTask,
    ClassificationTask,
    FaceBatches,
    FaceRowsOf,
    emotion_frequency,
    emotions_told,
)
from mien.train.composite import (
    build_composite,
    check_weights,
    open_words,
    trains_decoder,
    write_model,
)
from mien.train.data.conversations import read_conversations
from mien.train.data.drawn import Drawn, PartTasks, draw_parts
from mien.train.data.face_attributes import with_attributes
from mien.train.data.face_facts import with_facts
from mien.train.data.faces import Faces, gather, joined, taught
from mien.train.evaluation import predict
from mien.train.label_calibration import calibrate_labels
from mien.train.plan import check_pictures, planned, planned_inputs, rehearse, stages_of
from mien.train.recipe import DataPart, Evaluation, Recipe, StageRun
from mien.train.reward_stage import run_reward
from mien.train.run_folder import claim
from mien.train.stage_trainer import StageOptions, run_stage, trained_state
from mien.train.supervised import run_supervised
from mien.train.terminal import StageLine

__all__ = ["ADAPTERS", "HEADS", "Run"]

ADAPTERS = "adapters"
"""Folder of a run for what its stages learnt beside the weights."""
HEADS = "heads"
"""Folder of a run for the heads of its classifiers."""


class Run:
    """One run of a recipe in its folder.

    Args:
        recipe: what to train.
        folder: of the run; a killed run goes on from it.
        cache: for landmarks; beside the run by default, so that runs in one place share it.
        callbacks: of the trainer, in every stage.
        limit: for one collective of training, where several processes train.
    """

    def __init__(
        self,
        recipe: Recipe,
        folder: Path,
        cache: Path | None = None,
        callbacks: Sequence[TrainerCallback] = (),
        limit: timedelta = processes.LIMIT,
    ) -> None:
        self.recipe, self.folder, self.cache = recipe, folder, cache or folder.parent / "cache"
        self.system: System = open_system(recipe.system, recipe.scale)
        self.callbacks = tuple(callbacks)
        config = planned(recipe, self.system)
        self.stages = stages_of(recipe, self.system, config)
        self._check_stages()
        check_weights(recipe, self.system)
        self.inputs = planned_inputs(recipe, config)
        check_pictures(config, self.inputs)
        rehearse(config, self.stages)
        self.device = processes.begin(limit)

    def train(self) -> Path:
        """Run every stage that is not done, validate, and write the model; returns the folder."""
        with processes.first_alone():
            claim(self.folder, self.recipe)
        figures = json.loads(json.dumps([{"name": run.name, **asdict(stage)} for run, stage in self.stages]))
        record = RunRecord.start(
            {**self.recipe.model_dump(mode="json"), "stage_figures": figures}, seed=self.recipe.seed
        )
        faces, rows = self._faces(self.recipe.data)
        items = self._items(faces, rows)
        for told in self.callbacks:
            if isinstance(told, StageLine) and not processes.rank():
                told.tell_mix(items.counts())
        tokenizer = self._tokenizer(items)
        model = build_composite(self.recipe, self.system, tokenizer)
        require_experts(needed_experts(model.config, self.inputs), self.inputs.experts)
        for place in range(len(self.stages)):
            if not self._left(place).is_file():
                if self.recipe.bits is not None:
                    quantise(model.model.language_model, self.recipe.bits, self.device)
                self._stage(place, model, tokenizer, faces, items)
                if self.recipe.bits is None:
                    merge_adapters(model)
                    continue
                # Adapters are merged into whole weights, never into those of few bits.
                model = build_composite(self.recipe, self.system, tokenizer)
                for earlier in range(place):
                    self._take(earlier, model)
            self._take(place, model)
        self._finish(record, model, tokenizer, faces, items)
        processes.meet()
        return self.folder

    def _check_stages(self) -> None:
        """What cannot be is said before anything is read.

        Raises:
            BadConfig: a decoder of few bits that is to learn itself.
            MissingWeights: an alignment at scale ``paper`` without its text tower.
        """
        for run, stage in self.stages:
            learns = [start for start in stage.trains if trains_decoder(start)]
            if self.recipe.bits is not None and learns:
                raise BadConfig(
                    got=f"stage {run.name!r}, which trains {learns[0]} of a decoder in {self.recipe.bits} bits",
                    expected="adapters beside it (lora)",
                    fix="Leave bits out, or give the stage lora in place of the decoder",
                )
            if (
                stage.objective == "contrastive"
                and self.recipe.scale == "paper"
                and "text" not in self.recipe.weights
            ):
                raise MissingWeights(
                    got=f"no weights for text, which stage {run.name!r} aligns with",
                    expected="CLIP's text tower in a folder, or a checkpoint of ULIP, which holds SLIP's",
                    fix="Pass weights.text=PLACE; ULIP's file of weights.landmarks serves for both",
                )

    def _faces(self, parts: Sequence[DataPart]) -> tuple[Faces, list[range]]:
        """The faces, and the rows of each part."""
        need = self.system.needs_mesh(self.inputs)
        frames = self.recipe.frames if self.system.clips else None
        found = [gather([part], self.inputs.crop_size, self.cache, need, frames) for part in parts]
        ends = list(accumulate(map(len, found)))
        rows = [range(end - len(one), end) for end, one in zip(ends, found, strict=True)]
        faces = joined(found)
        if self.inputs.attributes != "none":
            faces = with_attributes(faces, self.inputs)
        if self.recipe.teacher is not None:
            faces = taught(faces, self.recipe.teacher, self.recipe.seed)
            faces = with_facts(faces) if QUESTIONS.keys() & {*self.recipe.every_task} else faces
        return faces, rows

    def _items(self, faces: Faces, rows: Sequence[range]) -> Drawn:
        recipe = self.recipe
        parts = [
            PartTasks(
                rows=own,
                tasks=recipe.asked(part),
                options={
                    task: self._dialogue({**recipe.dialogues.get(task, {}), **part.dialogues.get(task, {})})
                    for task in recipe.asked(part)
                },
                balance=recipe.balance if part.balance is None else part.balance,
                conversations=None if part.conversations is None else read_conversations(part.conversations),
                name=f"{part.dataset}/{part.split}",
            )
            for part, own in zip(recipe.data, rows, strict=True)
        ]
        return draw_parts(self.system, faces, parts, recipe.seed)

    def _dialogue(self, own: Mapping[str, Any]) -> dict[str, Any]:
        """Options of a task's dialogues; a layout of the evidence (EmoLA) holds for the prompt as for the model."""
        shared = {name: value for name, value in self.recipe.options.items() if name == "layout"}
        return {**shared, **own}

    def _tokenizer(self, items: Drawn) -> Tokenizer:
        path = self.folder / "tokenizer.json"
        with processes.first_alone():
            if not path.is_file():
                made = open_words(self.recipe, self.system, items)
                with written_whole(path) as partial:
                    made.save(str(partial))
        return Tokenizer.from_file(str(path))

    def _left(self, place: int) -> Path:
        """What a stage leaves behind."""
        return self.folder / "stages" / f"{place}-{self.stages[place][0].name}.safetensors"

    def _take(self, place: int, model: FacialLM) -> None:
        """Give a model what a stage left behind; its adapters end up in the weights."""
        torch.manual_seed(self.recipe.seed + place)
        prepare(model, self.stages[place][1])
        load_trained(model, self._left(place))
        merge_adapters(model)

    def _stage(
        self,
        place: int,
        model: FacialLM,
        tokenizer: Tokenizer,
        faces: Faces,
        items: Drawn,
    ) -> None:
        """Train one stage; its adapters stand beside the weights."""
        (run, stage), target = self.stages[place], self._left(place)
        torch.manual_seed(self.recipe.seed + place)
        prepare(model, stage)
        options = StageOptions(
            folder=target.with_suffix(""),
            seed=self.recipe.seed + place,
            micro_batch=run.micro_batch,
            save_steps=run.save_steps,
            gradient_checkpointing=run.gradient_checkpointing,
            callbacks=self.callbacks,
            workers=run.workers,
        )
        if stage.objective == "language":
            chosen = items if run.tasks is None else items.only(run.tasks)
            run_supervised(
                model, self.system, stage, chosen, faces, self.inputs, tokenizer, options,
                cache=run.cache, augment=run.augment,
            )  # fmt: skip
        elif stage.objective == "reward":
            chosen = items if run.tasks is None else items.only(run.tasks)
            run_reward(
                model, self.system, stage, chosen, faces, self.inputs, tokenizer, options, run.reward,
                cache=run.cache > 0,
            )  # fmt: skip
        else:
            self._train_encoder(run, stage, model, tokenizer, faces, options)
        if not processes.rank():
            if any(one.lora is not None for _, one in self.stages):
                save_adapters(model, stage, self.folder / ADAPTERS / target.stem, self.recipe.weights)
            with written_whole(target) as partial:
                save_file(trained_state(model), partial)
        processes.meet()

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
        closed = None if self.system.labels is None else self.system.labels(self.recipe.options).question
        asked = None if closed is None else self.system.instruction([Turn("user", closed)])
        batches = FaceBatches(
            model.config, name, self.inputs, faces, run.augment, question=asked, tokenizer=tokenizer
        )
        task: AlignmentTask | ClassificationTask
        if stage.objective == "contrastive":
            texts = [self.system.alignment_text(label) for label in EMOTIONS]
            place = self.recipe.weights.get("text")
            opened = None if place is None else open_text_tower(place)
            task = AlignmentTask(model, name, texts, tokenizer, run.target, opened)
        else:
            task = ClassificationTask(model, name, emotion_frequency(faces), run.rare)
        run_stage(
            task,
            stage,
            FaceRowsOf(range(len(faces))),
            batches,
            options,
            name=lambda row: faces.samples[row].id,
        )
        if isinstance(task, ClassificationTask):
            self._keep_head(self.folder / HEADS / options.folder.name, task, batches)

    def _keep_head(self, place: Path, task: ClassificationTask, batches: FaceBatches) -> None:
        """The classifier that the stage was: FacePhi tells how often it is right beside the decoder that reads it."""
        held = self._faces(self.recipe.validation)[0] if self.recipe.validation else None
        if processes.rank():
            return
        place.parent.mkdir(exist_ok=True)
        with written_whole(place.with_name(f"{place.name}.safetensors")) as partial:
            save_file({name: value.contiguous() for name, value in task.head.state_dict().items()}, partial)
        if held is None:
            return
        told = emotions_told(task, replace(batches, faces=held, augment=False))
        truths = [{"emotion": sample.labels.emotion} for sample in held.samples]
        rows: list[Row] = [
            {"status": "answered", "truth": truth, "said": {"emotion": one}}
            for truth, one in zip(truths, told, strict=True)
            if truth["emotion"] in EMOTIONS
        ]
        always = constants([{"emotion": sample.labels.emotion} for sample in batches.faces.samples])
        write_whole(place.with_name(f"{place.name}.json"), json.dumps(score_answers(rows, always)) + "\n")

    def _classifiers(self) -> dict[str, Any]:
        """Figures of the classifiers that stages were, for the result."""
        places = {
            run.name: self.folder / HEADS / f"{at}-{run.name}.json" for at, (run, _) in enumerate(self.stages)
        }
        found = {name: json.loads(place.read_text()) for name, place in places.items() if place.is_file()}
        return {"classifiers": found} if found else {}

    def _finish(
        self,
        record: RunRecord,
        model: FacialLM,
        tokenizer: Tokenizer,
        faces: Faces,
        items: Drawn,
    ) -> None:
        recipe = self.recipe
        most = max((one.max_new_tokens for one in recipe.evaluation), default=64)
        model = one_precision(model).eval()
        if not processes.rank():
            write_model(self.folder, model, tokenizer, recipe, self.inputs, most)
        processes.meet()
        predictions: list[dict[str, Any]] = []
        results: dict[str, Any] = {"tasks": {}}
        if recipe.evaluation:
            predictions, results = self._validate(model, tokenizer, items)
        if processes.rank():
            return
        results |= self._classifiers()
        write_predictions(self.folder / "predictions.jsonl", predictions)
        text = json.dumps(
            {"system": recipe.system, "scale": recipe.scale, **results}, indent=2, sort_keys=True
        )
        write_whole(self.folder / "result.json", text + "\n")
        unparsed = sum(row["status"] == "unparsed" for row in predictions)
        counts = {
            "faces": len(faces),
            "dialogues": len(items),
            "items": len(predictions),
            "unparsed": unparsed,
            **items.counts(),
        }
        record.finish(**counts).write(self.folder / "run.json")

    def _validate(
        self, model: FacialLM, tokenizer: Tokenizer, items: Drawn
    ) -> tuple[list[dict[str, Any]], dict[str, Any]]:
        """Every answer on the validation faces, and the figures; label likelihoods are calibrated on the way."""
        predictions: list[dict[str, Any]] = []
        results: dict[str, Any] = {}
        held, _ = self._faces(self.recipe.validation)
        items.turn_to(0)
        for wanted in self.recipe.evaluation:
            wanted = wanted.model_copy(update={"dialogue": self._dialogue(wanted.dialogue)})
            rows = predict(model, self.system, held, self.inputs, tokenizer, wanted)
            predictions += rows
            always = constants(self._truths(items, wanted))
            results[wanted.task] = {"constant": always, **score_answers(rows, always)}
        truths = {
            row["id"]: row["truth"]["emotion"] for row in predictions if "emotion" in (row["truth"] or {})
        }
        labels = calibrate_labels(self.folder / MODEL_FOLDER, model, held, truths)
        return predictions, {"tasks": results, **({} if labels is None else {"labels": labels})}

    def _truths(self, items: Drawn, wanted: Evaluation) -> list[dict[str, Any]]:
        """What the training answers of a task say, as the system reads them."""
        truths: list[dict[str, Any]] = []
        for item in items:
            if item.task == wanted.task:
                read = self.system.read(item.turns[-1].text, task=wanted.task, **wanted.reading).labels
                if read is not None and read.emotion:
                    truths.append({"emotion": read.emotion})
                elif read is not None:
                    values = read.au_intensity or read.au_level or read.au_presence or {}
                    truths.append({"aus": {key: float(value) for key, value in values.items()}})
        return truths
