"""What the paper prints about the network, word for word.

References:
  Szegedy et al. 2014, Going Deeper with Convolutions, arXiv 1409.4842.
"""

from collections.abc import Mapping
import types

# The 'params' and 'ops' columns of Table 1. K is 1024 in the first.
PRINTED: Mapping[str, tuple[str, str]] = types.MappingProxyType(
  {
    'conv1': ('2.7K', '34M'),
    'conv2': ('112K', '360M'),
    'inception_3a': ('159K', '128M'),
    'inception_3b': ('380K', '304M'),
    'inception_4a': ('364K', '73M'),
    'inception_4b': ('437K', '88M'),
    'inception_4c': ('463K', '100M'),
    'inception_4d': ('580K', '119M'),
    'inception_4e': ('840K', '170M'),
    'inception_5a': ('1072K', '54M'),
    'inception_5b': ('1388K', '71M'),
    'classifier': ('1000K', '1M'),
  }
)

_STEM = (
  'printed for a separable 7x7 with depth multiplier 8 (2,712 weights); the'
  ' text and the released weights have a plain 7x7'
)
_BOTH = 'the printed row covers conv2_reduce and conv2 together'
_RELEASED = (
  'printed for the released network (204 3x3 filters in 4a, 48 5x5-reduce'
  ' in 5a), not for the widths in the table'
)
_PARAMS = "the printed params disagree with the row's own widths and ops"

_NOTES = {
  'conv1': _STEM,
  'conv2': _BOTH,
  'inception_4c': _PARAMS,
  'inception_4d': _PARAMS,
  'inception_4e': _PARAMS,
  'inception_5b': _PARAMS,
}

# Where the printed row is known not to be this network's, and why; by model.
NOTES: Mapping[str, Mapping[str, str]] = types.MappingProxyType(
  {
    'inception_v1': {
      **_NOTES,
      'inception_4a': _RELEASED,
      'inception_4b': _RELEASED + ': 4b reads 508 channels there',
      'inception_5a': _RELEASED + '; its params are 1081K even there',
    },
    'inception_v1_google': {
      **_NOTES,
      'inception_5a': _PARAMS,
    },
  }
)
