"""What is written is read back the same in every format, streamed, and faults name file and line."""

import json
import re
from dataclasses import replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mien.core.aus import AU_SETS
from mien.core.errors import BadConfig, BadData, BadInput, OutputFailed
from mien.core.nouns import Dialogue, Labels, Turn
from mien.dialogue.files.exchange import RECORDS, Item
from mien.dialogue.files.exchange_files import read_items, write_items
from mien.dialogue.files.faba_eval import FabaItem, write_faba

texts = st.text(max_size=40) | st.sampled_from(
    (
        "<image>\nWhat?",
        "<image><image> a <image>",
        "[LM PAD] What?",
        "<image><prior>\nWhat?",
        "a\r\nb\u2028c",
        "]\n[{}",
        "",
    )
)
boxes = st.none() | st.tuples(*[st.integers(0, 99).map(float)] * 4)


@st.composite
def items(draw):
    spoken = draw(st.lists(texts, min_size=1, max_size=5))
    turns = [Turn(("user", "assistant")[place % 2], text) for place, text in enumerate(spoken)]
    if draw(st.booleans()):
        turns.insert(0, Turn("system", draw(texts)))
    key = draw(st.none() | st.text(max_size=8))
    media = draw(st.lists(st.text(min_size=1, max_size=12), max_size=3))
    dialogue = Dialogue(draw(st.text(min_size=1, max_size=8)), tuple(turns), key)
    return Item(dialogue, tuple(media), draw(boxes), draw(st.none() | st.text(max_size=8)))


@st.composite
def shown_items(draw):
    """What a trainer can be shown: as many paths as placeholders, of pictures and of clips."""
    item = draw(items())
    turns, media = [], []
    for turn in item.dialogue.turns:
        text = re.sub("<image>|<video>|<prior>|<landmark>", "", turn.text)
        if turn.role == "user":
            kinds = draw(st.lists(st.sampled_from(("<image>", "<video>")), max_size=2))
            text = "".join(kinds) + text
            media += [draw(st.sampled_from(("a.jpg", "b.png"))) if k == "<image>" else "c.mp4" for k in kinds]
        turns.append(replace(turn, text=text))
    return replace(item, dialogue=replace(item.dialogue, turns=tuple(turns)), media=tuple(media))


SUFFIXES = [
    ("llava", ".json"),
    ("llava", ".jsonl"),
    ("sharegpt", ".json"),
    ("messages", ".json"),
    ("messages", ".jsonl"),
]
PLAIN = Item(
    Dialogue("emotion", (Turn("user", "<image>\nWhich emotion?"), Turn("assistant", "fear")), "1"),
    ("faces/1.jpg",),
)


def written_and_read(tmp_path_factory, format, suffix, written):
    path = tmp_path_factory.getbasetemp() / f"{format}{suffix}"
    assert write_items(iter(written), path, format) == len(written)
    return list(read_items(path, format))


@given(st.lists(items(), max_size=5))
@settings(deadline=None, max_examples=60)
def test_parquet_keeps_everything(tmp_path_factory, written):
    pytest.importorskip("pyarrow")
    assert written_and_read(tmp_path_factory, "parquet", ".parquet", written) == written


@pytest.mark.parametrize(("format", "suffix"), SUFFIXES)
@given(st.lists(shown_items(), max_size=5))
@settings(deadline=None, max_examples=60)
def test_round_trip_is_lossless(tmp_path_factory, format, suffix, written):
    assert written_and_read(tmp_path_factory, format, suffix, written) == written


@given(st.lists(shown_items(), max_size=5))
@settings(deadline=None, max_examples=60)
def test_openai_keeps_turns_and_pictures(tmp_path_factory, written):
    plain = [Item(replace(i.dialogue, task="conversation", sample_id=None), i.media) for i in written]
    bare = [replace(item, box=None) for item in written]
    assert written_and_read(tmp_path_factory, "openai", ".json", bare) == plain


