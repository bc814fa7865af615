"""What was run: the run directory, what identifies a run, where its numbers come from, and how far it is.

Read `directory` first (parameters, metrics, result), then `identity` (which runs are the same) and `run` (where they
are), `locks` (who is at work), `provenance` and `failure` (what is kept beside the numbers), `states` (done, running,
failed), `merge` and `removal`. `snapshot` lets all of them be read once. No torch: a run is read, listed and merged
where nothing can be computed.

Public: `run.read_run`, `run.folders`, `run.Run`.
"""
