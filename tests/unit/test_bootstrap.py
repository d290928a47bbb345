"""`./run` and `./test` from nothing: on small trees, with a uv and an apt-get that only note what they were asked."""

import ast
import json
import os
import shutil
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from tools import bootstrap, debian, suite
from tools.bootstrap import BootstrapError, Tree

ROOT = Path(__file__).resolve().parent.parent.parent
NOTE_ONLY = '#!/bin/sh\necho "$@" >> "{log}"\n'


def make_program(path: Path, text: str) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)
    path.chmod(0o755)
    return path


@pytest.fixture(autouse=True)
def policy_of_our_own(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Keep every test, and every fault in what it tests, away from the machine's own file: the tests may run as root."""
    monkeypatch.setattr(debian, "POLICY", tmp_path / "policy-rc.d")


@pytest.fixture
def tree(tmp_path: Path) -> Tree:
    """A checkout with the real scripts, empty locks, a `wardgate` that tells how it was started, and a blank in its path."""
    root = tmp_path / "check out"
    (root / "tools").mkdir(parents=True)
    for name in ("run", "test", "tools/__init__.py", "tools/bootstrap.py", "tools/debian.py", "tools/uv.lock.txt"):
        shutil.copy(ROOT / name, root / name)
    for name in ("requirements.lock", "requirements-dev.lock"):
        (root / name).write_text("# empty\n")
    package = root / "src" / "wardgate"
    package.mkdir(parents=True)
    (package / "__init__.py").touch()
    (package / "__main__.py").write_text(
        "import json, os, signal, sys\n"
        "signal.signal(signal.SIGTERM, lambda *_: sys.exit(0))\n"
        "print(json.dumps([sys.argv[1:], os.getpid(), os.environ.get('WARDGATE_DATA')]), flush=True)\n"
        "if 'serve' in sys.argv:\n"
        "    sys.stdin.read()\n"
        "sys.exit(4 if 'conflict' in sys.argv else 0)\n"
    )
    return Tree(root)


@pytest.fixture
def noted(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A PATH whose uv only notes what it was asked, and nothing else that could install."""
    log = tmp_path / "uv.log"
    make_program(tmp_path / "bin" / "uv", NOTE_ONLY.format(log=log))
    monkeypatch.setenv("PATH", f"{tmp_path / 'bin'}:/usr/bin:/bin")
    monkeypatch.delenv("WARDGATE_DATA", raising=False)
    return log


def start(tree: Tree, script: str, *arguments: str) -> subprocess.Popen[str]:
    command = [sys.executable, str(tree.root / script), *arguments]
    return subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)


class TestRun:
    def test_becomes_the_program_and_leaves_standard_output_to_it(self, tree: Tree, noted: Path) -> None:
        process = start(tree, "run", "user", "list", "--json")
        out, err = process.communicate(timeout=60)
        assert json.loads(out) == [["user", "list", "--json"], process.pid, str(tree.root / "var")]
        assert process.returncode == 0
        assert "environment ready" in err
        assert "\033" not in err

    def test_without_arguments_plays_the_demo(self, tree: Tree, noted: Path) -> None:
        out, _ = start(tree, "run").communicate(timeout=60)
        assert json.loads(out)[0] == ["demo"]

    def test_keeps_the_data_directory_that_the_caller_chose(self, tree: Tree, noted: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setenv("WARDGATE_DATA", "/srv/wardgate")
        out, _ = start(tree, "run").communicate(timeout=60)
        assert json.loads(out)[2] == "/srv/wardgate"

    def test_passes_the_exit_code_on(self, tree: Tree, noted: Path) -> None:
        process = start(tree, "run", "conflict")
        process.communicate(timeout=60)
        assert process.returncode == 4

    def test_a_signal_reaches_the_server_itself(self, tree: Tree, noted: Path) -> None:
        with start(tree, "run", "serve") as process:
            assert process.stdout is not None
            assert json.loads(process.stdout.readline())[1] == process.pid
            process.send_signal(signal.SIGTERM)
            assert process.wait(timeout=30) == 0

    def test_a_module_in_the_callers_directory_is_not_imported(
        self, tree: Tree, noted: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        (tmp_path / "json.py").write_text("raise SystemExit(99)\n")
        monkeypatch.chdir(tmp_path)
        process = start(tree, "run")
        process.communicate(timeout=60)
        assert process.returncode == 0

    def test_what_cannot_be_installed_ends_with_code_3(self, tree: Tree, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        make_program(tmp_path / "bin" / "uv", "#!/bin/sh\necho 'uv: no network' >&2\nexit 2\n")
        monkeypatch.setenv("PATH", str(tmp_path / "bin"))
        make_program(tree.private / "bin" / "python", "#!/bin/sh\ncase $3 in --version|config) exit 0;; esac\nexit 1\n")
        process = start(tree, "run")
        out, err = process.communicate(timeout=60)
        assert (process.returncode, out) == (3, "")
        assert "uv: no network" in err
        assert "cannot install what requirements.lock names" in err

    @pytest.mark.parametrize("script", ["run", "test"])
    def test_an_old_python_can_read_the_script(self, script: str) -> None:
        ast.parse((ROOT / script).read_text(), feature_version=(3, 6))

    @pytest.mark.parametrize("script", ["run", "test"])
    def test_an_old_python_says_what_is_missing(
        self, script: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
    ) -> None:
        monkeypatch.setattr(sys, "version_info", (3, 10, 4))
        with pytest.raises(SystemExit) as stopped:
            exec(compile((ROOT / script).read_text(), script, "exec"), {"__file__": str(ROOT / script)})
        assert stopped.value.code == 3
        assert "needs Python 3.11 or later, and this is 3.10" in capsys.readouterr().err


class TestPrepare:
    def test_installs_by_hash_into_the_environment_and_builds_nothing(self, tree: Tree, noted: Path) -> None:
        bootstrap.prepare(tree, dev=False)
        call = noted.read_text()
        assert call.startswith("pip sync")
        assert f"--python {tree.python}" in call
        assert "--require-hashes --only-binary :all:" in call
        assert call.endswith("requirements.lock\n")

    def test_a_current_environment_is_left_alone(self, tree: Tree, noted: Path) -> None:
        bootstrap.prepare(tree, dev=False)
        bootstrap.prepare(tree, dev=False)
        assert len(noted.read_text().splitlines()) == 1

    def test_a_changed_lock_is_installed(self, tree: Tree, noted: Path) -> None:
        bootstrap.prepare(tree, dev=False)
        tree.runtime_lock.write_text("# another\n")
        assert not bootstrap.is_current(tree, dev=False)
        bootstrap.prepare(tree, dev=False)
        assert len(noted.read_text().splitlines()) == 2

    def test_run_after_test_keeps_the_tools_for_tests(self, tree: Tree, noted: Path) -> None:
        bootstrap.prepare(tree, dev=False)
        bootstrap.prepare(tree, dev=True)
        bootstrap.prepare(tree, dev=False)
        tree.runtime_lock.write_text("# another\n")
        bootstrap.prepare(tree, dev=False)
        locks = [line.rsplit("/", 1)[-1] for line in noted.read_text().splitlines()]
        assert locks == ["requirements.lock", "requirements-dev.lock", "requirements-dev.lock"]

    def test_a_tree_that_was_moved_gets_a_new_environment(self, tree: Tree, noted: Path) -> None:
        bootstrap.prepare(tree, dev=False)
        moved = Tree(tree.root.rename(tree.root.with_name("some where")))
        (moved.venv / "names-the-old-place").touch()
        assert not bootstrap.is_current(moved, dev=False)
        bootstrap.prepare(moved, dev=False)
        assert not (moved.venv / "names-the-old-place").exists()
        assert subprocess.run([moved.venv / "bin" / "wardgate"], stdout=subprocess.DEVNULL, check=False).returncode == 0

    def test_an_environment_whose_python_is_gone_is_made_anew(self, tree: Tree, noted: Path) -> None:
        bootstrap.prepare(tree, dev=False)
        tree.python.unlink()
        tree.python.symlink_to("/nowhere/python3")
        bootstrap.prepare(tree, dev=False)
        assert bootstrap.is_current(tree, dev=False)
        assert subprocess.run([tree.python, "-c", ""], check=False).returncode == 0

    def test_an_environment_made_by_hand_is_kept(self, tree: Tree, noted: Path) -> None:
        subprocess.run([sys.executable, "-m", "venv", "--without-pip", str(tree.venv)], check=True)
        (tree.venv / "mine").touch()
        bootstrap.prepare(tree, dev=False)
        assert (tree.venv / "mine").exists()

    def test_an_interrupted_installation_leaves_no_stamp(self, tree: Tree, noted: Path, tmp_path: Path) -> None:
        bootstrap.prepare(tree, dev=False)
        tree.runtime_lock.write_text("# another\n")
        make_program(tmp_path / "bin" / "uv", "#!/bin/sh\nkill -TERM $PPID\nexec sleep 60\n")
        process = start(tree, "run")
        process.communicate(timeout=60)
        assert process.returncode == 128 + signal.SIGTERM
        assert bootstrap.read_stamp(tree) is None

    @pytest.mark.parametrize("text", ["", "{", "[]", '{"root": "/x"}', '{"root": 1, "other": 2}'])
    def test_a_damaged_stamp_counts_as_none(self, tree: Tree, text: str) -> None:
        tree.venv.mkdir()
        tree.stamp.write_text(text)
        assert bootstrap.read_stamp(tree) is None

    def test_two_runs_at_once_install_once(self, tree: Tree, noted: Path, tmp_path: Path) -> None:
        gate = tmp_path / "gate"
        os.mkfifo(gate)
        make_program(tmp_path / "bin" / "uv", NOTE_ONLY.format(log=noted) + f'read line < "{gate}"\n')
        first = start(tree, "run")
        with gate.open("w") as opened:  # opens when the first run's uv reads, thus while that run holds the guard
            second = start(tree, "run")
            assert second.stderr is not None
            assert "another run is preparing" in second.stderr.readline()
            opened.write("go\n")
        for process in (first, second):
            process.communicate(timeout=60)
            assert process.returncode == 0
        assert len(noted.read_text().splitlines()) == 1


class TestWithoutEnsurepip:
    """Debian's Python without python3-venv: the stand-in says what that one says."""

    @pytest.fixture(autouse=True)
    def bare_python(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        (tmp_path / "bin").mkdir()
        refusal = "The virtual environment was not created successfully because ensurepip is not available."
        text = f'#!/bin/sh\ncase "$*" in *--without-pip*) exec {sys.executable} "$@";; esac\n'
        text += f'[ -e "{tmp_path}/venv-package" ] && exec {sys.executable} "$@"\necho "{refusal}"\nexit 1\n'
        monkeypatch.setattr(sys, "executable", str(make_program(tmp_path / "python" / "python3", text)))
        monkeypatch.setenv("PATH", str(tmp_path / "bin"))

    def test_a_user_is_told_the_one_line_to_type(self, tree: Tree, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        make_program(tmp_path / "bin" / "apt-get", NOTE_ONLY.format(log=tmp_path / "apt.log"))
        monkeypatch.setattr(os, "geteuid", lambda: 1000)
        with pytest.raises(BootstrapError, match="sudo apt-get install -y python3-venv"):
            bootstrap.prepare(tree, dev=False)
        assert bootstrap.read_stamp(tree) is None
        assert not (tmp_path / "apt.log").exists()

    def test_where_there_is_no_apt_no_apt_line_is_given(self, tree: Tree) -> None:
        with pytest.raises(BootstrapError, match="install its venv package") as refused:
            bootstrap.prepare(tree, dev=False)
        assert "apt-get" not in str(refused.value)

    def test_root_gets_the_package_installed(self, tree: Tree, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        log = tmp_path / "apt.log"
        make_program(
            tmp_path / "bin" / "apt-get",
            NOTE_ONLY.format(log=log) + f'case "$*" in *install*python3-venv) : > "{tmp_path}/venv-package";; esac\n',
        )
        monkeypatch.setattr(os, "geteuid", lambda: 0)
        assert bootstrap._private_pip(tree) == [str(tree.private / "bin" / "python"), "-m", "pip"]
        assert not (tmp_path / "policy-rc.d").exists()
        update, install = log.read_text().splitlines()
        assert "update" in update
        assert install.endswith("--no-install-recommends python3-venv")


def test_pinned_reads_names_and_versions_from_a_lock() -> None:
    text = "a-b==1.2 \\\n    --hash=sha256:00\nuvloop==0.23.0 ; sys_platform != 'win32' \\\n    --hash=sha256:11\n# c==3\n"
    assert bootstrap.pinned(text) == {"a-b": "1.2", "uvloop": "0.23.0"}


class TestUvOptions:
    def test_what_pip_was_told_holds_for_uv(self) -> None:
        settings = (
            "global.index-url='https://mirror.test/simple'\nglobal.cert='/etc/mirror.pem'\n:env:.find-links='/srv/a\\n/srv/b'\n"
        )
        assert bootstrap.uv_options(settings, {}) == [
            *("--default-index", "https://mirror.test/simple"),
            *("--find-links", "/srv/a", "--find-links", "/srv/b"),
            *("--cert", "/etc/mirror.pem"),
        ]

    def test_install_beats_global_and_a_variable_beats_both(self) -> None:
        settings = ":env:.index-url='https://c.test'\nglobal.index-url='https://a.test'\ninstall.index-url='https://b.test'\n"
        assert bootstrap.uv_options(settings, {}) == ["--default-index", "https://c.test"]

    def test_what_uv_was_told_itself_wins(self) -> None:
        assert bootstrap.uv_options("global.index-url='https://a.test'\n", {"UV_DEFAULT_INDEX": "https://b.test"}) == []

    def test_further_indexes_are_searched_as_pip_does(self) -> None:
        options = bootstrap.uv_options("global.extra-index-url='https://a.test https://b.test'\n", {})
        assert options == ["--index", "https://a.test", "--index", "https://b.test", "--index-strategy", "unsafe-best-match"]

    def test_no_index_stays_no_index(self) -> None:
        assert bootstrap.uv_options("global.no-index='true'\n", {}) == ["--no-index"]

    def test_nothing_told_nothing_added(self) -> None:
        assert bootstrap.uv_options("global.timeout='60'\nnoise\n", {}) == []


class TestCache:
    def test_a_home_of_ones_own_keeps_the_cache(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.delenv("XDG_CACHE_HOME", raising=False)
        monkeypatch.setenv("HOME", str(tmp_path / "not-yet-there"))
        assert "UV_NO_CACHE" not in bootstrap.uv_environment()

    def test_another_users_home_is_not_written_to(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.delenv("XDG_CACHE_HOME", raising=False)
        monkeypatch.setenv("HOME", str(tmp_path))
        monkeypatch.setattr(os, "geteuid", lambda: tmp_path.stat().st_uid + 1)
        assert bootstrap.uv_environment()["UV_NO_CACHE"] == "true"


class TestServicesDenied:
    def test_services_are_denied_inside_and_nothing_is_left_behind(self, tmp_path: Path) -> None:
        policy = tmp_path / "policy-rc.d"
        with debian.services_denied(policy):
            assert subprocess.run([policy], check=False).returncode == 101
        assert list(tmp_path.iterdir()) == []

    def test_the_machines_own_policy_comes_back_with_its_mode(self, tmp_path: Path) -> None:
        policy = make_program(tmp_path / "policy-rc.d", "#!/bin/sh\nexit 104\n")
        policy.chmod(0o750)
        with debian.services_denied(policy):
            assert subprocess.run([policy], check=False).returncode == 101
        assert policy.read_text() == "#!/bin/sh\nexit 104\n"
        assert policy.stat().st_mode & 0o777 == 0o750
        assert list(tmp_path.iterdir()) == [policy]

    def test_a_failure_inside_brings_it_back_too(self, tmp_path: Path) -> None:
        policy = make_program(tmp_path / "policy-rc.d", "own")
        with pytest.raises(KeyboardInterrupt), debian.services_denied(policy):
            raise KeyboardInterrupt
        assert policy.read_text() == "own"

    def test_a_killed_run_is_put_right_by_the_next(self, tmp_path: Path) -> None:
        policy = make_program(tmp_path / "policy-rc.d", debian.DENY_ALL)
        make_program(tmp_path / "policy-rc.d.before-wardgate", "own")
        with debian.services_denied(policy):
            pass
        assert policy.read_text() == "own"
        assert list(tmp_path.iterdir()) == [policy]

    def test_a_killed_run_on_a_machine_without_a_policy_leaves_none_in_the_end(self, tmp_path: Path) -> None:
        policy = make_program(tmp_path / "policy-rc.d", debian.DENY_ALL)
        with debian.services_denied(policy):
            pass
        assert list(tmp_path.iterdir()) == []

    def test_a_termination_waits_until_the_policy_is_back(self, tmp_path: Path) -> None:
        policy = make_program(tmp_path / "policy-rc.d", "own")
        code = (
            "import os, pathlib, signal, sys; from tools import debian\n"
            "with debian.services_denied(pathlib.Path(sys.argv[1])):\n"
            "    os.kill(os.getpid(), signal.SIGTERM)\n"
            "    print('still here', flush=True)\n"
            "print('no longer here')\n"
        )
        done = subprocess.run([sys.executable, "-c", code, policy], cwd=ROOT, stdout=subprocess.PIPE, text=True, check=False)
        assert (done.returncode, done.stdout) == (-signal.SIGTERM, "still here\n")
        assert policy.read_text() == "own"

    def test_a_link_is_kept_as_a_link_and_its_target_untouched(self, tmp_path: Path) -> None:
        target = make_program(tmp_path / "target", "own")
        policy = tmp_path / "policy-rc.d"
        policy.symlink_to(target)
        with debian.services_denied(policy):
            assert target.read_text() == "own"
        assert policy.readlink() == target


class TestInstall:
    def test_apt_asks_nothing_and_starts_nothing(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        policy, log = tmp_path / "policy-rc.d", tmp_path / "log"
        make_program(tmp_path / "bin" / "apt-get", f'#!/bin/sh\n"{policy}"\necho "$? $DEBIAN_FRONTEND $*" >> "{log}"\n')
        monkeypatch.setenv("PATH", f"{tmp_path / 'bin'}:/usr/bin:/bin")
        assert debian.install(["oathtool", "chromium"], policy)
        lines = log.read_text().splitlines()
        assert [line.split()[:2] for line in lines] == [["101", "noninteractive"]] * 2
        assert " install -y " in lines[1]
        assert lines[1].endswith(" oathtool chromium")
        assert not policy.exists()

    def test_a_failing_apt_is_reported_and_leaves_no_policy(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        make_program(tmp_path / "bin" / "apt-get", "#!/bin/sh\nexit 100\n")
        monkeypatch.setenv("PATH", str(tmp_path / "bin"))
        assert not debian.install(["oathtool"], tmp_path / "policy-rc.d")
        assert not (tmp_path / "policy-rc.d").exists()


class TestOrder:
    def test_alone_it_checks_everything_on_all_cores(self) -> None:
        assert suite.read_order([], ROOT) == suite.Order(install=False, lint=True, parallel=True, pytest=())

    def test_install_is_ours_and_not_pytests(self) -> None:
        assert suite.read_order(["--install", "-x"], ROOT) == suite.Order(install=True, lint=True, parallel=True, pytest=("-x",))

    def test_no_lint_leaves_only_the_checks_out(self) -> None:
        assert suite.read_order(["--no-lint", "-q"], ROOT) == suite.Order(install=False, lint=False, parallel=True, pytest=("-q",))

    def test_a_path_narrows_and_is_meant_from_where_one_stands(self) -> None:
        order = suite.read_order(["unit/test_bootstrap.py::TestOrder", "-v"], ROOT / "tests")
        assert order.pytest == (f"{ROOT}/tests/unit/test_bootstrap.py::TestOrder", "-v")
        assert (order.lint, order.parallel) == (False, False)

    @pytest.mark.parametrize(
        "arguments", [["-k", "totp"], ["-m", "neighbour"], ["--lf"], ["-n", "4"], ["-n4"], [str(ROOT / "tests")]]
    )
    def test_asking_for_some_tests_narrows(self, arguments: list[str]) -> None:
        order = suite.read_order(arguments, ROOT)
        assert order == suite.Order(install=False, lint=False, parallel=False, pytest=tuple(arguments))

    def test_help_is_our_own(self, capsys: pytest.CaptureFixture[str]) -> None:
        assert suite.main(["--help"]) == 0
        assert "--install" in capsys.readouterr().out
