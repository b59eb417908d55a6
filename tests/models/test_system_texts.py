"""Each system's published wording, reading of answers, options and parameter counts."""

from __future__ import annotations

import random
from pathlib import Path

import pytest
import torch
from torch import nn

from mien.core.errors import BadConfig, BadInput
from mien.core.nouns import Turn
from mien.models.au_llava import system as au_llava
from mien.models.au_llava import words as au_llava_words
from mien.models.composite.facial_lm import FacialLM
from mien.models.composite.frames import frame_indices
from mien.models.composite.processing import TEMPLATES, lay_out
from mien.models.composite.systems import System, prepare
from mien.models.emo_llama import system as emo_llama
from mien.models.emo_llama import words as emo_llama_words
from mien.models.emola import system as emola
from mien.models.emola import words as emola_words
from mien.models.expllm import system as expllm
from mien.models.expllm import words as expllm_words
from mien.models.facephi import system as facephi
from mien.models.facephi import words as facephi_words
from mien.models.registry import open_system


def text(system: System, *turns: str) -> str:
    roles = ("user", "assistant") * len(turns)
    spoken = [Turn(role, said) for role, said in zip(roles, turns, strict=False)]  # type: ignore[arg-type]
    return "".join(part for part, _ in lay_out(spoken, system.template))


def test_facephi_layout() -> None:
    """Appendix A.1; [BOS] and [EOS] are Phi-2's one special token."""
    turns = facephi_words.dialogue("happiness", question=8, answer=7)
    assert text(facephi.SYSTEM, *(turn.text for turn in turns)) == (
        "<|endoftext|>Below is a conversation between a curious user and an AI agent. The assistant gives helpful, "
        "detailed, and polite answers to the user's questions, Users: [LM PAD] Identify the emotion on this 3D facial "
        "landmark. AI: The 3D facial landmark was crafted to convey the feeling of Happiness.<|endoftext|>"
    )
    assert facephi_words.alignment_text("happiness") == "The facial landmark shows emotion of happiness."
    assert (len(facephi_words.QUESTIONS), len(facephi_words.ANSWERS)) == (15, 10)


@pytest.mark.parametrize(
    ("said", "label"),
    [
        ("This landmark denotes an emotion of happiness.", "happiness"),
        ("... to embody Anger.", "anger"),
        ("It is either fear or surprise.", None),
        ("It is unhappinessy.", None),
        ("", None),
    ],
)
def test_facephi_reads_keywords(said: str, label: str | None) -> None:
    answer = facephi_words.read(said)
    assert (answer.labels.emotion if answer.labels else None) == label
    assert (answer.status == "answered") == (label is not None)


def test_facephi_reads_all_its_own_answers() -> None:
    for number in range(10):
        turn = facephi_words.dialogue("contempt", answer=number)[1]
        labels = facephi_words.read(turn.text).labels
        assert labels is not None and labels.emotion == "contempt"
    with pytest.raises(BadConfig, match=r"0\.\.14"):
        facephi_words.ask(15)
    with pytest.raises(BadConfig, match="neutral, happiness"):
        facephi_words.dialogue("joy")


def test_emola_layout() -> None:
    assert text(emola.SYSTEM, emola_words.ask("au"), "AU4", "And?", "No.") == (
        "A chat between a curious user and an artificial intelligence assistant. The assistant gives helpful, "
        "detailed, and polite answers to the user's questions. USER: <image><prior>\nWhat AUs are conveyed by this "
        "face? ASSISTANT: AU4</s>USER: And? ASSISTANT: No.</s>"
    )
    assert emola_words.ask("emotion", layout="before") == (
        "<prior><image>\nWhat emotions are conveyed by this face?"
    )
    assert "curious human" in TEMPLATES["llava_v1"].system
    assert {name: len(asked) for name, asked in emola_words.QUESTIONS.items()} == {"emotion": 18, "au": 16}
    for layout, names in (("prior", {"prior"}), ("visual", {"image"}), ("before", {"image", "prior"})):
        assert set(emola.configure("tiny", layout=layout).evidence) == names
    with pytest.raises(BadConfig, match="after, before"):
        emola.configure("tiny", layout="middle")


