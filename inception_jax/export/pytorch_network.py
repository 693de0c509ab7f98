"""GoogLeNet in PyTorch, in one file that needs nothing but its weights.

`load(path)` takes the `.safetensors` or `.pt` beside this file; then
`network(preprocess(pixels))` is the logits. Written by inception_jax, whose
own network it computes; keys are torchvision's.
"""

import torch

F = torch.nn.functional

# --- settings of this network ---
SETTINGS = {}
# --- end of settings ---

AUX_DROPOUT = 0.7


def preprocess(pixels):
  """RGB pixels `[N, H, W, 3]`, 0 to 255, to network input `[N, 3, H, W]`."""
  x = pixels.to(torch.float32)
  scale = torch.tensor(SETTINGS['scale'], dtype=x.dtype, device=x.device)
  mean = torch.tensor(SETTINGS['mean'], dtype=x.dtype, device=x.device)
  if 'mean_image' in SETTINGS:  # One of each place.
    image = bytearray.fromhex(SETTINGS['mean_image'])
    mean = torch.frombuffer(image, dtype=torch.float32).to(x.device)
    side = round((len(mean) / 3) ** 0.5)
    mean = mean.reshape(side, side, 3)
  x = x * scale - mean
  x = x.flip(-1) if SETTINGS['bgr'] else x
  return x.permute(0, 3, 1, 2)


def load(path):
  """The network with the weights of a file, in inference."""
  if str(path).endswith('.pt'):
    state = torch.load(path, map_location='cpu', weights_only=True)
  else:
    from safetensors.torch import load_file

    state = load_file(path)
  network = GoogLeNet()
  network.load_state_dict(state)
  return network.eval()


def pad(x, window, stride, kind, value=0.0):
  """Pads `[N, C, H, W]` for a window.

  'same' is TensorFlow's, whose excess is below and to the right; 'symmetric'
  is half a window a side; 'ceil' completes the last window.
  """
  pads = []
  for length in (x.shape[3], x.shape[2]):
    if kind == 'same':
      total = max((-(-length // stride) - 1) * stride + window - length, 0)
      pads += [total // 2, total - total // 2]
    elif kind == 'symmetric':
      pads += [window // 2, window // 2]
    else:
      pads += [0, (window - length) % stride]
  return F.pad(x, pads, value=value)


class Pool(torch.nn.Module):
  """Max-pooling; padded places never win."""

  def __init__(self, window, stride, kind):
    super().__init__()
    self.window, self.stride, self.kind = window, stride, kind

  def forward(self, x):
    x = pad(x, self.window, self.stride, self.kind, -torch.inf)
    return F.max_pool2d(x, self.window, self.stride)


class ConvBlock(torch.nn.Module):
  """Convolution, then bias and/or batch norm, then ReLU."""

  def __init__(self, inputs, outputs, window=1, stride=1):
    super().__init__()
    self.window, self.stride = window, stride
    self.conv = torch.nn.Conv2d(
      inputs, outputs, window, stride, bias=SETTINGS['conv_bias']
    )
    self.bn = None
    if SETTINGS['batch_norm_epsilon'] is not None:
      self.bn = torch.nn.BatchNorm2d(
        outputs, eps=SETTINGS['batch_norm_epsilon']
      )

  def forward(self, x):
    x = pad(x, self.window, self.stride, SETTINGS['padding'])
    x = self.conv(x)
    return F.relu(x if self.bn is None else self.bn(x))


class Inception(torch.nn.Module):
  """Four branches side by side."""

  def __init__(self, inputs, widths):
    super().__init__()
    one, reduce_3, three, reduce_5, five, projection = widths
    self.branch1 = ConvBlock(inputs, one)
    self.branch2 = torch.nn.Sequential(
      ConvBlock(inputs, reduce_3), ConvBlock(reduce_3, three, 3)
    )
    self.branch3 = torch.nn.Sequential(
      ConvBlock(inputs, reduce_5),
      ConvBlock(reduce_5, five, SETTINGS['window_5x5']),
    )
    self.branch4 = torch.nn.Sequential(
      Pool(3, 1, SETTINGS['padding']), ConvBlock(inputs, projection)
    )

  def forward(self, x):
    branches = (self.branch1, self.branch2, self.branch3, self.branch4)
    return torch.cat([branch(x) for branch in branches], 1)


class Head(torch.nn.Module):
  """Auxiliary classifier."""

  def __init__(self, inputs, features, flat, hidden):
    super().__init__()
    self.conv = ConvBlock(inputs, features)
    self.fc1 = torch.nn.Linear(flat, hidden)
    self.fc2 = torch.nn.Linear(hidden, SETTINGS['num_classes'])

  def forward(self, x):
    if SETTINGS['head_pool'] == 'adaptive':
      x = F.adaptive_avg_pool2d(x, 4)
    else:
      x = F.avg_pool2d(x, 5, 3, ceil_mode=SETTINGS['head_pool'] == 'ceil')
    x = F.relu(self.fc1(self.conv(x).flatten(1)))
    return self.fc2(F.dropout(x, AUX_DROPOUT, self.training))


class GoogLeNet(torch.nn.Module):
  """Input `[N, 3, H, W]` to logits `[N, num_classes]`.

  In training, if there are auxiliary heads, to (logits, logits of the head on
  4d, logits of that on 4a), in torchvision's order.
  """

  def __init__(self):
    super().__init__()
    first, second, channels = SETTINGS['stem']
    self.conv1 = ConvBlock(3, first, 7, 2)
    self.conv2 = ConvBlock(first, second)
    self.conv3 = ConvBlock(second, channels, 3)
    for block, widths in SETTINGS['blocks'].items():
      self.add_module(f'inception{block}', Inception(channels, widths))
      channels = widths[0] + widths[2] + widths[4] + widths[5]
      if block in SETTINGS['heads']:
        head = Head(channels, *SETTINGS['heads'][block])
        self.add_module('aux1' if block == '4a' else 'aux2', head)
    self.fc = torch.nn.Linear(channels, SETTINGS['num_classes'])

  def forward(self, x):
    def pool(x, window=3):
      return Pool(window, 2, SETTINGS['pool_padding'])(x)

    x = self.normalise(pool(self.conv1(x)))
    x = self.normalise(self.conv3(self.conv2(x)))
    x = pool(x)
    aux = {}
    for block in SETTINGS['blocks']:
      if block == '4a':
        x = pool(x)
      if block == '5a':
        x = pool(x, SETTINGS['last_pool'])
      x = getattr(self, f'inception{block}')(x)
      if self.training and block in SETTINGS['heads']:
        aux[block] = (self.aux1 if block == '4a' else self.aux2)(x)
    x = F.dropout(x.mean((2, 3)), SETTINGS['dropout'], self.training)
    logits = self.fc(x)
    return (logits, aux['4d'], aux['4a']) if aux else logits

  def normalise(self, x):
    """Local response normalisation; PyTorch divides alpha by the size."""
    if SETTINGS['lrn'] is None:
      return x
    size, alpha, beta, k = SETTINGS['lrn']
    return F.local_response_norm(x, size, size * alpha, beta, k)
