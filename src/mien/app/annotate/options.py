"""The options that all data engines share, declared once.

This module is imported with the command line itself, so it imports nothing heavy.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable
from dataclasses import MISSING, dataclass, fields
from functools import wraps
from pathlib import Path
from typing import Annotated, Any, get_type_hints

import typer

from mien.app.data.options import OptionOption
from mien.app.options import RayOption

__all__ = ["RULES", "Job", "ReplyTokensOption", "with_job"]

RULES = "rules"
"""The teacher that needs no server."""


ReplyTokensOption = Annotated[
    int | None,
    typer.Option(help="Longest reply of a server in tokens; models that think aloud need thousands.", min=1),
]


@dataclass(frozen=True, slots=True)
class Job:
    """Which samples, which teacher, how many at once, within which limits."""

    dataset: Annotated[str, typer.Argument(help="A name of `mien data list`.", show_default=False)]
    out: Annotated[Path, typer.Option("--out", "-o", help="Folder of the run.", show_default=False)]
    root: Annotated[Path | None, typer.Option(help="Folder of your copy of the dataset.")] = None
    split: Annotated[str | None, typer.Option(help="Which split; needed where there are several.")] = None
    option: OptionOption = None
    limit: Annotated[int | None, typer.Option(help="Only the first N samples.", min=1)] = None
    teacher: Annotated[
        str, typer.Option(help="rules (offline), or a server's address such as http://localhost:8000/v1.")
    ] = RULES
    model: Annotated[str | None, typer.Option(help="The server's name of the model.")] = None
    key_env: Annotated[str | None, typer.Option(help="Environment variable that holds the key.")] = None
    workers: Annotated[int, typer.Option(help="Items at once.", min=1, max=512)] = 4
    rpm: Annotated[float | None, typer.Option(help="Most requests per minute.")] = None
    max_requests: Annotated[int | None, typer.Option(help="Stop before more requests.", min=0)] = None
    max_tokens: Annotated[int | None, typer.Option(help="Stop before more tokens.", min=0)] = None
    max_cost: Annotated[float | None, typer.Option(help="Stop before it costs more.", min=0)] = None
    price_in: Annotated[float, typer.Option(help="Price of a million input tokens.", min=0)] = 0.0
    price_out: Annotated[float, typer.Option(help="Price of a million output tokens.", min=0)] = 0.0
    retries: Annotated[int, typer.Option(help="Further tries of a request without a reply.", min=0)] = 6
    reply_tokens: ReplyTokensOption = None
    timeout: Annotated[float, typer.Option(help="Longest silence of the server in seconds.", min=0.1)] = 120.0
    stream: Annotated[bool, typer.Option("--stream", help="Read replies in pieces (slow models).")] = False
    threads: Annotated[
        int | None, typer.Option(help="Threads for measuring faces (default: half of the cores).", min=1)
    ] = None
    resume: Annotated[bool, typer.Option("--resume", help="Go on with a run that was stopped or killed.")] = (
        False
    )
    shard: Annotated[str, typer.Option(help="Do the i-th of n shares only, such as 2/8.")] = "1/1"
    ray: RayOption = None
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Send nothing: print the plan and what it would cost.")
    ] = False
    quiet: Annotated[bool, typer.Option("--quiet", "-q", help="Print errors only.")] = False


def with_job(command: Callable[..., None]) -> Callable[..., None]:
    """Give a command whose first argument is a `Job` the options of `Job` in its place."""
    hints = get_type_hints(Job, include_extras=True)
    shared = [
        inspect.Parameter(
            field.name,
            inspect.Parameter.KEYWORD_ONLY,
            default=inspect.Parameter.empty if field.default is MISSING else field.default,
            annotation=hints[field.name],
        )
        for field in fields(Job)
    ]
    own_hints = get_type_hints(command, include_extras=True)
    own = [
        parameter.replace(kind=inspect.Parameter.KEYWORD_ONLY, annotation=own_hints[parameter.name])
        for parameter in list(inspect.signature(command).parameters.values())[1:]
    ]

    @wraps(command)
    def merged(**values: Any) -> None:
        job = Job(**{field.name: values.pop(field.name) for field in fields(Job)})
        if job.ray is None:
            command(job, **values)
            return
        from mien.app.annotate.shares import annotate_shares

        annotate_shares(command.__name__, job, values)

    required = [one for one in shared if one.default is inspect.Parameter.empty]
    optional = [one for one in shared if one.default is not inspect.Parameter.empty]
    signature = inspect.Signature([*required, *own, *optional])
    merged.__signature__ = signature  # type: ignore[attr-defined]
    merged.__annotations__ = {name: one.annotation for name, one in signature.parameters.items()}
    return merged