def test_llava_records_are_as_published(tmp_path):
    path = tmp_path / "a.json"
    write_items([PLAIN], path, "llava")
    assert json.loads(path.read_text("utf-8")) == [
        {
            "id": "1",
            "task": "emotion",
            "image": "faces/1.jpg",
            "conversations": [
                {"from": "human", "value": "<image>\nWhich emotion?"},
                {"from": "gpt", "value": "fear"},
            ],
        }
    ]


def test_openai_messages_show_the_picture_where_its_placeholder_stood(tmp_path):
    path = tmp_path / "a.jsonl"
    write_items([PLAIN], path)
    (record,) = map(json.loads, path.read_text("utf-8").splitlines())
    assert record["messages"] == [
        {
            "role": "user",
            "content": [
                {"type": "image_url", "image_url": {"url": "faces/1.jpg"}},
                {"type": "text", "text": "\nWhich emotion?"},
            ],
        },
        {"role": "assistant", "content": "fear"},
    ]
    assert list(record) == ["messages"]
    with pytest.raises(BadInput, match="no place for a box"):
        write_items([replace(PLAIN, box=(1.0, 2.0, 3.0, 4.0))], path)


CLIP = Item(
    Dialogue(
        "emotion", (Turn("user", "<image><image><image>\nWhich emotion?"), Turn("assistant", "joy")), "c"
    ),
    ("clip.MP4",),
)
FACEPHI = Item(
    Dialogue("emotion", (Turn("user", "[LM PAD] Which?"), Turn("assistant", "joy")), "f"), ("a.jpg",)
)
ASKED = (Turn("system", "Be brief."), Turn("user", "<image><prior>\nWhich AUs?"), Turn("assistant", "AU6"))
EMOLA = Item(Dialogue("au", ASKED, "e"), ("FABA/a.jpg",), None, "FABA/a.npy")


def records(tmp_path, format, *items):
    path = tmp_path / f"{format}.json"
    write_items(items, path, format)
    text = path.read_text("utf-8")
    return [json.loads(line) for line in text.splitlines()] if format == "openai" else json.loads(text)


def test_llava_and_emola_load_what_is_written(tmp_path):
    """The rules of both `train.py`: json.load, speakers human and gpt in turn, EmoLA's landmark of every row."""
    for record in records(tmp_path, "llava", PLAIN, CLIP, FACEPHI, EMOLA):
        roles = {"human": "USER", "gpt": "ASSISTANT"}
        said = [roles[turn["from"]] for turn in record["conversations"]]
        assert said == [("USER", "ASSISTANT")[place % 2] for place in range(len(said))]
        text = "".join(turn["value"] for turn in record["conversations"])
        assert text.count("<image>") == ("image" in record) and text.count("<video>") == ("video" in record)
        assert "<prior>" not in text
    *_, clip, facephi, emola = records(tmp_path, "llava", CLIP, FACEPHI, EMOLA)
    assert clip["video"] == "clip.MP4" and clip["conversations"][0]["value"] == "<video>\nWhich emotion?"
    assert "image" not in facephi and facephi["conversations"][0]["value"].startswith("[LM PAD]")
    assert emola["landmark"] == "FABA/a.npy" and emola["system"] == "Be brief."
    assert emola["conversations"][0]["value"] == "Be brief.\n<image>\nWhich AUs?"


@pytest.mark.parametrize(("format", "spoken"), [("messages", "messages"), ("sharegpt", "conversations")])
def test_llama_factory_counts_as_many_placeholders_as_paths(tmp_path, format, spoken):
    for record in records(tmp_path, format, PLAIN, CLIP, FACEPHI, EMOLA):
        text = "".join(turn.get("content", turn.get("value")) for turn in record[spoken])
        assert text.count("<image>") == len(record.get("images", []))
        assert text.count("<video>") == len(record.get("videos", []))
        assert "<prior>" not in text
    (emola,) = records(tmp_path, format, EMOLA)
    if format == "messages":
        assert [turn["role"] for turn in emola["messages"]] == ["system", "user", "assistant"]
    else:
        assert emola["system"] == "Be brief." and [turn["from"] for turn in emola[spoken]] == ["human", "gpt"]


