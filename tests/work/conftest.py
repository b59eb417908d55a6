"""The small engine of the annotation tests."""

from __future__ import annotations

import sys
from importlib.util import module_from_spec, spec_from_file_location
from pathlib import Path
from types import ModuleType

import pytest


@pytest.fixture(scope="session")
def toy() -> ModuleType:
    """The module of the small engine."""
    place = Path(__file__).parents[1] / "annotate" / "toy_run.py"
    found = spec_from_file_location("toy_run", place)
    assert found is not None
    assert found.loader is not None
    module = module_from_spec(found)
    sys.modules["toy_run"] = module
    found.loader.exec_module(module)
    return module
