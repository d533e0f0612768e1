#!/usr/bin/env bash
# A Slurm of one node on loopback, for tests: as root, without systemd and cgroups. Needs the Debian packages slurm-wlm and munge.
#   D=$(mktemp -d) bash tests/slurm/up.sh      writes $D/slurm.conf and starts the daemons; then SLURM_CONF=$D/slurm.conf sbatch ...
#   D=... bash tests/slurm/up.sh down          ends them
set -euo pipefail
: "${D:?the folder of its state}"
HOST=$(hostname -s)
if [ "${1:-up}" = down ]; then
  for daemon in slurmd slurmctld munged; do [ -s "$D/run/$daemon.pid" ] && kill "$(cat "$D/run/$daemon.pid")" || true; done
  exit 0
fi
mkdir -p "$D"/{state,spool,log,run}
chmod 755 "$D" "$D/run"
install -d -o munge -g munge -m 0755 "$D/munge"
dd if=/dev/urandom of="$D/munge/key" bs=1024 count=1 status=none
chown munge:munge "$D/munge/key"; chmod 0400 "$D/munge/key"
cat > "$D/slurm.conf" <<C
ClusterName=loop
SlurmctldHost=$HOST(127.0.0.1)
SlurmctldPort=${PORT:-16817}
SlurmdPort=$((${PORT:-16817} + 1))
AuthType=auth/munge
AuthInfo=socket=$D/munge/socket
SlurmUser=root
SlurmdUser=root
StateSaveLocation=$D/state
SlurmdSpoolDir=$D/spool
SlurmctldPidFile=$D/run/slurmctld.pid
SlurmdPidFile=$D/run/slurmd.pid
SlurmctldLogFile=$D/log/slurmctld.log
SlurmdLogFile=$D/log/slurmd.log
ProctrackType=proctrack/linuxproc
TaskPlugin=task/none
JobAcctGatherType=jobacct_gather/none
AccountingStorageType=accounting_storage/none
SelectType=select/cons_tres
SelectTypeParameters=CR_Core
MpiDefault=none
CommunicationParameters=NoInAddrAny,NoCtldInAddrAny
ReturnToService=2
NodeName=$HOST NodeAddr=127.0.0.1 CPUs=$(nproc) RealMemory=$(($(awk '/MemTotal/{print $2}' /proc/meminfo) / 1024 * 3 / 4)) State=UNKNOWN
PartitionName=debug Nodes=$HOST Default=YES MaxTime=INFINITE State=UP
C
export SLURM_CONF=$D/slurm.conf
runuser -u munge -- /usr/sbin/munged --key-file="$D/munge/key" --socket="$D/munge/socket" --pid-file="$D/munge/munged.pid" \
  --log-file="$D/munge/munged.log" --seed-file="$D/munge/seed"
cp "$D/munge/munged.pid" "$D/run/munged.pid"
slurmctld -f "$SLURM_CONF"
slurmd -f "$SLURM_CONF"
for _ in $(seq 150); do [ "$(sinfo -h -o %T 2>/dev/null)" = idle ] && break; sleep .2; done
[ "$(sinfo -h -o %T)" = idle ]
