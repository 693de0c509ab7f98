"""What commands say where users have chosen odd names."""

import shlex

import launch
import numpy as np
import odd_names
import pytest

from inception_jax.commands import predict
from inception_jax.data import dataset_name, labels
from inception_jax.data.preparation import census, prepare
from inception_jax.evaluation import scores
from inception_jax.report import text as report_text
from inception_jax.runtime import log, progress, result_text
from inception_jax.visualisation import features

NAMES = odd_names.NAMES
COUNT = len(NAMES)
LABELS = labels.from_class_names(NAMES)


def _predictions():
  tops = [{**entry, 'probability': 0.1} for entry in LABELS.to_json()]
  failed = [{'file': name, 'reason': 'it is empty'} for name in NAMES]
  predicted = [{'file': name, 'top': tops} for name in NAMES]
  return predict.to_text({'predictions': predicted, 'failed': failed})


def _census():
  size = {'width': 1, 'height': 2, 'file_name': NAMES[6]}
  return {
    'num_images': COUNT,
    'num_classes': COUNT,
    'num_bytes': 1,
    'class_counts': dict.fromkeys(NAMES, 1),
    'num_unlabelled': 0,
    'smallest': size,
    'largest': size,
    'median_width': 1,
    'median_height': 2,
    'unreadable': [
      {'index': i, 'file_name': name, 'reason': 'it is empty'}
      for i, name in enumerate(NAMES)
    ],
  }


def _prepared():
  return prepare._to_text(
    {
      'name': 'x',
      'data_dir': NAMES[5],
      'splits': {'train': _census()},
      'left_out': [{'file': name, 'reason': 'x'} for name in NAMES],
    }
  )


def _report():
  line = {'models': 1, 'crops': 1, 'cost': 1, 'members': [0]}
  for kind in ('top1', 'top5'):
    line |= {f'{kind}_error': 0.1, f'{kind}_error_interval': [0, 1]}
  about = {'weights': 'ema', 'step': 3, 'digest': '0' * 64}
  pairs = zip(NAMES, NAMES[1:], strict=False)
  return report_text.to_markdown(
    {
      'num_images': 10,
      'num_classes': COUNT,
      'members': [{**about, 'workdir': name} for name in NAMES],
      'table_3': [line],
      'by_size': [],
      'aggregations': [],
      'calibration': {'expected_calibration_error': 0.1},
      'confusions': [
        {'class': a, 'predicted': b, 'num_images': 1} for a, b in pairs
      ],
    },
    with_paper=False,
  )


def _results():
  return result_text.to_text({str(i): name for i, name in enumerate(NAMES)})


# From the names to what is printed, and how many lines each may have.
TEXTS = {
  'predict': (_predictions, COUNT * (COUNT + 2)),
  'inspect': (lambda: census.to_text({'train': _census()}), 2 * COUNT + 3),
  'prepare': (_prepared, 3 * COUNT + 5),
  'report': (_report, None),
  'results': (_results, COUNT),
}


@pytest.mark.parametrize('command', TEXTS)
def test_texts_show_names_as_they_are(command, capsys):
  text_fn, num_lines = TEXTS[command]
  text = text_fn()
  # Before it is printed: what is printed has no names any more, only lines.
  assert all(x.isprintable() for x in text.split('\n'))
  if num_lines is not None:
    assert len(text.split('\n')) == num_lines
  log.print_result(text)
  printed = capsys.readouterr().out
  assert printed == text + '\n'
  for part in (r'\x1b[31mred', r'\x7f', r'two\nlines', '日本語', r'\u202e'):
    assert (
      (part in printed)
      or (part.replace('\\', '\\\\') in printed)
      or (part.replace('\\', '\\\\').replace('[', r'\[') in printed)
    )


def test_tables_hold_names_as_they_are():
  confusions = scores.Confusions(COUNT)
  log_probs = np.log(np.eye(COUNT, dtype=np.float32) + 0.1)
  confusions.add(np.roll(log_probs, 1, 1), np.arange(COUNT))
  for to_csv in (report_text.classes_to_csv, report_text.confusions_to_csv):
    text = to_csv(confusions, LABELS)
    assert '"two\nlines"' in text and '$\\frac{$' in text
    text.encode(errors='backslashreplace')


def test_files_of_features_have_names_that_systems_take():
  long = labels.from_class_names([*NAMES, '\U00020000' * 200])
  for output in range(len(long)):
    feature = features.class_feature(output, long)
    assert feature.title.strip() and feature.title.isprintable()
    assert len(f'feature_{feature.stem}.png'.encode()) <= 255
    assert feature.stem.startswith(f'class_{output}_')


@pytest.mark.parametrize('name', NAMES)
def test_errors_name_them_on_one_line(name, tmp_path):
  for arguments in (
    [f'--mode={name}'],
    [f'--{name}=x'],
    [f'--config={name}', '--workdir=x'],
    ['--mode=evaluate', f'--workdir={tmp_path / "no"}/{name}'],
    ['--mode=evaluate', '--workdir=x', f'--protocol={name}'],
    ['--mode=predict', f'--workdir={tmp_path / name[:20]}', 'x.png'],
  ):
    if any('\udcff' in x for x in arguments):
      continue  # The system's own words.
    status, out, err = launch.call(*arguments)
    assert status == 1 and not out
    last = err.rstrip('\n').split('\n')[-1]
    assert last.startswith('error: ') and last.isprintable()


@pytest.mark.parametrize('name', [x for x in NAMES if x.strip()])
def test_suggested_commands_can_be_copied(name):
  words = shlex.split(dataset_name.prepare_command('photos', f'/data/{name}'))
  assert words[-1] == f'--config.data.data_dir=/data/{name}'
  assert words[:3] == ['python', 'main.py', '--mode=prepare']


def test_progress_shows_them_on_one_line(capsys):
  for name in NAMES:
    with progress.progress_bar(desc=name, total=1, unit='img') as bar:
      bar.update()
  shown = capsys.readouterr().err
  assert all(x.isprintable() for x in shown.replace('\r', '\n').split('\n'))
