"""The pocket model from data to embedded files, in one resumable command.

    mien train pocket --renders runs/renders --out runs/pocket

Stages, each kept on disk and skipped when it is there: appearance (crops, votes) -> landmarks -> measurement (AUs from
rendered truth, adapted to real faces) -> detail (the same at twice the crop's side) -> units (AUs on the scale of real
faces, by an outside instrument where it tells more) -> language (dialogues on cached evidence) -> read-out (votes as
the decoder's answer) -> expression (an encoder for the emotion alone) -> belief (the decoder hears of it) -> regions
(things drawn over faces) -> export. Every number that shapes the result stands in `PocketRecipe`.
"""

from __future__ import annotations

import random
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

import numpy as np
import torch
from safetensors.torch import load_file, save_file
from tokenizers import Tokenizer
from torch import nn

from mien.core.aus import AU_SETS, level_edge
from mien.core.emotions import EMOTIONS
from mien.core.nouns import FloatArray, Sample
from mien.core.paths import written_whole
from mien.layers.face_crop import FaceCropEncoder
from mien.models.composite.facial_lm import FacialLM
from mien.models.formats.loading import open_facial, open_tokenizer_file
from mien.models.pocket.evidence import PocketEvidence, PocketEvidenceConfig
from mien.models.pocket.expression import EXPRESSION_SIZE, ExpressionClassifier, PocketExpression
from mien.models.pocket.regions import REGIONS_SIZE, PocketRegions
from mien.models.pocket.system import build
from mien.models.pocket.units import PocketUnits
from mien.train.data.landmark_cache import landmarks_of
from mien.train.data.renders import read_renders
from mien.train.data.tokenizer import train_tokenizer
from mien.train.pocket import measurement
from mien.train.pocket.belief_stage import BeliefStage, kept_dialogues, run_belief_stage
from mien.train.pocket.bundle import set_emotion_calibration, write_bundle
from mien.train.pocket.detail_stage import detail_arrays, run_detail_stage
from mien.train.pocket.emotion import Clear, fit_join, fit_readout, log_chances, projected, start_from
from mien.train.pocket.evidence_data import (
    appearance_rows,
    crop_points,
    framed_table,
    join,
    real_samples,
    real_table,
    render_table,
    take,
    with_landmarks,
)
from mien.train.pocket.evidence_stage import EvidenceStage, run_evidence_stage
from mien.train.pocket.evidence_task import EvidenceArrays, EvidenceTask
from mien.train.pocket.expression_stage import ExpressionStage, draw_shares, run_expression_stage
from mien.train.pocket.hidden_stage import HiddenStage, run_hidden_stage
from mien.train.pocket.language import LanguageStage, Rows, evidence_of, run_language_stage
from mien.train.pocket.language_data import (
    SINGLE_TOKENS,
    Faces,
    Item,
    make_turns,
    task_mix,
    tokenise,
    vocabulary_texts,
)
from mien.train.pocket.readout_stage import ReadoutStage, run_readout_stage
from mien.train.pocket.units_stage import (
    UnitArrays,
    UnitsStage,
    join_units,
    read_blendshapes,
    run_units_stage,
    unit_readings,
    unit_rows,
    with_targets,
)

__all__ = ["PocketRecipe", "Tables", "evidence_tables", "train_pocket"]


@dataclass(frozen=True, slots=True)
class PocketRecipe:
    """Every number of the recipe."""

    appearance_size: int = 64
    crop_size: int = 128
    """Seen by the detail branch, and by the finished model."""
    appearance: EvidenceStage = field(default_factory=lambda: EvidenceStage("appearance", 11, 1.5e-3))
    shape: EvidenceStage = field(default_factory=lambda: EvidenceStage("shape", 12, 2e-3, batch_size=512))
    """Landmarks alone, crop encoder frozen."""
    joint: EvidenceStage = field(
        default_factory=lambda: EvidenceStage("joint", 2, 6e-4, drop_crop=0.2, drop_landmarks=0.25)
    )
    detail: EvidenceStage = field(
        default_factory=lambda: EvidenceStage(
            "detail", 5, 2e-3, weight_decay=0.05, warmup_share=0.1, schedule="constant_with_warmup"
        )
    )
    fine: EvidenceStage = field(
        default_factory=lambda: EvidenceStage(
            "fine", 8, 1.2e-3, weight_decay=0.05, warmup_share=0.03, warp=0.6
        )
    )
    """The same, with crops moved no more than a detector does and fewer real faces."""
    units: UnitsStage = field(default_factory=UnitsStage)
    language: LanguageStage = field(default_factory=LanguageStage)
    readout: ReadoutStage = field(default_factory=ReadoutStage)
    expression: ExpressionStage = field(default_factory=ExpressionStage)
    belief: BeliefStage = field(default_factory=BeliefStage)
    hidden: HiddenStage = field(default_factory=HiddenStage)
    head_share: float = 0.35
    """How much the evidence head's logits count beside the expression encoder's."""
    rarity: float = 0.1
    """Strength of the logit adjustment: some accuracy for the recall of rare emotions."""
    vocabulary: int = 1600
    dialogues: int = 75_000
    seed: int = 1


