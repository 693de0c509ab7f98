"""One side of `gpu.py`, in a process of its own.

Compiles its cases and prints what they take, a list on one line, None for what
it had no time for. Then, for the number of a case on each line it reads, times
one round of it and prints the images a second.

  python benchmarks/gpu_child.py FRAMEWORK CHECKOUT CASES LOCK DEADLINE
"""

import contextlib
import fcntl
import json
import sys
import time

import gpu_timing


def main() -> None:
  framework, root, cases, lock, deadline = sys.argv[1:]
  sys.path.insert(0, root)
  if framework == 'jax':
    import gpu_jax as side
  else:
    import gpu_torch as side
  cases = [gpu_timing.Case(**case) for case in json.loads(cases)]
  programs, details = [], []
  for case in cases:
    program = found = None
    if time.time() < float(deadline):
      with contextlib.ExitStack() as stack:
        if framework == 'jax':  # XLA chooses algorithms by their times.
          file = stack.enter_context(open(lock, 'w'))
          fcntl.flock(file, fcntl.LOCK_EX)
        program = side.Program(case)
        found = program.details()
    programs.append(program)
    details.append(found)
  print(json.dumps(details), flush=True)
  num_steps = {}
  for line in sys.stdin:
    index = int(line)
    program = programs[index]
    if index not in num_steps:
      num_steps[index] = gpu_timing.steps_of_round(program.step, program.wait)
    steps = num_steps[index]
    seconds = gpu_timing.seconds(program.step, program.wait, steps)
    print(steps * cases[index].batch_size / seconds, flush=True)


if __name__ == '__main__':
  main()
