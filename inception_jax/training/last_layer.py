"""The last layer fitted exactly: multinomial logistic regression on features.

What lies below it stays as it is, so that its features need to be computed only
once, and the problem is convex: there is one answer, without a learning rate.
"""

from collections.abc import Callable, Sequence
from concurrent import futures
import dataclasses
import os
from typing import Annotated, Any, NamedTuple
import warnings

from absl import logging
import numpy as np

from inception_jax.runtime import ranges

CLASS_WEIGHTS = ('equal', 'balanced')
# Inverse strengths of the penalty, weakest last, relative to the sum of the
# losses (`C` of scikit-learn): steps of half a power of ten.
STRENGTHS = tuple(float(f'{10.0**x:.2g}') for x in np.arange(-4, 2.1, 0.5))
# Without a second image of any class nothing can be held out.
_DEFAULT_STRENGTH = 0.003
# After so many that are worse than the best, weaker ones are too.
_MAX_WORSE = 1
_MAX_ITERATIONS = 2000
# Below all others, for an output without a class.
_LOW_BIAS = -30.0


@dataclasses.dataclass(frozen=True)
class LastLayerOptions:
  """Section `last_layer` of a config, of a run that starts from another.

  Attributes:
    fit: whether a new classifier is fitted exactly, by multinomial logistic
      regression, before anything is trained; None is: if nothing else is to be
      trained, and then that is all.
    views: crops of each training image that it is fitted to: 1 is that of
      evaluation, 2 this and its mirror image.
    folds: parts of the training images, left out in turn; the penalty is the
      strongest whose loss on them is within one standard error of the lowest.
    class_weights: 'equal' counts each image once, 'balanced' each class.
  """

  fit: bool | None = None
  views: Annotated[int, ranges.Range(1, 2)] = 1
  folds: Annotated[int, ranges.Range(2, 20)] = 5
  class_weights: Annotated[str, ranges.OneOf(CLASS_WEIGHTS)] = 'equal'

  def __post_init__(self):
    ranges.check(type(self), vars(self))


class LastLayer(NamedTuple):
  """A fitted layer.

  Attributes:
    kernel: float32 `[features, outputs]`.
    bias: float32 `[outputs]`.
    report: `num_images, views, folds, class_weights, strength`, and, if there
      were folds, `cross_validation: [{strength, loss, standard_error, top1}]`
      and `top1`, the share of images that were right when they were left out.
  """

  kernel: np.ndarray
  bias: np.ndarray
  report: dict[str, Any]


def fit(
  features: np.ndarray,
  labels: np.ndarray,
  num_outputs: int,
  options: LastLayerOptions,
) -> LastLayer:
  """Fits the layer to convergence, in float64 and always to the same values.

  The features are standardised, each over the training images, and this is
  folded into the weights; the penalty is the sum of the squared weights.

  Args:
    features: float `[n, views, features]`.
    labels: int `[n]`, classes; of two at least there is an image.
    num_outputs: of the layer; those without an image are never predicted.
    options: how.

  Returns:
    The layer.
  """
  features = np.asarray(features, np.float64)
  results = _cross_validate(features, labels, options)
  chosen = _choose(results) if results else {}
  strength = chosen.get('strength', _DEFAULT_STRENGTH)
  ((kernel, bias, outputs),) = _in_threads(
    [_Fit(features, labels, options).to], strength
  )
  # The values of the others, which no image has.
  full_kernel = np.zeros((features.shape[-1], num_outputs), np.float32)
  full_bias = np.full(num_outputs, bias.min() + _LOW_BIAS, np.float32)
  full_kernel[:, outputs], full_bias[outputs] = kernel, bias
  report = {
    'num_images': len(labels),
    'views': features.shape[1],
    'class_weights': options.class_weights,
    'folds': _num_folds(labels, options.folds),
    'strength': strength,
    'cross_validation': results,
    'top1': chosen.get('top1'),
  }
  return LastLayer(full_kernel, full_bias, report)


def predict_left_out(
  features: np.ndarray,
  labels: np.ndarray,
  num_outputs: int,
  options: LastLayerOptions,
  num_folds: int,
) -> np.ndarray:
  """Predicts each image by a layer that is fitted to the other folds.

  The penalty of each of these layers is chosen by folds of its own images, so
  that nothing about an image decides on its prediction.

  Args:
    features: float `[n, views, features]`; the first view is predicted.
    labels: int `[n]`, classes.
    num_outputs: of the layers.
    options: how they are fitted.
    num_folds: at most as many as the largest class has images.

  Returns:
    Logarithms of probabilities, float32 `[n, num_outputs]`.

  Raises:
    ValueError: if no class has two images.
  """
  from sklearn import model_selection

  if not (count := _num_folds(labels, num_folds)):
    raise ValueError('no class has two images, so that none can be left out')
  splitter = model_selection.StratifiedKFold(
    count, shuffle=True, random_state=0
  )
  found = np.zeros((len(labels), num_outputs), np.float32)
  with warnings.catch_warnings():
    warnings.simplefilter('ignore', UserWarning)  # See `_folds`.
    parts = list(splitter.split(labels, labels))
  for train, test in parts:
    if len(classes := np.unique(labels[train])) == 1:
      found[test], found[test, classes] = _LOW_BIAS, 0.0
      continue
    layer = fit(features[train], labels[train], num_outputs, options)
    logits = features[test, 0] @ layer.kernel + layer.bias
    found[test] = _log_softmax(logits)
  return found


def _num_folds(labels: np.ndarray, wanted: int) -> int:
  """At most as many as the largest class has images; 0 if that is one."""
  largest = int(np.bincount(labels).max())
  return min(wanted, largest) if largest > 1 else 0