@dataclass(frozen=True, slots=True)
class Tables:
    """Training tables of the evidence encoders."""

    samples: Sequence[Sample]
    real: EvidenceArrays
    framed: EvidenceArrays
    renders: EvidenceArrays


def train_pocket(
    recipe: PocketRecipe, renders: Path, out: Path, data: Path | None = None, blendshapes: Path | None = None
) -> Path:
    """Run all stages; returns the folder with the exported model.

    Args:
        renders: shards of ``tools/render_faces.py``.
        out: run folder; a killed run goes on from what lies there.
        data: root of the data packs, by default `mien.core.paths.data_root`.
        blendshapes: what an outside instrument says of the real training faces (`units_stage.read_blendshapes`).
    """
    out.mkdir(parents=True, exist_ok=True)
    torch.manual_seed(recipe.seed)
    sizes = PocketEvidenceConfig(crop_size=recipe.crop_size, appearance_size=recipe.appearance_size)
    net = PocketEvidence(sizes)
    _appearance(net, recipe, out, data)
    _measurement(net, recipe, renders, out, data)
    tables = evidence_tables("train", recipe.crop_size, renders, out / "cache", data)
    _detail(net, recipe, tables, renders, out)
    units = _units(net, recipe, tables, blendshapes, out)
    tokenizer, model = _language(recipe, net, tables, out)
    expression = _belief(_expression(net, recipe, tables, out), net, model, tokenizer, recipe, tables, out)
    clear = _clear(net, model, recipe, out, data)
    fit_join(expression, clear, tables.real.emotion, recipe.head_share, recipe.rarity)
    regions = _regions(recipe, out, data)
    sharpness = _sharpness(net, units, tables.renders)
    folder = write_bundle(net, units, expression, regions, model, tokenizer, sharpness, out / "bundle")
    set_emotion_calibration(folder, fit_readout(expression, model, tokenizer, clear), [0.0] * len(EMOTIONS))
    return folder


def evidence_tables(split: str, size: int, renders: Path, cache: Path, data: Path | None = None) -> Tables:
    """All tables of ``train`` or ``val``, with landmarks."""
    samples = real_samples(split, data)
    real = with_landmarks(real_table(samples, size, cache), landmarks_of(samples, cache))
    # Pictures larger than FER+'s are also seen as the analyzer frames them.
    large = np.asarray([i for i, sample in enumerate(samples) if sample.dataset != "ferplus"])
    framed = framed_table([samples[i] for i in large], size, cache, take(real, large))
    return Tables(samples, real, framed, render_table(read_renders(renders, split), size, cache, split))


def _restore(net: nn.Module, path: Path) -> bool:
    if not path.is_file():
        return False
    net.load_state_dict(load_file(path))
    return True


def _save(net: nn.Module, path: Path) -> None:
    save_file({key: value.contiguous() for key, value in net.state_dict().items()}, path)


def _appearance(net: PocketEvidence, recipe: PocketRecipe, out: Path, data: Path | None) -> None:
    if _restore(net, out / "appearance.safetensors"):
        return
    train, val = real_samples("train", data), real_samples("val", data)
    tables = [real_table(samples, recipe.appearance_size, out / "cache") for samples in (train, val)]
    run_evidence_stage(
        EvidenceTask(net), recipe.appearance, tables[0], appearance_rows(train), tables[1], out
    )


def _measurement(
    net: PocketEvidence, recipe: PocketRecipe, renders: Path, out: Path, data: Path | None
) -> None:
    if _restore(net, out / "joint.safetensors"):
        return
    size, cache = recipe.appearance_size, out / "cache"
    tables = evidence_tables("train", size, renders, cache, data)
    val = real_samples("val", data)
    validation = with_landmarks(real_table(val, size, cache), landmarks_of(val, cache))
    task = EvidenceTask(net)
    if not _restore(net, out / "shape.safetensors"):
        measurement.standardise(net, [tables.real, tables.framed, tables.renders])
        measurement.freeze_crop(net, True)
        blind = measurement.landmarks_only(join([tables.real, tables.renders]))
        rows = np.arange(len(blind))
        run_evidence_stage(task, recipe.shape, blind, rows, measurement.landmarks_only(validation), out)
        measurement.freeze_crop(net, False)
    taught = [measurement.teach(net, table) for table in (tables.real, tables.framed)]
    everything = join([*taught, tables.renders])
    real_rows = appearance_rows(tables.samples)
    others = np.arange(len(tables.real), len(everything))
    # Rendered faces twice: only they carry AU truth.
    truth = np.arange(len(everything) - len(tables.renders), len(everything))
    rows = np.concatenate([real_rows, others, truth])
    run_evidence_stage(task, recipe.joint, everything, rows, validation, out)


