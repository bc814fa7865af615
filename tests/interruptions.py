"""Ctrl-C at a chosen moment, for tests."""

from contextlib import contextmanager
from itertools import count
from unittest import mock

import pytest


@contextmanager
def interrupted(owner, name, at):
    """Raise KeyboardInterrupt in the `at`-th call of the owner's function `name`, and expect it here."""
    function, calls = getattr(owner, name), count(1)

    def stop(*arguments):
        if next(calls) == at:
            raise KeyboardInterrupt
        return function(*arguments)

    with mock.patch.object(owner, name, stop), pytest.raises(KeyboardInterrupt):
        yield
