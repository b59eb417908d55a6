"""``mien eval``, ``score``, ``compare`` and ``reproduce``: the options, and what is printed.

This module is imported with the command line itself, so it imports nothing heavy.
"""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from mien.app.annotate.options import ReplyTokensOption
from mien.app.options import DeviceOption, PrecisionOption, RayOption, ThreadsOption
from mien.app.terminal import say
from mien.core.errors import BadConfig

if TYPE_CHECKING:
    from contextlib import ExitStack

    from mien.backends.chat import Teacher
    from mien.evaluate.answering import Answerer
    from mien.evaluate.suite import Suite
    from mien.work.loop import Shard

__all__ = ["add_evaluate"]

_STATUS = "Exit status: 0 all well; 1 some faces failed and the rest is scored; 2 nothing could be done."
_LINE_SECONDS = 10.0

ModelArgument = Annotated[
    str,
    typer.Argument(
        help="pocket, rules, a folder of a trained system or a model of transformers (with {fold} one per fold), or a "
        "server's address such as http://localhost:8000/v1. 'suites' lists the suites; 'lmms-eval' writes its tasks.",
        show_default=False,
    ),
]
SuiteOption = Annotated[
    list[str] | None, typer.Option("--suite", help="A suite or a YAML file; several for a cross-set run.")
]
OutOption = Annotated[Path | None, typer.Option("--out", "-o", help="Folder of the run.", show_default=False)]
RootOption = Annotated[
    list[str] | None,
    typer.Option(help="Folder of your copy of the data; DATASET=FOLDER where suites need several."),
]
RunsArgument = Annotated[list[Path], typer.Argument(help="Folders of `mien eval`.", show_default=False)]
Whole = Annotated[int | None, typer.Option(min=1)]


def add_evaluate(app: typer.Typer) -> None:
    """Add the four commands."""
    app.command("eval", epilog=_STATUS)(evaluate)
    app.command("score", epilog=_STATUS)(score)
    app.command("compare", epilog=_STATUS)(compare)
    app.command("reproduce", epilog=_STATUS)(reproduce)


