"""What the browser tests stand on: what is missing is told in a sentence that helps."""

import os
from pathlib import Path

import pytest

from deploy.check import browser
from deploy.check.browser import PACKAGES


@pytest.fixture
def without_chromium(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A machine whose only programs are those that the test puts into this folder."""
    monkeypatch.setenv("PATH", str(tmp_path))
    return tmp_path


def a_program(folder: Path, name: str) -> Path:
    program = folder / name
    program.write_text("#!/bin/sh\n")
    program.chmod(0o755)
    return program


@pytest.mark.parametrize("name", browser.NAMES)
def test_what_is_installed_is_taken(without_chromium: Path, name: str) -> None:
    program = a_program(without_chromium, name)

    assert browser.chromium() == program


def test_who_is_not_root_is_told_what_to_install(
    without_chromium: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    a_program(without_chromium, "apt-get")
    monkeypatch.setattr(os, "geteuid", lambda: 1000)

    assert browser.main() == 1
    assert f"apt-get install {' '.join(PACKAGES)}" in capsys.readouterr().err


def test_another_system_than_debian_is_told_that_a_browser_is_missing(
    without_chromium: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert browser.main() == 1
    assert "no Chromium is installed" in capsys.readouterr().err


def test_an_installation_that_fails_says_so(
    without_chromium: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    a_program(without_chromium, "apt-get").write_text("#!/bin/sh\necho no network >&2\nexit 1\n")
    monkeypatch.setattr(os, "geteuid", lambda: 0)

    assert browser.main() == 1
    assert "did not help: no network" in capsys.readouterr().err
