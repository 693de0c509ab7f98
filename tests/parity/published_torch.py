"""torchvision's and Caffe's GoogLeNet in PyTorch, by their definitions.

`googlenet.py` of torchvision and `train_val.prototxt` of BVLC's model are the
sources of every constant; names of layers are theirs. What public ports get
wrong is an argument, so that tests can get it wrong too.

References:
  pytorch/vision, torchvision/models/googlenet.py.
  BVLC/caffe, models/bvlc_googlenet/train_val.prototxt.
"""

import math

import torch

F = torch.nn.functional

# 1x1, 3x3 reduce, 3x3, 5x5 reduce, 5x5, pool projection.
WIDTHS = {
  '3a': (64, 96, 128, 16, 32, 32),
  '3b': (128, 128, 192, 32, 96, 64),
  '4a': (192, 96, 208, 16, 48, 64),
  '4b': (160, 112, 224, 24, 64, 64),
  '4c': (128, 128, 256, 24, 64, 64),
  '4d': (112, 144, 288, 32, 64, 64),
  '4e': (256, 160, 320, 32, 128, 128),
  '5a': (256, 160, 320, 32, 128, 128),
  '5b': (384, 192, 384, 48, 128, 128),
}


def shifted(x, window, stride):
  """TensorFlow's SAME, whose excess is after."""
  pads = []
  for length in (x.shape[3], x.shape[2]):
    total = max(0, (math.ceil(length / stride) - 1) * stride + window - length)
    pads += [total // 2, total - total // 2]
  return F.pad(x, pads)


def randomise(network, generator):
  """Weights of sensible scale, statistics that matter, no dead layer."""
  with torch.no_grad():
    for name, value in network.state_dict().items():
      if value.ndim > 1:  # He's scale; of Caffe's less at the end.
        bound = math.sqrt(6 / value[0].numel())
        bound /= 8 if 'classifier' in name else 1  # Without batch norm.
        value.uniform_(-bound, bound, generator=generator)
      elif name.endswith('running_var'):
        value.uniform_(0.5, 2.0, generator=generator)
      elif '.bn.' in name and name.endswith('weight'):
        value.uniform_(0.5, 1.5, generator=generator)
      elif value.is_floating_point():
        value.uniform_(-0.1, 0.4, generator=generator)


# --- torchvision -------------------------------------------------------------


class BasicConv2d(torch.nn.Module):
  """Convolution without bias, batch norm, ReLU."""

  def __init__(self, inputs, outputs, window, stride=1):
    super().__init__()
    self.conv = torch.nn.Conv2d(
      inputs, outputs, window, stride, padding=window // 2, bias=False
    )
    self.bn = torch.nn.BatchNorm2d(outputs, eps=0.001)

  def forward(self, x):
    return F.relu(self.bn(self.conv(x)))


class Inception(torch.nn.Module):
  """Four branches; the third has 3x3 where the paper has 5x5."""

  def __init__(self, inputs, widths):
    super().__init__()
    one, reduce_3, three, reduce_5, five, projection = widths
    self.branch1 = BasicConv2d(inputs, one, 1)
    self.branch2 = torch.nn.Sequential(
      BasicConv2d(inputs, reduce_3, 1), BasicConv2d(reduce_3, three, 3)
    )
    self.branch3 = torch.nn.Sequential(
      BasicConv2d(inputs, reduce_5, 1), BasicConv2d(reduce_5, five, 3)
    )
    self.branch4 = torch.nn.Sequential(
      torch.nn.MaxPool2d(3, 1, 1, ceil_mode=True),
      BasicConv2d(inputs, projection, 1),
    )

  def forward(self, x):
    branches = (self.branch1, self.branch2, self.branch3, self.branch4)
    return torch.cat([branch(x) for branch in branches], 1)


class InceptionAux(torch.nn.Module):
  """Adaptive pooling to 4x4, 1x1 convolution, two linear layers."""

  def __init__(self, inputs, num_classes):
    super().__init__()
    self.conv = BasicConv2d(inputs, 128, 1)
    self.fc1 = torch.nn.Linear(2048, 1024)
    self.fc2 = torch.nn.Linear(1024, num_classes)

  def forward(self, x):
    x = self.conv(F.adaptive_avg_pool2d(x, 4)).flatten(1)
    return self.fc2(F.relu(self.fc1(x)))


class Torchvision(torch.nn.Module):
  """torchvision's `GoogLeNet`, with its keys."""

  def __init__(self, num_classes=1000):
    super().__init__()
    self.conv1 = BasicConv2d(3, 64, 7, 2)
    self.conv2 = BasicConv2d(64, 64, 1)
    self.conv3 = BasicConv2d(64, 192, 3)
    channels = 192
    for name, widths in WIDTHS.items():
      self.add_module(f'inception{name}', Inception(channels, widths))
      channels = widths[0] + widths[2] + widths[4] + widths[5]
      if name in ('4a', '4d'):
        head = InceptionAux(channels, num_classes)
        self.add_module('aux1' if name == '4a' else 'aux2', head)
    self.fc = torch.nn.Linear(1024, num_classes)

  def transform_input(self, x):
    """Of pictures normalised for ImageNet, to those of TensorFlow."""
    deviation = torch.tensor([0.229, 0.224, 0.225])[:, None, None]
    mean = torch.tensor([0.485, 0.456, 0.406])[:, None, None]
    return x * (deviation / 0.5) + (mean - 0.5) / 0.5

  def forward(
    self,
    pixels,
    *,
    bgr=False,
    transform=True,
    last_pool=2,
    ceil=True,
    same_stem=False,
  ):
    """End points of uint8 pixels `[N, 3, H, W]`, by our names."""
    deviation = torch.tensor([0.229, 0.224, 0.225])[:, None, None]
    mean = torch.tensor([0.485, 0.456, 0.406])[:, None, None]
    x = (pixels / 255 - mean) / deviation
    x = self.transform_input(x) if transform else x
    x = x.flip(1) if bgr else x

    def pool(x, window=3):
      pad = 0 if ceil else window // 2
      return F.max_pool2d(x, window, 2, pad, ceil_mode=ceil)

    ends = {}
    if same_stem:
      conv = F.conv2d(shifted(x, 7, 2), self.conv1.conv.weight, stride=2)
      x = F.relu(self.conv1.bn(conv))
    else:
      x = self.conv1(x)
    ends['conv1'] = x
    x = ends['pool1'] = pool(x)
    x = ends['conv2_reduce'] = self.conv2(x)
    x = ends['conv2'] = self.conv3(x)
    x = ends['pool2'] = pool(x)
    for name in WIDTHS:
      if name == '4a':
        x = ends['pool3'] = pool(x)
      if name == '5a':
        x = ends['pool4'] = pool(x, last_pool)
      x = ends[f'inception_{name}'] = getattr(self, f'inception{name}')(x)
      if name == '4a':
        ends['aux_logits_4a'] = self.aux1(x)
      if name == '4d':
        ends['aux_logits_4d'] = self.aux2(x)
    x = ends['avg_pool'] = F.adaptive_avg_pool2d(x, 1).flatten(1)
    ends['logits'] = self.fc(x)
    return ends


# --- Caffe -------------------------------------------------------------------


class Caffe(torch.nn.Module):
  """`bvlc_googlenet`; layers by the names of its prototxt."""

  def __init__(self, num_classes=1000):
    super().__init__()
    self.layers = torch.nn.ModuleDict()
    conv = torch.nn.Conv2d
    self.layers['conv1/7x7_s2'] = conv(3, 64, 7, 2, padding=3)
    self.layers['conv2/3x3_reduce'] = conv(64, 64, 1)
    self.layers['conv2/3x3'] = conv(64, 192, 3, padding=1)
    channels = 192
    for name, widths in WIDTHS.items():
      one, reduce_3, three, reduce_5, five, projection = widths
      for layer, made in {
        '1x1': conv(channels, one, 1),
        '3x3_reduce': conv(channels, reduce_3, 1),
        '3x3': conv(reduce_3, three, 3, padding=1),
        '5x5_reduce': conv(channels, reduce_5, 1),
        '5x5': conv(reduce_5, five, 5, padding=2),
        'pool_proj': conv(channels, projection, 1),
      }.items():
        self.layers[f'inception_{name}/{layer}'] = made
      channels = one + three + five + projection
      if name in ('4a', '4d'):
        loss = 'loss1' if name == '4a' else 'loss2'
        self.layers[f'{loss}/conv'] = conv(channels, 128, 1)
        self.layers[f'{loss}/fc'] = torch.nn.Linear(2048, 1024)
        self.layers[f'{loss}/classifier'] = torch.nn.Linear(1024, num_classes)
    self.layers['loss3/classifier'] = torch.nn.Linear(1024, num_classes)

  def blobs(self):
    """Weights and biases of each layer, as Caffe saves them."""
    return {
      name: [x.detach().numpy() for x in (layer.weight, layer.bias)]
      for name, layer in self.layers.items()
    }

  def inception(self, x, name):
    layer = lambda kind, x: F.relu(self.layers[f'inception_{name}/{kind}'](x))
    return torch.cat(
      [
        layer('1x1', x),
        layer('3x3', layer('3x3_reduce', x)),
        layer('5x5', layer('5x5_reduce', x)),
        layer('pool_proj', F.max_pool2d(x, 3, 1, 1)),
      ],
      1,
    )

  def head(self, x, loss, ceil=True):
    x = F.avg_pool2d(x, 5, 3, ceil_mode=ceil)
    x = F.relu(self.layers[f'{loss}/conv'](x)).flatten(1)
    x = F.relu(self.layers[f'{loss}/fc'](x))
    return self.layers[f'{loss}/classifier'](x)

  def forward(
    self,
    pixels,
    *,
    rgb=False,
    mean=(104.0, 117.0, 123.0),
    size=5,
    alpha=1e-4,
    beta=0.75,
    k=1.0,
    last_pool=3,
    ceil=True,
    same_stem=False,
  ):
    """End points of uint8 RGB pixels `[N, 3, H, W]`, by our names."""
    x = pixels if rgb else pixels.flip(1)
    x = x - torch.tensor(mean)[:, None, None]

    def norm(x):  # Both frameworks divide alpha by the size.
      return F.local_response_norm(x, size, alpha, beta, k)

    def pool(x, window=3):
      pad = 0 if ceil else window // 2
      return F.max_pool2d(x, window, 2, pad, ceil_mode=ceil)

    ends = {}
    first = self.layers['conv1/7x7_s2']
    if same_stem:
      x = F.conv2d(shifted(x, 7, 2), first.weight, first.bias, stride=2)
    else:
      x = first(x)
    x = ends['conv1'] = F.relu(x)
    x = ends['pool1'] = pool(x)
    x = ends['lrn1'] = norm(x)
    x = ends['conv2_reduce'] = F.relu(self.layers['conv2/3x3_reduce'](x))
    x = ends['conv2'] = F.relu(self.layers['conv2/3x3'](x))
    x = ends['lrn2'] = norm(x)
    x = ends['pool2'] = pool(x)
    for name in WIDTHS:
      if name == '4a':
        x = ends['pool3'] = pool(x)
      if name == '5a':
        x = ends['pool4'] = pool(x, last_pool)
      x = ends[f'inception_{name}'] = self.inception(x, name)
      if name in ('4a', '4d'):
        loss = 'loss1' if name == '4a' else 'loss2'
        ends[f'aux_logits_{name}'] = self.head(x, loss)
    x = ends['avg_pool'] = x.mean((2, 3))
    ends['logits'] = self.layers['loss3/classifier'](x)
    return ends
