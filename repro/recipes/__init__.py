"""One function per experiment, `(params, run) -> result`: recipes compose, the other modules compute."""
