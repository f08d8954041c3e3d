"""What can go wrong in the workshop, each told in one sentence meant for the person at the keyboard.

ExportError
├── DatasetError           the data set is missing, incomplete or not what it should be
├── BackendError           what Keras is asked to compute with is not there
├── CheckpointError        the state of a training could not be kept or found again
├── ConversionError        the network could not be written as the graph that was asked for
├── VerificationError      the graph is not the network: nothing is published
├── ManifestError          what is to be published contradicts itself
└── PublishError           the model repository could not be written
"""


class ExportError(Exception):
    """The root: everything that ends an export with a sentence and no stack trace."""


class DatasetError(ExportError):
    """The data set is missing, incomplete or not what it should be."""


class BackendError(ExportError):
    """What Keras is asked to compute with is not there, or no network is trained with it."""


class CheckpointError(ExportError):
    """The state of a training could not be kept, or is not that of this training."""


class ConversionError(ExportError):
    """The network could not be written as the graph that was asked for."""


class VerificationError(ExportError):
    """The graph is not the network: nothing is published."""


class ManifestError(ExportError):
    """What is to be published contradicts itself."""


class PublishError(ExportError):
    """The model repository could not be written."""
