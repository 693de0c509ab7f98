"""End points of imported networks, for tests."""

import jax
import numpy as np

from inception_jax.models import create_model, modules


def ends_of(network, pixels):
  """End points of an imported network, those of its heads as well."""
  model = create_model(**network.model_arguments)

  @jax.jit
  def apply(variables, x):
    _, ends = model.apply(variables, x)
    for block in ('4a', '4d') if model.use_aux else ():
      name = f'aux_{block}'
      params = variables['params'][name]
      head = modules.AuxiliaryHead(
        model.num_classes,
        params['conv']['kernel'].shape[-1],
        params['dense']['kernel'].shape[-1],
        model._conv_factory(),
        0.0,
        model.architecture.head_pool,
        model.dtype,
      )
      own = {
        kind: tree[name] for kind, tree in variables.items() if name in tree
      }
      x = ends[f'inception_{block}']
      ends[f'aux_logits_{block}'] = head.apply(own, x, False, None)
    return ends

  ends = apply(network.variables, network.preprocessing(pixels))
  return {name: np.asarray(x) for name, x in ends.items()}
