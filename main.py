"""Command line of inception_jax; `--help` lists the commands."""

from inception_jax.commands.program import main, parse_flags, run

__all__ = ['main', 'parse_flags', 'run']

if __name__ == '__main__':
  run()
