"""PyTorch's side of `gpu.py`: eager or compiled, channels last, autocast."""

from collections.abc import Callable
import time

import gpu_timing
import torch
import torch.nn.functional as F
import torch_googlenet

from inception_jax import profiles
from inception_jax.training import losses

# Those of configs/fake_data.py.
LEARNING_RATE = 0.01
MOMENTUM = 0.9
WEIGHT_DECAY = 2e-4
# cuDNN tries its algorithms, and graphs are captured, in the first few.
WARM_UP_STEPS = 5


class Program:
  """A network, its input on the device and a step over both."""

  def __init__(self, case: gpu_timing.Case):
    self._device = 'cuda' if torch.cuda.is_available() else 'cpu'
    self._is_narrow = case.dtype == 'bfloat16'
    torch.backends.cudnn.benchmark = True
    torch.backends.cudnn.allow_tf32 = True
    torch.set_float32_matmul_precision('high')
    torch.manual_seed(0)
    network = torch_googlenet.GoogLeNet(
      case.model,
      image_size=case.image_size,
      sliced_lrn=case.form == 'compile_tuned',
    )
    self._network = network.to(self._device, memory_format=torch.channels_last)
    size, batch_size = case.image_size, case.batch_size
    shape = (batch_size, size, size, 3)
    pixels = torch.randint(0, 256, shape, dtype=torch.uint8)
    # NCHW in shape and NHWC in memory.
    self._pixels = pixels.to(self._device).permute(0, 3, 1, 2)
    self._labels = torch.randint(0, 1000, (batch_size,), device=self._device)
    mean = profiles.profile_of(case.model).preprocessing.mean
    self._mean = torch.tensor(mean, device=self._device).view(1, 3, 1, 1)
    if case.work == 'train':
      self.step = self._create_train_step(case)
    else:
      self.step = self._create_inference(case)
    start = time.perf_counter()
    self.step()
    self.wait()
    self.compile_seconds = time.perf_counter() - start
    for _ in range(WARM_UP_STEPS):
      self.step()
    self.wait()

  def details(self) -> dict[str, float]:
    """What the first step took, and the most memory that arrays had since."""
    found = {'compile_seconds': self.compile_seconds}
    if self._device == 'cuda':
      found['memory_gb'] = torch.cuda.max_memory_allocated() / 1e9
    return found

  def wait(self) -> None:
    if self._device == 'cuda':
      torch.cuda.synchronize()

  def _create_train_step(self, case: gpu_timing.Case) -> Callable[[], None]:
    self._network.train()
    optimizer = torch.optim.SGD(
      self._network.parameters(),
      lr=LEARNING_RATE,
      momentum=MOMENTUM,
      weight_decay=WEIGHT_DECAY,
      fused=self._device == 'cuda',
    )

    def loss_fn(pixels, labels):
      with self._autocast():
        heads = self._network(pixels.float() - self._mean)
      main, *others = [F.cross_entropy(x.float(), labels) for x in heads]
      return main + losses.AUX_WEIGHT * sum(others)

    loss_fn = _compiled(loss_fn, case)

    def step():
      optimizer.zero_grad(set_to_none=True)
      loss_fn(self._pixels, self._labels).backward()
      optimizer.step()

    return step

  def _create_inference(self, case: gpu_timing.Case) -> Callable[[], None]:
    self._network.eval()

    def logits_fn(pixels):
      with self._autocast():
        return self._network(pixels.float() - self._mean).float()

    logits_fn = _compiled(logits_fn, case)

    @torch.inference_mode()
    def step():
      logits_fn(self._pixels)

    return step

  def _autocast(self):
    return torch.autocast(self._device, torch.bfloat16, enabled=self._is_narrow)


def _compiled(function: Callable, case: gpu_timing.Case) -> Callable:
  if case.form == 'eager':
    return function
  torch._dynamo.reset()
  mode = 'reduce-overhead' if case.form == 'compile_tuned' else 'default'
  return torch.compile(function, dynamic=False, mode=mode)