def evaluate(
    model: ModelArgument,
    suite: SuiteOption = None,
    out: OutOption = None,
    root: RootOption = None,
    shard: Annotated[
        str, typer.Option(help="i/n: only every n-th block; all shards share one --out.")
    ] = "1/1",
    by: Annotated[str, typer.Option(help="Tell figures by groups: age,gender,ethnicity.")] = "",
    judge: Annotated[
        str | None, typer.Option(help="Who marks chains of thought: rules, or a server's address.")
    ] = None,
    judge_model: Annotated[str | None, typer.Option(help="The judge's name on its server.")] = None,
    served_as: Annotated[str | None, typer.Option(help="The model's name on the server.")] = None,
    key_env: Annotated[
        str | None, typer.Option(help="Environment variable that holds the model's key.")
    ] = None,
    judge_key_env: Annotated[str | None, typer.Option(help="The same for the judge's server.")] = None,
    readout: Annotated[
        str | None, typer.Option(help="likelihood or text, in place of the suite's.", show_default=False)
    ] = None,
    limit: Annotated[
        int | None, typer.Option(help="At most so many faces per part, spread evenly.", min=1)
    ] = None,
    landmarks_only: Annotated[bool, typer.Option("--landmarks-only", help="Show points, no pixels.")] = False,
    workers: Annotated[int, typer.Option(help="Requests to a server at once.", min=1, max=512)] = 4,
    rpm: Annotated[float | None, typer.Option(help="Most requests per minute.")] = None,
    max_requests: Annotated[int | None, typer.Option(help="Stop before more requests.", min=0)] = None,
    max_cost: Annotated[float | None, typer.Option(help="Stop before it costs more.", min=0)] = None,
    price_in: Annotated[float, typer.Option(help="Price of a million input tokens.", min=0)] = 0.0,
    price_out: Annotated[float, typer.Option(help="Price of a million output tokens.", min=0)] = 0.0,
    retries: Annotated[int, typer.Option(help="Further tries of a request without a reply.", min=0)] = 6,
    reply_tokens: ReplyTokensOption = None,
    timeout: Annotated[float, typer.Option(help="Longest silence of a server in seconds.", min=0.1)] = 120.0,
    seed: Annotated[int | None, typer.Option(help="Of sampled answers.")] = None,
    threads: ThreadsOption = None,
    device: DeviceOption = "cpu",
    precision: PrecisionOption = None,
    ray: RayOption = None,
    quiet: Annotated[bool, typer.Option("--quiet", "-q", help="Print errors only.")] = False,
) -> None:
    """Ask a model the questions of a suite and score the answers; a killed run goes on with the same command.

    Writes predictions.jsonl (every answer as given), result.json (figures) and run.json (how it was made).
    """
    if model == "suites":
        return _list_suites()
    if model == "lmms-eval" and suite and out is not None:
        return _write_tasks(suite, out, _roots(root or ()), limit)
    if not suite or out is None:
        raise BadConfig(
            got="no suite" if not suite else "no --out",
            expected="both --suite and --out",
            fix="`mien eval suites` lists the suites",
        )
    if readout not in (None, "likelihood", "text"):
        raise BadConfig(got=f"readout {readout!r}", expected="likelihood or text", fix="Choose one")
    config = {
        "model": model, "served_as": served_as, "readout": readout, "device": device, "precision": precision,
        "seed": seed, "judge": judge, "judge_model": judge_model,
    }  # fmt: skip
    server = _Server(
        key_env, workers, timeout, rpm, max_requests, max_cost, price_in, price_out, retries, reply_tokens
    )
    groups = tuple(one for one in by.split(",") if one)
    work = partial(
        _evaluated, config, server, suite, out, _roots(root or ()), limit, by=groups, landmarks_only=landmarks_only,
        judge_key_env=judge_key_env,
    )  # fmt: skip
    if ray is None:
        result = work(shard=shard, threads=threads, quiet=quiet)
    else:
        result = _on_cluster(work, ray, shard, threads or 1, device, quiet, out)
    raise typer.Exit(1 if any(one["failed"] for one in result.get("suites", {}).values()) else 0)


def _on_cluster(
    work: Callable[..., Any], where: str, shard: str, threads: int, device: str, quiet: bool, out: Path
) -> dict[str, Any]:
    """The shares of a run on Ray, then its figures."""
    from mien.app.progress import tell_shares
    from mien.evaluate.run import score_run, shares_in, suites_of
    from mien.work.cluster import cluster, run_shares, shares_of

    if shard != "1/1":
        raise BadConfig(got="--shard with --ray", expected="one of them", fix="Leave --shard out")
    with cluster(where) as ray:
        of = shares_in(out) or max(2, shares_of(ray, threads))
        share = partial(_share, work, threads)
        run_shares(
            ray, share, of, threads=threads, device=device, tell=lambda done: tell_shares(quiet, done, of)
        )
    result = score_run(out)
    if not quiet:
        _show(result, list(suites_of(out)[0].values()), out)
    return result


def _share(work: Callable[..., Any], threads: int, shard: Shard) -> None:
    work(shard=str(shard), threads=threads, quiet=True)


def score(
    runs: RunsArgument,
    hub: Annotated[
        Path | None,
        typer.Option(
            help="Clone of the model's repository: write .eval_results and the card's results there."
        ),
    ] = None,
    hub_data: Annotated[
        list[str] | None,
        typer.Option(help="SUITE=OWNER/DATASET on the hub, with :TASK where it is named otherwise."),
    ] = None,
    quiet: Annotated[bool, typer.Option("--quiet", "-q", help="Print errors only.")] = False,
) -> None:
    """Compute all figures again from the answers of a run; needs no model and no picture."""
    from mien.evaluate.run import score_run, suites_of

    for out in runs:
        result = score_run(out)
        if not quiet:
            _show(result, list(suites_of(out)[0].values()), out)
        if hub is not None:
            from mien.evaluate.hub_results import write_hub_results

            named = dict(one.partition("=")[::2] for one in hub_data or ())
            for place in write_hub_results(out, hub, named):
                say(str(place))


