"""The flags of the command line; the README describes every mode."""

from absl import flags
from ml_collections import config_flags

FLAGS = flags.FLAGS
MODES = 'train evaluate report predict visualise import export'.split()
MODES += 'prepare inspect summary'.split()
config_flags.DEFINE_config_file('config', None, 'The file of the experiment.')
flags.DEFINE_enum('mode', 'train', MODES, 'What to do.')
for name, text in {
  'workdir': 'Run directory, local or gs://; of evaluations several.',
  'input': 'What to prepare from (pictures, tars) or import (weights).',
  'output': 'File or folder of the result.',
  'protocol': 'How to evaluate: single, ten_crop or multi_crop_144.',
  'aggregation': 'Of crops: mean_probability, max_probability, mean_logit.',
  'answers': 'Folder to keep answers of evaluations in.',
  'weights': 'raw, ema or polyak; by default ema where it is kept.',
  'source': 'Of weights: google, caffe, torchvision, tf_slim, safetensors.',
  'labels': 'The file that names the outputs of imported weights.',
  'format': 'What to export: safetensors, onnx, npz or torchvision.',
}.items():
  flags.DEFINE_string(name, None, text)
for name, default, text in (
  ('download', False, 'Fetch the weights to import.'),
  ('mirrors', True, 'Evaluate mirrored crops as well.'),
  ('uint8_input', False, 'Export ONNX that takes pixels.'),
  ('softmax', False, 'Export ONNX with probabilities.'),
):
  flags.DEFINE_boolean(name, default, text)
flags.DEFINE_integer('top_k', None, 'Number of classes to predict.')
for name, text in {
  'scales': 'Of a protocol: 256, 288, 320, 352.',
  'squares': 'Of a protocol: first, center, last.',
  'crops': 'Of a protocol: center, whole, top_left, …',
  'end_points': 'Whose activations to visualise.',
  'features': 'END_POINT:CHANNEL or class:NAME to dream.',
}.items():
  flags.DEFINE_list(name, None, text)
