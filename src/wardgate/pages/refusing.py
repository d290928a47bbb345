"""How a refusal in words becomes a status, and after how long it may be tried again."""

from wardgate.texts import Text


def status_of(text: Text) -> int:
    """429 where a brake holds, 503 where a neighbour is down, else 422."""
    if text.id.startswith("wait."):
        return 429
    return 503 if text.id.startswith("down.") else 422


def wait_s(text: Text | None) -> int:
    """For the header Retry-After: what the text says, a minute where it says nothing."""
    return int(text.values.get("min", 1)) * 60 if text is not None else 60
