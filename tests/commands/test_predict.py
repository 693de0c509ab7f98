"""Tests of predictions, on pictures as people have them."""

import csv
import json
import shutil

import jax
import launch
import listing
import numpy as np
from PIL import Image
import pytest
import random_runs
from sklearn import datasets

from inception_jax.commands import predict
from inception_jax.runs import run
from inception_jax.runtime import errors, own_files
from inception_jax.visualisation import plots


@pytest.fixture(scope='module')
def pictures(tmp_path_factory):
  """Good, tiny, grey, CMYK, animated, truncated and other files."""
  folder = tmp_path_factory.mktemp('pictures')
  rng = np.random.default_rng(0)
  rgb = Image.fromarray(rng.integers(256, size=(90, 70, 3)).astype(np.uint8))
  (folder / 'deep' / 'er').mkdir(parents=True)
  rgb.save(folder / 'deep' / 'er' / 'good.png')
  rgb.resize((1, 1)).save(folder / 'tiny.png')
  rgb.convert('L').save(folder / 'grey.jpg')
  rgb.convert('CMYK').save(folder / 'cmyk.jpg')
  rgb.save(
    folder / 'animated.gif', save_all=True, append_images=[rgb.rotate(90)] * 3
  )
  rgb.save(folder / 'whole.jpg', quality=95)
  data = (folder / 'whole.jpg').read_bytes()
  (folder / 'truncated.jpg').write_bytes(data[: len(data) // 2])
  (folder / 'empty.jpg').write_bytes(b'')
  (folder / 'notes.txt').write_text('no picture')
  (folder / '.hidden.jpg').write_bytes(data)
  return folder


GOOD = ['animated.gif', 'cmyk.jpg', 'deep/er/good.png', 'grey.jpg', 'tiny.png']
GOOD += ['whole.jpg']
BAD = ['empty.jpg', 'notes.txt', 'truncated.jpg']


def test_names_of_any_bytes_are_shown_on_one_line(tmp_path):
  name = 'a\nb\udcff.png'
  assert errors.on_one_line(name) == 'a\\nb\\udcff.png'
  assert errors.on_one_line('Größe [1] $x$.png') == 'Größe [1] $x$.png'
  result = {'predictions': [], 'failed': [{'file': name, 'reason': 'no'}]}
  for text in (predict.to_text(result), predict.to_csv(result)):
    text.encode()
    assert 'a\\nb' in text


def test_weights_that_are_not_finite(tmp_path):
  loaded = random_runs.random_run('inception_v1_bn_shallow', 32)
  loaded.variables['params']['conv1']['kernel'][:] = np.nan
  with pytest.raises(errors.InputError, match='not finite; give other --weig'):
    loaded.inference.classify(np.zeros((1, 32, 32, 3), np.uint8), 2)


def test_bad_files_do_not_stop_the_rest(trained, pictures, capsys):
  files = [str(pictures), str(pictures / 'none.jpg')]
  result = predict.predict(trained[0], files, top_k=3)
  short = lambda x: x['file'].removeprefix(f'{pictures}/')
  assert [short(x) for x in result['predictions']] == GOOD
  reasons = {short(x): x['reason'] for x in result['failed']}
  assert reasons.keys() == {*BAD, 'none.jpg'}
  assert reasons['empty.jpg'] == 'the file is empty'
  assert reasons['none.jpg'] == 'there is no such file'
  assert 'truncated' in reasons['truncated.jpg']
  assert 'no JPEG, PNG' in reasons['notes.txt']
  for prediction in result['predictions']:
    probabilities = [x['probability'] for x in prediction['top']]
    assert len(probabilities) == 3
    assert probabilities == sorted(probabilities, reverse=True)
    for entry in prediction['top']:
      assert entry['name'] == str(entry['index']) and entry['synset'] is None
  text, err = capsys.readouterr()
  assert f'{pictures / "whole.jpg"}\n' in text
  assert f'{pictures / "notes.txt"}: not read, no JPEG' in text
  assert '10/10' in err


@pytest.fixture(scope='module')
def digits(tmp_path_factory):
  """Three digits as files, and their pixels."""
  folder = tmp_path_factory.mktemp('digits')
  images = datasets.load_digits().images[:3]
  pixels = np.repeat(np.round(images * 255 / 16)[..., None], 3, -1)
  pixels = pixels.astype(np.uint8).repeat(4, 1).repeat(4, 2)
  files = [str(folder / f'{i}.png') for i in range(3)]
  for image, file in zip(pixels, files, strict=True):
    Image.fromarray(image).save(file)
  return files, pixels


@pytest.mark.filterwarnings('error')
def test_odd_names_of_classes_are_shown_as_they_are(
  trained, digits, tmp_path, capsys
):
  names = [
    '$x$',
    'a_b^c',
    '\\frac{',
    'two\nlines',
    '\x1b[31mred',
    '\u202eright',
  ]
  names += ['', ' ', 'x' * 300, '日本語']
  workdir = tmp_path / 'run'
  shutil.copytree(trained[0], workdir)
  path = workdir / 'labels.json'
  entries = json.loads(path.read_text())
  for entry, name in zip(entries, names, strict=True):
    entry['name'] = name
  path.write_text(json.dumps(entries))
  for ending in ('json', 'csv', 'png'):
    output = tmp_path / f'x.{ending}'
    predict.predict(workdir, digits[0], output=output, top_k=10)
    assert output.stat().st_size
  found = json.loads((tmp_path / 'x.json').read_text())['predictions'][0]
  assert {x['name'] for x in found['top']} == set(names)
  text = capsys.readouterr().out
  assert all(x.isprintable() for x in text.splitlines())
  assert '$x$' in text and r'two\nlines' in text and r'\x1b[31mred' in text


def test_a_sheet_tells_classes_apart(tmp_path, monkeypatch):
  names = ['Canon EOS 5D Mark IV, lens A', 'Canon EOS 5D Mark IV, lens B']
  result = {
    'predictions': [
      {'file': 'x', 'top': [{'index': i, 'name': name, 'probability': 0.5}]}
      for i, name in enumerate(names)
    ]
  }
  drawn = []
  monkeypatch.setattr(plots, 'to_png', lambda figure: drawn.append(figure))
  monkeypatch.setattr(own_files, 'write', lambda *arguments: None)
  sheet = [np.zeros((4, 4, 3), np.uint8)] * 2
  predict._write(tmp_path / 'x.png', result, sheet, names)
  first, second = (axes.get_title() for axes in drawn[0].axes)
  assert first.endswith('A\n50.0%') and second.endswith('B\n50.0%')


def test_predictions_are_those_of_the_network(trained, digits):
  files, pixels = digits
  result = predict.predict(trained[0], files, weights='raw', top_k=10)
  loaded = run.load_run(trained[0], 'raw')
  assert pixels.shape[1] == loaded.eval_crop.size  # So nothing is resized.
  logits, _ = jax.jit(loaded.model.apply)(
    loaded.variables, loaded.preprocessing(pixels)
  )
  expected = np.asarray(jax.nn.softmax(logits))
  assert np.ptp(expected) > 0.01
  for prediction, row in zip(result['predictions'], expected, strict=True):
    found = {x['index']: x['probability'] for x in prediction['top']}
    for index, probability in enumerate(row):
      assert found[index] == pytest.approx(probability, rel=1e-4)


def test_batches_do_not_matter(trained, digits, monkeypatch):
  together = predict.predict(trained[0], digits[0], top_k=2)
  monkeypatch.setattr(predict, '_BATCH_SIZE', 2)
  apart = predict.predict(trained[0], digits[0], top_k=2)
  assert len(apart['predictions']) == 3
  for a, b in zip(together['predictions'], apart['predictions'], strict=True):
    assert a['file'] == b['file']
    for x, y in zip(a['top'], b['top'], strict=True):
      assert x['index'] == y['index']
      assert x['probability'] == pytest.approx(y['probability'], rel=1e-5)


def test_outputs(trained, digits, pictures, tmp_path):
  files = [*digits[0], str(pictures / 'notes.txt')]
  for ending in ('json', 'csv', 'png'):
    result = predict.predict(
      trained[0], files, output=tmp_path / f'x.{ending}', top_k=2
    )
  assert json.loads((tmp_path / 'x.json').read_text()) == result
  rows = list(csv.DictReader((tmp_path / 'x.csv').open()))
  assert len(rows) == 7 and rows[-1]['error'] and not rows[0]['error']
  best = result['predictions'][1]
  assert rows[2]['file'] == best['file'] and rows[2]['rank'] == '1'
  assert float(rows[2]['probability']) == best['top'][0]['probability']
  with Image.open(tmp_path / 'x.png') as sheet:
    assert sheet.format == 'PNG' and sheet.width > 300
  assert len(listing.names(tmp_path)) == 3


@pytest.mark.parametrize(
  ('arguments', 'message'),
  [
    ({'output': 'x.pdf'}, 'x.pdf must name a file that ends in .json, .csv'),
    ({'output': 'none/x.csv'}, 'the folder of --output=none/x.csv does not'),
    ({'top_k': 0}, '--top_k=0 must be from 1 to the 10'),
    ({'top_k': 11}, '--top_k=11 must be from 1 to the 10'),
    ({'weights': 'best'}, "not 'best'"),
  ],
)
def test_bad_requests(trained, digits, arguments, message):
  with pytest.raises(errors.InputError, match=message):
    predict.predict(trained[0], digits[0], **arguments)


def test_command_line(trained, digits, pictures):
  arguments = ('--mode=predict', f'--workdir={trained[0]}', *digits[0])
  status, out, err = launch.run(*arguments, str(pictures / 'empty.jpg'))
  assert status == 1
  assert err.strip().endswith("empty.jpg': the file is empty")
  result = json.loads(out.splitlines()[-1])
  assert len(result['predictions']) == 3 and len(result['failed']) == 1
  assert len(result['predictions'][0]['top']) == 5
  status, out, _ = launch.call(*arguments)
  assert status == 0 and json.loads(out.splitlines()[-1])['failed'] == []
  status, out, err = launch.call(*arguments[:2])
  assert status == 1 and '--mode=predict needs pictures' in err and not out
