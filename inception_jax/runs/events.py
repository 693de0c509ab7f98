"""TensorBoard events of a run."""

import contextlib
import os
import socket
import struct
import time

from absl import logging
from etils import epath

from inception_jax.runtime import durable, errors


class Events:
  """Writes scalars and pictures for TensorBoard.

  The scalars repeat what `metrics.jsonl` and `timing.jsonl` hold, so when they
  cannot be written there is a warning, and none are written any more.

  Args:
    folder: made if need be.
    step: events of this step and later ones, of an interrupted process, are
      hidden.
  """

  def __init__(self, folder: epath.Path, step: int):
    # Slow to import; only the main process needs it. Its SummaryWriter has a
    # thread and a queue, and waits for ever once the thread finds a full disk.
    from tensorboardX import record_writer
    from tensorboardX.proto import event_pb2

    self._folder, self._writer, self._event = folder, None, event_pb2.Event
    try:
      folder.mkdir(parents=True, exist_ok=True)
      # TensorBoard looks for this name.
      name = f'events.out.tfevents.{int(time.time())}.{socket.gethostname()}'
      self._writer = record_writer.RecordWriter(os.path.join(folder, name))
      self._write(0, file_version='brain.Event:2')
      start = event_pb2.SessionLog(status=event_pb2.SessionLog.START)
      self._write(step, session_log=start)
    except OSError as error:
      self._give_up(error)

  def add_scalar(self, name: str, value: float, step: int) -> None:
    from tensorboardX import summary

    try:
      self._write(step, summary=summary.scalar(name, value))
    except OSError as error:
      self._give_up(error)

  def add_picture(self, name: str, png: bytes, step: int) -> None:
    from tensorboardX.proto import summary_pb2

    # Big-endian, after the signature and the head of the first chunk.
    width, height = struct.unpack('>II', png[16:24])
    image = summary_pb2.Summary.Image(
      height=height, width=width, colorspace=3, encoded_image_string=png
    )
    value = summary_pb2.Summary.Value(tag=name, image=image)
    try:
      self._write(step, summary=summary_pb2.Summary(value=[value]))
    except OSError as error:
      self._give_up(error)

  def flush(self) -> None:
    try:
      if self._writer is not None:
        self._writer.flush()
    except OSError as error:
      # It syncs, after writing, what need not be synced.
      if not durable.is_refusal(error):
        self._give_up(error)

  def close(self) -> None:
    try:
      if self._writer is not None:
        self._writer.close()
    except OSError as error:
      self._give_up(error)
    self._writer = None

  def _write(self, step: int, **fields) -> None:
    if self._writer is not None:
      event = self._event(wall_time=time.time(), step=step, **fields)
      self._writer.write(event.SerializeToString())

  def _give_up(self, error: OSError) -> None:
    if self._writer is not None:
      # What it could not write, Python would try to when the program ends.
      with contextlib.suppress(OSError):
        self._writer.close()
    self._writer = None
    logging.warning(
      '%s cannot be written (%s); training goes on without TensorBoard events,'
      ' and metrics.jsonl holds the same numbers',
      self._folder,
      error.strerror or errors.first_line(error),
    )
