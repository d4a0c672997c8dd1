# What the scripts share: where things are, talk, packages, builds. Sourced by bash, never run.
# shellcheck shell=bash

top=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
export top
export python=/usr/bin/python3
meson=/usr/bin/meson
[ -x "$meson" ] || meson=meson

packages_build=(gcc libc6-dev meson ninja-build pkg-config python3 libssl-dev libcurl4-openssl-dev
	libcjson-dev libcsv-dev libsqlite3-dev libfyaml-dev libsmartcols-dev libmicrohttpd-dev
	libgnutls28-dev
	libtss2-dev libseccomp-dev libp11-dev libp11-kit-dev libudev-dev)
packages_run=(swtpm swtpm-tools gnutls-bin softhsm2 libtss2-tcti-swtpm0 libtss2-tcti-device0)
packages_test=(
	busybox-static
	clang
	clang-format
	curl
	dbus-bin
	dbus-daemon
	fish
	git
	iproute2
	libclang-rt-14-dev
	libcmocka-dev
	libfaketime
	libnss3
	libtpm2-pkcs11-1
	libtpm2-pkcs11-tools
	libtss2-tcti-tabrmd0
	libumockdev-dev
	mandoc
	opencryptoki
	opensc
	openssl
	python3-cryptography
	python3-jsonschema
	python3-pytest
	python3-pytest-xdist
	python3-yaml
	qemu-system-x86
	shellcheck
	sqlite3
	strace
	systemd
	tpm2-abrmd
	tpm-udev
	tpm2-tools
	udev
	umockdev
	zsh
)
export packages_build packages_run packages_test

say() {
	printf '%s\n' "$*" >&2
}

die() {
	say "${0##*/}: $*"
	exit 1
}

# The help of a script is the comment that it begins with.
case ${1:-} in
-h | --help)
	sed -n '2,/^[^#]/s/^# \{0,1\}//p' "$0"
	exit 0
	;;
esac

# as_root COMMAND...
as_root() {
	if [ "$(id -u)" -eq 0 ]; then
		"$@"
	elif command -v sudo >/dev/null; then
		sudo "$@"
	else
		die "not root and no sudo: run as root: $*"
	fi
}

is_installed() {
	[ "$(dpkg-query -W -f '${db:Status-Status}' "$1" 2>/dev/null)" = installed ]
}

# install_missing PACKAGE...: asks apt only for what is not there, so a second run needs no network.
install_missing() {
	local package missing=()
	for package in "$@"; do
		is_installed "$package" || missing+=("$package")
	done
	[ "${#missing[@]}" -gt 0 ] || return 0
	say "installing ${missing[*]}"
	as_root apt-get -q -o DPkg::Lock::Timeout=300 update >&2
	as_root env DEBIAN_FRONTEND=noninteractive apt-get -q -y -o DPkg::Lock::Timeout=300 \
		--no-install-recommends install "${missing[@]}" >&2
}

# set_up DIRECTORY [MESON OPTION...]: once; afterwards it only gives it the options. Talk goes to stderr.
set_up() {
	local directory=$1
	shift
	if [ -f "$top/$directory/build.ninja" ]; then
		local option options=()
		for option in "$@"; do
			case $option in -D*) options+=("$option") ;; esac
		done
		[ "${#options[@]}" -eq 0 ] || "$meson" configure "$top/$directory" "${options[@]}" >&2
	else
		"$meson" setup "$@" "$top/$directory" "$top" >&2
	fi
}

# build DIRECTORY [MESON OPTION...]: sets it up, then builds what changed.
build() {
	set_up "$@"
	ninja -C "$top/$1" >&2
}
