"""What the notebooks on architecture gradients say of their runs, of each run's numbers alone."""

from statistics import median

from repro.runs.run import Run


def truth(run: Run) -> list[str]:
    """Say how far each gradient was from the exact one at the minimum, and what that cost."""
    errors, seconds = run.result["errors"], run.result["seconds"]
    first, one = errors["first order"], errors["one step"]
    nearest = min(errors, key=errors.__getitem__)
    order = "nearer to the exact gradient than" if one < first else "farther from the exact gradient than"
    few = [name for name in errors if name.startswith("implicit") and int(name.split()[1]) <= 5]
    better = [name.split()[1] for name in few if errors[name] < first]
    return [
        f"At the minimum of the small network DARTS's one step ends {order} the first order: relative errors of "
        f"{one:.2f} and {first:.2f}.",
        f"Of Neumann series with up to five terms, {len(better)} of {len(few)} are nearer than the first order"
        + (f" ({', '.join(better)})." if better else "."),
        f"The nearest is {nearest}, with {errors[nearest]:.2g}; a gradient of it takes "
        f"{seconds[nearest] / seconds['first order']:.0f} times as long as one of first order, one step "
        f"{seconds['one step'] / seconds['first order']:.1f} times.",
        "One network and one start: another `seed` is another problem.",
    ]


def search(run: Run) -> list[str]:
    """Say how good Eq. 8 was along a search, at which eps it was best, and what the second term adds."""
    looks, cosines = [look for row in run.metrics() for look in row["looks"]], run.result["cosines"]
    middle, precise = ({float(eps): value for eps, value in cosines[name].items()} for name in ("float32", "float64"))
    best, smallest = max(middle, key=middle.__getitem__), min(precise)
    shares = [look["share"] for look in looks]
    return [
        f"The search was looked at {len(looks)} times, at steps {looks[0]['step']} to {looks[-1]['step']}. In "
        f"float32, as the search computes, "
        f"Eq. 8 had the highest median cosine with the exact derivative, {middle[best]:.3f}, at eps = {best:g}"
        + (f"; at the paper's 0.01 it was {middle[0.01]:.3f}." if 0.01 in middle and best != 0.01 else "."),
        f"At eps = {smallest:g} the median was {middle[smallest]:.3f} in float32, {precise[smallest]:.3f} in float64: "
        + (
            "rounding alone explains the error."
            if precise[smallest] > 0.999
            else "rounding does not explain the error. ReLU and max pooling have kinks, and a difference across one is "
            "divided by eps."
        ),
        f"The whole gradient of first order had a median cosine of {cosines['gradients']['first order']:.3f} with the "
        f"exact one; the second term's norm was {median(shares):.3f} of the first's.",
    ]
