"""Our SGD and staircase against PyTorch's."""

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

from inception_jax.training import learning_rate, optimizer

torch = pytest.importorskip('torch')

NUM_STEPS = 30
STEPS_PER_FALL = 7
DECAY = 0.02


def random_tree(rng):
  draw = lambda *shape: rng.standard_normal(shape).astype(np.float32)
  return {
    'conv1': {'kernel': draw(3, 3, 2, 4), 'bias': draw(4)},
    'logits': {'kernel': draw(8, 5), 'bias': draw(5)},
  }


def flat(tree):
  return {
    jax.tree_util.keystr(k): v for k, v in jax.tree.leaves_with_path(tree)
  }


def torch_trajectory(params, gradients, bias_multiplier):
  """Parameters after every step, and the learning rates of the kernels."""
  tensors = {
    name: torch.nn.Parameter(torch.tensor(value))
    for name, value in flat(params).items()
  }
  pick = lambda word: [v for k, v in tensors.items() if word in k]
  sgd = torch.optim.SGD(
    [
      {'params': pick('kernel'), 'weight_decay': DECAY},
      {'params': pick('bias'), 'lr': 0.1 * bias_multiplier},
    ],
    lr=0.1,
    momentum=0.9,
  )
  falls = torch.optim.lr_scheduler.StepLR(sgd, STEPS_PER_FALL, gamma=0.96)
  steps, rates = [], []
  for gradient in gradients:
    for name, value in flat(gradient).items():
      tensors[name].grad = torch.tensor(value)
    rates.append(sgd.param_groups[0]['lr'])
    sgd.step()
    falls.step()
    steps.append({k: v.detach().numpy().copy() for k, v in tensors.items()})
  return steps, rates


def our_trajectory(params, gradients, schedule, bias_multiplier):
  tx = optimizer.create_optimizer(
    learning_rate_fn=schedule,
    momentum=0.9,
    weight_decay=DECAY,
    bias_learning_rate_multiplier=bias_multiplier,
  )

  @jax.jit
  def update(params, opt_state, gradient):
    updates, opt_state = tx.update(gradient, opt_state, params)
    return optax.apply_updates(params, updates), opt_state

  opt_state, steps = tx.init(params), []
  for gradient in gradients:
    params, opt_state = update(params, opt_state, gradient)
    steps.append(flat(params))
  return steps


@pytest.mark.parametrize('bias_multiplier', [1.0, 2.0])
def test_thirty_steps_equal_torch(bias_multiplier):
  rng = np.random.default_rng()  # Fresh numbers at every run.
  params = random_tree(rng)
  gradients = [random_tree(rng) for _ in range(NUM_STEPS)]
  schedule = learning_rate.staircase_decay(0.1, 0.96, 1, STEPS_PER_FALL)
  expected, rates = torch_trajectory(params, gradients, bias_multiplier)
  assert len(set(rates)) == 1 + (NUM_STEPS - 1) // STEPS_PER_FALL
  np.testing.assert_allclose(
    jax.vmap(schedule)(jnp.arange(NUM_STEPS)), rates, rtol=1e-6
  )
  ours = our_trajectory(params, gradients, schedule, bias_multiplier)
  for step, (ours_now, theirs) in enumerate(zip(ours, expected, strict=True)):
    assert ours_now.keys() == theirs.keys()
    for name, value in theirs.items():
      np.testing.assert_allclose(
        ours_now[name],
        value,
        rtol=1e-5,
        atol=3e-6,
        err_msg=f'{name} after step {step + 1}',
      )