def _detail(net: PocketEvidence, recipe: PocketRecipe, tables: Tables, renders: Path, out: Path) -> None:
    if _restore(net, out / "evidence.safetensors"):
        return
    rested = np.flatnonzero((tables.real.emotion[:, 0] >= 0.9) & (tables.real.has_landmarks > 0))
    samples = [tables.samples[int(row)] for row in rested]
    neutral = framed_table(samples, recipe.crop_size, out / "cache", take(tables.real, rested))
    if not _restore(net, out / "fine.safetensors"):
        held_back = render_table(read_renders(renders, "val"), recipe.crop_size, out / "cache", "val")
        validation = detail_arrays(net, held_back, None)
        real = join([tables.framed, neutral])
        for stage, step in ((recipe.detail, 2), (recipe.fine, 4)):
            if not _restore(net, out / f"{stage.name}.safetensors"):
                # Every second, then every fourth real face: rendered ones carry the truth.
                train = detail_arrays(net, tables.renders, take(real, np.arange(0, len(real), step)))
                run_detail_stage(net, stage, train, np.arange(len(train.table)), validation, out)
    measurement.calibrate_rest(net, _quarter(tables.renders), _quarter(neutral))
    _save(net, out / "evidence.safetensors")


def _quarter(table: EvidenceArrays) -> EvidenceArrays:
    """Every fourth row: thousands are enough to calibrate one number per AU."""
    return take(table, np.arange(0, len(table), 4))


def _sharpness(net: PocketEvidence, units: PocketUnits, renders: EvidenceArrays) -> dict[str, float]:
    table = _unit_rows(net, _quarter(renders))
    slopes = measurement.fit_sharpness(
        unit_readings(units, table), (table.target >= level_edge(1)).astype(np.float32)
    )
    return dict(zip(AU_SETS["pocket"], slopes, strict=True))


def _units(
    net: PocketEvidence, recipe: PocketRecipe, tables: Tables, blendshapes: Path | None, out: Path
) -> PocketUnits:
    shaped = np.flatnonzero(tables.real.has_landmarks > 0)
    real = _unit_rows(net, take(tables.real, shaped))
    names, scores = read_blendshapes(blendshapes, len(tables.real))
    # LFW's and London's labels are no votes.
    votes = np.where(tables.real.emotion_weight[:, None] == 1.0, tables.real.emotion, 0.0)
    faces = with_targets(real, names, scores[shaped], votes[shaped], recipe.units)
    table = join_units([faces, _unit_rows(net, tables.renders)])
    return run_units_stage(PocketUnits(), recipe.units, table, out / "units.safetensors")


def _unit_rows(net: PocketEvidence, table: EvidenceArrays) -> UnitArrays:
    blind = replace(table, has_crop=np.zeros(len(table), np.float32))
    return unit_rows(table, _intensity(net, table), _intensity(net, blind))


def _intensity(net: PocketEvidence, table: EvidenceArrays) -> FloatArray:
    (logits,) = measurement.predict(net, table, "au_logits")
    with torch.no_grad():
        return net.calibrate(torch.sigmoid(torch.from_numpy(logits))).numpy()


def _cached(net: PocketEvidence, tables: Tables, seed: int) -> tuple[Faces, Rows]:
    """Evidence of every face as seen whole, framed, without pixels and without landmarks."""
    torch.manual_seed(seed)
    shaped = take(tables.real, np.flatnonzero(tables.real.has_landmarks > 0))
    views = [
        (tables.real, False),
        (tables.real, True),
        (tables.framed, False),
        (tables.renders, False),
        (replace(tables.real, has_landmarks=np.zeros(len(tables.real), np.float32)), True),
        (replace(shaped, has_crop=np.zeros(len(shaped), np.float32)), False),
    ]
    return _rows(net, views)


def _rows(net: PocketEvidence, views: Sequence[tuple[EvidenceArrays, bool]]) -> tuple[Faces, Rows]:
    """Cached evidence of tables, each as it is or augmented."""
    names = ("au_logits", "emotion_logits", "visual", "shape")
    parts = [measurement.predict(net, table, *names, augment=augment) for table, augment in views]
    logits, emotions, visual, shape = (np.concatenate(column) for column in zip(*parts, strict=True))
    with torch.no_grad():
        intensity = net.calibrate(torch.sigmoid(torch.from_numpy(logits))).numpy()
        belief = torch.softmax(torch.from_numpy(emotions), dim=1).numpy()
    votes = np.concatenate([table.emotion for table, _ in views])
    faces = Faces(intensity=intensity, emotion=votes, belief=belief)
    return faces, Rows(visual.astype(np.float16), shape.astype(np.float16), intensity)