def test_emola_reads() -> None:
    labels = emola_words.read("**AU4 (Brow Lowerer):** drawn. AU25 parts, AU 6 not counted.", "au").labels
    assert labels is not None and labels.au_presence is not None
    assert [key for key, present in labels.au_presence.items() if present] == ["AU04", "AU25"]
    assert len(labels.au_presence) == 12
    happy = emola_words.read("Happy").labels
    assert happy is not None and happy.emotion == "happiness"
    assert emola_words.read(" ", "au").status == "unparsed"
    with pytest.raises(BadConfig, match="task 'pain'"):
        emola_words.read("x", "pain")


def test_emo_llama_prompts() -> None:
    assert emo_llama_words.category_question(emo_llama_words.LABELS["image"]) == (
        "What is the facial expression of the person in the image? Choose one from the following options: "
        "{surprise, fear, disgust, happiness, sadness, anger, neutral}."
    )
    assert "in the video?" in emo_llama_words.category_question(emo_llama_words.LABELS["mafw"], video=True)
    asked = emo_llama_words.ask(
        question="Q?", frames=2, agr="age 20-29, female", description="She waves.", guard=True
    )
    assert asked == (
        "<image><image>\nShe waves.\nQ? PLEASE ENSURE that you start your answer with 'My choice is: ' FIRST and "
        "select ONLY ONE WORD from the provided list.\nAccording to the specific question, you are allowed to use or "
        "partially use the following information: age 20-29, female"
    )
    with pytest.raises(BadConfig, match="at least one"):
        emo_llama_words.ask(frames=0)


@pytest.mark.parametrize(
    ("frames", "rate", "limit", "chosen"),
    [
        (100, 29.97, None, [0, 30, 60, 90]),
        (1, 25.0, None, [0]),
        (4, 0.2, None, [0, 1, 2, 3]),
        (100, 10.0, 4, [0, 20, 50, 70]),
    ],
)
def test_emo_llama_frames(frames: int, rate: float, limit: int | None, chosen: list[int]) -> None:
    assert frame_indices(frames, rate, limit) == chosen


def test_emo_llama_refuses_an_empty_video() -> None:
    with pytest.raises(BadInput, match="Check the video"):
        frame_indices(0, 25.0)
    with pytest.raises(BadInput, match="Check the video"):
        frame_indices(5, float("nan"))


@pytest.mark.parametrize(
    ("said", "task", "label"),
    [
        ("happiness", "image", "happiness"),
        ("joy", "video", "happiness"),
        ("My choice is: Joy.", "video", "happiness"),
        ("joy", "image", None),
        ("My choice is: Anxiety, not fear", "mafw", "anxiety"),
        ("anger or fear", "image", None),
        ("anxiety", "image", None),
        ("My choice is: ", "image", None),
    ],
)
def test_emo_llama_reads(said: str, task: str, label: str | None) -> None:
    answer = emo_llama_words.read(said, task)
    assert (answer.labels.emotion if answer.labels else None) == label


def test_emo_llama_s_closed_question_follows_its_task_and_frames() -> None:
    lists = {"image": "image", "video": "video", "mafw": "mafw", "conversation": "image"}
    for task, listed in lists.items():
        words = emo_llama_words.LABELS[listed]
        for frames in (1, 3):
            closed = emo_llama_words.labels({"task": task, "frames": frames})
            where = "image" if (listed, frames) == ("image", 1) else "video"
            assert (
                closed.question.startswith("<image>" * frames + "\n")
                and f"in the {where}?" in closed.question
            )
            assert tuple(closed.answers.values()) == words and f"{{{', '.join(words)}}}" in closed.question
    assert emo_llama_words.labels({"task": "video"}).answers["happiness"] == "joy"
    assert emo_llama_words.labels({"task": "mafw"}).answers["anxiety"] == "anxiety"
    assert emo_llama_words.labels({"task": "image", "labels": "mafw"}).answers.keys() == set(
        emo_llama_words.LABELS["mafw"]
    )


