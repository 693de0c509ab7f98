"""Few images of one's own: last layer and whole network, over several draws.

Draws so many images a class from a folder `train/CLASS/*`, prepares them, and
gives the commands of the README, each in a process of its own. What the runs
make of all images in `test/CLASS/*`, which no command has seen, is the truth
beside which the predictions by folds stand. Prints one JSON object and, with
`--output`, keeps it.

  python benchmarks/own_images.py --images=FOLDER --init_from=GOOGLE \
      [--classes=5] [--per_class=40] [--draws=10] [--whole] [--output=FILE] \
      [--config.FIELD=value ...]
"""

import argparse
import json
import pathlib
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from typing import Any

ROOT = pathlib.Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT))

import last_layer  # noqa: E402
import machine  # noqa: E402
import numpy as np  # noqa: E402

from inception_jax.evaluation import scores  # noqa: E402

CONFIG = '--config=configs/folder.py'


def main() -> None:
  parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
  parser.add_argument('--images', type=pathlib.Path, required=True)
  parser.add_argument('--init_from', required=True)
  parser.add_argument('--classes', type=int, default=5)
  parser.add_argument('--per_class', type=int, default=40)
  parser.add_argument('--draws', type=int, default=10)
  parser.add_argument(
    '--whole', action='store_true', help='train all of the network, too'
  )
  parser.add_argument('--output')
  arguments, rest = parser.parse_known_args()
  with tempfile.TemporaryDirectory() as folder:
    draws = [
      _one_draw(arguments, rest, seed, pathlib.Path(folder, str(seed)))
      for seed in range(arguments.draws)
    ]
    shutil.rmtree(pathlib.Path(arguments.init_from, 'features'))
  machine.keep(
    {
      **machine.environment(('scikit-learn',)),
      'num_images': arguments.classes * arguments.per_class,
      'num_test_images': draws[0]['last_layer']['num_images'],
      'summary': _summary(draws),
      'draws': draws,
    },
    arguments.output,
  )


def _one_draw(
  arguments: argparse.Namespace,
  rest: list[str],
  seed: int,
  folder: pathlib.Path,
) -> dict[str, Any]:
  _draw_images(arguments, seed, folder / 'images')
  config = [
    CONFIG,
    f'--config.init_from={arguments.init_from}',
    '--config.data.name=images',
    f'--config.data.data_dir={folder}',
    *rest,
  ]
  on_test = [*config, '--config.data.eval_split=test']
  _run('--mode=prepare', f'--input={folder / "images"}', *config)
  found = {'seed': seed}
  alone, whole = folder / 'alone', folder / 'whole'
  seconds = _run(f'--workdir={alone}', *config)[1]
  by_folds = _run('--mode=evaluate', f'--workdir={alone}')[0]
  truth = _run('--mode=evaluate', f'--workdir={alone}', *on_test)[0]
  found['last_layer'] = {'seconds': seconds, **_shown(truth)}
  found['by_folds'] = _shown(by_folds)
  stored = json.loads((alone / 'config.json').read_text())
  stored['data']['eval_split'] = 'test'
  found['scikit_learn'] = last_layer.peer(stored, alone)
  if arguments.whole:
    result, seconds = _run(
      f'--workdir={whole}', '--config.freeze=None', *config
    )
    stored = json.loads((whole / 'used.json').read_text())
    used = _run('--mode=evaluate', f'--workdir={whole}', *on_test)[0]
    trained = _run(
      '--mode=evaluate', f'--workdir={whole}', '--weights=ema', *on_test
    )[0]
    found['whole'] = {
      'seconds': seconds,
      'steps': result['step'],
      **_shown(trained),
    }
    found['chosen'] = {'which': stored['run'], **_shown(used)}
  print(json.dumps(found), file=sys.stderr, flush=True)
  return found


def _draw_images(
  arguments: argparse.Namespace, seed: int, folder: pathlib.Path
) -> None:
  """Copies some images of the first classes, and all of their test images."""
  rng = np.random.default_rng(seed)
  classes = sorted(x.name for x in (arguments.images / 'train').iterdir())
  for name in classes[: arguments.classes]:
    there = sorted((arguments.images / 'train' / name).iterdir())
    for path in rng.choice(there, arguments.per_class, replace=False):
      place = folder / 'train' / name
      place.mkdir(parents=True, exist_ok=True)
      shutil.copy(path, place)
    shutil.copytree(arguments.images / 'test' / name, folder / 'test' / name)


def _run(*arguments: str) -> tuple[dict[str, Any], float]:
  """The last line of a command, and its seconds."""
  start = time.perf_counter()
  process = subprocess.run(
    [sys.executable, 'main.py', *arguments],
    cwd=ROOT,
    capture_output=True,
    text=True,
    check=False,
  )
  seconds = round(time.perf_counter() - start, 1)
  if process.returncode:
    sys.exit(process.stderr)
  return json.loads(process.stdout.splitlines()[-1]), seconds


def _shown(result: dict[str, Any]) -> dict[str, Any]:
  return {
    name: result[name] for name in ('top1', 'top1_interval', 'num_images')
  }


def _summary(draws: list[dict[str, Any]]) -> dict[str, Any]:
  """Mean, standard deviation and ends of each kind's top-1 over the draws."""
  summary = {}
  for kind in draws[0]:
    if kind == 'seed':
      continue
    values = [draw[kind]['top1'] for draw in draws]
    summary[kind] = {
      'mean': round(statistics.fmean(values), 4),
      'standard_deviation': round(statistics.stdev(values), 4)
      if len(values) > 1
      else None,
      'lowest': min(values),
      'highest': max(values),
    }
    times = [draw[kind].get('seconds') for draw in draws]
    if None not in times:
      summary[kind]['seconds'] = statistics.median(times)
  truth = [draw['last_layer']['top1'] for draw in draws]
  intervals = [
    scores.wilson_interval(
      round(draw['by_folds']['top1'] * draw['by_folds']['num_images']),
      draw['by_folds']['num_images'],
    )
    for draw in draws
  ]
  summary['truth_within_interval_by_folds'] = sum(
    low <= x <= high for x, (low, high) in zip(truth, intervals, strict=True)
  )
  return summary


if __name__ == '__main__':
  main()
