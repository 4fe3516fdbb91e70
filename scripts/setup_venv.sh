#!/bin/sh
# Makes .venv match the lock files: `setup_venv.sh run` for what runs, `setup_venv.sh dev` for tests and checks too.
#
# The stamp file is written last and holds a checksum of what was installed, so that an interrupted install, a
# changed lock or another PYTHON=... is noticed and repaired, and nothing happens when all is as it should be.
# Why uv first and pip second: docs/decisions/0001-install-from-a-lock.md.
set -eu

KIND=${1:?usage: setup_venv.sh run|dev}
VENV=.venv
LOG=.run/setup.log
GUARD=.run/setup.lock

cd "$(dirname "$0")/.."

fail() {
    printf '%s\n' "$*" >&2
    exit 1
}

# Prints the version of interpreter $1 as 3.12.1, or nothing where it does not run (a pyenv shim, say).
version_of() {
    "$1" -c 'import sys; print("%d.%d.%d" % sys.version_info[:3])' 2>/dev/null || true
}

is_suitable() {
    case "$1" in 3.11.* | 3.12.* | 3.13.*) return 0 ;; *) return 1 ;; esac
}

# Sets BASE (an interpreter) and BASE_VERSION, or ends with one sentence.
find_python() {
    set -- python3 python3.13 python3.12 python3.11 python
    if [ -n "${PYTHON:-}" ]; then set -- "$PYTHON"; fi
    found=
    for BASE in "$@"; do
        BASE_VERSION=$(version_of "$BASE")
        if is_suitable "$BASE_VERSION"; then return 0; fi
        if [ -n "$BASE_VERSION" ]; then found="$found${found:+, }$BASE is $BASE_VERSION"; fi
    done
    fail "Python 3.11, 3.12 or 3.13 is needed, but ${found:-nothing runs under the name $*}: install one of them" \
        "(Debian: apt install python3 python3-venv; macOS: brew install python@3.13)" \
        "or name one with: make PYTHON=/path/to/python3.12 ..."
}

need_venv_module() {
    if "$BASE" -c 'import venv, ensurepip' 2>/dev/null; then return 0; fi
    fail "$BASE ($BASE_VERSION) lacks the venv module: install it (Debian and Ubuntu: apt install python${BASE_VERSION%.*}-venv or python3-venv) and try again."
}

# One line that changes whenever what should be installed changes.
wanted_stamp() {
    cat requirements.lock "$@" scripts/setup_venv.sh | cksum
}

is_current() {
    [ -x "$VENV/bin/python" ] && [ -f "$VENV/.stamp-$1" ] && [ "$(cat "$VENV/.stamp-$1")" = "$2" ]
}

is_current_for_kind() {
    case "$KIND" in
    run) is_current run "$RUN_STAMP" ;;
    dev) is_current run "$RUN_STAMP" && is_current dev "$DEV_STAMP" ;;
    *) fail "setup_venv.sh: 'run' or 'dev' expected, found '$KIND'" ;;
    esac
}

# True where PYTHON=... names another version than the one .venv was made with.
is_other_python() {
    [ -n "${PYTHON:-}" ] && [ -f "$VENV/pyvenv.cfg" ] &&
        ! grep -q "^version = $(version_of "$PYTHON")" "$VENV/pyvenv.cfg"
}

# The pinned uv with its hashes, cut out of the lock that holds it.
pinned_uv() {
    awk '/^uv==/ { on = 1 } on && /^[a-z]/ && !/^uv==/ { exit } on && !/#/ { print }' requirements-dev.lock
}

# Installs lock $1: uv reads the same file and checks the same hashes as pip, five times as fast; pip knows
# the mirrors and certificates that a user has set up for pip alone.
install_lock() {
    if "$VENV/bin/python" -m uv --version >/dev/null 2>&1 && "$VENV/bin/python" -m uv pip install --quiet \
        --python "$VENV/bin/python" --no-deps --require-hashes --compile-bytecode -r "$1" >>"$LOG" 2>&1; then
        return 0
    fi
    echo "uv could not install $1, trying pip" >>"$LOG"
    printf '  (uv could not, so pip does it: about a minute)\n'
    "$VENV/bin/python" -m pip install --quiet --retries 2 --no-deps --require-hashes -r "$1" >>"$LOG" 2>&1
}

install_uv() {
    pinned_uv >"$VENV/uv.txt"
    "$VENV/bin/python" -m pip install --quiet --retries 2 --no-deps --require-hashes -r "$VENV/uv.txt" >>"$LOG" 2>&1 || true
}

# A stamp-less .venv is a half-made one: it goes. One with an old stamp is brought up to date in place.
make_venv() {
    if [ -f "$VENV/.stamp-run" ] && [ -x "$VENV/bin/python" ] && ! is_other_python; then return 0; fi
    find_python
    need_venv_module
    printf 'Setting up %s with Python %s (10 to 60 seconds, once) ...\n' "$VENV" "$BASE_VERSION"
    rm -rf "$VENV"
    "$BASE" -m venv "$VENV" >>"$LOG" 2>&1 ||
        fail "$BASE -m venv $VENV failed: $(tail -n 1 "$LOG") (all of it: $LOG)"
    install_uv
}

# install_kind run|dev, its stamp, its lock
install_kind() {
    if is_current "$1" "$2"; then return 0; fi
    printf 'Installing from %s ...\n' "$3"
    rm -f "$VENV/.stamp-$1"
    install_lock "$3" ||
        fail "The packages of $3 could not be installed (network, proxy or disk?): see $LOG. Its last line: $(tail -n 1 "$LOG")"
    printf '%s\n' "$2" >"$VENV/.stamp-$1"
}

# True while the process that made the guard lives; a guard without a pid is one being made just now.
guard_is_held() {
    [ -f "$GUARD/pid" ] || sleep 1
    kill -0 "$(cat "$GUARD/pid" 2>/dev/null || echo none)" 2>/dev/null
}

# Two of us at once (make up and make test in two terminals) would break each other's .venv.
take_guard() {
    told=
    until mkdir "$GUARD" 2>/dev/null; do
        if ! guard_is_held; then
            rm -rf "$GUARD"
            continue
        fi
        [ -n "$told" ] || printf 'Another make is setting up %s: waiting for it ...\n' "$VENV"
        told=yes
        sleep 1
    done
    echo $$ >"$GUARD/pid"
    trap 'rm -rf "$GUARD"' EXIT
    trap 'exit 130' INT TERM HUP
}

RUN_STAMP=$(wanted_stamp)
DEV_STAMP=$(wanted_stamp requirements-dev.lock)
if is_current_for_kind && ! is_other_python; then exit 0; fi
mkdir -p .run
take_guard
: >"$LOG"
make_venv
install_kind run "$RUN_STAMP" requirements.lock
if [ "$KIND" = dev ]; then install_kind dev "$DEV_STAMP" requirements-dev.lock; fi