@pytest.mark.parametrize(("priors", "rows"), [("all", 3), ("embedding", 2), ("pool-concat", 2), ("none", 2)])
def test_emo_llama_priors(priors: str, rows: int) -> None:
    model = FacialLM(emo_llama.configure("tiny", priors=priors))
    frame = {
        "pixels": torch.zeros(2, 3, 28, 28),
        "instruction_ids": torch.ones(2, 3, dtype=torch.long),
        "instruction_mask": torch.ones(2, 3, dtype=torch.long),
    }
    if priors != "none":
        frame |= {"face": torch.zeros(2, 49, 8), "landmarks": torch.zeros(2, 68, 2)}
    assert model.model.project("image", frame).shape == (2, rows, 32)


def test_au_llava_description_has_three_parts() -> None:
    assert text(au_llava.SYSTEM, au_llava_words.ask("bp4d"), "[0, 1]").startswith(
        "Image: <image>\nTask: The task is "
    )
    said = au_llava_words.describe("bp4d")
    assert "3. AU4, brow lowerer: the brows are lowered" in said and "array of 12 integers" in said
    assert "24. nose wrinkle; look at the bridge" in au_llava_words.describe("feafa")
    assert "array of 8 integers from 0" in au_llava_words.describe("disfa")
    asked = {au_llava_words.ask(task) for task in au_llava_words.TASKS}
    assert len(asked) == 3
    with pytest.raises(BadConfig, match="bp4d, disfa, feafa"):
        au_llava_words.ask("gft")


def test_au_llava_reads_three_formats() -> None:
    binary = au_llava_words.read("[0, 1, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1]", "bp4d").labels
    assert binary is not None and binary.au_presence is not None
    assert [key for key, present in binary.au_presence.items() if present] == ["AU02", "AU24"]
    level = au_llava_words.read("[0, 5, 0, 0, 3, 0, 0, 2]", "disfa").labels
    assert level is not None and level.au_level is not None and level.au_level["AU02"] == 5
    values = ", ".join(f"0.{place:02d}" for place in range(24))
    intensity = au_llava_words.read(f"[{values}]", "feafa").labels
    assert intensity is not None and intensity.au_intensity is not None
    assert intensity.au_intensity["nose wrinkle"] == 0.23
    assert au_llava_words.read("[0, 1]", "bp4d").status == "unparsed"


def test_expllm_layout() -> None:
    turns = expllm_words.dialogue("anger", "**Key Observations:** …", order="cot-first")
    assert text(expllm.SYSTEM, *(turn.text for turn in turns)) == (
        "You are a helpful face analysis assistant. \nImage: <image>\nTASK: Expression analysis involves providing a "
        "detailed analysis of the face. \nUSER: Can you analysis the facial expression step-by-step in the provided "
        "image? Provide a detailed description.\nASSISTANT: **Key Observations:** …</s>TASK: Expression recognition "
        "involves identifying the emotional state of a person in a given image.\nUSER: What is the expression of the "
        "person in the image? Please provide the expression label.\nASSISTANT: Anger</s>"
    )
    assert expllm_words.dialogue("anger", "x", "label-first")[1].text == "Anger"
    assert len(expllm_words.dialogue("anger")) == 2
    firsts = {expllm_words.dialogue("anger", "x", "random", random.Random(seed))[1].text for seed in range(9)}
    assert firsts == {"Anger", "x"}
    with pytest.raises(BadConfig, match="'random' with rng"):
        expllm_words.dialogue("anger", "x", "random")
    assert len(expllm_words.TASKS) == 7 and expllm_words.ask("bbox").endswith("bounding box.")


