"""Experiments of SPOS at sizes that take a second."""

TINY = {"images": 200, "batch": 20, "iterations": 3, "width": 0.5}
SUPERNET = {**TINY, "valid_images": 50, "bn_images": 40, "evaluated_paths": 2}
NAMED = "run:spos-supernet/" + ",".join(f"{name}={value}" for name, value in SUPERNET.items())
SEARCH = {"supernet": NAMED, "bn_images": 40, "generations": 3, "population": 6}
SEARCH |= {"parents": 2, "mutation": 2, "crossover": 2}
