"""Tests of what becomes of a process when another one is gone, in threads."""

import json
import os
import threading
import time

import pytest

from inception_jax.runtime import errors, peers


class Keys:
  """The keys of a coordination service, which may go away."""

  def __init__(self):
    self.values, self.is_gone = {}, False

  def key_value_set(self, key, value, allow_overwrite=False):
    self._check()
    assert allow_overwrite or key not in self.values
    self.values[key] = value

  def key_value_dir_get(self, folder):
    self._check()
    return [(k, x) for k, x in self.values.items() if k.startswith(folder)]

  def _check(self):
    if self.is_gone:
      raise RuntimeError('UNAVAILABLE: Socket closed')


@pytest.fixture
def create(monkeypatch):
  """Creates processes of a run in which a second passes in 0.02 s."""
  for name in dir(peers):
    if name.startswith('_SECONDS'):
      monkeypatch.setattr(peers, name, 0.02 * getattr(peers, name))
  monkeypatch.setattr(peers, '_NUM_SIGNS_A_SECOND', 1000)
  keys, ended = Keys(), {}
  created = []

  def create_all(count):
    for number in range(count):
      end = lambda error, number=number: ended.setdefault(number, error)
      created.append(peers.Peers(keys, number, count, end))
    return created, keys, ended

  yield create_all
  for one in created:
    one.stop()


def wait_for(condition):
  deadline = time.monotonic() + 10
  while not condition():
    assert time.monotonic() < deadline, 'waited in vain'
    time.sleep(0.005)


def test_all_end_with_the_sentence_and_status_of_the_one_that_fails(create):
  all_, _, ended = create(3)
  for one in all_:
    one.start()
  error = errors.Interrupted('stopped by SIGTERM; run it again', 15)
  all_[1].tell(error)
  wait_for(lambda: len(ended) == 2)
  assert ended.keys() == {0, 2}  # That one ends by itself.
  for found in ended.values():
    assert str(found) == f'process 1 of 3 has ended: {error}'
    assert found.exit_status == 128 + 15


def test_main_thread_that_ends_by_itself_or_tidies_up_is_left_alone(create):
  (failing, stopped, closing), _, ended = create(3)
  stopped.start()
  closing.start()
  stopped.stop()
  with closing.closing():
    failing.tell(errors.InputError('bad'))
    wait_for(closing.failure)
    time.sleep(10 * peers._SECONDS_OF_GRACE)
    assert not ended
  wait_for(lambda: 2 in ended)
  assert 1 not in ended


def test_process_0_goes_last_and_hands_a_sentence_on_as_it_is(create):
  (first, second), keys, _ = create(2)
  thread = threading.Thread(
    target=first.tell, args=(peers.OtherProcessError('process 1 is lost'),)
  )
  thread.start()
  wait_for(lambda: 'inception_jax/peers/ended/0' in keys.values)
  second.look()
  assert str(second.failure()) == 'process 1 is lost'
  assert second.failure().exit_status == peers.STATUS_OF_LOST == os.EX_TEMPFAIL
  assert thread.is_alive()
  second.tell(second.failure())
  thread.join(5)
  assert not thread.is_alive()


def test_silent_process_is_named_once_work_has_failed(create):
  (first, second, third), _, _ = create(3)
  first.start()
  second.start()
  third.look()  # And never again.
  assert str(first.explanation()).startswith(
    'process 2 of 3 has ended or cannot be reached: see its own messages'
  )


def test_who_fails_later_hears_who_was_first(create):
  (first, second), _, _ = create(2)
  second.tell(errors.InputError('the disk is gone'))
  first.start()
  # Though it is silent too, since it has ended.
  assert str(first.explanation()) == (
    'process 1 of 2 has ended: the disk is gone'
  )


def test_coordinator_that_is_gone_is_process_0(create):
  (_, second, third), keys, _ = create(3)
  keys.is_gone = True
  second.start()
  assert str(second.explanation()).startswith('process 0 of 3 has ended or')
  with pytest.raises(peers.OtherProcessError, match='process 0 of 3'):
    third.finish()
  second.tell(errors.InputError('nobody hears'))  # And raises nothing.


def test_the_end_waits_for_the_others_and_hears_of_their_failures(create):
  (first, second, third), keys, _ = create(3)
  results = []

  def finish(one):
    try:
      results.append(one.finish())
    except peers.OtherProcessError as error:
      results.append(str(error))

  for one in (first, second):
    threading.Thread(target=finish, args=(one,)).start()
  time.sleep(0.1)
  assert not results
  third.tell(errors.PartialError('no plots'))
  wait_for(lambda: len(results) == 2)
  assert results == ['process 2 of 3 has ended: no plots'] * 2
  said = json.loads(keys.values['inception_jax/peers/ended/0'])
  assert said is None  # It has done its own part.


def test_the_end_of_all_is_no_failure(create):
  all_, _, ended = create(2)
  all_[0].start()
  threads = [threading.Thread(target=one.finish) for one in all_]
  for thread in threads:
    thread.start()
  for thread in threads:
    thread.join(5)
    assert not thread.is_alive()
  assert not ended and all_[0].failure() is None
