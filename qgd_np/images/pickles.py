"""Read pickles without executing them: the opcodes of lists, dicts, numbers and NumPy arrays only.

The python layout of CIFAR-10 is pickled, and unpickling a file from elsewhere may run anything.
"""

import pickletools

MAX_BATCH = 2**26  # bytes; the official ones have 31 million, repacked pickles up to 46
MAX_OPCODES = 10**6  # in a batch's pickle; the official ones have about 40,000
ARRAY, DTYPE, ENCODE = "an array", "a dtype", "bytes"
# The only globals that may occur. They are names here: nothing is imported or called.
GLOBALS = {
    "numpy.core.multiarray _reconstruct": ARRAY,
    "numpy._core.multiarray _reconstruct": ARRAY,
    "numpy ndarray": "the class of arrays",
    "numpy dtype": DTYPE,
    "_codecs encode": ENCODE,
}
INTEGERS = {"BININT", "BININT1", "BININT2", "LONG1"}
TEXTS = {"BINUNICODE", "BINSTRING", "SHORT_BINSTRING", "BINBYTES", "SHORT_BINBYTES"}
LITERALS = INTEGERS | TEXTS
CONSTANTS = {"NONE": None, "NEWTRUE": True, "NEWFALSE": False}
EMPTY = {"EMPTY_LIST": list, "EMPTY_DICT": dict, "EMPTY_TUPLE": tuple}
TUPLES = {"TUPLE1": 1, "TUPLE2": 2, "TUPLE3": 3, "TUPLE": None}  # None: down to the last mark


class Global:
    """One of GLOBALS, as a pickle refers to it."""

    def __init__(self, name):
        self.what = GLOBALS[name]


class Built:
    """What a pickle calls one of GLOBALS for: an array or a dtype, with its arguments and state."""

    def __init__(self, what, args):
        self.what, self.args, self.state = what, args, None


class PickleReader:
    """Reads a pickle of plain lists, dicts, numbers and arrays; arrays and dtypes stay Built.

    `read` raises one of archive.DAMAGE for anything else. Nothing a pickle says runs code, and
    the memory it can claim is bounded by MAX_OPCODES and a few times MAX_BATCH.
    """

    def __init__(self):
        self.stack, self.marks, self.memo = [], [], {}
        self.allowance = MAX_BATCH  # bytes that may still be made of text

    def read(self, content):
        """Return the object that the bytes hold."""
        for count, (opcode, arg, _) in enumerate(pickletools.genops(content)):
            name = opcode.name
            if count > MAX_OPCODES:
                raise ValueError("too many opcodes")
            if name == "STOP":
                (result,) = self.stack
                return result
            if name in LITERALS:
                # genops reads Python 2's byte strings as latin1 text
                self.stack.append(arg.encode("latin1") if name.endswith("BINSTRING") else arg)
            elif name in ("BINPUT", "LONG_BINPUT"):
                self.memo[arg] = self.stack[-1]
            elif name in ("BINGET", "LONG_BINGET"):
                self.stack.append(self.memo[arg])
            elif name != "PROTO":
                self.build(name, arg)

    def build(self, name, arg):
        """Carry out an opcode that builds something out of what is on the stack."""
        stack = self.stack
        if name == "MARK":
            self.marks.append(len(stack))
        elif name in CONSTANTS:
            stack.append(CONSTANTS[name])
        elif name in EMPTY:
            stack.append(EMPTY[name]())
        elif name in TUPLES:
            stack.append(tuple(self.pop(TUPLES[name])))
        elif name in ("APPEND", "APPENDS"):
            items = self.pop(1 if name == "APPEND" else None)
            expect(stack[-1], list).extend(items)
        elif name in ("SETITEM", "SETITEMS"):
            items = self.pop(2 if name == "SETITEM" else None)
            keys = [expect(key, (str, bytes)) for key in items[::2]]
            expect(stack[-1], dict).update(zip(keys, items[1::2], strict=True))
        else:
            self.call(name, arg)

    def call(self, name, arg):
        """Carry out an opcode about one of GLOBALS."""
        if name == "GLOBAL":
            self.stack.append(Global(arg))
        elif name == "REDUCE":
            function, args = self.pop(2)
            what, args = expect(function, Global).what, expect(args, tuple)
            self.stack.append(self.encode(*args) if what == ENCODE else Built(what, args))
        elif name == "BUILD":
            (state,) = self.pop(1)
            expect(self.stack[-1], Built).state = expect(state, tuple)
        else:
            raise ValueError(f"a pickle with the opcode {name}")

    def encode(self, text, code):
        """Return text as bytes: how Python 3 writes bytes in protocol 2."""
        self.allowance -= len(expect(text, str))
        if code not in ("latin1", b"latin1") or self.allowance < 0:
            raise ValueError("an unknown encoding or too much text")
        return text.encode("latin1")

    def pop(self, count):
        """Take `count` items off the stack; for None, all down to the last mark."""
        start = self.marks.pop() if count is None else len(self.stack) - count
        if not (self.marks or [0])[-1] <= start <= len(self.stack):
            raise ValueError("a pickle that takes more than it has")
        items = self.stack[start:]
        del self.stack[start:]
        return items


def expect(value, kind):
    """Return the value if it is of this kind; raise ValueError if not."""
    if not isinstance(value, kind):
        raise ValueError(f"a pickle with a {type(value).__name__} where it does not belong")
    return value
