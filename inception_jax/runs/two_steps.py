"""A run that fits its classifier first and then trains all of the network.

last_layer/          run directory of the network with the fitted classifier
used.json            which of the two is used, and how well each does
"""

from collections.abc import Mapping
import dataclasses

from absl import logging
from etils import epath
import jax

from inception_jax.evaluation import scores
from inception_jax.experiment import experiment as experiment_lib
from inception_jax.runs import choice, last_layer
from inception_jax.runtime import json_files, words
from inception_jax.training import averaging, optimizer


def is_wanted(experiment: experiment_lib.Experiment) -> bool:
  """Whether the classifier is fitted before more is trained."""
  return (
    bool(experiment.last_layer.fit)
    and experiment.config['init_from'] is not None
    and not experiment.trains_classifier_alone
  )


def first_step(
  experiment: experiment_lib.Experiment,
) -> experiment_lib.Experiment:
  """The same experiment with all but the classifier frozen."""
  config, state = experiment.config, jax.eval_shape(experiment.create_state)
  alone = experiment_lib.create_experiment(
    {
      **config,
      'freeze': tuple(x for x in state.params if not optimizer.is_head(x)),
      'model': {**config['model'], 'use_aux': False},
      'last_layer': {**config['last_layer'], 'fit': None},
    }
  )
  return last_layer.without_steps(
    dataclasses.replace(alone, preprocessing=experiment.preprocessing)
  )


def choose(
  experiment: experiment_lib.Experiment,
  workdir: epath.Path,
  evaluation: Mapping[str, Mapping[str, float]],
) -> None:
  """Says which network is better, and has it used; of equals, the first.

  Args:
    experiment: of the run.
    workdir: its run directory.
    evaluation: of its last step, by kind of weights.
  """
  lines = json_files.JsonLines(
    workdir / choice.FIRST_STEP / 'metrics.jsonl', skips_damage=True
  )
  evaluated = [x['evaluation']['raw'] for x in lines if 'evaluation' in x]
  if not evaluated or not evaluation:
    logging.warning(
      'there is no evaluation of %s to compare with; the whole network is used',
      workdir / choice.FIRST_STEP,
    )
    return
  first = evaluated[-1]
  kind = averaging.default_kind(
    experiment.config['averaging'].get('inference_weights'), set(evaluation)
  )
  last = evaluation[kind]
  is_better = last['top1'] > first['top1']
  json_files.write_json(
    workdir / choice.FILE,
    {
      'run': '.' if is_better else choice.FIRST_STEP,
      'top1': {'.': last['top1'], choice.FIRST_STEP: first['top1']},
      'num_images': last['num_images'],
    },
  )
  logging.info(
    'top-1 of the evaluation: %s with all of the network trained (%s weights),'
    ' %s with the last layer alone; the %s is used, as the better one or, of'
    ' equals, the last layer alone',
    scores.with_interval(last['top1'], last['num_images']),
    kind,
    scores.with_interval(first['top1'], first['num_images']),
    'former' if is_better else 'latter',
  )
  if last['num_images'] < scores.FEW_IMAGES:
    logging.warning(
      'only %s decided this, so that it may be chance; more images in the'
      ' evaluation part (config.data.eval_split) make it surer',
      words.count(last['num_images'], 'image'),
    )