def _clear(net: PocketEvidence, model: FacialLM, recipe: PocketRecipe, out: Path, data: Path | None) -> Clear:
    """Every second FER+ validation face of which at least six of ten raters say the same."""
    samples, cache = real_samples("val", data), out / "cache"
    table = with_landmarks(real_table(samples, recipe.crop_size, cache), landmarks_of(samples, cache))
    agreed = [
        s.dataset == "ferplus" and max((s.labels.votes or {}).values(), default=0) >= 6 for s in samples
    ]
    chosen = np.flatnonzero(agreed)[::2]
    faces, rows = _rows(net, [(take(table, chosen), False)])
    crops = real_table(samples, EXPRESSION_SIZE, cache).crops[chosen]
    return Clear(
        crops, log_chances(faces.belief), projected(model, rows), table.emotion[chosen].argmax(axis=1)
    )


def _expression(net: PocketEvidence, recipe: PocketRecipe, tables: Tables, out: Path) -> PocketExpression:
    encoder = FaceCropEncoder(net.config.crop_widths)
    classifier = ExpressionClassifier(encoder, recipe.expression.dropout)
    path = out / "expression.safetensors"
    if not _restore(classifier, path):
        start_from(classifier, net)
        real = real_table(tables.samples, EXPRESSION_SIZE, out / "cache")
        shares = draw_shares(tables.samples, real.emotion, recipe.expression)
        classifier = run_expression_stage(
            classifier, recipe.expression, real.crops, real.emotion, shares, out
        )
        _save(classifier, path)
    return PocketExpression(classifier)


def _belief(
    expression: PocketExpression,
    net: PocketEvidence,
    model: FacialLM,
    tokenizer: Tokenizer,
    recipe: PocketRecipe,
    tables: Tables,
    out: Path,
) -> PocketExpression:
    path = out / "belief.safetensors"
    if not _restore(expression, path):
        torch.manual_seed(recipe.seed)
        faces, rows = _rows(net, [(tables.real, True), (tables.framed, False)])
        items = kept_dialogues(faces, tokenizer, recipe.belief)
        head, told = log_chances(faces.belief), projected(model, rows)
        run_belief_stage(expression, model, tokenizer, recipe.belief, told, head, faces.emotion, items, out)
        _save(expression, path)
    return expression


def _regions(recipe: PocketRecipe, out: Path, data: Path | None) -> PocketRegions:
    net, path, cache = PocketRegions(), out / "regions.safetensors", out / "cache"
    if not path.is_file():
        samples = real_samples("train", data)
        landmarks = landmarks_of(samples, cache)
        found = np.flatnonzero(~np.isnan(landmarks[:, 0, 0]))
        crops = real_table(samples, REGIONS_SIZE, cache).crops[found]
        points = crop_points(samples, landmarks, REGIONS_SIZE)[found]
        _save(run_hidden_stage(net, recipe.hidden, crops, points, out), path)
    _restore(net, path)
    return net


def _dialogues(recipe: PocketRecipe, faces: Faces, tokenizer: Tokenizer) -> list[Item]:
    order = random.Random(recipe.seed)
    items = []
    for number in range(recipe.dialogues):
        rng = random.Random(recipe.seed * 1_000_003 + number)
        face = order.randrange(len(faces))
        task = task_mix(rng, bool(faces.emotion[face].any()))
        items.append(tokenise(tokenizer, make_turns(faces, face, task, rng), face))
    return items


def _language(
    recipe: PocketRecipe, net: PocketEvidence, tables: Tables, out: Path
) -> tuple[Tokenizer, FacialLM]:
    path, finished = out / "tokenizer.json", out / "composite"
    if not finished.is_dir():
        faces, rows = _cached(net, tables, recipe.seed)
        if not path.is_file():
            texts = vocabulary_texts(faces, recipe.seed)
            train_tokenizer(texts, recipe.vocabulary, SINGLE_TOKENS).save(str(path))
        tokenizer = Tokenizer.from_file(str(path))
        torch.manual_seed(recipe.seed)
        model = build(tokenizer.get_vocab_size())
        items = _dialogues(recipe, faces, tokenizer)
        run_language_stage(model, recipe.language, items, rows, out)
        run_readout_stage(
            model,
            tokenizer,
            recipe.readout,
            lambda shown: evidence_of(rows, shown),
            faces.emotion,
            items,
            out,
        )
        with written_whole(finished) as partial:
            model.save_pretrained(partial)
    return open_tokenizer_file(path), open_facial(finished)
