# Chroots of Debian releases, for test/major.sh and tools/deb.sh, which source
# this file.  $root is the chroot's directory, $suite its release; make_chroot
# leaves the mirror that it took in $mirror.

# With /proc, by which the library powerloss finds paths and private.sh what is
# left running.  It is mounted in a namespace that ends with the command, so
# that nothing stays mounted, however the command ends.
in_root() {
	local enter=()
	if unshare --mount true 2>/dev/null; then
		enter=(unshare --mount --propagation private sh -ec
			'mount -t proc proc "$0/proc" 2>/dev/null || mount --rbind /proc "$0/proc"; exec "$@"' "$root")
	else
		echo "chroot: no mount namespace can be made here, so the chroot has no /proc" >&2
	fi
	"${enter[@]}" chroot "$root" env -i PATH=/usr/sbin:/usr/bin:/sbin:/bin LC_ALL=C "$@"
}

make_chroot() {
	local script=/usr/share/debootstrap/scripts/$suite
	mirror=${CKPX_MIRROR:-}
	[ -n "$mirror" ] || mirror=$(awk '/^URIs:/{print $2; exit}' /etc/apt/sources.list.d/*.sources 2>/dev/null)
	[ -n "$mirror" ] || mirror=$(awk '/^deb /{for (i = 2; i <= NF; i++) if ($i ~ "://") {print $i; exit}}' /etc/apt/sources.list)
	[ -n "$mirror" ] || {
		echo "chroot: no mirror found in this machine's apt sources" >&2
		exit 1
	}
	if ! command -v debootstrap >/dev/null; then
		export DEBIAN_FRONTEND=noninteractive
		apt-get install -y --no-install-recommends debootstrap ||
			{ apt-get update && apt-get install -y --no-install-recommends debootstrap; }
	fi
	# Debian's debootstrap knows Ubuntu's releases by the first of their kind.
	[ -e "$script" ] || script=/usr/share/debootstrap/scripts/gutsy
	debootstrap --variant=minbase --components="${CKPX_COMPONENTS:-main}" \
		--keyring="${CKPX_KEYRING:-/usr/share/keyrings/debian-archive-keyring.gpg}" "$suite" "$root" "$mirror" "$script"
	# Nothing may start a service, and no cluster is made.
	printf '#!/bin/sh\nexit 101\n' >"$root/usr/sbin/policy-rc.d"
	chmod 755 "$root/usr/sbin/policy-rc.d"
	mkdir -p "$root/etc/postgresql-common"
	echo 'create_main_cluster = false' >"$root/etc/postgresql-common/createcluster.conf"
	chmod 1777 "$root/dev/shm"
	in_root apt-get update
}
