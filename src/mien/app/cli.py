"""The ``mien`` command.

Exit status everywhere: 0 all well; 1 some items failed, the rest is written; 2 nothing could be done.
Commands import what they need when they run, so that ``mien --help`` is quick and loads no engine.
"""

from __future__ import annotations

import errno
import os
import sys
from functools import partial
from pathlib import Path
from typing import IO, Annotated

import typer

from mien import __version__
from mien.app.annotate.command import annotate_app
from mien.app.data.command import data_app
from mien.app.evaluate_command import add_evaluate
from mien.app.models.transfer import add_transfer
from mien.app.options import DeviceOption, ModelOption, PrecisionOption, RayOption, ThreadsOption
from mien.app.runs_command import merge_command
from mien.app.serve_command import serve_command
from mien.app.summarize_command import summarize_command
from mien.app.terminal import give_up, say
from mien.backends import DEFAULT_MODEL
from mien.core.errors import BadInput, MienError, OutputFailed

__all__ = ["app", "main"]

_STATUS = "Exit status: 0 all well; 1 some items failed and the rest is written; 2 nothing could be done."
_INTERRUPTED = 130
_NAMELESS = {errno.ENOSPC: "standard output", errno.ENOENT: "the current folder"}
"""What an error of the system without a name is about."""
_TABLE_SUFFIXES = (".csv", ".tsv", ".parquet", ".json", ".jsonl", ".xlsx")

app = typer.Typer(
    help="Apparent emotions, FACS Action Units and audited explanations from photos, videos and landmarks. "
    "Works offline, on a CPU; nothing leaves this machine.",
    epilog=_STATUS,
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    rich_markup_mode="rich",
    add_completion=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)
models_app = typer.Typer(
    help="List, describe, verify, import and export models.", no_args_is_help=True, epilog=_STATUS
)
app.add_typer(models_app, name="models")
add_transfer(models_app)
app.add_typer(data_app, name="data")
app.command("merge")(merge_command)
app.command("serve")(serve_command)
app.command("summarize")(summarize_command)
app.add_typer(annotate_app, name="annotate")
add_evaluate(app)


def _folder(text: str) -> Path:
    if not text.strip():
        raise typer.BadParameter("an empty path; set the variable that it comes from")
    path = Path(text)
    if path.suffix.lower() in _TABLE_SUFFIXES and not os.path.isdir(path):
        raise typer.BadParameter(f"{text} is the name of a file; name a folder, or write --out - > {text}")
    return path


