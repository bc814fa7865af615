"""How the claims are shown: printed, as tables and as a figure, each with all that stands behind it."""

import csv
import subprocess
import sys

import pytest
from finished import finish

from repro.cli import main
from repro.configs.profiles import PROFILES
from repro.errors import UsageError
from repro.execution import listing_claims
from repro.report import figures_claims, sections_claims
from repro.results import claims, verdicts
from repro.results.claim_rows import rows
from repro.results.lines import SIZES

pytestmark = pytest.mark.usefixtures("folder")

PAPER = SIZES[0]
LINES = {line.id: line for claim in claims.CLAIMS for line in claim.lines}


def test_the_command_line_starts_at_once_and_without_torch():
    script = (
        "import sys, time; from repro.cli import main; assert main(['claims']) == 0; "
        "assert not {'torch', 'pandas', 'scipy'} & set(sys.modules); assert time.process_time() < 2"
    )
    subprocess.run([sys.executable, "-c", script], check=True, capture_output=True)


def test_every_line_is_printed_with_its_command_or_what_it_lacks(capsys):
    assert main(["claims"]) == 0
    text = capsys.readouterr().out
    smallest = claims.SIZES[-1].name
    for claim in claims.CLAIMS:
        assert f"{claim.words} ({claim.paper}, {claim.place}): not run" in text
        for line in claim.at(smallest):
            assert f"{line.id}  not run: {line.effect}" in text
            command = f"repro run --claim {line.id} --profile {smallest}"
            assert (command in text) is not bool(line.lacking(smallest))
            assert line.lacking(smallest) in text
    assert text.splitlines()[-1] == f"not run: {len(claims.CLAIMS)}"


def search_errors(first, second, apart=1.0):
    """Finish D2a's runs and the gate's: searches with these errors, cells that differ by so many points."""
    for order, errors in ((1, first), (2, second)):
        for search, error in enumerate(errors):
            for seed in (0, 1):
                result = {"test_error": error + 0.05 * seed}
                finish("cifar10-eval", result, genotype=f"run:cifar10-search/order={order},seed={search}", seed=seed)
    for cell in range(16):
        for seed in (0, 1):
            genotype = f"run:cifar10-random/samples=1,seed={cell}"
            finish("cifar10-eval", {"test_error": 30.0 + apart * cell + 0.05 * seed}, genotype=genotype, seed=seed)


def test_a_verdict_is_printed_with_all_that_stands_behind_it(capsys):
    search_errors((30.0, 31.0, 32.0, 35.0), (29.0, 30.1, 30.9))
    assert main(["claims", "--profile", "short"]) == 0
    lines = capsys.readouterr().out.splitlines()
    place = next(place for place, line in enumerate(lines) if line.startswith("  D2a"))
    assert lines[place - 1].endswith("(DARTS, Tables 1, 2): open at short")
    assert lines[place] == "  D2a  holds: first order minus second order, CIFAR-10"
    # differences 1.0, 0.9 and 1.1: t at 2 degrees of freedom is 5.643 at 98.5 %
    arms, unit = "31.02 minus 30.03", "points of error, short"  # 31 and 30, and a half of 0.05 of the trainings
    assert lines[place + 1] == f"       effect 1.00 = {arms} ({unit}), 97 % interval 0.67 to 1.33; L 0, U 0.5"
    assert lines[place + 2].startswith(
        "       n 3 (of 3, then 14), m 2; spread between units 0.98; between trainings 0.035; in the paper 0.24; Holm's"
    )
    assert lines[place + 3] == "       repro run --claim D2a --profile short"
    main(["claims", "--profile", "paper"])
    assert "D2a  not run" in capsys.readouterr().out


