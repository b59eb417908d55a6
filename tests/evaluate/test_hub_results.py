"""Results as the hub shows them, read back by huggingface_hub's own readers."""

from __future__ import annotations

import pytest
import yaml
from huggingface_hub import ModelCard, parse_eval_result_entries

from mien.core.errors import BadConfig
from mien.evaluate.hub_results import write_hub_results
from mien.evaluate.run import Plan, evaluate
from mien.evaluate.suite import open_suite


@pytest.fixture
def run(miniature, gold, tmp_path):
    roots = {name: miniature(name) for name in ("rafdb", "disfa")}
    suites = [open_suite("rafdb"), open_suite("disfa")]
    evaluate(Plan(suites, tmp_path / "run", roots, limit=3), lambda _: gold, {"model": "models/my-model"})
    return tmp_path / "run"


DATASETS = {"rafdb": "owner/raf-db", "disfa": "owner/disfa:three-folds"}


def test_the_hubs_reader_takes_the_entries(run, tmp_path):
    *entries, card = write_hub_results(run, tmp_path / "hub", DATASETS)
    assert [place.name for place in entries] == ["rafdb.yaml", "disfa.yaml"]
    (rafdb,), (disfa,) = (
        parse_eval_result_entries(yaml.safe_load(place.read_text(encoding="utf-8"))) for place in entries
    )
    assert (rafdb.dataset_id, rafdb.task_id, rafdb.value, rafdb.notes) == (
        "owner/raf-db",
        "rafdb",
        1.0,
        "limit 3",
    )
    assert (disfa.dataset_id, disfa.task_id) == ("owner/disfa", "three-folds")
    told = ModelCard.load(card).data
    assert told.model_name == "my-model"
    figures = {(one.dataset_config, one.metric_name): one.metric_value for one in told.eval_results}
    assert figures["rafdb", "official/accuracy"] == 1.0 and ("disfa", "official/f1") in figures
    assert "model-index:" in card.read_text(encoding="utf-8")


def test_a_card_keeps_its_text_and_the_results_of_other_suites(run, tmp_path):
    place = tmp_path / "hub/README.md"
    place.parent.mkdir()
    place.write_text(
        "---\nlicense: apache-2.0\nmodel-index:\n- name: old\n  results:\n"
        "  - task: {type: image-classification}\n    dataset: {type: a/b, name: B, config: other}\n"
        "    metrics:\n    - {type: accuracy, value: 0.5}\n---\n# Mine\n",
        encoding="utf-8",
    )
    for _ in range(2):
        write_hub_results(run, place.parent, DATASETS)
    card = ModelCard.load(place)
    assert card.data.license == "apache-2.0" and card.data.model_name == "old" and "# Mine" in card.text
    kept = [one.dataset_config for one in card.data.eval_results]
    assert kept.count("other") == 1 and {"rafdb", "disfa"} <= set(kept)
    names = [(one.dataset_config, one.metric_name) for one in card.data.eval_results]
    assert len(names) == len(set(names))


def test_each_suite_wants_the_id_of_its_benchmark(run, tmp_path):
    with pytest.raises(BadConfig, match="no dataset of disfa"):
        write_hub_results(run, tmp_path / "hub", {"rafdb": "owner/raf-db"})
    with pytest.raises(BadConfig, match="rafbd"):
        write_hub_results(run, tmp_path / "hub", {"rafbd": "owner/raf-db"})
