"""The folder of an embedded installation."""

from pathlib import Path

import pytest

from stampbook.data_folder import DataFolder, InUse


def test_a_second_one_is_kept_out_and_told_what_to_do(tmp_path: Path) -> None:
    folder = DataFolder(tmp_path / "data")

    with folder.held(), pytest.raises(InUse, match="name another folder"), folder.held():
        pass

    with folder.held():
        pass


def test_the_operators_key_is_made_once_and_for_the_owner_only(tmp_path: Path) -> None:
    folder = DataFolder(tmp_path)

    key, path = folder.operator_key(None)

    assert path is not None
    assert path.stat().st_mode & 0o777 == 0o600
    assert len(key) > 40
    assert folder.operator_key(None) == (key, path)


def test_a_given_key_is_not_written_down(tmp_path: Path) -> None:
    folder = DataFolder(tmp_path)

    assert folder.operator_key("from the environment") == ("from the environment", None)
    assert list(tmp_path.iterdir()) == []
