"""Runs exported ONNX files with ONNX Runtime, to check them."""

import numpy as np
import onnxruntime

from inception_jax import preprocess

_ERRORS_ONLY = 3  # Of ONNX Runtime's levels; it warns of machines' settings.


def outputs_of(
  data: bytes, preprocessing: preprocess.Preprocessing, pixels: np.ndarray
) -> np.ndarray:
  """What a file that `onnx_graph` made gives for pictures.

  Args:
    data: contents of the file.
    preprocessing: pixels to network input, where the file wants the latter.
    pixels: uint8 `[batch, height, width, 3]`; at least two, which go through
      as batches of different sizes.

  Returns:
    float32 `[batch, num_classes]`.
  """
  options = onnxruntime.SessionOptions()
  options.log_severity_level = _ERRORS_ONLY
  session = onnxruntime.InferenceSession(
    data, options, providers=['CPUExecutionProvider']
  )
  (given,) = session.get_inputs()
  x = pixels
  if given.name != 'pixels':
    x = np.asarray(preprocessing(pixels)).transpose(0, 3, 1, 2)
  return np.concatenate(
    [session.run(None, {given.name: part})[0] for part in (x[:1], x[1:])]
  )
