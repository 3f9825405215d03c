#!/usr/bin/env bash
# The first process of a namespace: munged, slurmctld and the nodes n1 n2 n3 of a real Slurm, all in one folder.
#   unshare --pid --mount-proc --net --uts --fork --kill-child tests/slurm/cluster.sh FOLDER
# FOLDER/root may hold the unpacked packages; without it, the installed ones are used. What is started
# ends with this process, jobs included, and talks to the loopback of the namespace alone.
set -euo pipefail
folder=$1 nodes=3
root=$folder/root plugins=$folder/root/usr/lib/$(uname -m)-linux-gnu
mkdir -p "$folder"/{bin,etc,log,state,spool}
echo localhost > /proc/sys/kernel/hostname
ip link set lo up
ip address add 127.0.0.2/8 dev lo  # names are not looked up where 127.0.0.1 is the only address

# Clients find the configuration, and the unpacked libraries, whatever a job does to its environment.
ulimit -c 0
export SLURM_CONF=$folder/etc/slurm.conf LC_ALL=C.UTF-8 PATH=$folder/bin:$PATH:/usr/sbin
if [ -d "$root" ]; then
    export LD_LIBRARY_PATH=$plugins:$plugins/slurm-wlm PATH=$folder/bin:$root/usr/bin:$root/usr/sbin:$PATH
fi
# What a daemon does depends on its name, and in the packages the names are longer ones.
for daemon in slurmctld slurmd slurmstepd; do
    program=$(command -v "$daemon-wlm" || command -v "$daemon")
    ln -sfn "$program" "$folder/bin/$daemon"
done
for client in sacct sacctmgr sbatch scancel scontrol sinfo squeue srun sshare; do
    printf '#!/bin/sh\nSLURM_CONF=%s LD_LIBRARY_PATH=%s exec %s "$@"\n' \
        "$SLURM_CONF" "${LD_LIBRARY_PATH:-}" "$(command -v "$client")" > "$folder/bin/.$client"
    chmod 755 "$folder/bin/.$client"
    mv "$folder/bin/.$client" "$folder/bin/$client"
done

cat > "$SLURM_CONF" <<CONF
ClusterName=microtome
SlurmctldHost=localhost(127.0.0.1)
SlurmUser=root
SlurmdUser=root
AuthType=auth/munge
AuthInfo=socket=$folder/munge.socket
CredType=cred/munge
StateSaveLocation=$folder/state
SlurmdSpoolDir=$folder/spool/%n
SlurmctldPidFile=$folder/state/slurmctld.pid
SlurmdPidFile=$folder/spool/%n.pid
SlurmctldLogFile=$folder/log/slurmctld.log
SlurmdLogFile=$folder/log/%n.log
# Neither cgroups nor systemd; memory is enforced by looking at it every second.
ProctrackType=proctrack/linuxproc
TaskPlugin=task/none
JobAcctGatherType=jobacct_gather/linux
JobAcctGatherFrequency=task=1
JobAcctGatherParams=OverMemoryKill
SelectType=select/cons_tres
SelectTypeParameters=CR_CPU_Memory
SchedulerParameters=batch_sched_delay=0,sched_interval=2,sched_min_interval=50000,bf_interval=5
SlurmdParameters=config_overrides
AccountingStorageType=accounting_storage/none
MpiDefault=none
GresTypes=gpu
ReturnToService=2
KillWait=3
# A job stays in the list of the controller for the whole test, which is how tests count jobs.
MinJobAge=7200
NodeName=DEFAULT CPUs=4 RealMemory=17000
CONF
for n in $(seq $nodes); do
    echo "NodeName=n$n NodeHostname=localhost NodeAddr=127.0.0.1 Port=$((17000 + n)) Gres=gpu:1" >> "$SLURM_CONF"
done
# The node with the least work is taken, so that a few jobs are enough to use several.
for partition in "cpu Default=YES" gpu; do
    echo "PartitionName=$partition Nodes=ALL LLN=YES DefaultTime=10 MaxTime=4320 State=UP" >> "$SLURM_CONF"
done
# Any device makes Slurm count a GPU and say its number to the job.
echo "NodeName=n[1-$nodes] Name=gpu File=/dev/null" > "$folder/etc/gres.conf"
[ -d "$root" ] && echo "PluginDir=$plugins/slurm-wlm" >> "$SLURM_CONF"

(umask 077; head -c 1024 /dev/urandom > "$folder/munge.key")
start() {
    "$@" > "$folder/log/$(basename "$1").out" 2>&1 < /dev/null &
}
start munged --foreground --force --socket="$folder/munge.socket" --key-file="$folder/munge.key" \
    --pid-file="$folder/munge.pid" --seed-file="$folder/munge.seed" --log-file="$folder/log/munged.log"
until [ -S "$folder/munge.socket" ]; do sleep 0.1; done
start "$folder/bin/slurmctld" -D -i
for n in $(seq $nodes); do
    mkdir -p "$folder/spool/n$n"
    start "$folder/bin/slurmd" -D -N "n$n" -d "$folder/bin/slurmstepd"
done
until [ "$(sinfo --noheader --Node --partition cpu --states idle 2> "$folder/log/sinfo.err" | wc -l)" = $nodes ]; do
    sleep 0.2
done
touch "$folder/ready"
wait
