"""What sweep raises when it was asked for something that cannot be done."""


class SweepError(Exception):
    """A run that cannot go on, said in one line; the command exits with 1."""


class SpecError(SweepError, ValueError):
    """Bad input: names the field, its value and what is allowed; exit code 2."""
