"""What a stranger's folder may not do to the server or tell of the machine."""

import pytest

from diagnose.dashboard.store import Store
from diagnose.errors import NoRunError
from diagnose.logs.loading import FollowedRun


@pytest.mark.parametrize("told", ["secret = hunter2", '[names]\ngrad_norm = "loss/validation"\n'])
def test_a_file_of_names_that_links_outside_is_not_read(tmp_path, write_run, told):
    root = tmp_path / "root"
    write_run(root, "run", steps=20)
    (tmp_path / "outside.toml").write_text(told)
    (root / "diagnose.toml").symlink_to(tmp_path / "outside.toml")
    run = Store(root).entry("run").diagnosis.run
    assert "loss/validation" not in run.scalars
    assert run.notes == (
        f"diagnose.toml was left out: it is a link to a place outside {root}.",
    )  # nothing of what it says


def test_a_file_that_was_swapped_for_a_link_after_the_listing_is_not_followed(tmp_path, write_run):
    file = write_run(tmp_path / "root", "run", steps=20)
    outside = write_run(tmp_path, "outside", steps=20)
    followed = FollowedRun(tmp_path / "root" / "run", root=tmp_path / "root")
    file.unlink()
    file.symlink_to(outside)
    with pytest.raises(NoRunError):
        followed.refresh()