def _cross_validate(
  features: np.ndarray, labels: np.ndarray, options: LastLayerOptions
) -> list[dict[str, float]]:
  """Loss and accuracy on what is left out, strongest penalty first."""
  folds = _folds(labels, _num_folds(labels, options.folds))
  if not folds:
    return []
  fits = [
    _Fit(features[train].astype(np.float32), labels[train], options)
    for train, _ in folds
  ]
  held_out = [(features[test, 0], labels[test]) for _, test in folds]
  results: list[dict[str, float]] = []
  for strength in STRENGTHS:
    layers = _in_threads([part.to for part in fits], strength)
    scores = [
      _score(layer, *test) for layer, test in zip(layers, held_out, strict=True)
    ]
    means = [np.mean(losses) for losses, _ in scores]
    losses, hits = map(np.concatenate, zip(*scores, strict=True))
    results.append(
      {
        'strength': strength,
        'loss': float(losses.mean()),
        'standard_error': float(np.std(means, ddof=1) / len(means) ** 0.5),
        'top1': float(hits.mean()),
      }
    )
    best = int(np.argmin([x['loss'] for x in results]))
    if len(results) - 1 - best >= _MAX_WORSE:
      break
  return results


def _in_threads(
  functions: Sequence[Callable[[float], Any]], value: float
) -> list[Any]:
  """Calls all with `value`, each with one thread of BLAS.

  Their sums are small; and so they do not depend on the number of cores.
  """
  from sklearn import exceptions
  import threadpoolctl  # Comes with scikit-learn.

  with (
    warnings.catch_warnings(
      action='ignore', category=exceptions.ConvergenceWarning
    ),
    threadpoolctl.threadpool_limits(1),
    futures.ThreadPoolExecutor(os.cpu_count()) as pool,
  ):
    return list(pool.map(lambda function: function(value), functions))


def _choose(results: Sequence[dict[str, float]]) -> dict[str, float]:
  """The strongest penalty whose loss is one standard error above the least."""
  best = min(results, key=lambda x: x['loss'])
  limit = best['loss'] + best['standard_error']
  return next(x for x in results if x['loss'] <= limit)


def _score(
  layer: tuple[np.ndarray, np.ndarray, np.ndarray],
  features: np.ndarray,
  labels: np.ndarray,
) -> tuple[np.ndarray, np.ndarray]:
  """Losses `[n]`, and whether each is right, of what was left out."""
  kernel, bias, outputs = layer
  logits = features @ kernel + bias
  log_probs = _log_softmax(logits)
  places = np.searchsorted(outputs, labels)
  return (
    -log_probs[np.arange(len(labels)), places],
    log_probs.argmax(1) == places,
  )


def _log_softmax(logits: np.ndarray) -> np.ndarray:
  logits = logits - logits.max(1, keepdims=True)
  return logits - np.log(np.exp(logits).sum(1, keepdims=True))


def _folds(
  labels: np.ndarray, count: int
) -> Sequence[tuple[np.ndarray, np.ndarray]]:
  """What to train on and what to leave out; each class is in each training."""
  from sklearn import model_selection  # In the extra `data`.

  if not count:
    return ()
  numbers = np.arange(len(labels))
  is_single = np.bincount(labels)[labels] == 1
  several, single = numbers[~is_single], numbers[is_single]
  splitter = model_selection.StratifiedKFold(
    count, shuffle=True, random_state=0
  )
  with warnings.catch_warnings():
    # That a class has fewer images than there are folds does no harm.
    warnings.simplefilter('ignore', UserWarning)
    parts = list(splitter.split(several, labels[several]))
  return [
    (np.concatenate([several[train], single]), several[test])
    for train, test in parts
  ]


class _Fit:
  """Fits to the same images, each from where the one before has come to.

  Args:
    features: `[n, views, features]`, in whose precision it is fitted.
    labels: int `[n]`.
    options: how.
  """

  def __init__(
    self, features: np.ndarray, labels: np.ndarray, options: LastLayerOptions
  ):
    from sklearn import linear_model

    _, num_views, size = features.shape
    rows = features.reshape(-1, size)
    self._mean = rows.mean(0, dtype=np.float64)
    self._std = rows.std(0, dtype=np.float64)
    self._std[self._std == 0] = 1.0  # It tells nothing; its weight is 0.
    self._rows = ((rows - self._mean) / self._std).astype(rows.dtype)
    self._labels = np.repeat(labels, num_views)
    self._weights = np.full(len(rows), 1 / num_views)
    is_balanced = options.class_weights == 'balanced'
    self._model = linear_model.LogisticRegression(
      max_iter=_MAX_ITERATIONS,
      class_weight='balanced' if is_balanced else None,
      warm_start=True,
    )

  def to(self, strength: float) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Kernel `[features, k]`, bias `[k]` and the k classes that are there."""
    model = self._model.set_params(C=strength)
    model.fit(self._rows, self._labels, self._weights)
    if max(model.n_iter_) >= _MAX_ITERATIONS:
      logging.warning(
        'the last layer with C=%g has not converged after %d iterations; it is'
        ' used as it is',
        strength,
        _MAX_ITERATIONS,
      )
    kernel = model.coef_.T.astype(np.float64) / self._std[:, None]
    bias = model.intercept_.astype(np.float64)
    if len(model.classes_) == 2:  # One function, of the second class.
      kernel = np.concatenate([-kernel, kernel], 1) / 2
      bias = np.concatenate([-bias, bias]) / 2
    return kernel, bias - self._mean @ kernel, model.classes_
