#!/usr/bin/env bash
# Slurm's Epilog: removes what prolog.sh brought for the job. The daemon's cache keeps it for the next one.
set -euo pipefail
export PATH=/usr/bin:/bin

jobs=${DFLY_JOBS:-/var/lib/dfly-jobs}
job=${SLURM_JOB_ID:-}

# nothing but one folder, named by a number, directly below ours
if [[ $job =~ ^[0-9]+$ && -d $jobs/$job && ! -L $jobs/$job ]]; then
    rm -rf --one-file-system -- "${jobs:?}/$job"
fi
exit 0
