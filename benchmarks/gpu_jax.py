"""JAX's side of `gpu.py`: the product's own compiled step and inference."""

import time

import gpu_timing
import jax
import jax.numpy as jnp
import numpy as np

from configs import fake_data
from inception_jax.data import device
from inception_jax.evaluation import crop_views
from inception_jax.experiment import experiment


class Program:
  """A compiled program and what it runs on.

  Attributes:
    compiled: the program.
    compile_seconds: time from the traced function to the program.
  """

  def __init__(self, case: gpu_timing.Case):
    built = create_experiment(case)
    if case.work == 'train':
      batch = dict(next(built.train_batches(0)))
      batch['stop'] = np.zeros(len(batch['label']), np.int32)
      self._inputs = device.shard(batch)
      self._inputs['stop'] = self._inputs['stop'][:, 0]
      self._state = device.replicate(built.create_state())
      function = built.create_train_step()
    else:
      shape = (case.batch_size, case.image_size, case.image_size, 3)
      pixels = np.random.default_rng(0).integers(0, 256, shape, np.uint8)
      self._inputs = jnp.asarray(pixels)
      self._state = jax.device_put(built.create_state().variables)
      function = jax.jit(
        crop_views.create_logits_fn(built.model, built.preprocessing)
      )
    self._trains = case.work == 'train'
    self._output = None
    start = time.perf_counter()
    self.compiled = function.lower(self._state, self._inputs).compile()
    self.compile_seconds = time.perf_counter() - start

  def step(self) -> None:
    if self._trains:
      self._state, self._output = self.compiled(self._state, self._inputs)
    else:
      self._output = self.compiled(self._state, self._inputs)

  def wait(self) -> None:
    jax.block_until_ready((self._state, self._output))

  def details(self) -> dict[str, float]:
    """What the program takes, by the compiler's own count."""
    costs = self.compiled.cost_analysis() or {}
    if isinstance(costs, list):
      costs = costs[0]
    memory = self.compiled.memory_analysis()
    held = memory.argument_size_in_bytes + memory.temp_size_in_bytes
    held += memory.output_size_in_bytes - memory.alias_size_in_bytes
    return {
      'compile_seconds': self.compile_seconds,
      'memory_gb': held / 1e9,
      'bytes_accessed_gb': costs.get('bytes accessed', 0) / 1e9,
    }


def create_experiment(case: gpu_timing.Case) -> experiment.Experiment:
  """`configs/fake_data.py` at a size, with as much work as the form has."""
  config = fake_data.get_config()
  config.model.name = case.model
  config.model.dtype = 'bfloat16' if case.dtype == 'bfloat16' else 'float32'
  config.data.image_size = case.image_size
  config.train.batch_size = case.batch_size
  if case.form == 'same_work':
    config.augmentation.mirror = False
    for name in ('brightness', 'contrast', 'saturation'):
      config.augmentation[name] = 0.0
    config.averaging.ema_decay = None
    config.averaging.polyak_start_epoch = None
  return experiment.create_experiment(config)
