"""How a step of a join ends that did not go."""


class StepFailed(Exception):
    """The step did not go and is worth another try; the text is one sentence."""


class StepRefused(Exception):
    """No other try would go better; the text is one sentence."""