def test_where_random_cells_are_alike_the_verdict_and_the_gate_say_so(capsys):
    search_errors((30.0, 31.0, 32.0), (29.0, 30.1, 30.9), apart=0.0)
    assert main(["claims", "--profile", "short"]) == 0
    said = capsys.readouterr().out
    assert "  D2a  cannot be told at this size: first order minus second order, CIFAR-10" in said
    assert "the random cells cannot be told apart, p = 1" in said
    assert "p of the gate 1.00" in said


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["claims", "--profile", "smoke"], "'smoke' is wrong: choose one of desk, short, paper"),
        (["run", "--claim", "D2a"], "runs of the profile smoke decide no claim: take --profile"),
        (
            ["run", "--claim", "D22", "--profile", "short"],
            "unknown claim or line of one at short 'D22': did you mean 'D2",
        ),
        (["run", "--claim", "D7b", "--profile", "short"], "unknown claim or line of one at short 'D7b'"),
        (
            ["run", "--claim", "S6", "--profile", "desk"],
            "S6a cannot be run at desk: its parameters at desk are not chosen",
        ),
        (
            ["run", "--claim", "S4b", "--profile", "short"],
            "S4b cannot be run at short: no run rescales a uniform network",
        ),
        (["run", "--claim", "D2a", "--all"], "one of the three"),
        (["run", "--claim", "D2a", "cifar10-eval"], "one of the three"),
        (["run", "--claim", "D2a", "--profile", "short", "-p", "epochs=1"], "-p and --seeds go with experiments"),
        (["run", "--claim", "D2a", "--profile", "short", "--seeds", "0"], "-p and --seeds go with experiments"),
    ],
)
def test_bad_input_is_one_line(arguments, said, capsys, folder):
    try:
        status = main(arguments)
    except SystemExit as end:
        status = end.code
    assert status == 2
    assert said in capsys.readouterr().err
    assert not folder.exists()


def test_a_size_decides_only_where_it_is_told_to():
    with pytest.raises(UsageError, match="decide no claim"):
        claims.answers("smoke")
    assert {size.name for size in SIZES} <= {*PROFILES}


def test_tables_and_figure_hold_every_line_and_the_mark_of_its_size(tmp_path):
    search_errors((30.0, 31.0, 32.0, 35.0), (29.0, 30.1, 30.9))
    sections_claims.show(tmp_path)
    answers = claims.headlines()
    with open(tmp_path / "tables" / "claims.csv", encoding="utf-8") as file:
        numbers = {row["line"]: row for row in csv.DictReader(file)}
    assert list(numbers) == [line.id for answer in answers for line in answer.claim.at(answer.size.name)]
    row = numbers["D2a"]
    assert (row["verdict"], row["size"], row["n"], row["looks"]) == ("holds", "short", "3", "3, then 14")
    assert [float(value) for value in row["units"].split(";")] == pytest.approx([1.0, 0.9, 1.1])
    assert float(row["effect"]) == pytest.approx(1.0)
    told, work = [line for line in (tmp_path / "tables" / "claims.md").read_text().splitlines() if "| D2a:" in line]
    assert "| 1.00 [0.67, 1.33] (points of error) | 0.24 | holds (short) | first order minus" in told
    assert "`repro run --claim D2a --profile short`" in work
    assert "| 31.02 minus 30.03 |" in work
    assert (tmp_path / "tables" / "claims.tex").read_text().startswith("\\begin{tabular}")
    figure = figures_claims.claims(rows(answers))
    assert "D2a holds" in figure.get_label()
    assert sum(len(axes.get_yticks()) for axes in figure.axes) == len(numbers)


def test_the_paper_bears_no_mark_and_says_how_its_bounds_differ():
    estimate = verdicts.Estimate(0.24, 0.12, 0.36, 0.01)
    verdict = verdicts.Verdict(LINES["D2a"], PAPER, verdicts.HOLDS, n=(14, 14), estimate=estimate)
    answer = verdicts.Answer(claims.CLAIMS[1], PAPER, verdicts.HOLDS, (verdict,))
    (row,) = rows([answer])
    assert sections_claims.effect(row) == "0.24 [0.12, 0.36] (points of error)"
    assert (row["L"], row["U"]) == (0, pytest.approx(0.1))
    text = "\n".join(listing_claims.claims([answer]))
    assert "At paper, bounds of errors on CIFAR-10 are 0.2 times those first written down" in text
    assert sections_claims.sentence([answer]) == "Of 1 claims, holds: **1** (D2)."
