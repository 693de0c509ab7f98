"""Whether two runs are the same, for tests that resume and repeat them."""

from inception_jax.runs import checkpoint


def final_arrays(workdir):
  """Arrays of the newest checkpoint of a run, by name."""
  checkpoints = checkpoint.Checkpoints(workdir / 'checkpoints', read_only=True)
  return checkpoints.restore(checkpoints.steps()[-1])[0]


def assert_same_run(first, second):
  """Same metrics, letter by letter, and same state, bit by bit."""
  assert (first / 'metrics.jsonl').read_bytes() == (
    second / 'metrics.jsonl'
  ).read_bytes()
  one, two = final_arrays(first), final_arrays(second)
  assert one.keys() == two.keys()
  for name in one:
    assert one[name].tobytes() == two[name].tobytes(), name
