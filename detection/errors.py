"""The errors that wrong input from a user raises, or a device that fails."""


class InputError(Exception):
    """A file, option or configuration that cannot be used.

    The message is one line that names the file or key, and says what was expected and what was found. The command
    line tools print it without a traceback; every other exception is a fault of the program. It is no `ValueError`, so
    that it passes through libraries which take those for their own.
    """

    @property
    def line(self) -> str:
        """The message, also where PyTorch's loader processes have wrapped it in the traceback of theirs."""
        return str(self).strip().splitlines()[-1].removeprefix(f"{__name__}.{type(self).__name__}: ")


class DeviceError(InputError):
    """A device that was lost in the middle of the work: whatever is to be done on it next would fail as well."""


def is_killed_loader(error: RuntimeError) -> bool:
    """Whether PyTorch says that a loader process was killed.

    It does so from a signal handler, so the error comes out of whatever the main process was doing.
    """
    return "DataLoader worker (pid" in str(error)
