#!/bin/sh
# install.sh: puts runr on this machine, checks what the machine lets it do, and runs a container.
# Run `./install.sh --help` for the options. Running it again updates what is installed.
set -eu

usage() {
    cat <<'USAGE'
Usage: ./install.sh [options]

Builds the static executable (or takes the ready one beside this script), installs it with shell completions and man
pages, and ends by running a container from the built-in image: that needs no network.

  --prefix DIR     install below DIR (default: /usr/local as root, else ~/.local)
  --binary FILE    install this executable instead of building one
  --no-system      never call the system's package manager
  --yes            do not ask: use sudo for the package manager if it needs no password
  --no-check       do not run a container at the end
  --uninstall      remove what this script installed; images and containers stay
  --help           show this text
USAGE
}

say() { printf '%s\n' "install.sh: $*"; }
die() {
    printf '%s\n' "install.sh: $*" >&2
    exit 1
}

# --- options -----------------------------------------------------------------------------------------------------------

prefix='' binary='' system=yes ask=yes check=yes action=install
while [ $# -gt 0 ]; do
    case $1 in
    --prefix | --binary)
        [ $# -ge 2 ] || die "$1 needs a value; see --help"
        case $1 in --prefix) prefix=$2 ;; *) binary=$2 ;; esac
        shift
        ;;
    --prefix=*) prefix=${1#*=} ;;
    --binary=*) binary=${1#*=} ;;
    --no-system) system=no ;;
    --yes | -y) ask=no ;;
    --no-check) check=no ;;
    --uninstall) action=uninstall ;;
    --help | -h)
        usage
        exit 0
        ;;
    *) die "unknown option \`$1\`; see --help" ;;
    esac
    shift
done

here=$(CDPATH='' cd -- "$(dirname -- "$0")" && pwd -P)
uid=$(id -u)
if [ -z "$prefix" ]; then
    if [ "$uid" = 0 ]; then
        prefix=/usr/local
    else
        [ -n "${HOME:-}" ] || die "HOME is not set: say where to install with --prefix"
        prefix=$HOME/.local
    fi