PathsArgument = Annotated[
    list[str],
    typer.Argument(
        help="Photos, videos, folders or patterns of these, or landmark files (.csv .npy .npz .json with (478, 3) or "
        "(N, 478, 3) px); - reads one file from standard input.",
        show_default=False,
    ),
]
OutOption = Annotated[
    Path,
    typer.Option(
        "--out", "-o", parser=_folder, metavar="DIR",
        help="Folder for the results; - writes the table alone to standard output.",
    ),
]  # fmt: skip
FormatOption = Annotated[str, typer.Option("--format", "-f", help="csv, tsv, parquet, json or jsonl.")]
ColumnsOption = Annotated[
    str, typer.Option(help="Columns of the table: mien, openface, openface-spaced or pyfeat.")
]
LabelsOption = Annotated[
    str | None,
    typer.Option(help="Spelling and order of the emotions, e.g. affectnet, deepface, facereader, pyfeat."),
]
DecimalOption = Annotated[str, typer.Option(help="point, or comma (CSV cells then end with ';').")]
FillOption = Annotated[
    str | None,
    typer.Option(
        help="What stands for missing numbers in CSV: nan, empty or 0.",
        show_default="nan in mien's columns, else empty",
    ),
]
FormulasOption = Annotated[
    bool,
    typer.Option(
        "--keep-formulas",
        help="Leave texts that a spreadsheet would run as a formula (= + - @) without a ' before them.",
    ),
]
ExplainOption = Annotated[bool, typer.Option("--explain", help="Write an audited explanation per face.")]
OverlayOption = Annotated[bool, typer.Option("--overlay", help="Draw mesh, box, label and AUs on copies.")]
ReportOption = Annotated[bool, typer.Option("--report", help="Write report.html, one self-contained page.")]
RedactOption = Annotated[bool, typer.Option("--redact", help="Hide the faces in overlays and report.")]
CroppedOption = Annotated[
    bool, typer.Option("--cropped", help="The pictures are face crops already (48x48 grey works).")
]
LandmarksOnlyOption = Annotated[
    bool,
    typer.Option("--landmarks-only", help="Drop the pixels once the landmarks are found; use points only."),
]
LandmarksOption = Annotated[bool, typer.Option("--landmarks", help="Add the 478 mesh points to the table.")]
SmoothOption = Annotated[bool, typer.Option("--smooth", help="Smooth landmarks over time in videos.")]
EveryOption = Annotated[int, typer.Option(help="Analyse every n-th frame of videos.", min=1)]
StartOption = Annotated[float, typer.Option(help="Second of videos at which to begin.", min=0)]
EndOption = Annotated[
    float | None, typer.Option(help="Second of videos at which to end.", show_default=False)
]
FpsOption = Annotated[
    float | None, typer.Option(help="At most so many frames per second of videos.", show_default="all")
]
CutOffOption = Annotated[
    int, typer.Option(help="FACS level from which an AU counts as present (DISFA takes 2).", min=1, max=5)
]
BatchOption = Annotated[int, typer.Option("--batch-size", help="Faces read together.", min=1, max=1024)]
ResumeOption = Annotated[bool, typer.Option("--resume", help="Go on with a run that was stopped or killed.")]
ReplaceOption = Annotated[
    bool, typer.Option("--replace", "--overwrite", help="Begin anew in a folder that holds a run.")
]
ShardOption = Annotated[
    str, typer.Option("--shard", help="Do the i-th of n shares only, such as 2/8; `mien merge` joins them.")
]
QuietOption = Annotated[bool, typer.Option("--quiet", "-q", help="Print errors only.")]
NameArgument = Annotated[
    str, typer.Argument(help="A name of `mien models list`, a run, or a model folder.", show_default=False)
]
FoldersArgument = Annotated[
    list[Path] | None,
    typer.Argument(help="Runs and model folders; the installed models without any.", show_default=False),
]


def _show_version(value: bool) -> None:
    if value:
        say(f"mien {__version__}")
        raise typer.Exit


@app.callback()
def _root(
    version: Annotated[
        bool, typer.Option("--version", callback=_show_version, is_eager=True, help="Show the version.")
    ] = False,
) -> None:
    """Options before the command."""


@app.command(epilog=_STATUS + " 130 interrupted; go on with --resume.")
def analyze(
    paths: PathsArgument,
    out: OutOption,
    format: FormatOption = "csv",
    columns: ColumnsOption = "mien",
    labels: LabelsOption = None,
    decimal: DecimalOption = "point",
    fill: FillOption = None,
    keep_formulas: FormulasOption = False,
    explain: ExplainOption = False,
    overlay: OverlayOption = False,
    report: ReportOption = False,
    redact: RedactOption = False,
    cropped: CroppedOption = False,
    landmarks_only: LandmarksOnlyOption = False,
    landmarks: LandmarksOption = False,
    smooth: SmoothOption = False,
    every: EveryOption = 1,
    start: StartOption = 0.0,
    end: EndOption = None,
    fps: FpsOption = None,
    model: ModelOption = DEFAULT_MODEL,
    cut_off: CutOffOption = 1,
    threads: ThreadsOption = None,
    device: DeviceOption = "cpu",
    precision: PrecisionOption = None,
    batch_size: BatchOption = 16,
    resume: ResumeOption = False,
    replace: ReplaceOption = False,
    shard: ShardOption = "1/1",
    ray: RayOption = None,
    quiet: QuietOption = False,
) -> None:
    """Analyse faces: one table row per face, with emotions, Action Units, pose and, if asked, words.

    Writes faces.csv (or the format chosen; OpenFace's columns: a folder with a table per input), schema.json (what each
    column means), run.json (how it was made), and errors.jsonl, overlay/ and report.html where there is something for
    them.
    """
    from mien.analyze.jobs import JobOptions, cluster_job, run_job, stream_job
    from mien.app.progress import ProgressWatch, tell_shares
    from mien.app.summary import show_summary

    options = JobOptions(
        tuple(paths), out, format, columns, labels, decimal, fill, keep_formulas, explain, overlay, report, redact,
        cropped, landmarks_only, landmarks, smooth, every, start, end, fps, model, cut_off, threads, batch_size,
        resume, replace, device, precision, shard,
    )  # fmt: skip
    streams = str(out) == "-"
    try:
        if ray is not None:
            summary = cluster_job(options, ray, partial(tell_shares, quiet))
        else:
            with ProgressWatch(quiet) as watch:
                summary = (
                    stream_job(options, _standard_output(), watch) if streams else run_job(options, watch)
                )
    except KeyboardInterrupt:
        say("Interrupted. What was finished is safe: run the same command with --resume to go on.", err=True)
        raise typer.Exit(_INTERRUPTED) from None
    if not quiet and not streams:
        try:
            show_summary(summary)
        except (SystemExit, OSError):  # its reader (head, less) has gone, or it is full; the run is whole
            give_up(sys.stdout)
    raise typer.Exit(summary.status)


