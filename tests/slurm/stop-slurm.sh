#!/usr/bin/env bash
# Stop the daemons of start-slurm.sh, found by their pid files, and cancel their jobs.
set -u
alive() { [ -s "$1" ] && [ "$(cat "/proc/$(cat "$1" 2> /dev/null)/comm" 2> /dev/null)" = "$2" ]; }
stop() {  # stop PROGRAM PID_FILE
  alive "$2" "$1" || return 0
  kill "$(cat "$2")"
  for _ in $(seq 100); do alive "$2" "$1" || return 0; sleep 0.1; done
  kill -9 "$(cat "$2")"
}
if alive /run/slurm/slurmctld.pid slurmctld; then
  timeout 10 scancel --user root
  for _ in $(seq 80); do [ -n "$(timeout 5 squeue --noheader)" ] || break; sleep 0.1; done
fi
for node in n1 n2; do stop slurmd /run/slurm/slurmd-$node.pid; done
stop slurmctld /run/slurm/slurmctld.pid
stop slurmdbd /run/slurm/slurmdbd.pid
stop mariadbd /run/mysqld/slurm-test.pid
stop munged /run/munge/munged.pid
exit 0