def compare(
    runs: RunsArgument,
    html: Annotated[Path | None, typer.Option(help="Also write one self-contained page.")] = None,
    pictures: Annotated[bool, typer.Option(help="Show the faces of errors on the page.")] = True,
    as_json: Annotated[Path | None, typer.Option("--json", help="Also write the comparison as JSON.")] = None,
) -> None:
    """Runs side by side: figures with intervals, differences on the same faces, tests (Holm over all), seeds."""
    from mien.core.paths import write_whole
    from mien.evaluate.compare import compare as side_by_side
    from mien.evaluate.compare import lines_of, write_page

    compared = side_by_side(runs)
    for line in lines_of(compared):
        say(line)
    if as_json is not None:
        write_whole(as_json, json.dumps(compared, indent=1, ensure_ascii=False) + "\n")
    if html is not None:
        say(f"page: {write_page(runs, html, pictures)}")


def reproduce(
    paper: Annotated[
        str,
        typer.Argument(
            help="facephi, emola, emo-llama, au-llava, expllm, ferbench, facial-r1, "
            "face-llava; or one table, such as expllm:IV.",
            show_default=False,
        ),
    ],
    weights: Annotated[Path | None, typer.Option(help="Folder of the model that makes a row.")] = None,
    data: Annotated[Path | None, typer.Option(help="Folder that holds your copies, one per dataset.")] = None,
    row: Annotated[
        str | None, typer.Option(help="Row that the model makes; the paper's last own one.")
    ] = None,
    run: Annotated[list[Path] | None, typer.Option("--run", help="Finished runs of `mien eval`.")] = None,
    out: Annotated[Path, typer.Option("--out", "-o", help="Folder of the runs made here.")] = Path(
        "runs/reproduce"
    ),
    limit: Whole = None,
) -> None:
    """A paper's tables, theirs beside ours: what can be run here is run, the rest says what it would take.

    With published weights no training is needed: import them (mien models import) and name their folder.
    """  # fmt: skip
    from mien.evaluate.published import tables_of
    from mien.evaluate.reproduce import data_at, lines_of, suites_for
    from mien.evaluate.reproduce import reproduce as tables
    from mien.evaluate.run import Plan, score_run
    from mien.evaluate.run import evaluate as run_suites
    from mien.evaluate.suite import open_suite

    results = [score_run(one) for one in run or ()]
    absent: dict[str, str] = {}
    names = dict.fromkeys(name for table in tables_of(paper).values() for name in suites_for(table))
    for name in names:
        if weights is None:
            break
        suite = open_suite(name)
        place = data_at(suite, data)
        if place is None:
            where = f" below {data}" if data is not None else ""
            absent[name] = f"data: {suite.data.dataset} not found{where} (from its owners; --data DIR)"
            continue
        # In words, as the papers asked; the embedded readers have no such questions.
        words = "text" if weights.is_dir() else None
        config = {"model": str(weights), "readout": words, "device": "cpu", "precision": None, "seed": None}
        plan = Plan([suite], out / f"{weights.name}-{name}", {"": place}, limit)
        results.append(run_suites(plan, _opener(config, [suite], None, 1, None), config, _Watch()))
    for line in lines_of(paper, tables(paper, results, row, absent)):
        say(line)


# -- parts ----------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class _Server:
    """How servers are asked."""

    key_env: str | None
    workers: int
    timeout: float
    rpm: float | None
    max_requests: int | None
    max_cost: float | None
    price_in: float
    price_out: float
    retries: int
    reply_tokens: int | None


def _list_suites() -> None:
    from mien.evaluate.suite import open_suite, suite_names

    for name in suite_names():
        say(f"{name:<24}{open_suite(name).title}")


