"""Thoughts are split from answers, however a model marks them."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mien.backends.thoughts import join_thoughts, split_thoughts

# As chat templates and model cards print them: DeepSeek-R1, Qwen3, Magistral, Kimi-VL, Sky-T1, Seed-OSS, gpt-oss.
CASES = {
    "none": ("AU12 is present.", "AU12 is present.", ""),
    "plain": ("<think>hm</think>AU12.", "AU12.", "hm"),
    "lines": ("<think>\nhm\n</think>\n\nAU12.\n", "AU12.", "hm"),
    "upper": ("<THINK>hm</Think>AU12.", "AU12.", "hm"),
    "empty": ("<think>\n\n</think>\n\nAU12.", "AU12.", ""),
    "unclosed": ("<think>hm, AU4?", "", "hm, AU4?"),
    "opened in the prompt": ("hm, AU4?</think>AU12.", "AU12.", "hm, AU4?"),
    "text before": ("Sure. <think>hm</think> AU12.", "Sure.\nAU12.", "hm"),
    "text before, unclosed": ("AU12. <think>hm", "AU12.", "hm"),
    "nested": ("<think>a <think>b</think> c</think>AU12.", "AU12.", "a\nb\nc"),
    "opened twice, closed once": ("<think>a <think>b</think>AU12.", "AU12.", "a\nb"),
    "closed twice": ("<think>a</think> b</think>AU12.", "AU12.", "a\nb"),
    "two thoughts": ("<think>a</think>AU6.<think>b</think>AU12.", "AU6.\nAU12.", "a\nb"),
    "thinking": ("<thinking>a</thinking>AU12.", "AU12.", "a"),
    "attribute": ('<think time="3">a</think >AU12.', "AU12.", "a"),
    "seed": ("<seed:think>a</seed:think>AU12.", "AU12.", "a"),
    "magistral": ("[THINK]a[/THINK]AU12.", "AU12.", "a"),
    "kimi": ("◁think▷a◁/think▷AU12.", "AU12.", "a"),
    "sky": (
        "<|begin_of_thought|>a<|end_of_thought|><|begin_of_solution|>AU12.<|end_of_solution|>",
        "AU12.",
        "a",
    ),
    "harmony": (
        "<|channel|>analysis<|message|>a<|end|><|start|>assistant<|channel|>final<|message|>AU12.<|return|>",
        "AU12.",
        "a",
    ),
    "harmony cut": ("<|channel|>analysis<|message|>a", "", "a"),
    "json": ('<think>{"reply": 1}</think>{"reply": 2}', '{"reply": 2}', '{"reply": 1}'),
    "no mark": (
        "I think </b> she smiles <3 thinking of it.",
        "I think </b> she smiles <3 thinking of it.",
        "",
    ),
}


@pytest.mark.parametrize("name", CASES)
def test_thoughts_are_split(name: str) -> None:
    text, answer, thoughts = CASES[name]
    assert split_thoughts(text) == (answer, thoughts)


PIECES = st.sampled_from(
    [
        "<think>",
        "</think>",
        "<thi",
        "nk>",
        "[THINK]",
        "◁/think▷",
        "<|end|>",
        "AU12",
        "\n",
        " ",
        "a<b",
        "\x00",
        "é",
    ]
)


@given(st.lists(PIECES, max_size=14).map("".join))
def test_what_was_split_is_kept_and_split_alike_again(text: str) -> None:
    answer, thoughts = split_thoughts(text)
    again, same = split_thoughts(join_thoughts(answer, thoughts))
    assert again == answer
    assert same.split() == thoughts.split() or "think" in thoughts.lower()  # marks out of marks are blanks
    assert answer == text or split_thoughts(answer) == (answer, "")
