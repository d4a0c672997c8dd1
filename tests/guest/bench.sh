#!/bin/busybox sh
# Inside of the guest: its first process. Boards with TPMs come and go at three sockets of a bench, and a fourth port that is
# none; muster runs as a user of the group tss. Each "== NAME" begins what was seen under that name, for test_guest.py.
/bin/busybox mkdir -p /sbin /usr/bin /usr/sbin /proc /sys /dev /run /tmp /root /home/bench/evidence
/bin/busybox --install -s
export PATH=/usr/bin:/bin:/usr/sbin:/sbin LC_ALL=C.UTF-8
mount -t proc proc /proc
mount -t sysfs sysfs /sys
mount -t devtmpfs dev /dev
chmod 1777 /tmp
chown -R bench:bench /home/bench
ip link set lo up

saw() {
	echo "== $1"
	echo "uptime $(cut -d' ' -f1 /proc/uptime)"
}

# count FILE WORDS: lines with them.
count() {
	grep -c "$2" "$1" || true
}

# wait_for FILE WORDS [COUNT]: until the file has more than COUNT lines with them, for two minutes.
wait_for() {
	tries=0
	until [ "$(count "$1" "$2")" -gt "${3:-0}" ]; do
		tries=$((tries + 1))
		[ "$tries" -lt 1200 ] || { echo "no '$2' in:" && cat "$1" && return 1; }
		usleep 100000
	done
}

# plug NUMBER: the kernel gives the lowest free number, so that boards are at the port they were at before. It gives a new
# device two seconds for each of its first answers; on a slow machine it may take another try.
plug() {
	for try in 1 2 3 4 5; do
		vtpm-bridge "/tpm/$1.s" >>"/tmp/bridge.$1" 2>&1 &
		echo $! >"/tmp/bridge.$1.pid"
		tries=0
		until [ -c "/dev/tpmrm$1" ] || [ "$tries" -ge 200 ]; do
			tries=$((tries + 1))
			usleep 100000
		done
		[ ! -c "/dev/tpmrm$1" ] || return 0
		echo "no /dev/tpmrm$1 at try $try: $(cat "/tmp/bridge.$1")"
		unplug "$1"
	done
}

unplug() {
	kill "$(cat "/tmp/bridge.$1.pid")" 2>/dev/null
}

# as_bench COMMAND: what a user of the group tss may do.
as_bench() {
	su -s /bin/sh bench -c "cd; HOME=/home/bench; . /home/bench/env; $1"
}

saw boot
saw doctor-early
muster doctor -o jsonl
/lib/systemd/systemd-udevd --daemon
insmod /tpm_vtpm_proxy.ko
for number in 0 1 2 3; do
	swtpm socket --tpm2 --tpmstate "dir=/tpm/$number" --flags not-need-init,startup-clear --daemon \
		--server "type=unixio,path=/tpm/$number.s" --ctrl "type=unixio,path=/tpm/$number.s.ctrl"
done
muster-emulator --port 0 --state /emulator --hub hub-1.azure-devices.net >/tmp/emulator 2>/tmp/emulator.log &
wait_for /tmp/emulator connectionString
about() {
	sed -n "s/.*\"$1\": *\"\\([^\"]*\\)\".*/\\1/p" /tmp/emulator
}
about connectionString >/home/bench/login
chown bench:bench /home/bench/login
chmod 600 /home/bench/login
chmod -R a+rX /emulator
cat >/home/bench/env <<END
export MUSTER_LOGIN_FILE=/home/bench/login MUSTER_CA_FILE=$(about caFile) MUSTER_ID_SCOPE=$(about idScope)
export MUSTER_DEVICE_ENDPOINT=$(about url | sed 's|https://||;s|/$||') MUSTER_JOURNAL=/home/bench/journal.db
export MUSTER_OUT=/home/bench/evidence MUSTER_PROFILE=/profile.yaml
END

saw map
muster socket map 1 2 3 -o jsonl >/tmp/map 2>/tmp/map.said &
walk=$!
for number in 0 1 2; do
	wait_for /tmp/map.said "into socket $((number + 1))"
	plug "$number"
done
wait "$walk"
echo "status $?"
cat /tmp/map /etc/muster/sockets
plug 3
udevadm trigger --subsystem-match=tpmrm
udevadm settle

saw names
ls -l /dev/tpmrm* /dev/muster/tpm/by-socket /dev/muster/tpm/by-path
udevadm info -q property /dev/tpmrm1 | cat

saw list
as_bench "muster socket list -o jsonl"

saw doctor
as_bench "muster doctor -o jsonl"

saw all-attached
as_bench "muster provision --all-attached -o jsonl -v 2>/home/bench/said; echo status \$?; cat /home/bench/said"

saw watch
touch /home/bench/rows /home/bench/watch /home/bench/status
chown bench:bench /home/bench/rows /home/bench/watch /home/bench/status
as_bench "muster provision --watch -o jsonl -v >/home/bench/rows 2>/home/bench/watch; echo status \$? >/home/bench/status" &
for number in 1 2 3; do
	wait_for /home/bench/rows "\"socket\":\"$number\""
done
unplug 1
udevadm settle
plug 1
wait_for /home/bench/rows '"socket":"2"' 1
unplug 0
udevadm settle
before=$(count /home/bench/watch "1: identify")
plug 0
wait_for /home/bench/watch "1: identify" "$before"
unplug 0
wait_for /home/bench/rows '"socket":"1"' 1
kill "$(pidof muster)"
wait_for /home/bench/status status
cat /home/bench/rows /home/bench/status

saw end
ls /dev/tpmrm*
poweroff -f