def _write_tasks(suites: list[str], out: Path, roots: Mapping[str, Path], limit: int | None) -> None:
    from mien.evaluate.lmms_tasks import write_tasks
    from mien.evaluate.suite import open_suite

    for name in suites:
        root = roots.get(open_suite(name).data.dataset, roots.get(""))
        say(f"{out}: {', '.join(write_tasks([name], out, root, limit))}")


def _evaluated(
    config: dict[str, Any], server: _Server, names: list[str], out: Path, roots: dict[str, Path], limit: int | None,
    *, shard: str, by: tuple[str, ...], landmarks_only: bool, threads: int | None, quiet: bool,
    judge_key_env: str | None,
) -> dict[str, Any]:  # fmt: skip
    """Run the suites and print what came of it."""
    from contextlib import ExitStack

    from mien.evaluate.run import Plan
    from mien.evaluate.run import evaluate as run
    from mien.evaluate.suite import open_suite
    from mien.work.loop import Shard

    suites = [open_suite(name) for name in names]
    plan = Plan(suites, out, roots, limit, Shard.parse(shard), by, landmarks_only, threads)
    replies = plan.journal.with_name(plan.journal.name.replace("journal", "replies"))
    model, judge = config["model"], config["judge"]
    with ExitStack() as stack:
        if judge_key_env is None and (not _is_address(model) or model == judge):
            judge_key_env = server.key_env  # no key goes to a server that it is not for
        keyed = replace(server, key_env=judge_key_env)
        marks = None if judge is None else _judge(judge, config["judge_model"], keyed)
        asked: Teacher | None = None
        totals: Callable[[], str] = str
        if _is_address(model):
            asked, totals = _remembered(stack, _teacher(model, config["served_as"], server), replies, server)
        if marks is not None and _is_address(judge):
            # Both may be servers: each keeps its replies in a file of its own.
            marks, judged = _remembered(stack, marks, replies.with_name(f"judge-{replies.name}"), server)
            totals = judged if asked is None else totals
        opened = _opener(config, suites, asked, server.workers, threads)
        result = run(plan, opened, config, None if quiet else _Watch(), marks)
        if not quiet:
            _show(result, suites, out)
            if line := totals():
                say(line, err=True)
    return result


def _is_address(text: str) -> bool:
    return text.startswith(("http://", "https://"))


def _roots(given: list[str] | tuple[str, ...]) -> dict[str, Path]:
    roots: dict[str, Path] = {}
    for one in given:
        name, equals, folder = one.partition("=")
        if equals and not Path(one).exists():
            roots[name] = Path(folder)
        else:
            roots[""] = Path(one)
    return roots


def _teacher(address: str, name: str | None, server: _Server) -> Teacher:
    from mien.backends.openai import OpenAITeacher

    if name is None:
        raise BadConfig(
            got=f"server {address} without a model",
            expected="its name of the model",
            fix="Pass --served-as NAME, for a judge --judge-model NAME",
        )
    return OpenAITeacher(address, name, server.key_env, server.timeout)


def _judge(judge: str, name: str | None, server: _Server) -> Teacher:
    if judge == "rules":
        from mien.annotate.rules_teacher import RulesTeacher
        from mien.evaluate.exp_cot_judge import JUDGE_STEPS

        return RulesTeacher(JUDGE_STEPS)
    return _teacher(judge, name, server)


