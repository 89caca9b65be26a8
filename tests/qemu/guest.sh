#!/bin/sh
# In the guest, as its process 1: modules, network, and then the agent that does what it is told.
#   guest.sh REPOSITORY UNPACKED PYTHON
REPOSITORY=$1 UNPACKED=$2 PYTHON=$3
export PATH=/usr/sbin:/usr/bin:/sbin:/bin HOME=/tmp LANG=C.UTF-8 PYTHONDONTWRITEBYTECODE=1
export LD_LIBRARY_PATH="$UNPACKED/usr/lib/x86_64-linux-gnu"
release=$(uname -r)
mkdir -p "/usr/lib/modules/$release" /dev/pts /dev/shm
mount --bind "$UNPACKED/lib/modules/$release" "/usr/lib/modules/$release"
mount -t devpts devpts /dev/pts
mount -t tmpfs tmpfs /dev/shm /dev/shm
ln -sf /proc/self/fd /dev/fd
for module in virtio_net virtio_console; do
    "$UNPACKED/bin/busybox" modprobe "$module" || echo "guest: $module cannot be loaded"
done
ip link set lo up
ip link set eth0 up
ip address add 10.0.2.15/24 dev eth0
ip route add default via 10.0.2.2
cd "$REPOSITORY" || exit 1
echo "guest: ready"
"$PYTHON" -m tests.qemu.agent
echo "guest: the agent has ended ($?)"
echo o > /proc/sysrq-trigger
sleep 60
