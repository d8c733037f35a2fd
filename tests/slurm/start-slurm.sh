#!/usr/bin/env bash
# Start a real Slurm cluster of two nodes, n1 and n2, with accounting, on this machine (Debian or Ubuntu, as root).
# Installs missing packages. May be run repeatedly: it replaces an idle cluster of an earlier call, and refuses to stop
# one that has jobs. Stop the cluster with stop-slurm.sh.
set -euo pipefail
cd "$(dirname "$0")"
[ "$(id -u)" = 0 ] || { echo "start-slurm.sh: run it as root" >&2; exit 1; }
if [ -e /etc/slurm/slurm.conf ] && ! grep -q ^ClusterName=litcvtest /etc/slurm/slurm.conf; then
  echo "start-slurm.sh: /etc/slurm/slurm.conf belongs to another cluster" >&2
  exit 1
fi
logs=/var/log/slurm database=/var/lib/slurm-test-database socket=/run/mysqld/mysqld.sock

until_true() {  # until_true SECONDS COMMAND...: retry ten times per second
  local tries=$(($1 * 10)); shift
  until "$@" > /dev/null 2>&1; do ((tries-- > 0)) || { echo "start-slurm.sh: timed out: $*" >&2; exit 1; }; sleep 0.1; done
}

if ! type slurmctld slurmd munged slurmdbd mariadbd > /dev/null 2>&1; then
  apt-get update -qq
  DEBIAN_FRONTEND=noninteractive apt-get -o DPkg::Lock::Timeout=120 install -y -qq --no-install-recommends \
    slurm-wlm slurmdbd munge mariadb-server > /dev/null
fi
if [ -s /run/slurm/slurmctld.pid ] && kill -0 "$(cat /run/slurm/slurmctld.pid)" 2> /dev/null; then
  jobs=$(timeout 20 squeue --noheader --format '  %i %j of %u, %T') || jobs="  unknown: squeue does not answer"
  if [ -n "$jobs" ]; then
    echo "start-slurm.sh: a cluster with jobs runs on this machine; wait for them, or run stop-slurm.sh, which cancels" \
      "them:" >&2
    echo "$jobs" >&2
    exit 1
  fi
  echo "start-slurm.sh: replacing the idle cluster of this machine"
fi
./stop-slurm.sh
mkdir -p /etc/slurm $logs /run/slurm /run/munge /run/mysqld /var/spool/{slurmctld,slurmd-n1,slurmd-n2} $database
rm -rf /var/spool/slurmctld/*

# munge signs every message between the daemons
[ -s /etc/munge/munge.key ] || dd if=/dev/urandom of=/etc/munge/munge.key bs=1024 count=1 status=none
chown -R munge:munge /etc/munge /run/munge /var/log/munge /var/lib/munge
chmod 400 /etc/munge/munge.key
chmod 755 /run/munge
runuser -u munge -- /usr/sbin/munged

# Two slurmd with different ports. Processes are tracked by their parents, because systemd and cgroups may be missing.
# Each node reports four CPUs, independent of the machine. A requeued job waits until its old credential expires, after
# 120 s by default.
cat > /etc/slurm/slurm.conf << CONF
ClusterName=litcvtest
SlurmctldHost=$(hostname -s)(127.0.0.1)
SlurmUser=root
AuthInfo=cred_expire=5
AccountingStorageType=accounting_storage/slurmdbd
AccountingStorageHost=localhost
ProctrackType=proctrack/linuxproc
TaskPlugin=task/none
JobAcctGatherType=jobacct_gather/none
MpiDefault=none
SelectType=select/cons_tres
SelectTypeParameters=CR_Core
SchedulerParameters=bf_interval=2,sched_interval=2,sched_min_interval=0
SlurmdParameters=config_overrides
ReturnToService=1
KillWait=5
# processes end slowly on a busy machine: that must not drain a node
UnkillableStepTimeout=3600
OverTimeLimit=0
JobRequeue=1
StateSaveLocation=/var/spool/slurmctld
SlurmdSpoolDir=/var/spool/slurmd-%n
SlurmctldPidFile=/run/slurm/slurmctld.pid
SlurmdPidFile=/run/slurm/slurmd-%n.pid
SlurmctldLogFile=$logs/slurmctld.log
SlurmdLogFile=$logs/slurmd-%n.log
NodeName=n[1-2] NodeHostname=$(hostname -s) NodeAddr=127.0.0.1 Port=[6821-6822] CPUs=4 RealMemory=8000
PartitionName=debug Nodes=ALL Default=YES MaxTime=INFINITE State=UP
CONF
for node in n1 n2; do  # the processes of a run connect to the name of the first node
  getent hosts $node > /dev/null || echo "127.0.0.1 $node" >> /etc/hosts
done

# accounting: slurmdbd and its database
chown mysql:mysql /run/mysqld $database
mariadb=(--no-defaults --user=mysql --datadir=$database --socket=$socket)
[ -d $database/mysql ] || mariadb-install-db --no-defaults --user=mysql --datadir=$database --skip-test-db \
  --auth-root-authentication-method=normal > $logs/mariadb.log 2>&1
setsid mariadbd "${mariadb[@]}" --skip-networking --pid-file=/run/mysqld/slurm-test.pid --innodb-buffer-pool-size=32M \
  --innodb-lock-wait-timeout=900 --skip-log-bin < /dev/null >> $logs/mariadb.log 2>&1 &
sql=(mariadb --no-defaults -uroot --socket=$socket -e)
until_true 30 "${sql[@]}" "select 1"
"${sql[@]}" "create database if not exists slurm; create user if not exists slurm@localhost identified by 'slurm';
  grant all on slurm.* to slurm@localhost"
cat > /etc/slurm/slurmdbd.conf << CONF
DbdHost=localhost
SlurmUser=root
StorageType=accounting_storage/mysql
StorageHost=localhost
StorageUser=slurm
StoragePass=slurm
StorageLoc=slurm
PidFile=/run/slurm/slurmdbd.pid
LogFile=$logs/slurmdbd.log
CONF
chmod 600 /etc/slurm/slurmdbd.conf
slurmdbd
until_true 30 sacctmgr -n show cluster
sacctmgr -n -P show cluster format=cluster | grep -qx litcvtest || sacctmgr -i -Q add cluster litcvtest > /dev/null
# job ids continue from the last one in the database
last=$(sacct -a -X -n -P -S 2000-01-01 -o jobidraw 2> /dev/null | sort -n | tail -n 1 || true)
echo "FirstJobId=$((${last:-0} + 1))" >> /etc/slurm/slurm.conf

slurmctld -c
for node in n1 n2; do slurmd -N $node; done
until_true 20 timeout 5 srun --immediate=1 --nodes=2 true
sinfo
