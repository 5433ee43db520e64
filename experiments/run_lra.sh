#!/usr/bin/env bash
# Runs a Long Range Arena task: everything that the store lacks, resumed where it was interrupted.
set -euo pipefail

usage() {
  cat >&2 <<'END'
usage: experiments/run_lra.sh TASK MIXER PROFILE SEEDS [OPTION ...]

  TASK     task to learn: listops, imdb (which is Text); "all"
  MIXER    one name, several as hml,attention, or "all"
  PROFILE  smoke, laptop or full
  SEEDS    such as "0 1 2" or 0,1,2; "all"
  OPTION   goes to `hml run`, such as --budget 9m or --log terminal

example: experiments/run_lra.sh listops hml,attention smoke "0 1" --log terminal
END
  exit 2
}

[ $# -ge 4 ] || usage
task=$1 mixer=$2 profile=$3
read -r -a seeds <<< "${4//,/ }"
shift 4
if [ -z "$task" ] || [ -z "$mixer" ] || [ -z "$profile" ] || [ ${#seeds[@]} -eq 0 ]; then usage; fi

choice=()
only=()
[ "$task" = all ] || only+=("task=$task")
[ "$mixer" = all ] || only+=("mixer=$mixer")
[ ${#only[@]} -eq 0 ] || choice+=(--only "${only[@]}")
[ "${seeds[*]}" = all ] || choice+=(--seeds "${seeds[@]}")

root=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
hml=$root/.venv/bin/hml
if [ ! -x "$hml" ]; then
  if command -v hml > /dev/null; then
    hml=$(command -v hml)
  else  # a fresh clone
    make -C "$root" install >&2
  fi
fi

# bash before 4.4 takes an empty array for an unset one
exec "$hml" run lra --profile "$profile" ${choice[@]+"${choice[@]}"} "$@"
