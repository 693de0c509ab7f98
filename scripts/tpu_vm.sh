#!/usr/bin/env bash
# Never run on a pod: tested with a stub of gcloud (tests/test_scripts.py).
#
# Trains on a slice of TPU VMs: makes it or finds it, copies this checkout to all
# of its hosts, starts the same command on each, shows what they say, and starts
# again, on a new slice if need be, until training has come to its end.
#
#   TPU_NAME=inception ZONE=us-west4-a ACCELERATOR_TYPE=v5litepod-64 \
#     scripts/tpu_vm.sh --config=configs/googlenet_bn_imagenet_v5e64.py \
#     --workdir=gs://BUCKET/runs/bn --config.data.data_dir=gs://BUCKET/data
#
# RUNTIME_VERSION  software of the VMs; v2-alpha-tpuv5-lite is for v5e
# SPOT=0           takes a slice that is not taken away again, for more money
#
# Google calls this API no longer under active development. It serves v2 to v6e;
# for later ones, and wherever there is a cluster, see gke_jobset.yaml.
set -euo pipefail

: "${TPU_NAME:?set it to a name for the slice}"
: "${ZONE:?set it to a zone that has such TPUs}"
: "${ACCELERATOR_TYPE:?set it to a type, such as v5litepod-64}"
RUNTIME_VERSION=${RUNTIME_VERSION:-v2-alpha-tpuv5-lite}
SPOT=${SPOT:-1}
SECONDS_BETWEEN=${SECONDS_BETWEEN:-30}
if (($# == 0)); then
  echo 'give the arguments of the training command, such as --config=…' >&2
  exit 1
fi

here=$(cd "$(dirname "$0")/.." && pwd)
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT

tpu() { # ACTION [ARGUMENT...]
  local action=$1
  shift
  gcloud compute tpus tpu-vm "$action" "$TPU_NAME" --zone="$ZONE" "$@"
}

state() { # READY, PREEMPTED, ...; nothing where there is no slice
  tpu describe --format='value(state)' 2>/dev/null || true
}

create() {
  local more=()
  ((SPOT)) && more=(--spot)
  # A notice of maintenance becomes SIGTERM, after which training saves.
  tpu create --accelerator-type="$ACCELERATOR_TYPE" \
    --version="$RUNTIME_VERSION" --autocheckpoint-enabled "${more[@]}"
}

on_all() { # COMMAND
  tpu ssh --worker=all --command="$1"
}

install() {
  git -C "$here" archive --format=tar.gz --output="$work/code.tar.gz" HEAD
  gcloud compute tpus tpu-vm scp "$work/code.tar.gz" "$TPU_NAME:" \
    --zone="$ZONE" --worker=all
  on_all "mkdir -p inception_jax && tar -xzf code.tar.gz -C inception_jax &&
    cd inception_jax && python3 -m venv .venv &&
    .venv/bin/pip install --quiet 'jax[tpu]' -e '.[data,gcs]'"
}

ready() { # makes the slice, and all that is on it, if it is not there
  while true; do
    case $(state) in
    READY) return ;;
    '') create && install && return ;;
    CREATING | STARTING | RESTARTING | REPAIRING) ;;
    *) tpu delete --quiet ;; # PREEMPTED, TERMINATED, STOPPED
    esac
    sleep "$SECONDS_BETWEEN"
  done
}

command='cd inception_jax && .venv/bin/python main.py'
for argument in "$@"; do
  command+=" $(printf '%q' "$argument")"
done
# gcloud's own status does not tell the statuses of the hosts apart.
# shellcheck disable=SC2016  # They are the hosts' own.
command+='; echo "exit status $? of $(hostname)"'

while true; do
  ready
  on_all "$command" 2>&1 | tee "$work/log" || true
  if grep -q '^exit status 1 ' "$work/log"; then
    echo 'training cannot go on: see the sentence that begins with "error:"' >&2
    exit 1
  fi
  if grep -q '^exit status 0 ' "$work/log" &&
    ! grep '^exit status ' "$work/log" | grep -qv '^exit status 0 '; then
    echo 'training has come to its end; the slice costs money until it is' \
      "deleted: gcloud compute tpus tpu-vm delete $TPU_NAME --zone=$ZONE"
    exit 0
  fi
  # 75 and 143 resume; so does what ended without a word.
  echo "stopped; the slice is $(state || true); starting again" >&2
  sleep "$SECONDS_BETWEEN"
done
