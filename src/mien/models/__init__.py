"""The composite language model, its evidence, and one file per system.

After ``import mien.models`` transformers' Auto classes (``AutoConfig``, ``AutoModel…``, ``AutoProcessor``) open its
folders. Neither torch nor transformers is loaded for that: they learn of the composite when transformers is.
"""

from __future__ import annotations

import sys
from collections.abc import Sequence
from importlib import import_module
from importlib.abc import MetaPathFinder
from importlib.machinery import ModuleSpec
from importlib.util import find_spec
from types import ModuleType

_COMPOSITE = f"{__name__}.composite"


def _register() -> None:
    # While the composite itself is being loaded, it is half made; it registers itself at its end.
    if _COMPOSITE not in sys.modules and find_spec("torch") is not None:
        import_module(f"{_COMPOSITE}.facial_lm")


class _WhenLoaded(MetaPathFinder):
    """Registers the composite once transformers has been imported."""

    asking = False

    def find_spec(
        self, fullname: str, path: Sequence[str] | None, target: ModuleType | None = None
    ) -> ModuleSpec | None:
        """Of transformers alone, as the other finders find it."""
        if fullname != "transformers" or self.asking:
            return None
        self.asking = True
        try:
            spec = find_spec(fullname)
        finally:
            self.asking = False
        if spec is not None and spec.loader is not None:
            execute = spec.loader.exec_module

            def loaded(module: ModuleType) -> None:
                execute(module)
                if self in sys.meta_path:
                    sys.meta_path.remove(self)
                _register()

            spec.loader.exec_module = loaded  # type: ignore[method-assign]
        return spec


if "transformers" in sys.modules:
    _register()
else:
    sys.meta_path.insert(0, _WhenLoaded())