def test_expllm_reads() -> None:
    labels = expllm_words.read("Contempt").labels
    assert labels is not None and labels.emotion == "contempt"
    assert expllm_words.read("contempt").status == expllm_words.read("Contempt.").status == "unparsed"
    parts = "**Key Observations:** a.\n\n**Overall Emotional Interpretation:** b.\n\n**Conclusion:** Fear."
    chain = expllm_words.read(parts, "cot").labels
    assert chain is not None and chain.chain_of_thought is not None and "Fear" in chain.chain_of_thought
    assert expllm_words.read("nothing", "cot").status == "unparsed"


@pytest.mark.parametrize("point", ["mlp2x_gelu", "linear"])
def test_facephi_aligns_and_classifies_its_encoder(point: str) -> None:
    """The contrastive and the classifying stage reach the encoder and nothing else."""
    from mien.layers.alignment import ContrastiveAlignment

    for name, head in (("align", None), ("classify", nn.Linear(16, 8))):
        model = FacialLM(facephi.configure("tiny", projector=point)).train()
        names = prepare(model, facephi.SYSTEM.stages[name])
        features = model.model.encoders["landmarks"](torch.randn(4, 478, 3))
        if head is None:
            loss = ContrastiveAlignment(16, 12)(features, torch.randn(4, 12))
        else:
            loss = nn.functional.cross_entropy(head(features), torch.arange(4))
        loss.backward()
        assert sorted(key for key, p in model.named_parameters() if p.grad is not None) == names


def counts(name: str, stage: str) -> dict[str, int]:
    """Parameters by part at scale paper, and those that learn in a stage by kind."""
    system = open_system(name)
    with torch.device("meta"):
        model = FacialLM(system.configure("paper"))
        parts = {key: sum(p.numel() for p in part.parameters()) for key, part in model.model.encoders.items()}
        parts |= {
            f"{key} projector": sum(p.numel() for p in part.parameters())
            for key, part in model.model.projectors.items()
        }
        decoder = sum(p.numel() for p in model.model.language_model.parameters())
        parts["decoder"] = decoder + sum(p.numel() for p in model.lm_head.parameters())
        learning = set(prepare(model, system.stages[stage]))
    sizes = {key: p.numel() for key, p in model.named_parameters() if key in learning}
    parts["LoRA decoder"] = sum(n for key, n in sizes.items() if ".lora_" in key and "language_model" in key)
    parts["LoRA encoder"] = sum(n for key, n in sizes.items() if ".lora_" in key and "encoders" in key)
    parts["learning"] = sum(sizes.values())
    return {key: value for key, value in parts.items() if value}


SIZES = {
    ("facephi", "stage1"): {
        "landmarks": 13_228_224, "decoder": 2_779_683_840,
    },
    ("emola", "paper"): {
        "prior projector": 17_653_760, "image projector": 20_979_712, "decoder": 6_738_415_616,
        "LoRA decoder": 319_815_680, "learning": 319_815_680 + 17_653_760,
    },
    ("emo-llama", "paper"): {"decoder": 6_738_415_616, "LoRA decoder": 319_815_680},
    ("au-llava", "paper"): {
        "image projector": 4_198_400, "LoRA decoder": 4_194_304, "LoRA encoder": 786_432, "learning": 9_179_136,
    },
    ("expllm", "stage2-rafdb"): {
        "image projector": 20_979_712, "LoRA decoder": 4_194_304, "LoRA encoder": 786_432, "learning": 25_960_448,
    },
}  # fmt: skip
SIZES["facephi", "stage1"]["landmarks projector"] = (256 + 1) * 2560 + (2560 + 1) * 2560


@pytest.mark.parametrize(("name", "stage"), SIZES)
def test_paper_scale_on_the_meta_device(name: str, stage: str, repository: Path) -> None:
    found = counts(name, stage)
    assert {key: found[key] for key in SIZES[name, stage]} == SIZES[name, stage]
    table = repository.joinpath("docs", "systems.md").read_text()
    for key, number in found.items():
        assert f"{number:,}" in table, f"docs/systems.md lacks {key} of {name}: {number:,}"
