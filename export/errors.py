"""Errors of the export; each message is one sentence for the command line.

ExportError
├── UsageError             an option is missing or does not fit the input
├── DatasetError           the data set is missing, incomplete or invalid
├── MissingExtra           a library of convserve[export] is not installed
├── BackendError           the Keras backend is unknown, not installed or cannot start
├── CheckpointError        a checkpoint cannot be written, read or resumed
├── ConversionError        a graph cannot be converted, loaded or run
├── VerificationError      the ONNX graph does not match the Keras network, or is not accurate enough
├── ManifestError          the manifest is invalid or contradicts the files
└── PublishError           the model repository cannot be read or written
"""


class ExportError(Exception):
    """Base class: the command prints the message without a traceback."""


class UsageError(ExportError):
    """An option is missing or does not fit the input; the command exits as for a wrong argument."""


class DatasetError(ExportError):
    """The data set is missing, incomplete or invalid."""


class MissingExtra(ExportError):
    """A library of the extra `convserve[export]` is not installed."""


class BackendError(ExportError):
    """The Keras backend is unknown, not installed or cannot start."""


class CheckpointError(ExportError):
    """A checkpoint cannot be written, read or resumed."""


class ConversionError(ExportError):
    """A graph cannot be converted, loaded or run."""


class VerificationError(ExportError):
    """The ONNX graph does not match the Keras network, or is not accurate enough."""


class ManifestError(ExportError):
    """The manifest is invalid or contradicts the files."""


class PublishError(ExportError):
    """The model repository cannot be read or written."""
