"""Tests of progress bars."""

from inception_jax.runtime import progress


def test_bars_go_to_standard_error(capsys):
  with progress.progress_bar(desc='work', total=4, unit='img') as bar:
    bar.update(4)
  assert list(progress.progress_bar('ab', desc='b', total=2, unit='x')) == [
    'a',
    'b',
  ]
  out, err = capsys.readouterr()
  assert not out and 'work: 100%' in err and '4/4' in err


def test_a_disabled_bar_shows_nothing(capsys):
  with progress.progress_bar(desc='w', total=1, unit='x', disable=True) as bar:
    bar.update(1)
  assert capsys.readouterr() == ('', '')
