"""The errors that commands report to the user in one line, without a traceback."""

import re
import unicodedata

LONGEST_LINE = 1000
"""The largest number of characters of an error message, because a file of a stranger may have names of any length."""

TURNING = "\u202a\u202b\u202c\u202d\u202e\u2066\u2067\u2068\u2069"
"""The characters that change the direction of the text after them."""


OUT_OF_MEMORY = (
    *("out of memory", "can't allocate memory", "DefaultCPUAllocator: "),  # PyTorch
    *("CUBLAS_STATUS_ALLOC_FAILED", "CUDNN_STATUS_ALLOC_FAILED"),
    *("Failed to allocate memory", "bad_alloc", "bad allocation"),  # ONNX Runtime
    "Insufficient memory",  # OpenCV
)
"""Texts in the errors of libraries that have no memory left."""


class InputError(Exception):
    """A file, option or configuration of the user cannot be used.

    The message is one line that names the file or key, and says what was expected and what was found. Commands print it
    without a traceback; any other exception is a bug. The class does not derive from `ValueError`, because libraries
    such as jsonargparse catch that and report it in their own words.
    """

    @property
    def line(self) -> str:
        """The message alone, in one line of at most `LONGEST_LINE` characters.

        Names in it may have line breaks, and characters that would move the cursor of a terminal, which are escaped.
        PyTorch wraps an error of a loader process into text that includes a traceback; the message stands at its end.
        """
        message = str(self).rpartition(f"\n{__name__}.{type(self).__name__}: ")[2]
        return _cut_out_middle(printable(" ".join(message.split("\n"))).strip())


class DeviceError(InputError):
    """A GPU stopped responding during the run, so that all later work on it would fail as well."""


def unknown_module(message: str) -> str:
    """Return in plain words that Python does not find the module of a class, or "" for other messages."""
    match = re.search(r"class_path '((\w+)[\w.]*)': No module named '(\2[\w.]*)'", message)
    if match is None:
        return ""
    advice = "if it lies in the current folder, write PYTHONPATH=. before the command"
    return f"{match[1]}: Python does not find the module {match[3]}; {advice}"


def reason_of(error: Exception) -> str:
    """Return the text of an error, without the number and the file that an error of the system has in its text."""
    return (error.strerror if isinstance(error, OSError) else None) or str(error) or type(error).__name__


def missing_annotations(message: str) -> str:
    """Return what a class lacks that is refused as a stage, or "" for other messages.

    jsonargparse compares the annotations of its `__call__` with those of the protocol, and only says that they differ.
    """
    match = re.search(r"does not implement protocol (\w+)", message)
    if match is None:
        return ""
    return f"; expected a `__call__` with the annotations of `detection.structures.contracts.{match[1]}`"


def is_killed_loader(error: RuntimeError) -> bool:
    """Return True if the error says that a loader process was killed.

    PyTorch raises it in a signal handler, so it can come out of any line of the main process.
    """
    return "DataLoader worker (pid" in str(error)


def is_out_of_memory(error: BaseException) -> bool:
    """Return True if the error says that there was too little memory, by its type or, in some libraries, its text."""
    kind = type(error).__name__
    says_so = kind in ("RuntimeError", "error") and any(sign in str(error) for sign in OUT_OF_MEMORY)
    return says_so or kind == "OutOfMemoryError" or isinstance(error, MemoryError)


def printable(text: str) -> str:
    """Return a text in which the characters of `is_control` are escaped, because a file name may have them."""
    if text.isprintable():
        return text
    return "".join(letter.encode("unicode_escape").decode() if is_control(letter) else letter for letter in text)


def is_control(letter: str) -> bool:
    """Return True for a character that moves the cursor, sets a colour, breaks a line or turns the direction."""
    return unicodedata.category(letter) in ("Cc", "Zl", "Zp") or letter in TURNING


def _cut_out_middle(line: str) -> str:
    """Return a line of at most `LONGEST_LINE` characters: its beginning names the file, and its end the reason."""
    half = LONGEST_LINE // 2 - 3
    return line if len(line) <= LONGEST_LINE else f"{line[:half]} ... {line[-half:]}"


def shorten(text: str) -> str:
    """Return a text from a file, cut off after 120 characters, for error messages."""
    return text if len(text) <= 120 else f"{text[:117]}..."


def short_repr(value: object) -> str:
    """Return the `repr` of a value from a file, cut off after 120 characters, for error messages."""
    try:
        return shorten(repr(value))
    except (RecursionError, ValueError):  # nested too deeply, or a number of thousands of digits
        return f"a {type(value).__name__}"
