#!/usr/bin/env bash
# Slurm's Prolog: brings the models that a job names to its nodes before it starts, as the job's own user.
#
#   sbatch --comment='dfly:hf://owner/model dfly:hf://owner/other@v2' job.sh
#
# They are in $DFLY_JOBS/<job id>/<name>; epilog.sh removes them. All nodes of a job ask the same seed peers, so the hub is asked
# once. A prolog that fails drains its node: what goes wrong is logged, and it is the job that finds its model missing.
set -euo pipefail
export PATH=${DFLY_PATH:-/opt/dfly/bin:/usr/bin:/bin}

jobs=${DFLY_JOBS:-/var/lib/dfly-jobs}
job=${SLURM_JOB_ID:-}
user=${SLURM_JOB_USER:-}

say() { logger --tag dfly-prolog -- "job $job: $*"; }

models=()
read -r -a words <<<"${SLURM_JOB_COMMENT:-}"
for word in "${words[@]}"; do
    # a URL whose last part can be a folder's name, and nothing that looks like a flag or leads out of the job's folder
    if [[ $word =~ ^dfly:([a-z][a-z0-9]*://[A-Za-z0-9._/@:?=%+-]*/([A-Za-z0-9][A-Za-z0-9._@-]*))$ ]]; then
        models+=("${BASH_REMATCH[1]} ${BASH_REMATCH[2]}")
    fi
done
[[ ${#models[@]} -gt 0 ]] || exit 0

if ! [[ $job =~ ^[0-9]+$ && $user =~ ^[a-z_][a-z0-9_.-]*$ ]]; then
    say "neither job nor user to bring a model for"
    exit 0
fi
if ! { mkdir -p "$jobs" && install -d -m 0700 -o "$user" "$jobs/$job"; }; then
    say "$jobs/$job cannot be made"
    exit 0
fi
for model in "${models[@]}"; do
    read -r url name <<<"$model"
    if runuser -u "$user" -- dfget "$url" -r -O "$jobs/$job/$name/" --quiet --timeout "${DFLY_PATIENCE:-1h}"; then
        say "$url is in $jobs/$job/$name"
    else
        say "$url did not come; what has arrived is kept, and the job's own dfget goes on there"
    fi
done
exit 0
