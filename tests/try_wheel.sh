#!/usr/bin/env bash
# Trains two steps on noise with an installed wheel, from an empty folder.
#
#   bash tests/try_wheel.sh FOLDER_OF_PROGRAMS
set -euo pipefail
programs=$(cd "$1" && pwd)
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
cd "$folder"
if "$programs/python" -c 'import tensorflow' 2>/dev/null; then
  echo 'the environment has TensorFlow; use an empty one' >&2
  exit 1
fi
"$programs/inception-jax" --config=fake_data --workdir=run \
  --config.model.name=inception_v1_bn_shallow --config.model.width=0.05 \
  --config.data.image_size=32 --config.train.batch_size=8 \
  --config.train.eval_batch_size=8 --config.train.num_train_steps=2 |
  "$programs/python" -c '
import json, sys
import inception_jax

assert json.loads(sys.stdin.readlines()[-1])["step"] == 2
assert repr(inception_jax.load_run("run")).startswith("Run(")
print("inception_jax", inception_jax.__version__, "works from its wheel")
'
