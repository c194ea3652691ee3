#!/bin/bash
# scripts/bench works: tiny runs give a figure for everything, and leave nothing, however they end. Root only.
. "${SRC_DIR:?}/tests/mount/lib.sh"

bench=("$SRC_DIR/scripts/bench" --smoke --build "$BUILD_DIR")
ram=$(mktemp -d /dev/shm/matfs-test.XXXXXX) || skip "no /dev/shm to work in"

need_root_and_loops()
{
	[ "$(id -u)" -eq 0 ] || skip "only root may mount disks"
	command -v mkfs.ext4 losetup python3 >/dev/null || skip "no mkfs.ext4, losetup or python3"
	/usr/bin/python3 -c 'import numpy' 2>/dev/null || skip "no numpy"
	truncate -s 1M "$ram/probe"
	losetup -d "$(losetup --show -f "$ram/probe")" 2>/dev/null || skip "no loop devices here"
	rm "$ram/probe"
}

# Also when the test fails: what a run killed by the test left. Then lib.sh's own.
clean_up()
{
	local rc=$? path

	# Innermost first.
	while read -r path; do
		umount -l "$path"
	done < <(mounts | tac)
	loops | xargs -r -n 1 losetup -d
	rm -rf "$ram"
	(exit "$rc") # which cleanup goes on with
	cleanup
}

mounts() { awk -v top="$ram/" 'index($5, top) == 1 { print $5 }' /proc/self/mountinfo; }

loops() { losetup -n -O NAME,BACK-FILE | awk -v top="$ram/" 'index($2, top) == 1 { print $1 }'; }

nothing_left()
{
	[ -z "$(mounts)" ] || fail "$1 leaves mounts: $(mounts)"
	[ -z "$(loops)" ] || fail "$1 leaves loop devices: $(loops)"
	[ -z "$(ls "$ram")" ] || fail "$1 leaves files: $(ls "$ram")"
}

# Starts a long run, in the background, and waits until matfs is up in it. Its process id is in $run.
start_a_run()
{
	local end=$((SECONDS + 60))

	"${bench[@]}" --ram "$ram" --parts files --files 5000 --systems matfs5 >"$work/run.log" 2>&1 &
	run=$!
	until mounts | grep -q '/mnt$'; do
		kill -0 "$run" 2>/dev/null || fail "the run ended: $(cat "$work/run.log")"
		[ "$SECONDS" -lt "$end" ] || fail "nothing is mounted after a minute: $(cat "$work/run.log")"
		sleep 0.05
	done
}

stopped_it_clears_up()
{
	start_a_run
	kill -TERM "$run"
	wait "$run" && fail "a run that was stopped says that all went well"
	grep -q 'stopped' "$work/run.log" || fail "it does not say that it was stopped: $(cat "$work/run.log")"
	nothing_left "a stopped run"
}

killed_the_next_one_does()
{
	start_a_run
	kill -KILL "$run"
	wait "$run" 2>/dev/null
	[ -n "$(mounts)" ] || fail "nothing was left to clear up"
}

# gives_figures PARTS SYSTEMS: each of these parts has each of its figures for each of these systems.
gives_figures()
{
	"${bench[@]}" --ram "$ram" --parts "$1" --systems "$2" --json "$work/out.json" >"$work/out.md" 2>"$work/err" ||
		fail "exit $?: $(cat "$work/err" "$work/out.md")"
	/usr/bin/python3 - "$work/out.json" "$1" "$2" <<'EOF' || fail "not all figures are there"
import json, sys
parts = json.load(open(sys.argv[1]))["parts"]
assert list(parts) == sys.argv[2].split(","), list(parts)
titles = {"ext4": "ext4, one disk", "matfs0": "matfs raid=0", "matfs5": "matfs raid=5"}
for name, part in parts.items():
    for system in sys.argv[3].split(","):
        figures = part["rounds"][titles[system]][0]
        assert set(figures) == set(part["base"]), (name, system, set(figures) ^ set(part["base"]))
        assert all(x > 0 for x in figures.values()), (name, system, figures)
assert "codec" not in parts or all(t["seen"] > 0 for t in parts["codec"]["targets"])
EOF
	grep -q '^| [a-z].* |$' "$work/out.md" || fail "no table: $(cat "$work/out.md")"
	nothing_left "a run of $1"
}

refuses_what_is_not_there()
{
	"${bench[@]}" --parts nonsense >"$work/out" 2>&1 && fail "takes a part that is not there"
	grep -q "no 'nonsense'; there are: arrays" "$work/out" || fail "does not name the parts: $(cat "$work/out")"
	"${bench[@]}" --build "$work" >"$work/out" 2>&1 && fail "runs without matfs"
	grep -q "$work/matfs is missing" "$work/out" || fail "does not say what is missing: $(cat "$work/out")"
}

need_fuse
trap clean_up EXIT
need_root_and_loops
refuses_what_is_not_there
stopped_it_clears_up
killed_the_next_one_does
gives_figures ram,codec matfs0
gives_figures arrays,rows,files matfs5
echo "test_bench: passed"
