#!/bin/bash
# Both ways in which requests come from the kernel: what was asked for is what there is, nobody starves while many wait
# for commits, and the mount ends well whatever is going on: unmounted, told to end, pulled away, cut off.

# shellcheck source=tests/mount/lib.sh
. "${SRC_DIR:?}/tests/mount/lib.sh"

need_fuse

load=$BUILD_DIR/tests/mount/transport_load

# Print the transport that .stats tells.
transport()
{
	sed -n 's/^  transport  *//p' "$mnt/.stats"
}

# Print the fact $1 (a Python expression of the parsed .stats.json, `s`).
fact()
{
	python3 -c 'import json, sys; s = json.load(open(sys.argv[1])); print(eval(sys.argv[2]))' \
		"$mnt/.stats.json" "$1"
}

# Start the load with arguments $@ on $mnt in the background, until it has begun.
start_load()
{
	local i

	"$load" "$mnt" "$@" >"$work/load.out" 2>"$work/load.err" &
	load_pid=$!
	for ((i = 0; i < 400; i++)); do
		grep -q ready "$work/load.out" && return 0
		sleep 0.05
	done
	fail "the load does not begin: $(cat "$work/load.err")"
}

# The load ends by itself within $1 seconds, with whatever exit code.
load_ends()
{
	local end=$((SECONDS + $1))

	while kill -0 "$load_pid" 2>/dev/null; do
		[ "$SECONDS" -lt "$end" ] || fail "$tr: programs hang: $(cat "$work/load.out")"
		sleep 0.05
	done
	wait "$load_pid"
}

mount_it()
{
	mount_matfs "raid=0,transport=$tr,shards=$shards,commit=1${1:+,$1}" || fail "$tr: cannot mount"
}

# After whatever happened: all of it is there and whole, and the volume was left in order.
is_whole()
{
	mount_it
	[ "$(stat -c %s "$mnt/warm.0")" = 4194304 ] || fail "$tr: warm.0 has not its size"
	cat "$mnt"/fsync.* "$mnt"/write.* >"$work/all" || fail "$tr: what was written cannot be read"
	umount_matfs || fail "$tr: cannot unmount"
}

says_what_it_is()
{
	local want=classic

	[ "$tr" = classic ] || want=io_uring
	mount_it
	case $(transport) in
	"$want"*) ;;
	*) fail "transport=$tr, but it is: $(transport)" ;;
	esac
	umount_matfs || fail "$tr: cannot unmount"
}

# 64 threads wait for commits, on each core more than there are places in its queue.
nobody_starves()
{
	mount_it
	start_load 1 64 4
	load_ends 100 || fail "$tr: $(cat "$work/load.out" "$work/load.err")"
	sed "s/^/$tr: /" "$work/load.out"
	# It was not by luck: they waited in the pool.
	[ "$(fact "s['waiting']['requests'] >= 64 and s['waiting']['threads'] > 8")" = True ] ||
		fail "$tr: $(fact "s['waiting']")"
	umount_matfs || fail "$tr: cannot unmount"
	is_whole
}

# Handlers that wait have a pool: names with dirsync, writes when memory is short.
waits_elsewhere()
{
	mount_it dirsync,memory=64M
	mkdir "$mnt/d" && touch "$mnt/d/a" && ln "$mnt/d/a" "$mnt/d/b" && ln -s a "$mnt/d/c" &&
		mkfifo "$mnt/d/f" && mv "$mnt/d/b" "$mnt/d/e" && [ "$(readlink "$mnt/d/c")" = a ] ||
		fail "$tr: dirsync: names"
	rm "$mnt/d/a" "$mnt/d/c" "$mnt/d/e" "$mnt/d/f" && rmdir "$mnt/d" || fail "$tr: dirsync: removal"
	head -c 150M /dev/urandom >"$work/random"
	cp "$work/random" "$mnt/one" & cp "$work/random" "$mnt/two" || fail "$tr: cannot write"
	wait $! || fail "$tr: cannot write"
	cmp "$work/random" "$mnt/one" && cmp "$work/random" "$mnt/two" || fail "$tr: wrong bytes"
	# Over what is being written, and away with it.
	cp "$work/random" "$mnt/one" && truncate -s 1000 "$mnt/one" && cmp -n 1000 "$work/random" "$mnt/one" &&
		: >"$mnt/two" && cp --reflink=never "$mnt/one" "$mnt/three" && cmp "$mnt/one" "$mnt/three" ||
		fail "$tr: truncating"
	exec 8<>"$mnt/three"
	rm "$mnt/three" "$mnt/one" "$mnt/two" "$work/random"
	exec 8<&-
	umount_matfs || fail "$tr: cannot unmount"
}

# $1: TERM, or HUP.
ends_by_signal()
{
	mount_it
	start_load 30 16 4 die
	sleep 0.3
	kill -"$1" "$(daemon_pids)" || fail "$tr: no daemon"
	load_ends 30
	wait_daemon_gone 30 || fail "$tr: SIG$1 under load does not end the daemon"
	! is_mounted "$mnt" || fail "$tr: SIG$1 leaves a mount behind"
	is_whole
}

