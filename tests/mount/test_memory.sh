#!/usr/bin/env bash
# memory= is kept to within 10 percent of the resident size, whatever is written, read and made.
# MEMORY, MEMORY_MIB, MEMORY_FILES: the setting, MiB written, small files made (for the long form: 256M 1024 100000).

. "${SRC_DIR:?}/tests/mount/lib.sh"
need_fuse
nm "$MATFS" 2>/dev/null | grep -q __asan_init && skip "a sanitizer has memory of its own"
nm "$MATFS" 2>/dev/null | grep -q __tsan_init && skip "a sanitizer has memory of its own"
command -v python3 >/dev/null || skip "no python3 here"

memory=${MEMORY:-96M}
new_shards 3
mount_matfs "raid=5,shards=$shards,memory=$memory,state=$work/state"
python3 "$SRC_DIR/tests/mount/memory_work.py" "$(daemon_pids | head -1)" "$mnt" \
	"$(numfmt --from=iec "$memory")" "${MEMORY_MIB:-256}" "${MEMORY_FILES:-5000}" ||
	fail "more than memory=$memory is resident"
grep -q '^memory' "$mnt/.stats" || fail "no word of the memory in .stats"
[ -z "${MEMORY_SHOW-}" ] || cat "$mnt/.stats"
umount_matfs
