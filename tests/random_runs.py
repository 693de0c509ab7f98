"""Small members of the family with weights drawn by chance, for tests."""

import jax
import numpy as np

from inception_jax import models, preprocess
from inception_jax.data import crop_rules, labels
from inception_jax.models import architectures
from inception_jax.runs import checkpoint, directory, run

NUM_CLASSES = 7


def random_run(name, size, *, seed=0, num_classes=NUM_CLASSES, **arguments):
  """A `run.Run` of `size` pixels; batch statistics are far from 0 and 1."""
  arguments = {'width': 0.1, 'use_aux': False, **arguments}
  model = models.create_model(name, num_classes=num_classes, **arguments)
  x = jax.ShapeDtypeStruct((1, size, size, 3), np.float32)
  shapes = jax.eval_shape(model.init, jax.random.key(0), x)
  rng = np.random.default_rng(seed)

  def draw(path, leaf):
    kind = path[-1].key
    if kind == 'kernel':
      # He's scale; less at the end, for logits of tens, not of hundreds.
      bound = np.sqrt(6 / np.prod(leaf.shape[:-1]))
      bound /= 20 if path[-2].key == 'classifier' else 1
      values = rng.uniform(-bound, bound, leaf.shape)
    elif kind == 'var':
      values = rng.uniform(0.2, 3.0, leaf.shape)
    elif kind == 'scale':
      values = rng.uniform(0.5, 1.5, leaf.shape)
    else:  # Mostly positive: no layer is dead.
      values = rng.uniform(-0.2, 0.4, leaf.shape)
    return values.astype(np.float32)

  variables = jax.tree_util.tree_map_with_path(draw, shapes)
  return run.Run(
    model=model,
    variables={'batch_stats': {}, **variables},
    preprocessing=preprocess.GOOGLE,
    eval_crop=crop_rules.EvaluationCrop(size, 'center_square'),
    labels=labels.from_class_names(
      ('n01440764', 'ümlaut "quoted"', 'cat'), num_classes
    ),
    weights='raw',
    step=3,
  )


def write(loaded, workdir):
  """Makes a run directory of it and returns the directory."""
  name = architectures.name_of(loaded.model.architecture)
  directory.RunDirectory(workdir, {'model': {'name': name}}).describe(
    {
      'name': name,
      'num_classes': loaded.model.num_classes,
      'use_aux': loaded.model.use_aux,
      'width': loaded.model.width,
      'module_form': loaded.model.module_form,
      'dtype': np.dtype(loaded.model.dtype).name,
    },
    loaded.preprocessing,
    loaded.eval_crop,
    loaded.labels,
  )
  checkpoints = checkpoint.Checkpoints(workdir / 'checkpoints')
  checkpoints.save(loaded.step, loaded.variables, {})
  checkpoints.close()
  return workdir
