"""What one sees of a stack of layers: from above, with whiteouts; overlayfs.rst, "Upper and Lower".

A layer is written here as a list of (name, whether it is a whiteout), the highest layer first.
"""

from __future__ import annotations


def brings(*names):
    """A layer that brings files."""
    return [(name, False) for name in names]


def deletes(*names):
    """A layer that says that names are gone."""
    return [(name, True) for name in names]


def test_layers_together_show_what_each_brings(compute_shown):
    """Each layer holds only what it changes; the image is all of them together."""
    assert compute_shown([brings("app"), brings("libc"), brings("sh", "ls")]) == {"app": 0, "libc": 1, "sh": 2, "ls": 2}


def test_higher_file_hides_the_lower_one(compute_shown):
    """An upgrade is a new file with the name of the old one, which stays in its layer, unseen, and is still sent along."""
    assert compute_shown([brings("libc"), brings("libc")]) == {"libc": 0}


def test_whiteout_hides_the_file_below(compute_shown):
    """`RUN rm secret` in a later line of a Dockerfile makes a whiteout. The secret is not shown, and is in the image for ever."""
    assert compute_shown([deletes("secret"), brings("secret", "app")]) == {"app": 1}


def test_whiteout_holds_for_every_layer_below(compute_shown):
    """Deleted is deleted, no matter how many layers down the file lies, or how many of them have it."""
    assert compute_shown([deletes("old"), brings("old"), brings("old", "app")]) == {"app": 2}


def test_file_that_comes_back_is_the_new_one(compute_shown):
    """A layer above the deletion may bring the name again: then that file is shown, with nothing of the old one."""
    assert compute_shown([brings("config"), deletes("config"), brings("config")]) == {"config": 0}


def test_whiteout_of_nothing_shows_nothing(compute_shown):
    """A whiteout is a sign and never a file, even if there is nothing for it to hide."""
    assert compute_shown([deletes("ghost"), brings("app")]) == {"app": 1}
