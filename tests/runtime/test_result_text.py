"""Results as text for a terminal."""

from inception_jax.runtime import result_text

RESULT = {
  'workdir': 'runs/a\x1b[31m',
  'step': 1234,
  'labels': None,
  'missing': [],
  'unused': ['a', 'b'],
  'is_whole': True,
  'evaluation': {
    'raw': {'top1': 0.98765, 'num_images': 360},
    'ema': {'top1': 1.0, 'num_images': 360, 'num_skipped': 2},
  },
  'members': [{'step': 1, 'inner': {'x': {'y': 1}}}],
}


def test_text():
  assert result_text.to_text(RESULT).splitlines() == [
    'workdir   runs/a\\x1b[31m',
    'step      1,234',
    'labels    -',
    'missing   -',
    'unused    a, b',
    'is_whole  yes',
    'evaluation',
    '         top1  num_images  num_skipped',
    '  raw  0.9877         360',
    '  ema       1         360            2',
    'members',
    '  1',
    '    step  1',
    '    inner',
    '         y',
    '      x  1',
  ]
