"""Compiled programs, kept on disk for the next start of a command.

JAX's own cache, which finds a program by all that decides it. Who can write to
the folder can run code in the processes that read it, so that a folder that
others may write to is not used.
"""

import contextlib
import hashlib
import os
import pathlib
import platform
import stat

from absl import logging
import jax
import jaxlib
import pooch

_MAX_BYTES = 4 * 2**30  # The least recently used go first.
_MIN_SECONDS = 1.0


def enable() -> pathlib.Path | None:
  """Has JAX keep what takes a second or more to compile.

  Does nothing where the user has set up JAX's cache, or has switched it off,
  by `JAX_COMPILATION_CACHE_DIR` or `JAX_ENABLE_COMPILATION_CACHE=false`.

  Returns:
    The folder; None if none is used, for which a warning gives the reason.
  """
  config = jax.config
  if (
    config.jax_compilation_cache_dir or not config.jax_enable_compilation_cache
  ):
    return None
  folder = pathlib.Path(pooch.os_cache('inception_jax'), 'compiled', _name())
  try:
    folder.parent.parent.mkdir(parents=True, exist_ok=True)
    for path in (folder.parent, folder):
      path.mkdir(mode=0o700, exist_ok=True)
    reason = _who_else_writes(folder)
  except OSError as error:
    reason = error.strerror
  if reason:
    logging.warning(
      'compiled programs are not kept in %s (%s); give another folder with'
      ' JAX_COMPILATION_CACHE_DIR, or leave it with --nocompilation_cache',
      folder,
      reason,
    )
    return None
  config.update('jax_compilation_cache_dir', str(folder))
  config.update('jax_compilation_cache_max_size', _MAX_BYTES)
  config.update('jax_persistent_cache_min_compile_time_secs', _MIN_SECONDS)
  return folder


def _name() -> str:
  """Name of the folder; machines that are not alike may share a home."""
  cpu = platform.processor()
  with contextlib.suppress(OSError):
    lines = pathlib.Path('/proc/cpuinfo').read_text().splitlines()
    features = [x for x in lines if x.startswith(('flags', 'Features'))]
    cpu += ''.join(features[:1])
  digest = hashlib.sha256(cpu.encode()).hexdigest()[:8]
  return (
    f'jax-{jax.__version__}_{jaxlib.__version__}_{platform.machine()}_{digest}'
  )


def _who_else_writes(folder: pathlib.Path) -> str | None:
  """Why a folder cannot be trusted; None if it can."""
  for path in (folder, folder.parent):
    status = path.stat()
    if hasattr(os, 'getuid') and status.st_uid != os.getuid():
      return f'{path} belongs to another user'
    if status.st_mode & (stat.S_IWGRP | stat.S_IWOTH):
      return f'others may write to {path}'
  return None
