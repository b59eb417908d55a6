"""Where things lie: the package's own weights, the training data, keys of servers; and how a file is written whole."""

from __future__ import annotations

import os
import platform
import re
import secrets
import shutil
import stat
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from glob import escape
from pathlib import Path

from mien.core.errors import BadConfig, OutputFailed

__all__ = [
    "api_key",
    "data_root",
    "face_weights",
    "forget_killed",
    "let_read",
    "output_errors",
    "pocket_weights",
    "server_keys",
    "write_whole",
    "written_whole",
]

PACKAGE = Path(__file__).resolve().parent.parent
_UMASK = os.umask(0)
os.umask(_UMASK)


def face_weights() -> Path:
    """Folder of the converted MediaPipe nets."""
    return PACKAGE / "face" / "weights"


def pocket_weights() -> Path:
    """Folder of the embedded pocket model."""
    return PACKAGE / "models" / "weights" / "pocket"


def data_root() -> Path:
    """Folder of the training data packs: ``$MIEN_DATA``, else ``../shared/data`` beside the checkout.

    The folder need not exist: callers that need it say so.
    """
    configured = os.environ.get("MIEN_DATA")
    return Path(configured) if configured else PACKAGE.parents[2] / "shared" / "data"


@contextmanager
def output_errors(path: Path) -> Iterator[None]:
    """Turn a failing write into an `OutputFailed` that names ``path``."""
    try:
        yield
    except OSError as error:
        raise OutputFailed(
            got=f"{error.strerror or error} while writing {path}",
            expected="a writable folder with enough free space",
            fix="Free some space or choose another folder; a run that was begun goes on with --resume",
        ) from error


@contextmanager
def written_whole(path: Path, sweep: bool = True) -> Iterator[Path]:
    """A place beside ``path`` to write a file or a new folder to, which becomes ``path`` when the block ends well.

    The place is hidden, has ``path``'s suffix and is this writer's alone. When the block fails, by whatever
    exception, ``path`` is as it was and nothing is left behind; what a killed writer left is removed by the next.

    Args:
        path: the file or folder.
        sweep: False does not look for what killed writers left: for one of many files in a folder that was
            swept (`forget_killed`) before the first.

    Raises:
        OutputFailed: an `OSError` came out of the block or of the disk.
    """
    short = path.name[:40]  # a name holds 255 bytes at most
    writer = f".{short}.{platform.node()}+{os.getpid()}+{secrets.token_hex(3)}"
    partial = path.with_name(f"{writer}.part{path.suffix[:40]}")
    with output_errors(path):
        if sweep:
            forget_killed(path.parent, escape(short))
        try:
            yield partial
            let_read(partial)
            _flush(partial)
            os.replace(partial, path)
        finally:
            _remove(partial)


def write_whole(path: Path, content: str | bytes) -> Path:
    """Write text (UTF-8, line ends as they are) or bytes by `written_whole`, and return ``path``."""
    with written_whole(path) as partial:
        partial.write_bytes(content.encode() if isinstance(content, str) else content)
    return path


def let_read(path: Path) -> None:
    """Give files that their owner alone may read, as safetensors leaves them, the mode of any other new file."""
    for one in path.rglob("*") if path.is_dir() else [path]:
        if one.is_file() and stat.S_IMODE(one.stat().st_mode) == 0o600:
            one.chmod(0o666 & ~_UMASK)


def _remove(path: Path) -> None:
    if path.is_dir() and not path.is_symlink():
        shutil.rmtree(path)
    with suppress(NotADirectoryError):
        path.unlink(missing_ok=True)


def _flush(partial: Path) -> None:
    # Without it a machine that loses power may keep the new name and lose what it names.
    for one in [*partial.rglob("*"), partial] if partial.is_dir() else [partial]:
        if os.name == "posix" or one.is_file():
            handle = os.open(one, os.O_RDONLY if os.name == "posix" else os.O_RDWR)
            try:
                os.fsync(handle)
            finally:
                os.close(handle)


def forget_killed(folder: Path, pattern: str = "*") -> None:
    """Remove what killed writers of files of these names left in ``folder``."""
    # Only POSIX tells whether a process lives without touching it, and only about this machine's own.
    ours = f".{platform.node()}+"
    for torn in folder.glob(f".{pattern}{escape(ours)}*.part*") if os.name == "posix" else ():
        try:
            os.kill(int(torn.name.rpartition(ours)[2].split("+")[0]), 0)
        except ProcessLookupError:
            _remove(torn)
        except (PermissionError, ValueError, OverflowError):
            continue


def api_key(variable: str, required: bool = True) -> str:
    """The key in an environment variable, without blanks around it; to be sent to its server and kept nowhere.

    Args:
        variable: its name.
        required: False for a server that may want none: no value is an empty key then.

    Raises:
        BadConfig: there is none, or it cannot be a key. The message holds no part of it, nor of what may be one.
    """
    # Whoever gives the key itself in place of the variable's name must not read it again in a log.
    name = variable if re.fullmatch(r"[A-Z][A-Z0-9_]{0,40}", variable) else "that --key-env names"
    key = os.environ.get(variable, "").strip() if variable and "\0" not in variable else ""
    if not key and not required:
        return key
    if not key:
        raise BadConfig(
            got=f"no value in the environment variable {name}",
            expected="the key of the server",
            fix="Set it (--key-env takes the variable's name, never the key), or leave --key-env out "
            "where no key is needed",
        )
    if not re.fullmatch(r"[!-~]+", key):
        raise BadConfig(
            got=f"a key in the environment variable {name} with a line break, blank, control or non-ASCII "
            "character inside",
            expected="one key of printable ASCII characters",
            fix="Set the variable to the key alone, such as the first line of its file",
        )
    return key


def server_keys() -> list[str]:
    """The keys that may ask a server of mien: ``$MIEN_API_KEYS``, separated by commas or blanks."""
    return [key for key in re.split(r"[\s,]+", os.environ.get("MIEN_API_KEYS", "")) if key]
