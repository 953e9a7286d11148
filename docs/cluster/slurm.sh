#!/bin/bash
# A study on the nodes of a SLURM job: one Ray over all of them, started and stopped with the job.
#   sbatch docs/cluster/slurm.sh suite.toml
#SBATCH --job-name=vrnn-bench
#SBATCH --nodes=4
#SBATCH --ntasks-per-node=1
#SBATCH --exclusive
#SBATCH --gpus-per-node=8
#SBATCH --time=24:00:00
#SBATCH --requeue
# SIGTERM two minutes before the end: the study saves its progress, and the job is queued again.
#SBATCH --signal=B:TERM@120
set -euo pipefail

suite=$(realpath "${1:?usage: sbatch slurm.sh SUITE.toml}")
head=$(scontrol show hostnames "$SLURM_JOB_NODELIST" | head -n 1)
ray=$head:${RAY_PORT:-6379}
driver=$PWD/.vrnn-bench-$SLURM_JOB_ID.pid
export RAY_USAGE_STATS_ENABLED=0 MLFLOW_DISABLE_TELEMETRY=true
# Everyone who can reach Ray's ports could run code as you: this job's Ray accepts only its own token.
export RAY_AUTH_MODE=token RAY_AUTH_TOKEN
RAY_AUTH_TOKEN=$(od -An -N32 -tx1 /dev/urandom | tr -d ' \n')

# The driver runs on the first node, where this script runs too.
srun "${RAY:-ray}" symmetric-run \
  --address "$ray" --min-nodes "$SLURM_JOB_NUM_NODES" \
  -- bash -c 'echo $$ > "$0"; exec "$@"' "$driver" "${VRNN_BENCH:-vrnn-bench}" run --address "$ray" "$suite" &
step=$!

save_and_requeue() {
  # Signal the driver alone: Ray must outlive it, or nothing is saved.
  kill -TERM "$(cat "$driver")"
  wait "$step" || true
  rm -f "$driver"
  scontrol requeue "$SLURM_JOB_ID"
  exit 0
}
trap save_and_requeue TERM
status=0
wait "$step" || status=$?
rm -f "$driver"
exit "$status"
