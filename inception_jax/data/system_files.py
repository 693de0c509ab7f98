"""Files and folders that systems and programs put among people's own."""

import re

# In small letters; systems write them in several ways.
_NAMES = frozenset(
  {
    # Windows, and players and viewers of it.
    '$recycle.bin',
    'autorun.inf',
    'desktop.ini',
    'ehthumbs.db',
    'ehthumbs_vista.db',
    'picasa.ini',
    'system volume information',
    'thumbs.db',
    'zbthumbnail.info',
    # macOS, and the archives that it makes.
    '__macosx',
    'icon\r',
    'network trash folder',
    'temporary items',
    # Synology's and QNAP's servers: thumbnails, deleted files, older states.
    '#recycle',
    '#snapshot',
    '@__thumb',
    '@eadir',
    '@recently-snapshot',
    '@recycle',
    '@tmp',
    # What file systems save of damaged folders: Linux, Android.
    'lost+found',
    'lost.dir',
    '__pycache__',
  }
)
# Likewise of Windows; and the bins of its older versions, whose names in small
# letters may be those of classes.
_PATTERN = re.compile(r'(?i:found\.\d{3})|RECYCLE[DR]')


def is_systems(name: str) -> bool:
  """Whether a file or folder of this name is a system's, not hidden ones."""
  return name.lower() in _NAMES or bool(_PATTERN.fullmatch(name))


def is_ignored(name: str) -> bool:
  """Whether what has this name is passed over: a system's, or hidden."""
  return name.startswith('.') or is_systems(name)
