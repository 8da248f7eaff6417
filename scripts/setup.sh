# Sourced by demo and test: installs what is missing, and says so. Expects to be in the project's folder.
# Debian 12 or later, as root or with sudo.

say() {
    if [ -t 1 ]; then printf '\033[1m==> %s\033[0m\n' "$*"; else printf '==> %s\n' "$*"; fi
}

as_root() { if [ "$(id -u)" = 0 ]; then "$@"; else sudo "$@"; fi; }

# need_packages PACKAGE...: apt packages that are not installed yet.
need_packages() {
    local missing=() package
    for package in "$@"; do
        dpkg-query -W -f='${Status}' "$package" 2>/dev/null | grep -q 'ok installed' || missing+=("$package")
    done
    [ ${#missing[@]} = 0 ] && return 0
    say "apt-get install ${missing[*]}"
    as_root apt-get update -qq
    as_root env DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends "${missing[@]}" >/dev/null
}

# Debian 13 renamed the package of libfuse 2.
libfuse2() {
    if apt-cache show libfuse2t64 >/dev/null 2>&1; then echo libfuse2t64; else echo libfuse2; fi
}

need_fuse() {
    need_packages "$(libfuse2)" fuse3
    [ -e /dev/fuse ] || as_root modprobe fuse 2>/dev/null || {
        echo "/dev/fuse is missing and its module cannot be loaded: a kernel with FUSE is needed" >&2
        exit 1
    }
}

# need_venv EXTRAS: a .venv with the project and these extras ("" or "[dev]"), anew when pyproject.toml changed.
need_venv() {
    local stamp
    stamp=.venv/.kdumpfs-$(sha256sum pyproject.toml | cut -c1-12)$1
    [ -e "$stamp" ] || { [ -z "$1" ] && [ -e "$stamp[dev]" ]; } && return 0
    command -v python3 >/dev/null || need_packages python3
    python3 -c 'import sys; sys.exit(sys.version_info < (3, 11))' || {
        echo "python3 is older than 3.11: Debian 12 or later is expected" >&2
        exit 1
    }
    python3 -c 'import ensurepip, venv' 2>/dev/null || need_packages python3-venv
    if [ ! -x .venv/bin/python ]; then
        say "python3 -m venv .venv"
        python3 -m venv .venv
    fi
    say "pip install -e .$1 (into .venv)"
    # compat: a plain .pth; the default finder costs every start of Python half of what click costs.
    .venv/bin/python -m pip install -q --disable-pip-version-check \
        --config-settings editable_mode=compat -e ".$1"
    touch "$stamp"
}