def _standard_output() -> IO[bytes]:
    if sys.stdout is None:  # closed by the shell, as by >&-
        raise OutputFailed(got="a standard output that is closed", expected="an open one for --out -")
    return sys.stdout.buffer


@app.command()
def ask(
    image: Annotated[str, typer.Argument(help="A photo, video or landmark file.", show_default=False)],
    question: Annotated[
        str, typer.Argument(help='For instance "What is the emotion of this face?"', show_default=False)
    ],
    model: ModelOption = DEFAULT_MODEL,
    cropped: CroppedOption = False,
    landmarks_only: LandmarksOnlyOption = False,
    threads: ThreadsOption = None,
    device: DeviceOption = "cpu",
    precision: PrecisionOption = None,
    frames: Annotated[
        int | None,
        typer.Option(help="Most frames of a video in one answer.", show_default="all that fit", min=1),
    ] = None,
    decoder: Annotated[
        bool, typer.Option("--decoder", help="The language model's own answer, held against nothing.")
    ] = False,
    teacher: Annotated[
        str | None, typer.Option(help="Let a chat server answer, and hold its words against the measurement.")
    ] = None,
    served_as: Annotated[str | None, typer.Option(help="The server's name of its model.")] = None,
    key_env: Annotated[str | None, typer.Option(help="Environment variable that holds the key.")] = None,
) -> None:
    """Ask anything about the faces of a picture or a clip, and print the answer.

    Answers come from the measurement; what no face can tell is declined. Without a place the largest face is meant,
    without a time the middle frame of a clip. Exit status 0 answered, 3 declined, 1 not understood, 2 wrong use.
    """
    if teacher is not None:
        from mien.analyze.analyzer import Analyzer
        from mien.app.verify_command import ask_teacher

        ask_teacher(image, question, Analyzer(model, threads=threads), (teacher, served_as, key_env), cropped)
        return
    from mien.analyze.analyzer import ask as ask_model

    answer = ask_model(
        image,
        question,
        model,
        cropped=cropped,
        landmarks_only=landmarks_only,
        threads=threads,
        frames=frames,
        device=device,
        precision=precision,
        decoder=decoder,
    )
    say(answer.text)
    if len(answer.times) > 1:
        first, last = answer.times[0], answer.times[-1]
        say(f"about {len(answer.times)} frames of the video, {first:.1f} s to {last:.1f} s", err=True)
    elif answer.times:
        say(f"about one frame of the video, at {answer.times[0]:.1f} s", err=True)
    if answer.scores:
        best = sorted(answer.scores.items(), key=lambda pair: -pair[1])[:3]
        say("likelihoods: " + ", ".join(f"{name} {share:.2f}" for name, share in best), err=True)
    if answer.status == "unparsed":
        say(f"No label could be read in this answer: {answer.reason}.", err=True)
    raise typer.Exit({"answered": 0, "declined": 3, "unparsed": 1}[answer.status])


