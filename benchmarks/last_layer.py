"""The fitted last layer beside scikit-learn on the same features.

Runs the training command with all but the classifier frozen, twice: with the
features to compute, and with them kept. Then scikit-learn standardises the kept
features and fits its own logistic regression, whose penalty it chooses by five
folds too. Prints one JSON object and, with `--output`, keeps it.

  python benchmarks/last_layer.py --output=benchmarks/results/last_layer.json \
      --config=configs/folder.py --config.init_from=GOOGLE \
      --config.data.name=NAME [--config.FIELD=value ...]
"""

import argparse
import json
import pathlib
import shutil
import subprocess
import sys
import tempfile
import time

ROOT = pathlib.Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT))

import machine  # noqa: E402
import numpy as np  # noqa: E402
from sklearn import linear_model, pipeline, preprocessing  # noqa: E402
import threadpoolctl  # noqa: E402

import inception_jax  # noqa: E402
from inception_jax.experiment import experiment  # noqa: E402


def main() -> None:
  parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
  parser.add_argument('--output')
  arguments, rest = parser.parse_known_args()
  with tempfile.TemporaryDirectory() as folder:
    runs = [pathlib.Path(folder, name) for name in ('first', 'again')]
    config = None
    seconds = []
    for run in runs:
      command = [sys.executable, 'main.py', f'--workdir={run}', *rest]
      start = time.perf_counter()
      process = subprocess.run(
        command, cwd=ROOT, capture_output=True, text=True, check=False
      )
      seconds.append(round(time.perf_counter() - start, 1))
      if process.returncode:
        sys.exit(process.stderr)
      if config is None:  # The features are of the first run's weights.
        config = json.loads((run / 'config.json').read_text())
    result = json.loads(process.stdout.splitlines()[-1])
    report = json.loads((runs[0] / 'last_layer.json').read_text())
    record = {
      **machine.environment(('scikit-learn',)),
      'seconds': seconds[0],
      'seconds_with_features_kept': seconds[1],
      'evaluation': result['evaluation']['raw'],
      'left_out_top1': report['top1'],
      'strength': report['strength'],
      'num_train_images': report['num_images'],
      'scikit_learn': peer(config, runs[0]),
    }
  features = pathlib.Path(config['init_from'], 'features')
  shutil.rmtree(features)  # The next measurement computes them again.
  machine.keep(record, arguments.output)


def peer(config: dict, run: pathlib.Path) -> dict:
  """What scikit-learn makes of the features of the same network.

  Args:
    config: whose data it trains and is evaluated on.
    run: a run with the same features.
  """
  dataset = experiment.create_experiment(config).dataset
  network = inception_jax.load_run(run)
  train, test = (
    _features(network, records, dataset.eval_crop)
    for records in (dataset.train, dataset.eval)
  )
  start = time.perf_counter()
  with threadpoolctl.threadpool_limits(1):
    model = pipeline.make_pipeline(
      preprocessing.StandardScaler(),
      linear_model.LogisticRegressionCV(
        Cs=np.logspace(-4, 1, 11),
        cv=5,
        scoring='neg_log_loss',
        max_iter=2000,
        n_jobs=-1,
      ),
    ).fit(*train)
  seconds = time.perf_counter() - start
  return {
    'top1': float(np.mean(model.predict(test[0]) == test[1])),
    'strength': float(np.ravel(model[-1].C_)[0]),
    'seconds_of_fitting': round(seconds, 1),
  }


def _features(network, records, crop) -> tuple[np.ndarray, np.ndarray]:
  """`avg_pool` of all images and their labels, without the run's own code."""
  from inception_jax.data import pipeline as batches

  found, labels = [], []
  for start in range(0, len(records), 50):
    indices = np.arange(start, min(start + 50, len(records)))
    images = batches.eval_images(records, indices, crop)
    features = network.inference.end_point(images, 'avg_pool')
    found.append(features.reshape(len(indices), -1))
    labels.append(records.read(indices)[1])
  return np.concatenate(found), np.concatenate(labels)


if __name__ == '__main__':
  main()
