"""Nothing that a command did not write is overwritten, whichever command."""

import launch
import listing
import numpy as np
from PIL import Image
import pytest
import tiny_config

from inception_jax.commands import (
  export,
  import_weights,
  inspection,
  predict,
  report,
  summary,
  visualise,
)
from inception_jax.data.preparation import prepare
from inception_jax.evaluation import protocol as protocol_lib
from inception_jax.export import torchvision_file
from inception_jax.runtime import errors

MINE = b'of the user'


@pytest.fixture(scope='module')
def picture(tmp_path_factory):
  path = tmp_path_factory.mktemp('pictures') / 'digit.png'
  pixels = np.random.default_rng(0).integers(256, size=(40, 40, 3))
  Image.fromarray(pixels.astype(np.uint8)).save(path)
  return str(path)


def _export(format):
  ending = '.npz' if format == 'npz' else '.safetensors'
  return lambda workdir, unused_picture, folder: export.export(
    workdir, format, output=folder / f'x{ending}'
  )


def _predict(ending):
  return lambda workdir, picture, folder: predict.predict(
    workdir, [picture], output=folder / f'x{ending}'
  )


def _summary(ending):
  return lambda unused_workdir, unused_picture, folder: summary.summarize(
    tiny_config.get_config(), folder / f'x{ending}'
  )


def _visualise(workdir, picture, folder):
  visualise.visualise(
    workdir, [picture], output=folder, end_points=['pool2'], features=[]
  )


def _inspect(unused_workdir, unused_picture, folder):
  inspection.inspect(tiny_config.get_config(), folder)


def _report(workdir, unused_picture, folder):
  report.report(workdir, protocol_lib.Protocol('single'), folder)


PICTURES = ('filters_conv1.png', 'digit_activations.png', 'digit_heatmap.png')
CASES = [
  *[(_export('npz'), name) for name in ('x.npz', 'check.json')],
  *[(_export('torchvision'), f'x{y}') for y in ('.safetensors', '.pt', '.py')],
  *[(_predict(ending), f'x{ending}') for ending in predict._ENDINGS],
  *[(_summary(ending), f'x{ending}') for ending in summary._ENDINGS],
  *[(_visualise, name) for name in PICTURES],
  *[(_inspect, name) for name in inspection._FILES],
  *[(_report, name) for name in report._FILES],
]


@pytest.mark.parametrize(('command', 'name'), CASES)
def test_a_file_of_the_user_stays(
  trained, picture, tmp_path, monkeypatch, command, name
):
  monkeypatch.setattr(torchvision_file, '_has_pytorch', lambda: True)
  monkeypatch.setattr(torchvision_file, '_pickled', lambda state: b'pickled')
  (tmp_path / name).write_bytes(MINE)
  with pytest.raises(errors.InputError, match=rf'{name} is (there|not of an)'):
    command(trained[0], picture, tmp_path)
  found = listing.contents(tmp_path)
  assert found.pop(name) == MINE
  if command is not _visualise:  # Which writes one picture after the other.
    assert not found


@pytest.mark.parametrize(
  ('command', 'name'),
  [
    (_export('npz'), 'x.npz'),
    (_predict('.csv'), 'x.csv'),
  ],
)
def test_an_earlier_result_is_replaced_unless_it_was_changed(
  trained, picture, tmp_path, command, name
):
  command(trained[0], picture, tmp_path)
  first = listing.contents(tmp_path)
  command(trained[0], picture, tmp_path)
  assert listing.contents(tmp_path).keys() == first.keys()
  (tmp_path / name).write_bytes(MINE)
  with pytest.raises(errors.InputError, match=f'{name} is there already'):
    command(trained[0], picture, tmp_path)
  assert (tmp_path / name).read_bytes() == MINE


def test_import_and_prepare_take_new_places_only(tmp_path, picture):
  (tmp_path / 'w').mkdir()
  (tmp_path / 'w' / 'x').write_bytes(MINE)
  with pytest.raises(errors.InputError, match='holds other files'):
    import_weights.import_weights('caffe', tmp_path / 'w', path=picture)
  for part in ('a', 'b'):
    (tmp_path / 'pictures' / part).mkdir(parents=True)
    with Image.open(picture) as image:
      image.save(tmp_path / 'pictures' / part / 'x.png')
  place = tmp_path / 'data' / 'mine' / prepare.VERSION
  place.mkdir(parents=True)
  (place / 'x').write_bytes(MINE)
  with pytest.raises(errors.InputError, match='holds no prepared dataset'):
    prepare.prepare('mine', tmp_path / 'data', str(tmp_path / 'pictures'))
  assert listing.contents(place) == {'x': MINE}
  assert listing.contents(tmp_path / 'w') == {'x': MINE}


def test_train_takes_no_folder_of_the_user(tmp_path):
  (tmp_path / 'model.json').write_bytes(MINE)
  status, _, err = launch.call(
    f'--config={launch.TINY}', f'--workdir={tmp_path}'
  )
  assert status == 1 and 'model.json is there, though' in err
  assert 'Traceback' not in err
  assert (tmp_path / 'model.json').read_bytes() == MINE
  assert not (tmp_path / 'config.json').exists()