fi
case $prefix in
/*) ;;
*) prefix=$(pwd -P)/$prefix ;;
esac

bin=$prefix/bin
man=$prefix/share/man/man1
# Each shell looks for completions of its user and of the system below these folders.
bash_dir=$prefix/share/bash-completion/completions
zsh_dir=$prefix/share/zsh/site-functions
fish_dir=$prefix/share/fish/vendor_completions.d

# --- uninstall ---------------------------------------------------------------------------------------------------------

if [ "$action" = uninstall ]; then
    rm -f -- "$bin/runr" "$bash_dir/runr" "$zsh_dir/_runr" "$fish_dir/runr.fish" "$man/runr.1" "$man"/runr-*.1
    say "removed runr from $prefix"
    data=${RUNR_ROOT:-${XDG_DATA_HOME:-${HOME:-}/.local/share}/runr}
    if [ -d "$data" ]; then
        say "images and containers are still in $data"
    fi
    exit 0
fi

# --- the executable ----------------------------------------------------------------------------------------------------

build() {
    command -v cargo >/dev/null 2>&1 ||
        die "there is no \`runr\` beside this script, and no \`cargo\` to build one: install Rust 1.95 or newer (rustup.rs)"
    # Without these cargo stops with a message about a missing linker only after minutes.
    command -v cc >/dev/null 2>&1 || die "a C compiler is needed to build (Debian: apt install gcc libc6-dev)"
    say "building (a few minutes the first time)"
    (cd "$here" && cargo build --release --locked --bin runr)
    host=$(rustc -vV | sed -n 's/^host: //p')
    binary=${CARGO_TARGET_DIR:-$here/target}/$host/release/runr
}

if [ -z "$binary" ]; then
    if [ -f "$here/runr" ] && [ -x "$here/runr" ]; then binary=$here/runr; else build; fi
fi
[ -f "$binary" ] || die "there is no executable at \`$binary\`"

# --- what the system should have ---------------------------------------------------------------------------------------

# newuidmap and newgidmap give containers more than one user id. They are the only programs runr does not bring itself,
# because they must be set-uid root.
have_idmap() {
    for dir in $(printf '%s' "$PATH:/usr/bin:/usr/sbin:/bin" | tr ':' ' '); do
        [ -x "$dir/newuidmap" ] && return 0
    done
    return 1
}

package_command() {
    if command -v apt-get >/dev/null 2>&1; then
        echo 'apt-get install -y uidmap'
    elif command -v dnf >/dev/null 2>&1; then
        echo 'dnf install -y shadow-utils'
    elif command -v zypper >/dev/null 2>&1; then
        echo 'zypper --non-interactive install shadow'
    elif command -v pacman >/dev/null 2>&1; then
        echo 'pacman -S --noconfirm --needed shadow'
    elif command -v apk >/dev/null 2>&1; then
        echo 'apk add shadow-uidmap'
    fi
}

# May we become root for that? Prints the command that does it (nothing when we are root already).
become_root() {
    [ "$uid" = 0 ] && return 0
    command -v sudo >/dev/null 2>&1 || return 1
    if sudo -n true 2>/dev/null; then
        echo 'sudo -n'
        return 0
    fi
    # A password has to be typed, so it needs a person who says yes.
    [ "$ask" = yes ] && [ -t 0 ] && [ -t 2 ] || return 1
    printf '%s' "install.sh: install \`newuidmap\` with \`sudo $1\`? [Y/n] " >&2
    read -r answer || return 1
    case $answer in '' | [Yy]*) echo 'sudo' ;; *) return 1 ;; esac
}

install_idmap() {
    packages=$(package_command)
    if [ -n "$packages" ] && root=$(become_root "$packages"); then
        say "installing newuidmap: ${root:+$root }$packages"
        # shellcheck disable=SC2086 # two lists of words, made above
        if $root $packages >&2 || { [ "${packages%% *}" = apt-get ] && $root apt-get update >&2 && $root $packages >&2; }; then
            return 0
        fi
        say "that did not work; going on without it"
    fi
    say "without \`newuidmap\` containers have a single user id${packages:+; to change that: $packages}"
}

if [ "$system" = yes ] && [ "$uid" != 0 ] && ! have_idmap; then
    install_idmap
fi

# --- install -----------------------------------------------------------------------------------------------------------

# Copies to a new name in the same folder and renames: containers that run go on with the old file.
put() { # MODE FROM TO
    mkdir -p -- "${3%/*}"
    cp -f -- "$2" "$3.new.$$"
    chmod "$1" "$3.new.$$"
    mv -f -- "$3.new.$$" "$3"
}

put 755 "$binary" "$bin/runr"
for pair in "runr.bash:$bash_dir/runr" "_runr:$zsh_dir/_runr" "runr.fish:$fish_dir/runr.fish"; do
    from=$here/completions/${pair%%:*}
    if [ -f "$from" ]; then put 644 "$from" "${pair#*:}"; fi
done
rm -f -- "$man"/runr-*.1
for page in "$here"/man/*.1; do
    if [ -f "$page" ]; then put 644 "$page" "$man/${page##*/}"; fi
done
say "installed $bin/runr"

case ":$PATH:" in
*":$bin:"*)
    found=$(command -v runr || true)
    if [ "$found" != "$bin/runr" ]; then
        say "note: \`runr\` in your PATH is $found, not this one"
    fi
    ;;
*) say "$bin is not in your PATH; add it: export PATH=\"$bin:\$PATH\"" ;;
esac

# --- does it work here? ------------------------------------------------------------------------------------------------

[ "$check" = yes ] || exit 0
status=0
say "runr run --rm builtin:hello"
"$bin/runr" run --rm builtin:hello || status=$?
say "runr doctor"
"$bin/runr" doctor || true
if [ "$status" != 0 ]; then
    die "runr is installed, but a container did not run (exit code $status): what doctor reports above is the reason"
fi
