"""Sample -> Dialogue in the words of each published system, read back by the system's own reader."""

import random
from dataclasses import replace

import pytest

from mien.core.aus import AU_SETS, FEAFA_24
from mien.core.emotions import EMOTIONS
from mien.core.errors import BadConfig
from mien.core.nouns import Dialogue, FaceFacts, Labels, Sample, Turn
from mien.dialogue.say.attributes import read_attributes
from mien.dialogue.say.faba_instructions import EMOTION_INSTRUCTIONS
from mien.dialogue.say.face_tasks import QUESTIONS, say_facts
from mien.models.emola import words as emola_words
from mien.models.emola.category_answers import CATEGORIES
from mien.models.expllm import words as expllm_words
from mien.models.facephi import words as facephi_words
from mien.models.registry import SYSTEMS, open_system

CHAIN = "**Key Observations:** a\n\n**Overall Emotional Interpretation:** b\n\n**Conclusion:** fear"
LEVELS = {key: place % 6 for place, key in enumerate(AU_SETS["disfa8"])}
PRESENT = {key: place % 3 == 0 for place, key in enumerate(AU_SETS["bp4d12"])}
FEAFA = {value.name: place / 30 for place, value in enumerate(FEAFA_24)}


def sample_of(labels: Labels) -> Sample:
    return Sample("1", "made", "train", "1.jpg", labels)


def rng() -> random.Random:
    return random.Random(7)


FACTS = FaceFacts(
    (0.1, 0.2, 0.5, 0.6), ((0.3, 0.4),) * 5, (1.0, -2.5, 0.0), (3, 1, 0), (True, False) * 20, "share"
)
PUBLISHED = Labels(
    "happiness", au_presence=PRESENT, au_level=LEVELS, au_intensity=FEAFA, description="A warm smile.",
    chain_of_thought=CHAIN, facts=FACTS,
)  # fmt: skip


def test_every_system_and_task_reads_its_own_answer():
    for system in SYSTEMS:
        for task in open_system(system).builders:
            dialogue = open_system(system).build(task, sample_of(PUBLISHED), rng())
            assert dialogue == open_system(system).build(task, sample_of(PUBLISHED), rng())
            assert open_system(system).build(task, sample_of(Labels()), rng()) is None
            if task in (
                "conversation",
                "emotion-description",
                "au-description",
                "cot",
                "item",
                "caption",
                *CATEGORIES,
            ):
                continue
            keyword = {} if task == "emotion" else {"task": task}
            if (system, task) == ("emola", "au"):
                keyword["units"] = "bp4d12"
            labels = open_system(system).read(dialogue.turns[-1].text, **keyword).labels
            if task == "au":
                assert labels.au_presence == PRESENT
            elif task in QUESTIONS:
                assert say_facts(labels.facts, task) == dialogue.turns[-1].text
            elif task == "feafa":
                assert labels.au_intensity == pytest.approx(FEAFA, abs=0.0051)
            else:
                assert labels.emotion in ("happiness", "joy"), (system, task)


def test_facephi_draws_all_questions_answers_and_emotions():
    source, said, asked = random.Random(0), set(), set()
    for _ in range(400):
        for emotion in EMOTIONS:
            first, second = open_system("facephi").build("emotion", sample_of(Labels(emotion)), source).turns
            asked.add(first.text)
            said.add(second.text)
    assert asked == {facephi_words.ask(number) for number in range(15)}
    assert said == {text.format(label=one.capitalize()) for text in facephi_words.ANSWERS for one in EMOTIONS}
    assert (len(asked), len(said)) == (15, 80)
    assert open_system("facephi").build("emotion", sample_of(Labels("anxiety")), source) is None


def test_emola_questions_and_layouts():
    sample = sample_of(PUBLISHED)
    for questions, pool in (
        ("own", EMOTION_INSTRUCTIONS),
        ("published", emola_words.QUESTIONS["emotion"]),
        ("evaluation", [emola_words.EVALUATION_QUESTIONS["emotion"]]),
    ):
        turn = (
            open_system("emola")
            .build("emotion-description", sample, rng(), questions=questions, layout="before")
            .turns[0]
        )
        assert turn.text.removeprefix("<prior><image>\n") in pool
    assert open_system("emola").build("emotion", sample, rng()).turns[1].text == "Happiness"
    with pytest.raises(BadConfig, match="own"):
        open_system("emola").build("emotion", sample, rng(), questions="all")


