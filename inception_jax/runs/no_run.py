"""A `--workdir` that is no run directory."""

from etils import epath


def describe(workdir: epath.Path) -> str:
  """The fault of a folder, and what to give instead."""
  if not workdir.exists():
    return (
      f'{workdir} does not exist; give the --workdir of a run that was trained'
      ' or imported'
    )
  if not workdir.is_dir():
    return (
      f'{workdir} is a file and no run directory; make one of a file of weights'
      ' with --mode=import'
    )
  inside = sorted(
    x.name for x in workdir.iterdir() if (x / 'config.json').exists()
  )
  remedy = 'give the --workdir of a run that was trained or imported'
  if inside:
    remedy = f'it holds runs, such as {inside[0]!r}: give one of them'
  return f'{workdir} is no run directory: it has no config.json; {remedy}'
