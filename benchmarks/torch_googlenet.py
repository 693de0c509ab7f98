"""GoogLeNet of Table 1 in PyTorch, as `inception_v1` and `inception_v1_bn`.

The opponent of `gpu.py`: plain modules in their own library's manner, both
heads, dropout, response normalisation or batch norm. Keys are torchvision's,
so that `inception_jax.export.torchvision_file.state_dict` fills it. For images
whose side is a multiple of 32, where every strided window of SAME ends at or
beyond the edge, so that `ceil_mode` is the same.
"""

import torch
import torch.nn.functional as F

from inception_jax.models import architectures

AUX_DROPOUT = 0.7  # Szegedy et al. 2014, section 5.


class ConvBlock(torch.nn.Module):
  """Convolution with SAME padding, batch norm if there is any, ReLU."""

  def __init__(
    self,
    channels: int,
    features: int,
    window: int = 1,
    stride: int = 1,
    *,
    arch: architectures.Architecture,
  ):
    super().__init__()
    # SAME at an even size and stride 2: one pixel more after than before.
    self.pads = (2, 3, 2, 3) if stride == 2 else None
    self.conv = torch.nn.Conv2d(
      channels,
      features,
      window,
      stride,
      padding=0 if self.pads else window // 2,
      bias=arch.conv_bias,
    )
    self.bn = None
    if arch.batch_norm_epsilon is not None:
      self.bn = torch.nn.BatchNorm2d(features, eps=arch.batch_norm_epsilon)

  def forward(self, x: torch.Tensor) -> torch.Tensor:
    if self.pads:
      x = F.pad(x, self.pads)
    x = self.conv(x)
    if self.bn is not None:
      x = self.bn(x)
    return F.relu(x, inplace=True)


class Inception(torch.nn.Module):
  """Figure 2 (b)."""

  def __init__(
    self,
    channels: int,
    spec: architectures.InceptionSpec,
    arch: architectures.Architecture,
  ):
    super().__init__()
    conv = lambda *sizes: ConvBlock(*sizes, arch=arch)
    self.branch1 = conv(channels, spec.conv_1x1)
    self.branch2 = torch.nn.Sequential(
      conv(channels, spec.conv_3x3[0]), conv(*spec.conv_3x3, 3)
    )
    self.branch3 = torch.nn.Sequential(
      conv(channels, spec.conv_5x5[0]), conv(*spec.conv_5x5, arch.window_5x5)
    )
    self.branch4 = torch.nn.Sequential(
      torch.nn.MaxPool2d(3, 1, 1), conv(channels, spec.pool_proj)
    )

  def forward(self, x: torch.Tensor) -> torch.Tensor:
    branches = (self.branch1, self.branch2, self.branch3, self.branch4)
    return torch.cat([branch(x) for branch in branches], 1)


class Head(torch.nn.Module):
  """Auxiliary classifier, section 5."""

  def __init__(
    self,
    channels: int,
    num_classes: int,
    image_size: int,
    arch: architectures.Architecture,
  ):
    super().__init__()
    self.is_adaptive = arch.head_pool == 'adaptive'
    side = 4 if self.is_adaptive else (image_size // 16 - 5) // 3 + 1
    self.conv = ConvBlock(channels, 128, arch=arch)
    self.fc1 = torch.nn.Linear(side * side * 128, 1024)
    self.fc2 = torch.nn.Linear(1024, num_classes)

  def forward(self, x: torch.Tensor) -> torch.Tensor:
    if self.is_adaptive:
      x = F.adaptive_avg_pool2d(x, 4)
    else:
      x = F.avg_pool2d(x, 5, 3)
    x = F.relu(self.fc1(self.conv(x).flatten(1)))
    return self.fc2(F.dropout(x, AUX_DROPOUT, self.training))


class GoogLeNet(torch.nn.Module):
  """Input `[N, 3, H, W]` to logits `[N, num_classes]`.

  In training to (logits, logits of the head on 4a, logits of that on 4d).

  Args:
    name: 'inception_v1' or 'inception_v1_bn'.
    num_classes: outputs of every classifier.
    image_size: side in pixels, which the heads' dense layers depend on.
    sliced_lrn: response normalisation as a sum of shifted slices instead of
      PyTorch's own, which is an average pool in three dimensions:
      `torch.compile` makes one kernel of the slices.
  """

  def __init__(
    self,
    name: str,
    num_classes: int = 1000,
    image_size: int = 224,
    sliced_lrn: bool = False,
  ):
    super().__init__()
    self.arch = arch = architectures.architecture_of(name)
    self.sliced_lrn = sliced_lrn
    self.conv1 = ConvBlock(3, 64, 7, 2, arch=arch)
    self.conv2 = ConvBlock(64, 64, arch=arch)
    self.conv3 = ConvBlock(64, 192, 3, arch=arch)
    self.pool = torch.nn.MaxPool2d(3, 2, ceil_mode=True)
    channels = 192
    self.blocks = [block for block, _ in arch.specs]
    for block, spec in arch.specs:
      self.add_module(f'inception{block}', Inception(channels, spec, arch))
      channels = spec.features
      if block in arch.head_taps:
        head = Head(channels, num_classes, image_size, arch)
        self.add_module(head_of(block), head)
    self.fc = torch.nn.Linear(channels, num_classes)

  def forward(self, x: torch.Tensor):
    x = self.normalise(self.pool(self.conv1(x)))
    x = self.pool(self.normalise(self.conv3(self.conv2(x))))
    heads = []
    for block in self.blocks:
      if block in ('4a', '5a'):
        x = self.pool(x)
      x = getattr(self, f'inception{block}')(x)
      if self.training and block in self.arch.head_taps:
        heads.append(getattr(self, head_of(block))(x))
    x = F.dropout(x.mean((2, 3)), self.arch.dropout, self.training)
    logits = self.fc(x)
    return (logits, *heads) if self.training else logits

  def normalise(self, x: torch.Tensor) -> torch.Tensor:
    """Response normalisation; PyTorch divides alpha by the depth."""
    if self.arch.lrn is None:
      return x
    depth, alpha, beta, k = self.arch.lrn
    if not self.sliced_lrn:
      return F.local_response_norm(x, depth, depth * alpha, beta, k)
    wide, channels = x.float(), x.shape[1]
    square = F.pad(wide * wide, (0, 0, 0, 0, depth // 2, depth // 2))
    total = sum(square[:, i : i + channels] for i in range(depth))
    return (wide * (k + alpha * total) ** -beta).to(x.dtype)


def head_of(block: str) -> str:
  """torchvision's name of the head that reads a module."""
  return {'4a': 'aux1', '4d': 'aux2'}[block]