def test_openai_takes_messages_and_no_other_key(tmp_path):
    for record in records(tmp_path, "openai", PLAIN, CLIP, FACEPHI, EMOLA):
        assert list(record) == ["messages"]
        for message in record["messages"]:
            assert set(message) == {"role", "content"} and message["role"] in ("system", "user", "assistant")
            for part in message["content"] if isinstance(message["content"], list) else ():
                assert part["type"] in ("text", "image_url", "video_url")
    clip, facephi = records(tmp_path, "openai", CLIP, FACEPHI)
    assert clip["messages"][0]["content"][0] == {"type": "video_url", "video_url": {"url": "clip.MP4"}}
    assert facephi["messages"][0]["content"] == "[LM PAD] Which?"


def test_more_placeholders_than_paths_are_refused_by_name(tmp_path):
    two = replace(PLAIN, media=("a.jpg", "b.jpg"))
    for format in ("llava", "sharegpt", "messages", "openai"):
        with pytest.raises(BadInput, match="'1' with 1 placeholders for 2 paths"):
            records(tmp_path, format, two)


def test_a_clip_of_llava_next_and_old_files_of_mien_are_read(tmp_path):
    path = tmp_path / "a.json"
    said = [{"from": "human", "value": "<image>\nWhat?"}, {"from": "gpt", "value": "x"}]
    path.write_text(json.dumps([{"video": "c.mp4", "conversations": said}]))
    assert next(read_items(path, "llava")).media == ("c.mp4",)
    content = [{"type": "image_url", "image_url": {"url": "a.jpg"}}, {"type": "text", "text": "What?"}]
    messages = [{"role": "user", "content": content}, {"role": "assistant", "content": "x"}]
    path.write_text(json.dumps([{"messages": messages, "metadata": {"id": "1", "task": "emotion"}}]))
    (item,) = read_items(path, "openai")
    assert item.dialogue.sample_id == "1" and item.dialogue.task == "emotion" and item.media == ("a.jpg",)


def test_files_of_other_tools_are_read(tmp_path):
    """No task, a number as id, no picture, other names of the roles; indented, or all on one line."""
    record = {
        "id": 7,
        "conversations": [{"from": "user", "value": "Hello?"}, {"from": "assistant", "value": "Yes."}],
        "model": "x",
    }
    turns = (Turn("user", "Hello?"), Turn("assistant", "Yes."))
    wanted = Item(Dialogue("conversation", turns, "7"))
    for number, text in enumerate((json.dumps([record] * 3, indent=4), json.dumps([record] * 3))):
        path = tmp_path / f"{number}.json"
        path.write_text("\ufeff" + text, "utf-8")
        assert list(read_items(path, "llava")) == list(read_items(path, "sharegpt")) == [wanted] * 3


def test_large_arrays_are_read_in_pieces(tmp_path):
    """Items longer than what is read at once, and cuts inside of numbers, escapes and brackets."""
    path = tmp_path / "long.json"
    long = [
        Item(Dialogue("t", (Turn("user", chr(65 + place) * size), Turn("assistant", '\\"]}')), str(place)))
        for place, size in enumerate((3_000_000, 10, 1_048_500, 1_048_560, 5))
    ]
    write_items(long, path, "llava")
    assert list(read_items(path, "llava")) == long


def test_reading_and_writing_are_lazy(tmp_path):
    path = tmp_path / "many.jsonl"
    asked = 0

    def stream():
        nonlocal asked
        while asked < 4000:
            asked += 1
            yield PLAIN

    assert write_items(stream(), path, "llava") == asked == 4000
    with path.open("a", encoding="utf-8") as file:
        file.write("broken\n")
    read = read_items(path, "llava")
    assert next(read) == PLAIN
    with pytest.raises(BadData, match="line 4001"):
        list(read)


