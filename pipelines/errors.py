"""Every error LakePulse raises on purpose. A message says what happened, to which object, and what to do
next.

LakePulseError
├── SettingsError          a setting is unknown, of a wrong type or out of range
├── DomainError            a domain file is wrong; names file, line, key
├── ContractError          rows do not have the shape that their table promises
├── StackError             a part of the local stack cannot start, stop or answer
│   └── PrerequisiteError  something the machine must provide is missing
├── OwnershipError         another process owns a checkpoint or a table
├── CheckpointError        a checkpoint belongs to another query, table or topic
├── InputFileError         a file to replay or land cannot be read as what it claims to be
├── OutputFileError        a file cannot be written where it was asked for
├── StoreError             the online store is missing, foreign, damaged or does not answer
│   └── FenceError         somebody else folded into the online store in between
├── FeatureError           a feature declaration, layout or state does not fit
├── TrainingError          the data cannot train or judge a model
├── ModelError             a registered model is damaged, foreign or unsafe to load
├── RegistryError          MLflow does not answer, or not as it should
├── DeliveryError          a channel did not take an alert
│   └── RefusedError       and will not take this one later either
├── RequestError           a request to the scoring service is refused; carries the HTTP status
├── AuditError             an audit of a table failed
└── WatchError             a metric cannot be watched: its configuration, a window or kept state is wrong
"""


class LakePulseError(Exception):
    """Base of all: catch this at an edge to tell our own refusals from defects."""


class SettingsError(LakePulseError):
    """A setting is unknown, of a wrong type or out of range."""


class DomainError(LakePulseError):
    """A domain file is wrong; the message names file, line and key."""


class ContractError(LakePulseError):
    """Rows do not have the shape that their table promises."""


class StackError(LakePulseError):
    """A part of the local stack cannot start, stop or answer."""


class PrerequisiteError(StackError):
    """Something that the machine must provide is missing; the message says how to get it."""


class OwnershipError(LakePulseError):
    """Another process owns the checkpoint or the table; the message names it."""


class CheckpointError(LakePulseError):
    """A checkpoint belongs to another query, table or topic."""


class InputFileError(LakePulseError):
    """A file cannot be read as what it claims to be."""


class OutputFileError(LakePulseError):
    """A file cannot be written where it was asked for."""


class StoreError(LakePulseError):
    """The online store is missing, foreign, damaged or does not answer."""


class FenceError(StoreError):
    """Somebody else folded into the online store since its fences were read."""


class FeatureError(LakePulseError):
    """A feature declaration, a state layout or a state does not fit."""


class TrainingError(LakePulseError):
    """The data cannot train or judge a model."""


class ModelError(LakePulseError):
    """A registered model is damaged, foreign or unsafe to load."""


class RegistryError(LakePulseError):
    """MLflow does not answer, or not as it should."""


class DeliveryError(LakePulseError):
    """A channel did not take an alert; it may take it later."""


class RefusedError(DeliveryError):
    """A channel will never take this alert."""


class RequestError(LakePulseError):
    """A request to the scoring service is refused."""

    def __init__(self, status: int, problem: str, retry_after_s: int | None = None) -> None:
        """`status` is the HTTP status; after `retry_after_s` seconds the same request may be answered."""
        super().__init__(problem)
        self.status, self.retry_after_s = status, retry_after_s


class AuditError(LakePulseError):
    """An audit of a table failed."""


class WatchError(LakePulseError, ValueError):
    """A metric cannot be watched: its configuration, a window or kept state is wrong."""


def nearest(word: str, known: "list[str] | tuple[str, ...]") -> str:
    """A hint such as `; did you mean 'clicks'?` for a misspelt word, or an empty string when nothing is
    near."""
    import difflib

    close = difflib.get_close_matches(word, known, n=2, cutoff=0.6)
    return f"; did you mean {' or '.join(repr(c) for c in close)}?" if close else ""
