"""Tests of the pass over the images, with sums that NumPy can make."""

import numpy as np
import pytest

from inception_jax.evaluation import accuracy
from inception_jax.training import stop_signal


def eval_step(variables, batch):
  """Counts as many correct as `variables` says, an image."""
  count = batch['mask'].sum()
  return {
    'num_images': np.asarray(count, np.int32),
    'top1': np.asarray(variables['top1'] * count, np.int32),
    'top5': np.asarray(count, np.int32),
    'loss': np.asarray((batch['mask'] * batch['loss']).sum(), np.float32),
  }


class Batches:
  """Five batches of four images, the last one padded; counts its passes."""

  def __init__(self, num_images=18):
    self.loss = np.random.default_rng(0).random(20)
    self.num_images = num_images
    self.passes = 0
    self.batches_read = 0

  def __iter__(self):
    self.passes += 1
    for start in range(0, 20, 4):
      self.batches_read += 1
      mask = np.arange(start, start + 4) < self.num_images
      yield {'mask': mask, 'loss': self.loss[start : start + 4]}


def test_every_image_counts_once():
  batches = Batches()
  result = accuracy.evaluate(eval_step, {'raw': {'top1': 1}}, batches, 18)
  assert result.keys() == {'raw'}
  assert result['raw'].pop('loss') == pytest.approx(
    batches.loss[:18].mean(), rel=1e-6
  )
  assert result['raw'] == {'num_images': 18, 'top1': 1.0, 'top5': 1.0}


def test_several_weights_read_the_batches_once():
  batches = Batches()
  calls = []

  def recording(variables, batch):
    calls.append((variables['top1'], batch['loss'][0]))
    return eval_step(variables, batch)

  weights = {'raw': {'top1': 1}, 'ema': {'top1': 0}}
  result = accuracy.evaluate(recording, weights, batches, 18)
  assert (batches.passes, batches.batches_read) == (1, 5)
  firsts = batches.loss[::4]
  assert calls == [(top1, first) for first in firsts for top1 in (1, 0)]
  assert list(result) == ['raw', 'ema']
  assert (result['raw']['top1'], result['ema']['top1']) == (1.0, 0.0)
  for name, value in weights.items():
    alone = accuracy.evaluate(eval_step, {name: value}, Batches(), 18)
    assert alone[name] == result[name]


@pytest.mark.parametrize('counted, expected', [(17, 18), (19, 18), (18, 20)])
def test_a_wrong_count_is_an_error(counted, expected):
  with pytest.raises(RuntimeError, match=f'{counted} .*there are {expected}'):
    accuracy.evaluate(
      eval_step, {'raw': {'top1': 1}}, Batches(counted), expected
    )


def test_skipped_images_are_reported_and_must_add_up():
  def skipping(variables, batch):
    skipped = np.asarray(int(not batch['mask'].all()), np.int32)
    return {**eval_step(variables, batch), 'num_skipped': skipped}

  weights = {'raw': {'top1': 1}}
  result = accuracy.evaluate(skipping, weights, Batches(19), 20)
  assert result['raw']['num_images'] == 19
  assert result['raw']['num_skipped'] == 1
  with pytest.raises(RuntimeError, match='19 images and skipped 1 .* are 19'):
    accuracy.evaluate(skipping, weights, Batches(19), 19)
  whole = accuracy.evaluate(skipping, weights, Batches(20), 20)
  assert 'num_skipped' not in whole['raw']


def test_no_batches_is_an_error():
  with pytest.raises(RuntimeError, match='counted 0 .*there are 18'):
    accuracy.evaluate(eval_step, {'raw': {'top1': 1}}, [], 18)


def test_one_batch_is_enough():
  batch = {'mask': np.ones(4, bool), 'loss': np.arange(4.0)}
  result = accuracy.evaluate(eval_step, {'raw': {'top1': 1}}, [batch], 4)
  assert result['raw']['loss'] == 1.5


def test_many_float32_sums_are_added_without_loss():
  # In float32 the running total would stop growing at 2**24.
  batch = {'mask': np.ones(1, bool), 'loss': np.full(1, 1.0)}
  large = {'mask': np.ones(1, bool), 'loss': np.full(1, 2.0**24)}
  result = accuracy.evaluate(
    eval_step, {'raw': {'top1': 1}}, [large] + [batch] * 99, 100
  )
  assert result['raw']['loss'] == (2**24 + 99) / 100


def test_predictions_of_the_weights_that_are_used_are_counted():
  def answering(variables, batch):
    predictions = np.where(batch['mask'], variables['top1'], -1)
    labels = np.arange(len(batch['mask']))
    return {
      **eval_step(variables, batch),
      'labels': labels,
      'predictions': predictions,
    }

  taken = []
  weights = {'raw': {'top1': 1}, 'ema': {'top1': 0}}
  plain = accuracy.evaluate(answering, weights, Batches(), 18)
  found = accuracy.evaluate(
    answering, weights, Batches(), 18, None, 'ema', lambda *x: taken.append(x)
  )
  assert found == plain
  labels, predictions = (np.concatenate(x) for x in zip(*taken, strict=True))
  assert labels.tolist() == 4 * [0, 1, 2, 3] + [0, 1]
  assert predictions.tolist() == 18 * [0]


class Stop:
  """Asks to stop from the second batch on."""

  def __init__(self):
    self._asked = 0

  def flags(self):
    self._asked += 1
    return self._asked

  def check_evaluation(self, request):
    if request >= 2:
      raise stop_signal.EvaluationStoppedError(15)


def test_a_request_to_stop_ends_it_within_a_batch():
  seen = []

  def step(variables, batch):
    seen.append(batch['stop'])
    return {'num_images': np.int32(1), 'stop': np.int32(batch['stop'])}

  batches = ({'number': number} for number in range(9))
  with pytest.raises(stop_signal.EvaluationStoppedError):
    accuracy.evaluate(step, {'raw': 1}, batches, 9, stop=Stop())
  assert seen == [1, 2, 3]