GOOD = '{"conversations": [{"from": "human", "value": "a"}, {"from": "gpt", "value": "b"}]}'
FAULTS = {
    "not json at all": "line 1: no JSON",
    "{}": "line 1: no JSON",
    "": "line 1: no JSON",
    f"[\n{GOOD},\n{GOOD}\n": "line 4: no JSON",
    f"[\n{GOOD},\n{GOOD[:-4]}\n]": "line [34]: no JSON",
    f"[\n{GOOD},\n5\n]": "line 3: a int",
    f"[\n{GOOD},\n\n{{}}]": "line 4: no llava item: conversations is None",
    '[{"conversations": "x"}]': "conversations is 'x'",
    '[{"conversations": []}]': r"conversations is \[\]",
    GOOD.replace("human", "alien").join("[]"): "from is 'alien'",
    GOOD.replace('"a"', "1").join("[]"): "value is 1",
    GOOD.replace("human", "gpt").join("[]"): "with turns assistant, assistant",
    GOOD.replace("gpt", "system").join("[]"): "with turns user, system",
    GOOD.replace("{", '{"image": 5, ', 1).join("[]"): "image is 5",
    GOOD.replace("{", '{"id": [], ', 1).join("[]"): r"id is \[\]",
    GOOD.replace("{", '{"task": 3, ', 1).join("[]"): "task is 3",
}


HOSTILE = {"[" * 100_000: "nested too deep", '{"a": ' + "9" * 5000 + "}": "a number too long"}


@pytest.mark.parametrize("suffix", [".json", ".jsonl"])
@pytest.mark.parametrize("content", HOSTILE, ids=HOSTILE.values())
def test_hostile_json_is_a_fault_like_any_other(tmp_path, content, suffix):
    path = tmp_path / f"a{suffix}"
    path.write_text(content if suffix == ".jsonl" else f"[{content}]")
    with pytest.raises(BadData, match=f"line 1: no JSON: {HOSTILE[content]}"):
        list(read_items(path, "llava"))


@pytest.mark.parametrize("content", FAULTS)
def test_faults_name_file_and_line_in_three_sentences(tmp_path, content):
    path = tmp_path / "bad.json"
    path.write_text(content, "utf-8")
    with pytest.raises(BadData, match=FAULTS[content]) as caught:
        list(read_items(path, "llava"))
    said = str(caught.value)
    assert str(path) in said
    assert re.fullmatch(r"Got .+\. Expected .+\. .+\.", said, re.DOTALL)


def test_faults_of_lines_tables_and_bytes(tmp_path):
    lines = tmp_path / "a.jsonl"
    lines.write_text('\n{"messages": [{"role": "user", "content": [{"type": "audio"}]}]}\n', "utf-8")
    with pytest.raises(BadData, match="line 2: no openai item: content part"):
        list(read_items(lines))
    lines.write_text('{"messages": [{"role": "robot", "content": "x"}]}\n', "utf-8")
    with pytest.raises(BadData, match="line 1: no openai item: role is 'robot'"):
        list(read_items(lines))
    lines.write_text("[]\n", "utf-8")
    with pytest.raises(BadData, match="line 1: a list"):
        list(read_items(lines))
    bytes_ = tmp_path / "a.json"
    bytes_.write_bytes(b'[{"id": "\xff"}]')
    with pytest.raises(BadData, match="byte 0xff"):
        list(read_items(bytes_, "llava"))
    with pytest.raises(BadData, match="cannot be read"):
        list(read_items(tmp_path / "none.json", "llava"))


def test_a_foreign_table_names_its_row(tmp_path):
    pyarrow = pytest.importorskip("pyarrow")
    parquet = pytest.importorskip("pyarrow.parquet")
    path = tmp_path / "a.parquet"
    path.write_bytes(b"PAR1 no table")
    with pytest.raises(BadData, match="row 1: no readable Parquet"):
        list(read_items(path))
    parquet.write_table(pyarrow.table({"id": ["1"], "text": ["x"]}), path)
    with pytest.raises(BadData, match="row 1: no parquet item: turns is None"):
        list(read_items(path))


