"""Run a whole profile on SLURM: Dask's scheduler in this process, one job with one GPU for each worker.

    pip install -r requirements.lock -e '.[cluster]' dask-jobqueue
    repro certificates ~/.repro-tls
    python examples/slurm/dask_cluster.py --tls ~/.repro-tls --workers 16 -- --all --profile paper --seeds 0,1,2,3

What stands after `--` goes to `repro run`. Start it on a login node, within tmux: it waits for its workers and needs
little. Repository, environment and runs folder lie on a file system that all nodes share. When a worker reaches its
time limit another is asked for, and its run goes on from its checkpoint. After Ctrl-C the same command goes on with
everything.
"""

import argparse
import subprocess
import sys
from pathlib import Path

import dask
from dask_jobqueue import SLURMCluster

from repro.execution import tls
from repro.execution.workers import DEATHS


def main() -> int:
    """Start the scheduler, ask SLURM for workers, and run."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--tls", required=True, help="certificate of the cluster, on the shared file system")
    parser.add_argument("--workers", type=int, default=4)
    parser.add_argument("--partition", default="gpu")
    parser.add_argument("--walltime", default="24:00:00")
    parser.add_argument("run", nargs="+", help="options of repro run")
    options = parser.parse_args()
    dask.config.set({"distributed.scheduler.allowed-failures": DEATHS})
    with SLURMCluster(
        queue=options.partition,
        walltime=options.walltime,
        cores=1,  # threads of a worker: one run at a time
        processes=1,
        job_cpu=8,  # cores of the job: the run's own processes decode images
        memory="32GB",
        job_script_prologue=["export OMP_NUM_THREADS=8"],
        job_extra_directives=["--gres=gpu:1"],  # SLURM sets CUDA_VISIBLE_DEVICES to it
        worker_extra_args=["--memory-limit", "0"],  # the kernel takes the memory, and SLURM limits it
        python=sys.executable,
        protocol="tls://",
        security=tls.security(Path(options.tls)),
        scheduler_options={"dashboard_address": "127.0.0.1:0"},
    ) as cluster:
        cluster.adapt(minimum=options.workers, maximum=options.workers)  # replaces those that are lost
        command = [sys.executable, "-m", "repro.cli", "run", *options.run, "--cluster", cluster.scheduler_address]
        command += ["--tls", options.tls]
        return subprocess.run(command, check=False).returncode


if __name__ == "__main__":
    sys.exit(main())
