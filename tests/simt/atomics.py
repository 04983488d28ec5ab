"""`cuda.atomic`: operations that no other thread comes between."""

from sys import _getframe

from .races import note_atomic, unwritten


class Atomics:
    """Each takes an array and an index, and returns the element's old value."""

    def __init__(self, machine):
        self._machine = machine

    def __getattr__(self, name):
        raise AttributeError(f"the emulator does not know cuda.atomic.{name}")

    def _change(self, array, index, change, reads=True):
        thread, frame = self._machine.thread, _getframe(2)
        for cell in array.cells_of(index):
            if reads and cell.write is None and not cell.atomics and array.space.starts_unwritten:
                raise unwritten((array.name, index), thread, frame)
            note_atomic(cell, thread, frame, (array.name, index))
        if not array.space.starts_unwritten:
            thread.block.has_acquired = True
        old = array.values[index]
        array.values[index] = change(old)
        self._machine.give_way()  # a thread may spin on it
        return old

    def add(self, array, index, value):
        return self._change(array, index, lambda old: old + old.dtype.type(value))

    def sub(self, array, index, value):
        return self._change(array, index, lambda old: old - old.dtype.type(value))

    def max(self, array, index, value):
        return self._change(array, index, lambda old: max(old, value))

    def min(self, array, index, value):
        return self._change(array, index, lambda old: min(old, value))

    def and_(self, array, index, value):
        return self._change(array, index, lambda old: old & value)

    def or_(self, array, index, value):
        return self._change(array, index, lambda old: old | value)

    def xor(self, array, index, value):
        return self._change(array, index, lambda old: old ^ value)

    def exch(self, array, index, value):
        return self._change(array, index, lambda old: value, reads=False)

    def cas(self, array, index, old, value):
        return self._change(array, index, lambda now: value if now == old else now)

    def compare_and_swap(self, array, old, value):
        return self._change(array, 0, lambda now: value if now == old else now)