def test_a_failed_export_leaves_the_old_file(tmp_path):
    path = tmp_path / "a.jsonl"
    write_items([PLAIN], path)
    before = path.read_bytes()
    silent = Item(Dialogue("emotion", (), "2"))
    with pytest.raises(BadInput, match="turns none"):
        write_items([PLAIN, silent], path)
    with pytest.raises(OutputFailed, match="Unicode"):
        write_items(
            [replace(PLAIN, dialogue=replace(PLAIN.dialogue, turns=(Turn("user", "<image>\ud800"),)))], path
        )
    assert path.read_bytes() == before
    assert [one.name for one in tmp_path.iterdir()] == ["a.jsonl"]
    with pytest.raises(OutputFailed, match="no_folder"):
        write_items([PLAIN], tmp_path / "no_folder" / "a.jsonl")


def test_the_format_has_to_be_clear(tmp_path):
    with pytest.raises(BadConfig, match="Name the format"):
        write_items([PLAIN], tmp_path / "a.json")
    with pytest.raises(BadConfig, match="llava, sharegpt, messages, openai, parquet"):
        list(read_items(tmp_path / "a.json", "alpaca"))
    assert {form.name for form in RECORDS.values()} == set(RECORDS)


paths = st.text(min_size=1, max_size=12)
FABA_WORDS = ("happiness", "sadness", "surprise", "anger", "neutral", "disgust", "fear")


@given(
    st.lists(
        st.builds(
            FabaItem,
            paths,
            st.builds(
                Labels, emotion=st.sampled_from(FABA_WORDS), description=st.none() | st.text(max_size=20)
            ),
            st.none() | paths,
        ),
        max_size=4,
    )
)
@settings(deadline=None, max_examples=40)
def test_faba_emotion_items_say_their_labels(tmp_path_factory, written):
    path = tmp_path_factory.getbasetemp() / "faba_emotion.json"
    assert write_faba(written, path, "emotion") == len(written)
    rows = json.loads(path.read_text("utf-8"))
    assert [(row["image"], row["label"].lower(), row.get("gpt4"), row.get("landmark")) for row in rows] == [
        (one.image, one.labels.emotion, one.labels.description, one.landmark) for one in written
    ]


@given(
    st.lists(st.sets(st.sampled_from(AU_SETS["faba20"]), min_size=1), max_size=4),
    st.none() | st.text(max_size=20),
)
@settings(deadline=None, max_examples=40)
def test_faba_au_items_say_their_labels(tmp_path_factory, present, description):
    path = tmp_path_factory.getbasetemp() / "faba_au.json"
    written = [
        FabaItem(
            "a.jpg",
            Labels(au_presence={key: key in one for key in AU_SETS["faba20"]}, description=description),
        )
        for one in present
    ]
    write_faba(written, path, "au")
    rows = json.loads(path.read_text("utf-8"))
    assert [{f"AU{int(number):02d}" for number in row["label"].split(",")} for row in rows] == present
    assert all(row.get("gpt4") == description for row in rows)


def test_faba_files_are_as_published(tmp_path):
    path = tmp_path / "eval.json"
    units = {key: key in ("AU01", "AU04", "AU07") for key in AU_SETS["faba20"]}
    write_faba([FabaItem("a.jpg", Labels(au_presence=units, description="AU1 …"), "a.npy")], path, "au")
    assert json.loads(path.read_text("utf-8")) == [
        {"image": "a.jpg", "label": "1, 4, 7", "gpt4": "AU1 …", "landmark": "a.npy"}
    ]


def test_faba_refuses_what_its_file_cannot_tell(tmp_path):
    path = tmp_path / "eval.json"
    with pytest.raises(BadInput, match="contempt"):
        write_faba([FabaItem("a.jpg", Labels(emotion="contempt"))], path, "emotion")
    for coded in (None, {"AU06": False}, {"AU45": True}):
        with pytest.raises(BadInput, match="FABA's index"):
            write_faba([FabaItem("a.jpg", Labels(au_presence=coded))], path, "au")
    with pytest.raises(BadConfig, match="pain"):
        write_faba([], path, "pain")
