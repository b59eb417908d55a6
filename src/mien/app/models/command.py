"""``mien models``: what models there are, where they come from, and whether their files are intact."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import chain
from pathlib import Path
from typing import Literal, cast

from rich.console import Console
from rich.table import Table

from mien.app.models.folders_shown import folder_facts, folder_row, folder_states
from mien.app.terminal import shown
from mien.core.aus import AUS
from mien.core.errors import BadConfig, MissingWeights
from mien.core.paths import face_weights, pocket_weights

__all__ = ["WeightFile", "WeightSet", "show_info", "show_list", "show_verification", "weight_sets"]

_MANIFEST, _BUNDLE = "manifest.json", "bundle.json"
_MB = 1e6
_WITHOUT_WEIGHTS = "rules"
_ABOUT = {
    "pocket": "small multimodal language model: --model pocket",
    "rules": "landmark geometry and EMFACS rules, nothing learned: --model rules",
}
State = Literal["ok", "missing", "changed"]


@dataclass(frozen=True, slots=True)
class WeightFile:
    """One weight file as its manifest records it."""

    path: Path
    sha256: str
    size: int
    """Bytes."""
    title: str
    source: str

    def check(self) -> State:
        """Compare the file on disk with its checksum."""
        try:
            content = self.path.read_bytes()
        except OSError:
            return "missing"
        return "ok" if hashlib.sha256(content).hexdigest() == self.sha256 else "changed"


@dataclass(frozen=True, slots=True)
class WeightSet:
    """A folder of weights with its manifest."""

    name: str
    license: str
    origin: str
    files: tuple[WeightFile, ...]


def weight_sets() -> tuple[WeightSet, ...]:
    """The weights that come with this installation."""
    sets = [_read_manifest("face", face_weights() / _MANIFEST, _face_set)]
    if (pocket_weights() / _BUNDLE).is_file():
        sets.append(_read_manifest("pocket", pocket_weights() / _BUNDLE, _pocket_set))
    return tuple(sets)


def _read_manifest(
    name: str, path: Path, parse: Callable[[str, Path, Mapping[str, object]], WeightSet]
) -> WeightSet:
    try:
        return parse(name, path.parent, json.loads(path.read_text(encoding="utf-8")))
    except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
        raise MissingWeights(
            got=f"{path}, which cannot be read ({type(error).__name__}: {error})",
            expected="the manifest that belongs to the weights",
            fix="Install mien again: pip install --force-reinstall mien",
        ) from error


def _face_set(name: str, folder: Path, manifest: Mapping[str, object]) -> WeightSet:
    files = cast("Mapping[str, Mapping[str, object]]", manifest["files"])
    listed = tuple(
        WeightFile(
            folder / file,
            str(entry["sha256"]),
            int(cast(int, entry["bytes"])),
            str(entry.get("title", file)),
            str(entry.get("source", "")),
        )
        for file, entry in files.items()
    )
    return WeightSet(name, str(manifest["license"]), str(manifest["wheel"]), listed)


def _pocket_set(name: str, folder: Path, bundle: Mapping[str, object]) -> WeightSet:
    sums = cast("Mapping[str, str]", bundle["sha256"])
    listed = tuple(
        WeightFile(folder / file, sha256, _size_of(folder / file), file, "trained by this project")
        for file, sha256 in sums.items()
    )
    return WeightSet(name, str(bundle.get("license", "Apache-2.0")), "trained by this project", listed)


def _size_of(path: Path) -> int:
    return path.stat().st_size if path.is_file() else 0


def show_list(folders: Sequence[Path] = (), console: Console | None = None) -> None:
    """Print every reader and weight set, or the models in folders."""
    from mien.backends.base import READERS

    console = console or Console()
    if folders:
        table = Table("folder", "what it is", "size", "weights", box=None, pad_edge=False)
        for row in map(folder_row, folders):
            table.add_row(*map(shown, row))
        console.print(table, highlight=False)
        return
    sets = {one.name: one for one in weight_sets()}
    table = Table("name", "what it is", "size", "licence", box=None, pad_edge=False)
    for name in READERS:
        weights = sets.get(name)
        size = _size(weights) if weights or name != _WITHOUT_WEIGHTS else "no weights"
        licence = weights.license if weights else "Apache-2.0"
        table.add_row(name, _ABOUT.get(name, "reads faces"), size, licence)
    face = sets["face"]
    table.add_row("face", "finds faces and their 478 points; always used", _size(face), face.license)
    console.print(table, highlight=False)


def _size(weights: WeightSet | None) -> str:
    return "weights absent" if weights is None else f"{sum(file.size for file in weights.files) / _MB:.1f} MB"


def show_info(name: str, console: Console | None = None) -> None:
    """Print all about one model: a name, a run, or a model folder.

    Raises:
        BadConfig: no such model.
        MissingWeights: the model in the folder is damaged.
    """
    from mien.backends.base import READERS

    console = console or Console()
    sets = {one.name: one for one in weight_sets()}
    facts: Iterator[tuple[str, str]]
    if name in READERS or name in sets:
        read = _reader_facts(name) if name in READERS else iter(())
        facts = chain(read, _weight_facts(sets.get(name)))
    elif Path(name).is_dir():
        facts = folder_facts(Path(name))
    else:
        known = ", ".join([*READERS, "face"])
        raise BadConfig(
            got=f"model {name!r}",
            expected=f"one of {known}, a run, or a model folder",
            fix="See `mien models list`",
        )
    table = Table(show_header=False, box=None, pad_edge=False, padding=(0, 2, 0, 0))
    table.add_row("name", shown(name))
    for key, value in facts:
        table.add_row(key, shown(value))
    console.print(table, highlight=False)


def _reader_facts(name: str) -> Iterator[tuple[str, str]]:
    from mien.backends.base import open_reader

    reader = open_reader(name)
    about = (type(reader).__doc__ or "").strip().split("\n\n")[0]
    yield "about", " ".join(about.split())
    yield "face crop", f"{reader.crop_size} x {reader.crop_size} px"
    yield "Action Units", "\n".join(f"{AUS[key].key} {AUS[key].name}" for key in reader.aus)


def _weight_facts(weights: WeightSet | None) -> Iterator[tuple[str, str]]:
    if weights is None:
        yield "weights", "none"
        return
    yield "licence", weights.license
    yield "origin", weights.origin
    for file in weights.files:
        yield file.path.name, f"{file.title}; {file.size / _MB:.2f} MB; sha256 {file.sha256}"


def show_verification(folders: Sequence[Path] = (), console: Console | None = None) -> bool:
    """Print the state of every weight file, of the installation or of models in folders.

    Returns:
        True when all are as recorded and nothing is missing; a file without a record is no fault.
    """
    console = console or Console()
    table = Table("file", "state", "sha256", box=None, pad_edge=False)
    states: list[str] = []
    if folders:
        for place, found, detail in chain.from_iterable(map(folder_states, folders)):
            states.append("ok" if found == "not recorded" else found)
            colour = {"ok": "green", "not recorded": "yellow"}.get(found, "red")
            table.add_row(shown(place), shown(found, colour), shown(detail))
        console.print(table, highlight=False)
        return all(state == "ok" for state in states)
    for weights in weight_sets():
        for file in weights.files:
            state = file.check()
            states.append(state)
            colour = "green" if state == "ok" else "red"
            table.add_row(
                f"{weights.name}/{file.path.name}", f"[{colour}]{state}[/{colour}]", file.sha256[:16]
            )
    console.print(table, highlight=False)
    return all(state == "ok" for state in states)
