"""`repro verify` on the single-path reference: it holds, and it notices what does not."""

from pathlib import Path

import numpy as np
import pytest

from repro.errors import ReproError
from repro.originals.vectors import read
from repro.originals.verify_spos import check

FILE = Path(__file__).parents[1] / "reference" / "spos_supernet.npz"


@pytest.fixture
def archive():
    return read(FILE)


def test_every_array_of_the_reference_holds(archive):
    findings = {name: (value, limit) for name, value, limit in check(archive)}
    assert set(findings) == {"logits_eval", "logits_train_dropout0", "loss", "path", "grad_norms"}
    assert all(value <= limit for value, limit in findings.values())


def test_another_path_and_another_weight_are_noticed(archive):
    first = archive["architecture"][0]
    other = archive | {"architecture": np.concatenate([[(first + 1) % 4], archive["architecture"][1:]])}
    wrong = {name for name, value, limit in check(other) if value > limit}
    assert {"logits_eval", "path", "grad_norms"} <= wrong
    moved = archive | {"weight/classifier.0.weight": archive["weight/classifier.0.weight"] * np.float32(1 + 1e-6)}
    assert "logits_eval" in {name for name, value, limit in check(moved) if value > limit}


def test_a_file_that_lacks_a_weight_is_one_clear_line(archive):
    del archive["weight/conv_last.0.weight"]
    with pytest.raises(ReproError, match="the checkpoint lacks conv_last.0.weight and 0 more"):
        list(check(archive))
