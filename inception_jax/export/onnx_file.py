"""The format ONNX: the graph of `onnx_graph`, run by ONNX Runtime."""

from collections.abc import Mapping

from etils import epath
import numpy as np
import onnxruntime

from inception_jax.export import formats, onnx_graph

_ERRORS_ONLY = 3  # Of ONNX Runtime's levels; it warns of machines' settings.


def serialize(request: formats.Request) -> dict[str, bytes]:
  """The file of the inference network, without auxiliary heads."""
  proto = onnx_graph.create_model(
    request.loaded,
    request.arrays,
    request.description,
    uint8_input=request.options['uint8_input'],
    softmax=request.options['softmax'],
  )
  return {'.onnx': proto.SerializeToString(deterministic=True)}


def outputs_of(
  request: formats.Request, files: Mapping[str, epath.Path], pixels: np.ndarray
) -> np.ndarray:
  """Logits or probabilities of the file in ONNX Runtime; see `formats`.

  The first picture and the others go through as batches of different sizes.
  """
  options = onnxruntime.SessionOptions()
  options.log_severity_level = _ERRORS_ONLY
  session = onnxruntime.InferenceSession(
    files['.onnx'].read_bytes(), options, providers=['CPUExecutionProvider']
  )
  (given,) = session.get_inputs()
  x = pixels
  if given.name != 'pixels':
    preprocessing = request.loaded.preprocessing
    x = np.asarray(preprocessing(pixels)).transpose(0, 3, 1, 2)
  return np.concatenate(
    [session.run(None, {given.name: part})[0] for part in (x[:1], x[1:])]
  )
