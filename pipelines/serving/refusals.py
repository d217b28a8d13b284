"""How an application says no: one shape of answer for whatever cannot be done."""

from __future__ import annotations

import logging

from pipelines.errors import LakePulseError, RequestError
from pipelines.serving.exchange import Answer
from pipelines.serving.requests import encoded

Headers = tuple[tuple[str, str], ...]
REASONS: dict[int, Headers] = {401: (("www-authenticate", "Bearer"),)}
log = logging.getLogger("lakepulse")


def refusal(problem: RequestError, headers: Headers = ()) -> Answer:
    """The problem as JSON, with `headers` and those that its status asks for."""
    headers = (*headers, *REASONS.get(problem.status, ()))
    if problem.retry_after_s is not None:
        headers = (*headers, ("retry-after", str(problem.retry_after_s)))
    body = encoded({"error": str(problem), "status": problem.status})
    return Answer(problem.status, body, headers=headers)


def failure(problem: LakePulseError, what: str, headers: Headers = ()) -> Answer:
    """The refusal of a wrong request; of anything else a 503, and `what` goes to the log."""
    if isinstance(problem, RequestError):
        return refusal(problem, headers)
    log.error("%s cannot be answered: %s", what, problem)
    return refusal(RequestError(503, str(problem), 1), headers)


def too_large(size: int, most: int, headers: Headers = ()) -> Answer:
    """The refusal of a body of `size` bytes or more where `most` are taken."""
    said = f"the body has {size} bytes or more, {most} are taken"
    return refusal(RequestError(413, said), headers)