def test_emola_answers_each_data_set_with_its_own_words_and_aus():
    sample = sample_of(PUBLISHED)
    for task, keys, present in (
        ("bp4d", AU_SETS["bp4d12"], PRESENT),
        ("gft", AU_SETS["gft10"], PRESENT),
        # From level 2 on, though a ready presence says otherwise.
        ("disfa", AU_SETS["disfa8"], {key: level >= 2 for key, level in LEVELS.items()}),
    ):
        asked, said = open_system("emola").build(task, sample, rng(), layout="visual").turns
        assert asked.text == "<image>\nWhat AUs are conveyed by this face?"
        assert said.text == ", ".join(f"AU{int(key[2:])}" for key in keys if present[key])
        read = emola_words.read(said.text, task).labels.au_presence
        assert read == {key: present[key] for key in keys}
    none = Labels(au_level=dict.fromkeys(AU_SETS["disfa12"], 1))
    assert open_system("emola").build("disfa", sample_of(none), rng()).turns[1].text == "None"
    assert not any(emola_words.read("None", "disfa").labels.au_presence.values())
    # One AU that is not coded would count as absent.
    partly = Labels(au_presence={key: True for key in AU_SETS["bp4d12"][1:]})
    assert open_system("emola").build("bp4d", sample_of(partly), rng()) is None
    assert open_system("emola").build("rafdb", sample, rng()).turns[1].text == "Happiness"
    assert open_system("emola").build("rafdb", sample_of(Labels("contempt")), rng()) is None


def test_emola_lists_the_aus_of_a_set():
    sample = sample_of(PUBLISHED)
    said = open_system("emola").build("au", sample, rng(), units="gft10").turns[1].text
    assert emola_words.read(said, "au", "gft10").labels.au_presence == {
        k: PRESENT[k] for k in AU_SETS["gft10"]
    }
    assert open_system("emola").build("au", sample, rng(), units="disfa8") is None


def test_the_questions_of_the_data_are_asked():
    brought = Labels(description="A warm smile.", question="How does this face feel?\n<image>")
    asked = (
        open_system("emola").build("emotion-description", sample_of(brought), rng(), layout="before").turns[0]
    )
    assert asked.text == "<prior><image>\nHow does this face feel?"
    fixed = open_system("emola").build(
        "emotion-description", sample_of(brought), rng(), questions="evaluation"
    )
    assert fixed.turns[0].text == emola_words.ask("emotion")
    with pytest.raises(BadConfig, match="own"):
        open_system("emola").build("emotion-description", sample_of(PUBLISHED), rng(), questions="data")


def test_au_llava_reads_its_own_arrays():
    for task, wanted in (("bp4d", PRESENT), ("disfa", LEVELS)):
        said = open_system("au-llava").build(task, sample_of(PUBLISHED), rng()).turns[1].text
        labels = open_system("au-llava").read(said, task=task).labels
        assert wanted in (labels.au_presence, labels.au_level)


def test_emo_llama_lists_options_and_says_its_own_words():
    sample = sample_of(Labels("happiness", group={"age": "20-29"}))
    asked, said = open_system("emo-llama").build("video", sample, rng(), frames=3, guard=True).turns
    assert asked.text.startswith(
        "<image><image><image>\nWhat is the facial expression of the person in the video?"
    )
    assert "{sadness, joy, surprise, neutral, fear, anger, disgust}" in asked.text
    assert "My choice is" in asked.text
    assert said.text == "joy"
    assert open_system("emo-llama").build("image", sample_of(Labels("contempt")), rng()) is None
    assert (
        open_system("emo-llama").build("mafw", sample_of(Labels("anxiety")), rng()).turns[1].text == "anxiety"
    )
    assert "in the image?" in open_system("emo-llama").build("image", sample, rng()).turns[0].text
    clip = open_system("emo-llama").build("image", sample, rng(), frames=2).turns
    assert clip[0].text.startswith(
        "<image><image>\nWhat is the facial expression of the person in the video?"
    )
    assert clip[1].text == "happiness"
    own = open_system("emo-llama").build("video", sample, rng(), labels=("happy", "sad"))
    assert (own.turns[1].text, "{happy, sad}" in own.turns[0].text) == ("happy", True)


