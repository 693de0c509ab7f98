"""The same network fine-tuned by PyTorch, with the recipe that is usual there.

A new random classifier, all of the network trained by SGD with momentum 0.9, a
cosine schedule, label smoothing 0.1 and weight decay 1e-4. The batches are
those of our own input, so that crops and order are the same; colours are left
as they are. The network is what `--mode=export --format=torchvision` writes.
Prints one JSON object and, with `--output`, keeps it.

  python benchmarks/fine_tuning_torch.py --network=FOLDER/FILE.pt \
      --config=NAME --rate=0.001 [--output=FILE] [--config.FIELD=value ...]
"""

import argparse
import importlib.util
import pathlib
import sys
import time

ROOT = pathlib.Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT))

import machine  # noqa: E402
import numpy as np  # noqa: E402
import torch  # noqa: E402

from inception_jax.evaluation import scores  # noqa: E402
from inception_jax.experiment import (  # noqa: E402
  config_files,
  experiment,
  overrides,
)


def main() -> None:
  parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
  parser.add_argument('--network', type=pathlib.Path, required=True)
  parser.add_argument('--config', required=True)
  parser.add_argument('--rate', type=float, default=0.001)
  parser.add_argument('--output')
  arguments, rest = parser.parse_known_args()
  _, given = overrides.take(rest)
  config = overrides.apply(config_files.load(arguments.config), given)
  built = experiment.create_experiment(config)
  start = time.perf_counter()
  torch.manual_seed(0)
  module, network = _load(arguments.network, len(built.dataset.class_names))
  losses = _train(module, network, built, arguments.rate)
  seconds = time.perf_counter() - start
  found = _evaluate(module, network, built)
  machine.keep(
    {
      **machine.environment(('torch',)),
      'rate': arguments.rate,
      'steps': built.num_train_steps,
      'batch_size': built.options.batch_size,
      'seconds': round(seconds, 1),
      'last_loss': float(np.mean(losses[-20:])),
      **found,
    },
    arguments.output,
  )


def _load(path: pathlib.Path, num_classes: int):
  """The module file beside the weights, and the network with a new layer."""
  (source,) = path.parent.glob('*.py')
  spec = importlib.util.spec_from_file_location('network', source)
  module = importlib.util.module_from_spec(spec)
  spec.loader.exec_module(module)
  network = module.load(path)
  features = network.fc.in_features
  network.fc = torch.nn.Linear(features, num_classes)
  return module, network


def _train(module, network, built, rate: float) -> list[float]:
  parameters = [x for x in network.parameters() if x.requires_grad]
  optimizer = torch.optim.SGD(parameters, rate, momentum=0.9, weight_decay=1e-4)
  schedule = torch.optim.lr_scheduler.CosineAnnealingLR(
    optimizer, built.num_train_steps
  )
  loss_fn = torch.nn.CrossEntropyLoss(label_smoothing=0.1)
  mirror = np.random.default_rng(0)
  network.train()
  losses = []
  for step, batch in enumerate(built.train_batches(0), 1):
    images = np.asarray(batch['image'])
    flips = mirror.random(len(images)) < 0.5
    images = np.where(flips[:, None, None, None], images[:, :, ::-1], images)
    logits = network(module.preprocess(torch.from_numpy(images)))
    logits = logits[0] if isinstance(logits, tuple) else logits
    loss = loss_fn(logits, torch.from_numpy(np.asarray(batch['label'])).long())
    optimizer.zero_grad()
    loss.backward()
    optimizer.step()
    schedule.step()
    losses.append(loss.item())
    if step % 50 == 0:
      print(step, np.mean(losses[-50:]), file=sys.stderr, flush=True)
  return losses


@torch.no_grad()
def _evaluate(module, network, built) -> dict[str, object]:
  network.eval()
  size, counts = built.options.eval_batch_size, scores.Scores()
  batches = built.dataset.eval_batches(batch_size=size, slots=np.arange(size))
  for batch in batches:
    real = np.asarray(batch['mask']) > 0
    images = torch.from_numpy(np.asarray(batch['image'])[real])
    log_probs = network(module.preprocess(images)).log_softmax(-1)
    counts.add(log_probs.numpy(), np.asarray(batch['label'])[real])
  return scores.with_top1_interval(counts.means())


if __name__ == '__main__':
  main()