def _remembered(
    stack: ExitStack, teacher: Teacher, file: Path, server: _Server
) -> tuple[Teacher, Callable[[], str]]:
    """A teacher whose replies are kept in the run's folder, within the limits; and the line about its cost."""
    from mien.backends.memory import Remembering
    from mien.backends.patience import Budget, Limits, Patience, Prices
    from mien.work.journal import Journal
    from mien.work.replies import Replies

    prices = Prices(server.price_in, server.price_out)
    file.parent.mkdir(parents=True, exist_ok=True)
    memory = Replies(stack.enter_context(Journal(file)))
    used = memory.totals()
    limits = Limits(server.max_requests, None, server.max_cost)
    budget = Budget(limits, prices, used.requests + used.failures, used.tokens_in, used.tokens_out)
    patience = Patience(server.retries, requests_per_minute=server.rpm, budget=budget)

    def told() -> str:
        now = memory.totals()
        money = prices.cost(now.tokens_in, now.tokens_out)
        return (
            f"server: {now.requests} replies, {now.failures} failed tries, {now.tokens_in} + {now.tokens_out} tokens"
            f"{f', cost {money:.2f}' if money else ''}"
        )

    return Remembering(teacher, memory, patience, server.reply_tokens), told


def _opener(
    config: Mapping[str, Any], suites: list[Suite], asked: Teacher | None, workers: int, threads: int | None
) -> Callable[[str], Answerer]:
    """Opens the model for a fold, once per folder; a folder that learnt from a tested part is refused first."""
    from mien.evaluate.answering import ReaderAnswers, ServerAnswers
    from mien.evaluate.hub_answers import is_hub_model, open_hub_model
    from mien.evaluate.samples import refuse_leak

    opened: dict[str, Answerer] = {}
    model = str(config["model"])

    def open_model(fold: str) -> Answerer:
        name = model.replace("{fold}", fold)
        if name not in opened and asked is not None:
            opened[name] = ServerAnswers(asked, workers, config["seed"])
        elif name not in opened and is_hub_model(Path(name)):
            opened[name] = open_hub_model(Path(name), config["device"], config["precision"], config["seed"])
        elif name not in opened:
            from mien.backends.base import open_reader

            for suite in suites if Path(name).is_dir() else ():
                for part in (fold,) if "{fold}" in model else suite.data.parts:
                    refuse_leak(Path(name), suite, part)
            reader = open_reader(name, threads, config["device"], config["precision"])
            opened[name] = ReaderAnswers(reader, config["readout"], seed=config["seed"])
        return opened[name]

    return open_model


class _Watch:
    """A line on stderr every ten seconds and at the end."""

    def __init__(self) -> None:
        self._told = self._started = time.monotonic()

    def __call__(self, done: int, total: int) -> None:
        now = time.monotonic()
        if now - self._told >= _LINE_SECONDS or done == total:
            self._told, spent = now, max(1e-3, now - self._started)
            say(f"{done} of {total} faces in {spent:.0f} s, {done / spent:.1f} per second", err=True)


def _show(result: Mapping[str, Any], suites: list[Suite], out: Path) -> None:
    """Figures of the published reading first, others beside them, and what was published for the suite."""
    from mien.evaluate.published import cited, published

    if not result:
        say(f"{out}: this shard is done; when all are, run: mien score {out}")
        return
    for suite in suites:
        told = result["suites"][suite.name]
        say(f"{suite.name}: {told['title']}, {told['n']} faces, {told['failed']} failed")
        for reading, figures in told["readings"].items():
            say(f"  {reading}: {_line(figures)}")
            if figures.get("absent"):
                say(f"    absent from the truth: {', '.join(figures['absent'])}")
            if figures.get("unmeasured"):
                say(f"    not measured by this model: {', '.join(figures['unmeasured'])}")
        for attribute, groups in told.get("by", {}).items():
            for group, readings in groups.items():
                figures = next(iter(readings.values()))
                say(f"  {attribute} {group}, {figures['n']} faces: {_line(figures)}")
        for key, method, column, number in cited(suite.name):
            if method in published()[key].ours:
                say(f"  published: {key}, {method}, {column}: {number:g}")
    say(f"{out / 'result.json'}")


def _line(figures: Mapping[str, Any]) -> str:
    from mien.evaluate.compare import figure_text

    told = {name: one for name, one in figures.items() if isinstance(one, dict) and "value" in one}
    text = ", ".join(f"{name} {figure_text(one)}" for name, one in told.items())
    return f"{text or 'no figure'}; unparsed {figures['unparsed']}"
