"""What a prediction has cost, by the price hint of the day on which it was bought."""

from shared.domain.outputs import outputs_of
from shared.domain.prediction import TERMINAL, Prediction, Status


def cost_micros(
    prediction: Prediction, *, micros_per_second: int | None, micros_per_output: int | None
) -> int | None:
    """Millionths of a dollar for a prediction that has ended, whatever its end.

    None: it still runs, no price is known, or what the price counts is not known any more.
    """
    if prediction.status not in TERMINAL or (micros_per_second, micros_per_output) == (None, None):
        return None
    seconds = _seconds(prediction) if micros_per_second else 0.0
    outputs = _outputs(prediction) if micros_per_output else 0
    if seconds is None or outputs is None:
        return None
    return round(seconds * (micros_per_second or 0)) + outputs * (micros_per_output or 0)


def _seconds(prediction: Prediction) -> float | None:
    """How long it ran: by its metrics, else by its times. What ended before it began costs
    nothing."""
    if prediction.predict_seconds is not None:
        return prediction.predict_seconds
    began, ended = prediction.started_at, prediction.completed_at
    if began is not None:
        return None if ended is None else max(0.0, (ended - began).total_seconds())
    return None if prediction.status is Status.SUCCEEDED else 0.0


def _outputs(prediction: Prediction) -> int | None:
    if prediction.data_removed:
        return None
    return sum(1 for output in outputs_of(prediction.output) if output is not None)
