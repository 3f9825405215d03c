"""A training that is killed right after it has saved its state."""

import pytest

from workflow.lib.networks import resuming


def kill(monkeypatch, train, *, when=lambda state: True):
    """Call `train`, and end it as a kill would after the first save of which `when` is true."""
    save = resuming.save

    def killed(work, state):
        save(work, state)
        if when(state):
            raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(resuming, "save", killed)
        with pytest.raises(KeyboardInterrupt):
            train()