@app.command()
def verify(
    text: Annotated[
        str,
        typer.Argument(
            help="A text, a .txt file, or .jsonl with text and image per line.", show_default=False
        ),
    ],
    image: Annotated[str | None, typer.Option(help="The picture or clip that the text is about.")] = None,
    model: ModelOption = DEFAULT_MODEL,
    cropped: CroppedOption = False,
    threads: ThreadsOption = None,
    as_json: Annotated[bool, typer.Option("--json", help="One JSON object per text.")] = False,
    fail: Annotated[
        bool, typer.Option("--fail-on-contradiction", help="Exit status 1 when a statement is contradicted.")
    ] = False,
) -> None:
    """Hold what a text says about a face against what is measured on it.

    Exit status 0; 1 when some rows could not be verified (or are contradicted, with --fail-on-contradiction); 2 when
    none could, as for a picture that is not there.
    """
    from mien.analyze.analyzer import Analyzer
    from mien.app.verify_command import run_verify

    rows, contradicted, failed = run_verify(text, image, Analyzer(model, threads=threads), as_json, cropped)
    raise typer.Exit(2 if failed == rows else 1 if failed or (fail and contradicted) else 0)


@app.command()
def doctor() -> None:
    """Check this installation: versions, weights, optional packages, and a self-test with timings.

    Exit status 0 when the core works, 2 when it does not; missing extras are no fault.
    """
    from mien.app.doctor import examine, show

    checks = examine()
    show(checks)
    raise typer.Exit(2 if any(check.state == "bad" for check in checks) else 0)


@app.command()
def train(
    recipe: Annotated[
        str, typer.Argument(help="pocket, facephi, emola, emo-llama, au-llava, expllm, or a YAML file.")
    ],
    out: Annotated[Path, typer.Option("--out", "-o", help="Run folder; a killed run goes on from it.")],
    changes: Annotated[
        list[str] | None, typer.Argument(help="key=value entries of the recipe, such as stages.0.epochs=2.")
    ] = None,
    scale: Annotated[str, typer.Option(help="tiny, small, base or paper; pocket has one scale.")] = "small",
    renders: Annotated[Path | None, typer.Option(help="Shards that tools/render_faces.py wrote.")] = None,
    data: Annotated[Path | None, typer.Option(help="Folder of the data packs; default $MIEN_DATA.")] = None,
) -> None:
    """Train a model by its recipe."""
    from mien.app.train_command import run_recipe

    say(run_recipe(recipe, renders, out, data, scale=scale, changes=changes or ()))


@models_app.command("list")
def models_list(folders: FoldersArgument = None) -> None:
    """List the models with size and licence, and those in the folders that are named."""
    from mien.app.models.command import show_list

    show_list(folders or ())


@models_app.command("info")
def models_info(name: NameArgument) -> None:
    """Describe one model: what it is, what it measures, files, licence, source."""
    from mien.app.models.command import show_info

    show_info(name)


@models_app.command("verify")
def models_verify(folders: FoldersArgument = None) -> None:
    """Compare every weight file with its recorded checksum; exit status 1 when one differs.

    Of a trained or imported model also: whether its weights are those that its configuration describes, and whether
    the outside nets that it reads are there.
    """
    from mien.app.models.command import show_verification

    raise typer.Exit(0 if show_verification(folders or ()) else 1)


def _occupy_closed_streams() -> None:
    """Keep the numbers of streams that the caller closed from files of the run, and let messages lead nowhere."""
    for stream in (sys.stdin, sys.stdout, sys.stderr):
        if stream is None:
            os.open(os.devnull, os.O_RDWR)  # takes the lowest number that is free
    if sys.stderr is None:
        sys.stderr = open(os.devnull, "w", encoding="utf-8")


def main() -> None:
    """Entry point: errors that mien raises on purpose are printed without a traceback."""
    _occupy_closed_streams()
    try:
        app()
    except MienError as error:
        say(f"Error: {error}", err=True)
        raise SystemExit(2) from None
    except KeyboardInterrupt:
        raise SystemExit(_INTERRUPTED) from None
    except BrokenPipeError:
        give_up(sys.stdout)  # the reader of our output (head, less) has gone
        raise SystemExit(0) from None
    except OSError as error:  # a name that the system refuses: too long, in a folder that may not be entered
        told = BadInput(got=f"{error.filename} ({error.strerror})", expected="a path of this system")
        if error.filename is None:
            where = _NAMELESS.get(error.errno or 0)
            if where is None:
                raise
            if error.errno == errno.ENOSPC:
                give_up(sys.stdout)
            told = BadInput(got=f"{where} ({error.strerror})", expected="space and a folder that is there")
        say(f"Error: {told}", err=True)
        raise SystemExit(2) from None
