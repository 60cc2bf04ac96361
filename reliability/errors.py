"""What keeps a run from its end."""


class Broken(Exception):  # noqa: N818 (named for the condition)
    """A run could not come to its end. ``str()`` says why."""
