"""Tests of what is looked at by default; tests/commands looks at images."""

import pytest

from inception_jax.models import ARCHITECTURES, architectures
from inception_jax.visualisation import look


@pytest.mark.parametrize('name', ARCHITECTURES)
def test_defaults_of_the_papers_modules(name):
  arch = architectures.architecture_of(name)
  assert look.default_end_points(arch) == (
    'conv1',
    'conv2',
    'inception_3b',
    'inception_4c',
    'inception_5b',
  )


def test_defaults_are_of_the_network_itself():
  arch = architectures.architecture_of('inception_v1_shallow')
  found = look.default_end_points(arch)
  modules = [f'inception_{block}' for block, _ in arch.specs]
  assert len(modules) < 9 and set(found[2:]) <= set(modules)
  assert found[-1] == look.last_module(arch) == modules[-1]
