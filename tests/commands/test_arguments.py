"""Sentences on what cannot be used on a command line."""

import re

from absl.testing import flagsaver
import pytest

from inception_jax.commands import flags
from inception_jax.runtime import errors


def refusal(line, *more):
  with flagsaver.flagsaver(), pytest.raises(errors.InputError) as found:
    flags.parse(['main.py', *line.split(), *more])
  return str(found.value)


@pytest.mark.parametrize(
  ('line', 'sentence'),
  [
    # A wrong value of every kind of flag.
    ('--mode=trian', "--mode=trian is no command; * did you mean 'train'?"),
    ('--mode trian', "* summary; did you mean 'train'?"),
    ('--mode=eval', "* did you mean 'evaluate'?"),
    ('--mode', '--mode needs a value after a =, which is train, * or summary'),
    ('--json=maybe', "--json='maybe' must be true or false"),
    ('--mirrors=2', "--mirrors='2' must be true or false"),
    ('--nojson=1', '--nojson takes no value; give --nojson or --json=1'),
    ('--top_k=five', "--top_k='five' must be a whole number"),
    ('--top_k -inf', "--top_k='-inf' must be a whole number"),
    ('--top_k --json', '--top_k needs a value after a ='),
    ('--format', '* after a =, which is safetensors, onnx, npz or torchvision'),
    ('--json -1', "--json='-1' must be true or false"),
    ('--mirrors false', "'false' stands alone; write --mirrors=false"),
    ('--versoin', "unknown flag --versoin; did you mean '--version'?"),
    ('—help', '* write --help'),
    ('--learningrate=.1', "* mean '--config.learning_rate.init_value=.1'?"),
    ('--batchSize=8', "* did you mean '--config.train.batch_size=8'?"),
    ('--config.Train.Seed=8', "* did you mean 'train.seed'?"),
    (
      '--mode=predict --config.train.seed=8 x.jpg',
      '--config.train.seed is of no use with --mode=predict; leave it out',
    ),
    ('-1', '-1 is no flag; write the value of a flag after a ='),
    # Fields of a config, by other names.
    ('--batch_size=8', "* did you mean '--config.train.batch_size=8'?"),
    ('--batch-size 8', "* did you mean '--config.train.batch_size'?"),
    ('--epochs=5', "* did you mean '--config.train.num_epochs=5'?"),
    ('--lr=.1', "* did you mean '--config.learning_rate.init_value=.1'?"),
    ('--train.seed=3', "* did you mean '--config.train.seed=3'?"),
    ('--config:train.seed=3', "* did you mean '--config.train.seed=3'?"),
    ('--config-train.seed=3', "* did you mean '--config.train.seed=3'?"),
    ('--confg.train.seed=3', "* did you mean '--config.train.seed=3'?"),
    ('--model=inception_v1', "* mean '--config.model.name=inception_v1'?"),
    ('--optimizer=rmsprop', "* mean '--config.optimizer.name=rmsprop'?"),
    ('--augmentation=no', "* mean '--config.augmentation.mirror=no'?"),
    ('--averaging=0.9', "* mean '--config.averaging.ema_decay=0.9'?"),
    # A command without a config has no fields.
    (
      '--mode=predict --batch_size=8',
      '*--mode=predict --help lists * put -- *',
    ),
    # Flags, nearly.
    ('--conf=digits', "unknown flag --conf; did you mean '--config=digits'?"),
    ('--Config=digits', "* did you mean '--config=digits'?"),
    ('--foo', 'unknown flag --foo; --mode=train --help lists the flags, and *'),
    (
      '–config=digits',
      "'–config=digits' begins with the dash '–', * --config=digits",
    ),
    ('—mode=train', '* flags begin with two hyphens; write --mode=train'),
    ('-–nojson', '* write --nojson'),
    ('−−config.train.seed=3', '* write --config.train.seed=3'),
    (
      'config.train.seed=3',
      "'config.*' is no flag, * write --config.train.seed=3",
    ),
    ('mode=train', '* write --mode=train'),
    # Fields.
    ('--config.=3', '--config. names no field; write --config.SECTION.FIELD=*'),
    (
      '--config=digits --config.model.use_aux -inf',
      "config.model.use_aux='-inf' must be true or false",
    ),
    ('--config.train.seed=3', '--config.train.seed needs --config=*'),
  ],
)
def test_a_wrong_word_is_one_sentence(line, sentence):
  found = refusal(line)
  pattern = re.escape(sentence).replace(r'\*', '.*')
  assert re.fullmatch(pattern, found), found


def test_files_whose_names_begin_as_flags_do(tmp_path, monkeypatch):
  monkeypatch.chdir(tmp_path)
  for name in ('-n.jpg', '–config=x', 'config=3'):
    (tmp_path / name).write_bytes(b'')
  line = '--mode=predict --workdir=x a.jpg -n.jpg'
  found = refusal(line)
  assert (
    found.startswith('-n.jpg is a file ') and 'give it as ./-n.jpg' in found
  )
  with flagsaver.flagsaver():
    rest = flags.parse(['main.py', *line.split()[:2], '--', '-n.jpg'])
    assert rest[1:] == ['-n.jpg']
    rest = flags.parse(['main.py', '--mode=predict', '–config=x', 'config=3'])
    assert rest[1:] == ['–config=x', 'config=3']


@pytest.mark.parametrize(
  'given, words',
  [
    ('--join_seconds=0', "'0' must be a number from 1.0 to 86,400.0"),
    ('--coordinator_port=70000', 'must be a whole number from 1 to 65,535'),
  ],
)
def test_numbers_outside_of_their_range_are_told_it(given, words):
  with pytest.raises(errors.InputError) as found:
    flags.parse(['main.py', '--mode=train', given])
  assert words in str(found.value)
