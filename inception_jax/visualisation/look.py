"""What a network makes of one image: activations, and maps of classes."""

from collections.abc import Callable, Iterable, Mapping
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from inception_jax import models, preprocess
from inception_jax.models import architectures


class Look(NamedTuple):
  """What a network makes of one picture.

  Attributes:
    image: uint8 `[size, size, 3]`.
    end_points: by name, float32 `[height, width, channels]`.
    logits: float32 `[num_classes]`.
  """

  image: np.ndarray
  end_points: dict[str, np.ndarray]
  logits: np.ndarray


def default_end_points(
  architecture: architectures.Architecture,
) -> tuple[str, ...]:
  """Activations worth a look, from the first layer to the last module.

  For the nine modules of the paper: conv1, conv2, and modules 3b, 4c and 5b.
  """
  first_stage = architecture.specs[0][0][0]
  low = [block for block, _ in architecture.specs if block[0] == first_stage]
  modules = (
    f'inception_{low[-1]}',
    middle_module(architecture),
    last_module(architecture),
  )
  return 'conv1', 'conv2', *modules


def middle_module(architecture: architectures.Architecture) -> str:
  """The module half way up, whose channels stand for parts of things: 4c."""
  return f'inception_{architecture.specs[len(architecture.specs) // 2][0]}'


def last_module(architecture: architectures.Architecture) -> str:
  """What the average pooling and the classifier read: module 5b."""
  return f'inception_{architecture.specs[-1][0]}'


def create_look_fn(
  model: models.GoogLeNet,
  variables: Mapping[str, Any],
  preprocessing: preprocess.Preprocessing,
  end_points: Iterable[str],
) -> Callable[[np.ndarray], Look]:
  """From an image to what a network makes of it.

  Args:
    model: network.
    variables: its weights.
    preprocessing: pixels to network input.
    end_points: names of the activations to keep.

  Returns:
    A function from one image, uint8 `[size, size, 3]`.
  """
  variables, names = jax.device_put(variables), set(end_points)

  @jax.jit
  def apply(variables, image):
    x = preprocessing(image[None])
    logits, ends = model.apply(variables, x)
    chosen = {name: ends[name][0].astype(jnp.float32) for name in names}
    return chosen, logits[0]

  return lambda image: Look(image, *jax.device_get(apply(variables, image)))


def class_activation_maps(
  activations: np.ndarray, kernel: np.ndarray, bias: np.ndarray
) -> np.ndarray:
  """What each place of the last activations says for each class.

  The head is the mean over the places, then a linear layer. Both are linear,
  so the layer may come first: `maps[..., c] = activations @ kernel[:, c] +
  bias[c]`, and the mean of a map over its places is the logit of its class.

  Args:
    activations: of the last module, `[height, width, channels]`.
    kernel: of the linear layer, `[channels, classes]`.
    bias: of the linear layer, `[classes]`.

  Returns:
    `[height, width, classes]`, logits.

  References:
    Zhou et al. 2016, Learning Deep Features for Discriminative Localization,
    arXiv 1512.04150.
  """
  return activations @ kernel + bias
