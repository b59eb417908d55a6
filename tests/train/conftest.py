"""What tests of training share."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from transformers.utils import logging


@pytest.fixture(autouse=True)
def loud() -> Iterator[None]:
    """The command turns transformers' notes off for its process, which here is that of all tests."""
    level = logging.get_verbosity()
    yield
    logging.set_verbosity(level)
    logging.enable_progress_bar()
