"""What the notebooks of DARTS say of their runs: one function (run) -> sentences for each, of that run's numbers alone.

Intervals are over what was measured on: another seed of the training adds to them.
"""

from repro.runs.run import Run

NEAR = 0.01  # as near to where a descent comes to rest counts as arrived


def bilevel_toy(run: Run) -> list[str]:
    """Say where the descents of Figure 2 ended, and which came nearest to the solution (1, 1)."""
    ends = run.result["ends"]
    best = min(ends, key=lambda end: abs(end["alpha"] - 1) + abs(end["weight"] - 1))
    away = [f"{end['xi']:g}" for end in ends if abs(end["alpha"] - end["fixed_point"]) > NEAR]
    still = f"; not yet there: xi = {', '.join(away)}" if away else ""
    return [
        f"Nearest to the solution (1, 1) ends xi = {best['xi']:g}, at ({best['alpha']:.3f}, {best['weight']:.3f}) "
        f"with a validation loss of {best['valid_loss']:.3f}.",
        *(
            f"Without a virtual step, xi = 0, alpha ends at {end['alpha']:.3f}: a validation loss of "
            f"{end['valid_loss']:.3f}."
            for end in ends
            if end["xi"] == 0 and end is not best
        ),
        f"After {run.params.steps} steps {len(ends) - len(away)} of {len(ends)} descents are within {NEAR:g} of the "
        f"fixed point that was worked out for them{still}.",
        "Nothing was drawn at random: another run gives the same numbers.",
    ]
