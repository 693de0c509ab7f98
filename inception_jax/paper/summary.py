"""Table 1 of the paper for any member of the family.

Nothing is written down twice: receptive fields and multiply-adds are read
from the jaxpr of `model.apply`, shapes from its end points and parameters from
`model.init`, so the table cannot drift from the network. No FLOP is spent.

References:
  Szegedy et al. 2014, Going Deeper with Convolutions, arXiv 1409.4842.
"""

from collections.abc import Mapping, Sequence
import csv
import dataclasses
import io
import math
from typing import Any

import jax
import jax.numpy as jnp

from inception_jax.models import MODULE_LAYERS, GoogLeNet, architectures
from inception_jax.paper import jaxpr_costs
from inception_jax.paper import table_1 as paper_table

# The headings of Table 1.
BRANCH_TITLES = (
  '#1x1',
  '#3x3 reduce',
  '#3x3',
  '#5x5 reduce',
  '#5x5',
  'pool proj',
)
NO_BRANCHES = (None,) * len(MODULE_LAYERS)

# By the first letters of a row's name.
KINDS = {
  'conv': 'convolution',
  'pool': 'max pool',
  'lrn': 'local response norm',
  'inception': 'inception',
  'avg_pool': 'avg pool',
  'dropout': 'dropout',
  'classifier': 'linear',
  'aux': 'auxiliary head',
}
# A row of Table 1, but no end point of the model.
DROPOUT_ROW = {
  'name': 'dropout',
  'kind': KINDS['dropout'],
  'patch': None,
  'stride': None,
}
WINDOWED_KINDS = ('convolution', 'max pool', 'avg pool')


@dataclasses.dataclass(frozen=True)
class LayerRow:
  """One line of the table.

  Attributes:
    name: the layer's name in the model.
    kind: what it does, a value of `KINDS`.
    patch: side of its window in pixels of its input, or None.
    stride: step of the window, or None.
    output_shape: (height, width, channels), or (channels,), of one image.
    receptive_field: side, in pixels of the image, of the square that one
      output depends on, padding included; None for the auxiliary heads.
    branches: widths under `BRANCH_TITLES`, None where there is no such
      branch; None for rows that are no Inception module.
    params: learned numbers (weights, biases, batch norm's scales and offsets).
    multiply_adds: of the convolutions and matrix products, for one image.
    paper_params: the `params` that Table 1 prints; None where it says nothing.
    paper_ops: the `ops` that Table 1 prints; None where it says nothing.
    note: where the printed numbers are known to slip.
    training_only: left out of the totals and of the program in inference.
  """

  name: str
  kind: str
  patch: int | None
  stride: int | None
  output_shape: tuple[int, ...]
  receptive_field: int | None
  branches: tuple[int | None, ...] | None
  params: int
  multiply_adds: int
  paper_params: str | None = None
  paper_ops: str | None = None
  note: str = ''
  training_only: bool = False


@dataclasses.dataclass(frozen=True)
class Summary:
  """The whole table.

  Attributes:
    image_size: side of the image in pixels.
    rows: the layers in order, auxiliary heads last.
    params: learned numbers without the auxiliary heads.
    params_with_heads: with them; equal to `params` for a model without heads.
    multiply_adds: of inference on one image, so without the heads.
    multiply_adds_of_heads: of both heads on one image.
  """

  image_size: int
  rows: tuple[LayerRow, ...]
  params: int
  params_with_heads: int
  multiply_adds: int
  multiply_adds_of_heads: int


def summarize(model: GoogLeNet, image_size: int = 224) -> Summary:
  """Tabulates a model as Table 1 of the paper does.

  Args:
    model: any member of the family, of any width and module form.
    image_size: side of the square image in pixels.

  Returns:
    The table; `to_text`, `to_json` and `to_csv` write it.

  Raises:
    ValueError: if the images are too small for the network.
  """
  # Statistics over a pmapped axis cost nothing here and cannot be traced.
  model = model.clone(axis_name=None)
  images = jax.ShapeDtypeStruct((1, image_size, image_size, 3), jnp.float32)
  variables = jax.eval_shape(model.init, jax.random.key(0), images)
  network = _printed_network(model, image_size)
  rows = [
    _with_printed(row, network) for row in _main_rows(model, variables, images)
  ]
  heads = _head_rows(model, variables, images)
  return Summary(
    image_size=image_size,
    rows=(*rows, *heads),
    params=sum(row.params for row in rows),
    params_with_heads=_size(variables['params']),
    multiply_adds=sum(row.multiply_adds for row in rows),
    multiply_adds_of_heads=sum(row.multiply_adds for row in heads),
  )


def _main_rows(
  model: GoogLeNet, variables: Mapping[str, Any], images: jax.ShapeDtypeStruct
) -> list[LayerRow]:
  """Rows of what runs in inference, nothing printed beside them."""
  fields, shapes, counts = jaxpr_costs.trace(
    model, variables, images, train=False
  )
  rows = []
  for end_point, shape in shapes.items():
    name = 'classifier' if end_point == 'logits' else end_point
    if name == 'classifier':
      rows.append(dataclasses.replace(rows[-1], **DROPOUT_ROW))
    params = variables['params'].get(name, {})
    row = _row(name, shape, params, counts[name])
    field = fields[end_point]
    row = dataclasses.replace(row, receptive_field=field.size)
    if row.kind in WINDOWED_KINDS:
      row = dataclasses.replace(row, patch=field.patch, stride=field.stride)
    rows.append(row)
  return rows