# The mountpoint goes at once, the rest when the last file is closed.
goes_lazily()
{
	mount_it
	start_load 1 16 4
	sleep 0.2
	fusermount3 -u -z "$mnt" || fail "$tr: cannot unmount lazily"
	! is_mounted "$mnt" || fail "$tr: it is still there"
	load_ends 30
	wait_daemon_gone 30 || fail "$tr: the daemon stays after the last file was closed"
	is_whole
}

# The connection is cut while requests are with us: programs get errors, the daemon ends in order.
is_cut_off()
{
	local minor

	[ "$(id -u)" -eq 0 ] || return 0
	mount_it
	minor=$(stat -c %d "$mnt")
	[ -w "/sys/fs/fuse/connections/$minor/abort" ] || {
		umount_matfs
		return
	}
	start_load 30 16 4 die
	sleep 0.3
	echo 1 >"/sys/fs/fuse/connections/$minor/abort"
	load_ends 30
	wait_daemon_gone 30 || fail "$tr: the daemon stays when it is cut off"
	! is_mounted "$mnt" || fusermount3 -u "$mnt" || umount "$mnt"
	is_whole
}

# What a program has written with O_DSYNC, with RWF_DSYNC, or on a mount with sync, outlives the daemon at once, also where
# the kernel has no pages of it (who only writes).
sync_writes_stay()
{
	local options

	for options in commit=60 commit=60,sync; do
		mount_matfs "raid=0,transport=$tr,shards=$shards,$options" || fail "$tr: cannot mount"
		python3 - "$mnt" "$options" <<-'END' || fail "$tr: $options: cannot write"
			import os, sys
			at, options = sys.argv[1:]
			new = os.O_WRONLY | os.O_CREAT | os.O_TRUNC
			for name, flag, write in (("opened", os.O_DSYNC, 0), ("each", 0, os.RWF_DSYNC), ("mount", 0, 0)):
			    f = os.open(f"{at}/{name}", new | flag)
			    for i in range(3):
			        os.pwritev(f, [name.encode() * 50000], i * 50000 * len(name), write)
			    # One that comes while it is written.
			    if name == "opened":
			        g = os.open(f"{at}/{name}", os.O_RDWR | os.O_DSYNC)
			        os.pwrite(g, b"OPENED", 6)
		END
		kill -KILL "$(daemon_pids)" && wait_daemon_gone 10 || fail "$tr: it does not end"
		while is_mounted "$mnt"; do
			fusermount3 -u -z "$mnt"
		done
		mount_it
		python3 - "$mnt" "$options" <<-'END' || fail "$tr: $options: what was written synchronously is lost"
			import sys
			at, options = sys.argv[1:]
			names = ["opened", "each"] + ["mount"] * ("sync" in options.split(","))
			for name in names:
			    want = name.encode() * 150000
			    if name == "opened":
			        want = want[:6] + b"OPENED" + want[12:]
			    assert open(f"{at}/{name}", "rb").read() == want, name
		END
		umount_matfs || fail "$tr: cannot unmount"
	done
}

# A reader who comes, by every way, while one long write is under way, leaves no old page to those who come later.
no_page_stays_old()
{
	mount_it
	python3 - "$mnt/long" <<-'END' || fail "$tr: old bytes"
		import mmap, os, sys, threading
		name, n = sys.argv[1], 24 << 20
		for turn in range(6):
		    f = os.open(name, os.O_WRONLY | os.O_CREAT | os.O_TRUNC)
		    os.ftruncate(f, n)
		    g = os.open(name, os.O_RDONLY)
		    m = mmap.mmap(g, n, prot=mmap.PROT_READ)
		    new = bytes([65 + turn]) * n
		    writer = threading.Thread(target=lambda: os.pwrite(f, new, 0))
		    writer.start()
		    null = os.open("/dev/null", os.O_WRONLY)
		    while writer.is_alive():
		        for at in range(0, n, 1 << 20):
		            m[at]
		        os.sendfile(null, g, 0, 4 << 20)
		    writer.join()
		    assert os.pread(g, n, 0) == new, "read"
		    os.close(f)
		    with open(name, "rb") as h:
		        assert h.read() == new, "read later"
		        assert mmap.mmap(h.fileno(), n, prot=mmap.PROT_READ)[:] == new, "mapped later"
		    os.close(g)
		    os.close(null)
		    m.close()
	END
	umount_matfs || fail "$tr: cannot unmount"
}

checks()
{
	new_shards 2
	says_what_it_is
	nobody_starves
	waits_elsewhere
	sync_writes_stay
	no_page_stays_old
	ends_by_signal TERM
	goes_lazily
	is_cut_off
}

tr=classic
checks
# After the classic part: what is skipped here is io_uring alone.
(need_fuse_uring) 2>"$work/why" || {
	cat "$work/why"
	timeout 60 "$MATFS" "$mnt" -o "transport=uring,shards=$shards" 2>"$work/err"
	[ $? -eq 32 ] || fail "io_uring cannot be had, but was not refused"
	grep -q '^matfs: transport=uring: .*transport=auto' "$work/err" || fail "it says: $(cat "$work/err")"
	echo "test_transport: all passed, without io_uring"
	exit 0
}
tr=uring
checks
echo "test_transport: all passed"