def test_emo_llama_is_told_facial_evidence_only_when_it_is_passed():
    """Group labels serve audits and never reach a prompt."""
    sample = sample_of(Labels("happiness", group={"age": "20-29", "gender": "male"}))
    assert "20-29" not in open_system("emo-llama").build("image", sample, rng()).turns[0].text
    values = {"age": "30-39", "gender": "female", "race": "Asian"}
    asked = open_system("emo-llama").build("image", sample, rng(), attributes=values).turns[0].text
    assert read_attributes(asked.splitlines()[-1]) == values


def test_au_llava_takes_each_data_set_in_its_own_format():
    levels = Labels(au_level=LEVELS)
    assert (
        open_system("au-llava").build("disfa", sample_of(levels), rng()).turns[1].text
        == "[0, 1, 2, 3, 4, 5, 0, 1]"
    )
    assert open_system("au-llava").build("bp4d", sample_of(levels), rng()) is None
    twelve = Labels(au_level=dict.fromkeys(AU_SETS["bp4d12"], 2))
    said = [
        open_system("au-llava").build("bp4d", sample_of(twelve), rng(), cut_off=cut).turns[1].text
        for cut in (2, 3)
    ]
    assert [text.count("1") for text in said] == [12, 0]


def test_expllm_orders_and_the_mix_by_name():
    sample = sample_of(PUBLISHED)
    for order, first in (("cot-first", CHAIN), ("label-first", "Happiness")):
        turns = open_system("expllm").build("cot", sample, rng(), order=order).turns
        assert [turn.role for turn in turns] == ["user", "assistant"] * 2
        assert turns[1].text == first
    drawn = {
        open_system("expllm").build("cot", sample, random.Random(seed), order="random").turns[1].text
        for seed in range(9)
    }
    assert drawn == {CHAIN, "Happiness"}
    labels = replace(PUBLISHED, facts=replace(FACTS, demographics=None))
    words = [open_system("expllm").build( "item", sample_of(labels), rng(), order=order).turns[0::2]
             for order in expllm_words.ORDERS]  # fmt: skip
    asked = [[turn.text for turn in one] for one in words]
    told = ["bbox", "attributes", "landmark", "headpose", "cot", "label"]
    # The released loader's order; at inference the label comes before its explanation; at random after the box.
    assert asked[0] == [expllm_words.ask(task) for task in told]
    assert asked[1] == [*asked[0][:4], asked[0][5], asked[0][4]]
    assert asked[2][0] == asked[0][0] and sorted(asked[2]) == sorted(asked[0]) and asked[2] != asked[0]
    only = open_system("expllm").build("item", sample_of(Labels("fear")), rng())
    assert [turn.text for turn in only.turns[1:]] == ["Fear"]
    assert open_system("expllm").mix == {"label": 0.75, "cot": 0.25}


def test_dialogues_of_the_data_get_each_systems_evidence():
    turns = (Turn("user", "What is the emotion of this face?\n<image>"), Turn("assistant", "Calm."))
    told = Dialogue("emotion-description", turns, "1")
    starts = {system: open_system(system).adapt(told).turns[0].text for system in SYSTEMS}
    question = "What is the emotion of this face?"
    assert starts == {
        "facephi": f"[LM PAD] {question}",
        "emola": f"<image><prior>\n{question}",
        "emo-llama": f"<image>\n{question}",
        "au-llava": question,
        "expllm": question,
    }


def test_wrong_names_are_refused():
    sample = sample_of(PUBLISHED)
    with pytest.raises(BadConfig, match="facephi, emola"):
        open_system("llava").build("emotion", sample, rng())
    with pytest.raises(BadConfig, match="label, cot"):
        open_system("expllm").build("emotion", sample, rng())
    with pytest.raises(BadConfig, match="order"):
        open_system("expllm").build("cot", sample, rng(), sort="x")
    with pytest.raises(BadConfig, match="no options"):
        open_system("facephi").build("emotion", sample, rng(), frames=2)
    with pytest.raises(BadConfig, match="facephi, emola"):
        open_system("llava")