def _head_rows(
  model: GoogLeNet, variables: Mapping[str, Any], images: jax.ShapeDtypeStruct
) -> list[LayerRow]:
  """Rows of the auxiliary heads, if there are any."""
  params = variables['params']
  names = [name for name in params if name.startswith('aux')]
  if not names:
    return []
  _, shapes, counts = jaxpr_costs.trace(model, variables, images, train=True)
  rows = []
  for name in names:
    shape = shapes[name.replace('aux', 'aux_logits')]
    row = _row(name, shape, params[name], counts[name])
    rows.append(dataclasses.replace(row, training_only=True))
  return rows


def _printed_network(model: GoogLeNet, image_size: int) -> str | None:
  """Name of the network that Table 1 describes, if `model` is one, or None."""
  if image_size != 224 or model.width != 1 or model.module_form != 'reduced':
    return None
  for name in paper_table.NOTES:
    if model.architecture == architectures.architecture_of(name):
      return name
  return None


def _with_printed(row: LayerRow, network: str | None) -> LayerRow:
  if network is None or row.name not in paper_table.PRINTED:
    return row
  params, ops = paper_table.PRINTED[row.name]
  return dataclasses.replace(
    row,
    paper_params=params,
    paper_ops=ops,
    note=paper_table.NOTES[network].get(row.name, ''),
  )


def _size(tree: Any) -> int:
  return sum(math.prod(leaf.shape) for leaf in jax.tree.leaves(tree))


def _row(
  name: str, shape: Sequence[int], params: Mapping[str, Any], count: int
) -> LayerRow:
  """A row with what needs no tracing; `shape` begins with the batch."""
  prefix = next((p for p in KINDS if name.startswith(p)), None)
  branches = None
  if prefix == 'inception':
    branches = tuple(
      params[b]['kernel'].shape[-1] if b in params else None
      for b in MODULE_LAYERS
    )
  return LayerRow(
    name=name,
    kind=KINDS.get(prefix, 'other'),
    patch=None,
    stride=None,
    output_shape=tuple(shape[1:]),
    receptive_field=None,
    branches=branches,
    params=_size(params),
    multiply_adds=count,
  )


def to_json(summary: Summary) -> dict[str, Any]:
  """The table as plain dicts, lists and numbers."""
  return dataclasses.asdict(summary)


def to_csv(summary: Summary) -> str:
  """The table as comma-separated lines with a header."""
  out = io.StringIO()
  writer = csv.writer(out, lineterminator='\n')
  names = [field.name for field in dataclasses.fields(LayerRow)]
  at = names.index('branches')
  writer.writerow([*names[:at], *BRANCH_TITLES, *names[at + 1 :]])
  for row in summary.rows:
    values = dataclasses.asdict(row)
    values['output_shape'] = 'x'.join(map(str, row.output_shape))
    branches = values.pop('branches') or NO_BRANCHES
    values = list(values.values())
    writer.writerow([*values[:at], *branches, *values[at:]])
  return out.getvalue()


def to_text(summary: Summary) -> str:
  """The table for a terminal, with its totals and footnotes."""
  heads = ('layer', 'patch/stride', 'output', 'sees', *BRANCH_TITLES)
  lines = [(*heads, 'params', 'multiply-adds', 'paper', '')]
  notes = []
  for row in summary.rows:
    mark = ''
    if row.note:
      notes.append(row.note)
      mark = f'[{len(notes)}]'
    lines.append(
      (
        row.name,
        f'{row.patch}x{row.patch}/{row.stride}' if row.patch else '',
        'x'.join(map(str, row.output_shape)),
        '' if row.receptive_field is None else str(row.receptive_field),
        *('' if b is None else str(b) for b in row.branches or NO_BRANCHES),
        f'{row.params:,}' if row.params else '',
        f'{row.multiply_adds:,}' if row.multiply_adds else '',
        f'{row.paper_params} {row.paper_ops}' if row.paper_params else '',
        'training only' if row.training_only else mark,
      )
    )
  widths = [max(map(len, column)) for column in zip(*lines, strict=True)]
  text = [
    '  '.join(
      cell.rjust(width) if 2 < i < 12 else cell.ljust(width)
      for i, (cell, width) in enumerate(zip(line, widths, strict=True))
    ).rstrip()
    for line in lines
  ]
  text.append('')
  text += [f'[{i}] {note}' for i, note in enumerate(notes, 1)]
  text.append(
    f'{summary.params:,} parameters ({summary.params_with_heads:,} with'
    f' auxiliary heads), {summary.multiply_adds:,} multiply-adds an image'
    f' of {summary.image_size} pixels.'
  )
  return '\n'.join(text)
